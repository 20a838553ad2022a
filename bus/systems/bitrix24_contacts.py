"""The contact of a deal: changed where one is linked, found by phone or e-mail, made where nobody has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from bus import requisites
from bus.errors import NotReady
from bus.model import Json
from bus.ports import Raw
from bus.systems.bitrix24_items import (
    ADD,
    CONTACT,
    DEAL,
    ORIGINATOR,
    UPDATE,
    items_of,
    list_of,
    lists_of,
    multi,
)
from bus.systems.bitrix_rest import Command, Rest, rows_of
from bus.systems.jobs import Asked, Job, alive, carry

_WAIT = timedelta(seconds=1)
_KINDS = (("PHONE", "phone"), ("EMAIL", "email"))


class Contacts:
    """Reads and writes the contacts of deals."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def read(self, raws: Iterable[Raw]) -> None:
        """Put its contact beside each deal.

        One that the webhook's user may not see stays unsaid: None would say that there is none.
        """
        raws = list(raws)
        wanted = sorted({_contact_id(raw["item"]) for raw in raws} - {0})
        contacts = items_of(self._rest.each(lists_of(CONTACT, wanted, ["*", "fm"])))
        for raw in raws:
            one = _contact_id(raw["item"])
            if one == 0 or one in contacts:
                raw["contact"] = contacts.get(one)

    def write(self, jobs: list[Job]) -> None:
        """Change the linked contact, link a found one, add one nobody has; of two jobs with one phone only one adds.

        A found one hears the order's phone and e-mail, which are its customer's latest; else the deal would say its
        old ones, and the order in the shop would follow.
        """
        leaders = self._claimed(jobs)
        carry(self._rest, [(job, "found", _whole(one)) for job in alive(jobs) if (one := _found(job))])
        jobs = alive(jobs)
        fresh = [job for job in jobs if _unknown(job)]
        adds = [(job, "added", _add(job)) for job in leaders.values()]
        changes = [(job, "changed", command) for job in jobs if (command := _update(job))]
        links = [(job, "linked", _deal_link(job, one)) for job in jobs if (one := _found(job))]
        renewed = [(job, "renewed", command) for job in jobs if (one := _found(job)) and (command := _renew(job, one))]
        carry(self._rest, [*adds, *changes, *renewed, *links])
        added = [(job, leaders[_key(job)]) for job in fresh]
        carry(self._rest, [(job, "linked", _deal_link(job, _added(of))) for job, of in added if of.failed is None])
        for job, of in added:
            if of.failed is not None:
                job.fail(of.failed.error)
        for key in leaders:  # an add that nobody knows the end of is searched for before it is repeated
            self._rest.claims.drop(key)

    def _claimed(self, jobs: list[Job]) -> dict[str, Job]:
        """One job for each contact that nobody has yet, claimed for us and searched for once more under the claim.

        Two workers with deals of one new customer would each find none and each add one; the second waits.
        """
        wanted = [job for job in jobs if _unknown(job)]
        taken = {key for key in sorted({_key(job) for job in wanted}) if self._rest.claims.take(key)}
        ours = [job for job in wanted if _key(job) in taken]
        for job in wanted:
            if job not in ours:
                say, until = "a contact of the same phone or e-mail is being made", datetime.now(UTC) + _WAIT
                job.fail(NotReady(say, until=until, cause="contact being made"))
        carry(self._rest, [one for job in ours for one in asked(job)])
        leaders: dict[str, Job] = {}
        for job in alive(ours):
            if _unknown(job):
                leaders.setdefault(_key(job), job)
        for key in taken - set(leaders):
            self._rest.claims.drop(key)
        return leaders


def said(job: Job) -> bool:
    """Whether a write says anything of the deal's contact."""
    return bool(job.change.get("contact"))


def asked(job: Job) -> list[Asked]:
    """What is to be known before its contact can be written: the linked one, or whoever has the phone or e-mail."""
    if linked := _linked(job):
        return [(job, "contact", _whole(linked))]
    said = job.change["contact"]
    own = {"=originatorId": ORIGINATOR, "=originId": job.write.origin}
    search = [(kind, str(said[key])) for kind, key in _KINDS if said.get(key)]
    return [
        *((job, kind, _duplicates(kind, value)) for kind, value in search),
        (job, "own", list_of(CONTACT, own, ["id"])),
    ]


def _whole(contact: int) -> Command:
    return list_of(CONTACT, {"=id": contact}, ["*", "fm"])


