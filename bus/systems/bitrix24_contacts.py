"""The contact of a deal: changed where one is linked, found by phone or e-mail, made where nobody has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from bus import leased, requisites
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
_FURTHER = ("secondName", "lastName")
"""Parts of a name beside the first, which are empty where that holds it in full."""


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
        self._look(jobs)
        leaders = self._claimed(jobs)
        jobs = alive(jobs)
        fresh = [job for job in jobs if _unknown(job)]
        adds = [(job, "added", _add(job)) for job in leaders.values()]
        changes = [(job, "changed", command) for job in jobs if (command := _change(job))]
        links = [(job, "linked", _deal_link(job, one)) for job in jobs if (one := _found(job))]
        with leased.held(self._rest.claims.lease([*_names(leaders.values())])):
            carry(self._rest, [*adds, *changes, *links])
        added = [(job, leaders[_key(job)]) for job in fresh]
        carry(self._rest, [(job, "linked", _deal_link(job, _added(of))) for job, of in added if of.failed is None])
        for job, of in added:
            if of.failed is not None:
                job.fail(of.failed.error)
        self._give_back(leaders.values())

    def _look(self, jobs: list[Job]) -> None:
        """Read whoever has the phone or e-mail: one of another name is another person, who shares them."""
        wanted = [(job, [*_own(job), *_alike(job)]) for job in alive(jobs)]
        carry(self._rest, [(job, "alike", _whole(ids)) for job, ids in wanted if ids])

    def _claimed(self, jobs: list[Job]) -> dict[str, Job]:
        """One job for each contact that nobody has yet, claimed for us and searched for once more under the claim.

        Two workers with deals of one new customer would each find none and each add one; the second waits.
        """
        wanted = [job for job in jobs if _unknown(job)]
        taken = {name for name in sorted({*_names(wanted)}) if self._rest.claims.take(name)}
        ours = [job for job in wanted if taken.issuperset(_names([job]))]
        for job in wanted:
            if job not in ours:
                self._put_off(job)
        carry(self._rest, [one for job in ours for one in asked(job)])
        self._look(ours)
        leaders: dict[str, Job] = {}
        for job in alive(ours):
            if _unknown(job):
                leaders.setdefault(_key(job), job)
        for name in taken - {*_names(leaders.values())}:
            self._rest.claims.drop(name)
        return leaders

    def _put_off(self, job: Job) -> None:
        """Until whoever makes its contact is done, or what he asked for can have no late effect any more."""
        kept = max(self._rest.claims.kept(name) for name in _names([job]))
        until = datetime.now(UTC) + max(_WAIT, timedelta(seconds=kept))
        job.fail(NotReady("its contact is being made", until=until, cause="contact being made"))

    def _give_back(self, leaders: Iterable[Job]) -> None:
        """End the claims, but for those of an add that nobody knows the end of: repeated soon, it might be made twice.

        Once it can have no late effect any more, it is searched for before it is repeated.
        """
        for job in leaders:
            end = self._rest.claims.keep if "added" in job.unclear else self._rest.claims.drop
            for name in _names([job]):
                end(name)


def said(job: Job) -> bool:
    """Whether a write says anything of the deal's contact."""
    return bool(job.change.get("contact"))


def asked(job: Job) -> list[Asked]:
    """What is to be known before its contact can be written: the linked one, or whoever has the phone or e-mail."""
    if linked := _linked(job):
        return [(job, "contact", _whole([linked]))]
    said = job.change["contact"]
    own = {"=originatorId": ORIGINATOR, "=originId": job.write.origin}
    search = [(kind, str(said[key])) for kind, key in _KINDS if said.get(key)]
    return [
        *((job, kind, _duplicates(kind, value)) for kind, value in search),
        (job, "own", list_of(CONTACT, own, ["id"])),
    ]


def _whole(contacts: list[int]) -> Command:
    return list_of(CONTACT, {"@id": contacts}, ["*", "fm"])


def _contact_id(item: Raw) -> int:
    return int(item.get("contactId") or 0)


def _linked(job: Job) -> int:
    return _contact_id(job.raw["item"])


def _duplicates(kind: str, value: str) -> Command:
    return "crm.duplicate.findbycomm", {"entity_type": "CONTACT", "type": kind, "values": [value]}


def _alike(job: Job) -> list[int]:
    """Contacts that have the phone, and those that have the e-mail, in that order; none where one is linked."""
    found = [] if _linked(job) else [one for kind, _ in _KINDS for one in _of_kind(job, kind)]
    return list(dict.fromkeys(found))


def _of_kind(job: Job, kind: str) -> list[int]:
    return sorted(int(one) for one in rows_of(job.answers.get(kind), "CONTACT"))