def _contact_id(item: Raw) -> int:
    return int(item.get("contactId") or 0)


def _linked(job: Job) -> int:
    return _contact_id(job.raw["item"])


def _duplicates(kind: str, value: str) -> Command:
    return "crm.duplicate.findbycomm", {"entity_type": "CONTACT", "type": kind, "values": [value]}


def _found(job: Job) -> int:
    """The contact to link: by phone, by e-mail, or the one that an interrupted attempt of ours left; 0: none."""
    if _linked(job):
        return 0
    for kind, _ in _KINDS:
        if ids := rows_of(job.answers.get(kind), "CONTACT"):
            return min(int(one) for one in ids)
    own = rows_of(job.answers.get("own"), "items")
    return min((int(item["id"]) for item in own), default=0)


def _unknown(job: Job) -> bool:
    """Its contact is nowhere yet: not linked, not found, and there is something to make it of."""
    return not _linked(job) and not _found(job) and any(job.change["contact"].values())


def _key(job: Job) -> str:
    said = job.change["contact"]
    return str(said.get("phone") or said.get("email") or job.write.origin)


def _add(job: Job) -> Command:
    said = job.change["contact"]
    rows = [multi(kind, said[key]) for kind, key in _KINDS if said.get(key)]
    fields = {"name": said.get("name") or "", "originatorId": ORIGINATOR, "originId": job.write.origin}
    return ADD, {"entityTypeId": CONTACT, "fields": fields | ({"fm": rows} if rows else {})}


def _update(job: Job) -> Command | None:
    """The name and the first phone and e-mail of the linked contact; others of its values are a person's business."""
    present = rows_of(job.answers.get("contact"), "items")
    if not present:
        return None
    said, fields = job.change["contact"], dict[str, Json]()
    if said.get("name"):
        fields |= {"name": said["name"], "lastName": ""}
    rows = [_multi_change(present[0], kind, said[key]) for kind, key in _KINDS if key in said]
    if due := [one for one in rows if one]:
        fields["fm"] = due
    return (UPDATE, {"entityTypeId": CONTACT, "id": _linked(job), "fields": fields}) if fields else None


def _renew(job: Job, one: int) -> Command | None:
    """What a found contact lacks, and the order's phone and e-mail in the first place; what stood there is kept.

    Its name stays: one whom the CRM knows may have been named with care.
    """
    present = rows_of(job.answers.get("found"), "items")
    if not present:
        return None
    said, contact = job.change["contact"], present[0]
    named = {"name": said["name"]} if said.get("name") and not (contact.get("name") or contact.get("lastName")) else {}
    rows = [row for kind, key in _KINDS if said.get(key) for row in _first(contact, kind, str(said[key]))]
    fields = named | ({"fm": rows} if rows else {})
    return (UPDATE, {"entityTypeId": CONTACT, "id": one, "fields": fields}) if fields else None


def _first(contact: Raw, kind: str, value: str) -> list[Raw]:
    """Rows that put a value first: it changes places with what stands there, or that moves behind."""
    rows = [row for row in rows_of(contact.get("fm"), "fm") if row.get("typeId") == kind]
    if not rows:
        return [multi(kind, value)]
    first, old = rows[0], str(rows[0].get("value") or "")
    if _same(kind, old) == _same(kind, value):
        return []
    place = next((row for row in rows if _same(kind, str(row.get("value") or "")) == _same(kind, value)), None)
    behind = _row(place, kind, old) if place else multi(kind, old)
    return [_row(first, kind, value), behind]


def _same(kind: str, value: str) -> str:
    """A value as it is compared, however it was typed."""
    return requisites.phone(value) if kind == "PHONE" else requisites.email(value).lower()


def _row(row: Raw, kind: str, value: Json) -> Raw:
    return {"id": row["id"], "typeId": kind, "valueType": row.get("valueType") or "WORK", "value": value}


def _multi_change(contact: Raw, kind: str, value: Json) -> Raw | None:
    """With the row's id, or a second value is added beside it; an empty value removes the row."""
    row = next((one for one in rows_of(contact.get("fm"), "fm") if one.get("typeId") == kind), None)
    if row is None:
        return multi(kind, value) if value else None
    return _row(row, kind, value or "")


def _added(job: Job) -> int:
    return int(job.answers["added"]["item"]["id"])


def _deal_link(job: Job, contact: int) -> Command:
    return UPDATE, {"entityTypeId": DEAL, "id": int(job.id or 0), "fields": {"contactId": contact}}