def _found(job: Job) -> int:
    """The contact to link: the one that an interrupted attempt of ours left, or a namesake of that phone or e-mail.

    0: none.
    """
    if _linked(job):
        return 0
    if own := _own(job):
        return own[0]
    people, wanted = _people(job), _words(job.change["contact"].get("name"))
    namesakes = [one for one in _alike(job) if one in people and _same_person(_name(people[one]), wanted)]
    return namesakes[0] if namesakes else 0


def _own(job: Job) -> list[int]:
    """What interrupted attempts of ours left; none where a contact is linked."""
    return [] if _linked(job) else sorted(int(item["id"]) for item in rows_of(job.answers.get("own"), "items"))


def _people(job: Job) -> dict[int, Raw]:
    return {int(item["id"]): item for item in rows_of(job.answers.get("alike"), "items")}


def _name(contact: Raw) -> frozenset[str]:
    return _words(" ".join(str(contact.get(part) or "") for part in ("name", *_FURTHER)))


def _words(name: Json) -> frozenset[str]:
    """The words of a name, in whatever order they stand."""
    return frozenset((requisites.name_key(str(name or "")) or "").split())


def _same_person(one: frozenset[str], other: frozenset[str]) -> bool:
    """Nothing speaks against it: one says no more of the name than the other, or not all of it."""
    return one <= other or other <= one


def _unknown(job: Job) -> bool:
    """Its contact is nowhere yet: not linked, not found, and there is something to make it of."""
    return not _linked(job) and not _found(job) and any(job.change["contact"].values())


def _names(jobs: Iterable[Job]) -> Iterator[str]:
    """What is claimed for contacts that are to be made: who they are, and the keys that they will bear."""
    return (name for job in jobs for name in (_key(job), job.write.origin))


def _key(job: Job) -> str:
    said = job.change["contact"]
    of = str(said.get("phone") or said.get("email") or job.write.origin)
    return " ".join([of, *sorted(_words(said.get("name")))])


def _add(job: Job) -> Command:
    said = job.change["contact"]
    rows = [multi(kind, said[key]) for kind, key in _KINDS if said.get(key)]
    fields = {"name": said.get("name") or "", "originatorId": ORIGINATOR, "originId": job.write.origin}
    return ADD, {"entityTypeId": CONTACT, "fields": fields | ({"fm": rows} if rows else {})}


def _change(job: Job) -> Command | None:
    """What the contact of the deal does not say yet; None where it says all, or there is none to be seen.

    The deal's own, linked or left by an interrupted attempt of ours, says what the order says; further values of it
    are a person's business. One that was found is somebody's: it hears what it lacks, and has the order's phone and
    e-mail in the first place; what stood there is kept.
    """
    contact, said = _present(job), job.change["contact"]
    if contact is None:
        return None
    if _linked(job) or _own(job):
        fields, rows = _named(contact, said), _changed(contact, said)
    else:
        fields, rows = _completed(contact, said), _put_first(contact, said)
    fields |= {"fm": rows} if rows else {}
    return (UPDATE, {"entityTypeId": CONTACT, "id": int(contact["id"]), "fields": fields}) if fields else None


def _present(job: Job) -> Raw | None:
    """The contact that is linked, or is to be, as it is now."""
    if _linked(job):
        return next(iter(rows_of(job.answers.get("contact"), "items")), None)
    return _people(job).get(_found(job))


def _named(contact: Raw, said: Raw) -> dict[str, Json]:
    """Its name in full, where that is another one."""
    name = said.get("name")
    there = contact.get("name") == name and not any(contact.get(part) for part in _FURTHER)
    return _in_full(name) if name and not there else {}


def _completed(contact: Raw, said: Raw) -> dict[str, Json]:
    """The name in full of one that knows only a part of it."""
    return _in_full(said["name"]) if _name(contact) < _words(said.get("name")) else {}


def _in_full(name: str) -> dict[str, Json]:
    return {"name": name, **dict.fromkeys(_FURTHER, "")}


def _changed(contact: Raw, said: Raw) -> list[Raw]:
    """Its first phone and e-mail, where they are others."""
    changes = (_multi_change(contact, kind, said[key]) for kind, key in _KINDS if key in said)
    return [row for row in changes if row and not _as_it_is(contact, row)]


def _put_first(contact: Raw, said: Raw) -> list[Raw]:
    return [row for kind, key in _KINDS if said.get(key) for row in _first(contact, kind, str(said[key]))]


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


def _as_it_is(contact: Raw, row: Raw) -> bool:
    """Does the contact say just that?"""
    rows = rows_of(contact.get("fm"), "fm")
    return any(one.get("id") == row.get("id") and one.get("value") == row["value"] for one in rows)


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
