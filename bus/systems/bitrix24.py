"""Bitrix24: deals with their product rows, contact and order links, read and written in as few requests as can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from bus.config import System
from bus.errors import BusError, ConfigError, NotReady, Permanent, UnknownOutcome
from bus.model import Json
from bus.ports import Alike, Failed, Finding, Raw, RawRecord, Write, Written
from bus.systems.bitrix_errors import Duplicate, NotFound
from bus.systems.bitrix_rest import PAGE, Command, Outcome, Rest, Result, fit_for_batch, rows_of
from bus.systems.findings import scope_finding, user_finding
from bus.systems.jobs import Asked, Job, alive, carry, chunks, numbers, value_of

ORIGINATOR = "integration-bus"
DEAL, CONTACT = 2, 3
_TYPE = "deal"
_CONTACT_WAIT = timedelta(seconds=1)
_ADD, _UPDATE, _GET, _LIST = "crm.item.add", "crm.item.update", "crm.item.get", "crm.item.list"
_ROWS, _SET_ROWS = "crm.item.productrow.list", "crm.item.productrow.set"
_LINKS, _LINK = "crm.orderentity.list", "crm.orderentity.add"
_SAVED = ["id", "updatedTime", "updatedBy", "stageId", "categoryId", "currencyId"]
"""Of a deal, what tells its version and its last author, and what other fields cannot be understood without."""
_PARTS = frozenset({"rows", "contact", "links"})
"""What belongs to a deal and is read by calls of its own."""
_KINDS = (("PHONE", "phone"), ("EMAIL", "email"))


class Bitrix24:
    """Adapter of kind "bitrix24", record type "deal": raw {"item", "rows", "contact", "order_ids"}; absent: unread."""

    kind = "bitrix24"
    batch = 49
    reach = 490
    """Ten lists of a page in one request; the deals' updates are ten requests more."""

    def __init__(self, system: str, config: System, rest: Rest) -> None:
        self.system = system
        self._config, self._rest = config, rest
        self._category = config.settings.get("category")

    def with_urgency(self, urgent: bool) -> Bitrix24:
        """A copy that shares connections and limits, and may (or may not) use the payments' reserve."""
        return Bitrix24(self.system, self._config, self._rest.with_urgency(urgent))

    def wait(self) -> float:
        """Seconds until a call would be let through by budget and breaker, 0: now."""
        return self._rest.wait()

    def left(self) -> float:
        """Requests that may be sent before one has to wait for the budget."""
        return self._rest.left()

    def probe(self) -> None:
        """While the system is in doubt, try it with a call that changes nothing; raises that call's error."""
        self._rest.probe()

    def close(self) -> None:
        """Close the connections, for all copies."""
        self._rest.close()

    @property
    def latency_s(self) -> float:
        """How long requests have taken lately, in seconds."""
        return self._rest.latency_s

    def fetch(self, record_type: str, ids: Sequence[str], parts: Collection[str] | None = None) -> dict[str, Raw]:
        """Deals by lists of 50, up to 50 lists in a request: 2,500 deals in one, where only the deals are asked for.

        Rows take a command for each deal, contacts one for 50 and a request of their own.
        """
        _known(record_type)
        wanted = _PARTS if parts is None else frozenset(parts)
        return self._deals(numbers(ids), wanted)

    def alike(self, record_type: str, wanted: Mapping[str, Alike]) -> dict[str, list[RawRecord]]:
        """Deals are looked for by our key only."""
        del record_type, wanted
        return {}

    def glance(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        """When each deal was last saved, and by whom; 2,500 deals in one request."""
        _known(record_type)
        items = self._listed(numbers(ids), _SAVED)
        return {str(one): {"item": item} for one, item in items.items()}

    def find(self, record_type: str, origins: Sequence[str]) -> dict[str, RawRecord]:
        """Deals created under our keys; should one key have two, the older."""
        _known(record_type)
        ids: dict[str, str] = {}
        for chunk in chunks(dict.fromkeys(origins), PAGE):
            where = {"=originatorId": ORIGINATOR, "@originId": chunk}
            select = {"entityTypeId": DEAL, "select": ["id", "originId"], "filter": where}
            for item in self._rest.listed(_LIST, "items", select):
                ids.setdefault(str(item["originId"]), str(item["id"]))
        raws = self.fetch(record_type, list(ids.values()))
        return {origin: RawRecord(_TYPE, one, raws[one]) for origin, one in ids.items() if one in raws}

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        """Deals by time of change, complete as `fetch` reads them."""
        _known(record_type)
        select = {"entityTypeId": DEAL, "select": ["id", "updatedTime"]}
        ids = self._rest.modified(_LIST, "items", select, stamp="updatedTime", since=since)
        for chunk in chunks(ids, self.batch):
            raws = self.fetch(record_type, chunk)
            yield [RawRecord(_TYPE, one, raws[one]) for one in dict.fromkeys(chunk) if one in raws]

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """Items first; rows, link and contact only of items that are there; then what was written is read back.

        A plain update is one request for all, and its own answer is the read-back: raw has then only "item".
        Never raises for the call as a whole: a failed request is the failure of each write in it.
        """
        jobs = [Job(write, write.id) for write in writes]
        self._write_items(jobs)
        self._write_parts(alive(jobs))
        self._write_contacts([job for job in alive(jobs) if _said_contact(job)])
        self._read_back([job for job in alive(jobs) if {"rows", "contact", "order_id"} & job.change.keys()])
        return [job.outcome() for job in jobs]

    def check(self) -> Iterable[Finding]:
        """Reachable, as whom, with which scopes, and whether deals are there."""
        commands = [("profile", {}), ("scope", {}), ("crm.item.fields", {"entityTypeId": DEAL})]
        try:
            profile, scope, fields = self._rest.batch(commands)
        except BusError as error:
            return [Finding("connection", ok=False, say=str(error))]
        return [
            Finding("connection", ok=True, say="the portal answers"),
            user_finding(profile, self._config.integration_user),
            scope_finding(scope, "crm"),
            _fields_finding(fields),
        ]

    def codes(self, table: str) -> Mapping[str, str]:
        """Deal stages of the common funnel and of the configured one; or the fields that deals have here."""
        if table == "deal_fields":
            asked = {"entityTypeId": DEAL, "useOriginalUfNames": "Y"}
            fields = self._rest.call("crm.item.fields", asked)["fields"]
            return {name: str(about.get("title") or name) for name, about in fields.items()}
        if table != "deal_stage":
            return {}
        funnels = ["DEAL_STAGE", *([f"DEAL_STAGE_{self._category}"] if self._category not in (None, "0") else [])]
        found: dict[str, str] = {}
        for funnel in funnels:
            rows = self._rest.call("crm.status.list", {"order": {"SORT": "ASC"}, "filter": {"ENTITY_ID": funnel}})
            found |= {str(row["STATUS_ID"]): str(row["NAME"]) for row in rows_of(rows, "statuses")}
        return found

    def _deals(self, ids: list[int], parts: frozenset[str]) -> dict[str, Raw]:
        """Lists, links and rows in as few requests as carry them, packed together; contacts follow, by their ids."""
        pages = list(chunks(ids, PAGE))
        lists = [_list(DEAL, {"@id": page}, ["*"]) for page in pages]
        links = [_link_list(page) for page in pages] if "links" in parts else []
        rows = [_row_list(one) for one in ids] if "rows" in parts else []
        outcomes = iter(self._rest.each([*lists, *links, *rows]))
        by_id = _items(islice(outcomes, len(lists)))
        by_id |= self._asked_for_by_name([one for one in ids if one not in by_id])
        found: dict[str, Raw] = {str(one): {"item": by_id[one]} for one in ids if one in by_id}
        for outcome in islice(outcomes, len(links)):
            _add_links(found, outcome)
        for one, outcome in zip(ids, outcomes, strict=False):  # none, where no rows are wanted
            if one in by_id and not isinstance(outcome, Permanent):  # rows that may not be read stay unsaid
                found[str(one)]["rows"] = self._rows(one, outcome)
        if "contact" in parts:
            self._add_contacts(found)
        return found

    def _listed(self, ids: list[int], select: list[str], kind: int = DEAL) -> dict[int, Raw]:
        """Items by id; what is absent is not there, or hidden."""
        return _items(self._rest.each([_list(kind, {"@id": page}, select) for page in chunks(ids, PAGE)]))

    def _asked_for_by_name(self, missing: list[int]) -> dict[int, Raw]:
        """A list leaves out what the webhook's user may not see, as if it were deleted; only `get` tells the two apart.

        Raises Permanent for a deal that is there and hidden: taken for deleted, it would be removed elsewhere.
        """
        params = {"entityTypeId": DEAL, "useOriginalUfNames": "Y"}
        outcomes = self._rest.each([(_GET, {**params, "id": one}) for one in missing])
        told = zip(missing, outcomes, strict=True)
        return {one: value_of(outcome)["item"] for one, outcome in told if not isinstance(outcome, NotFound)}

    def _rows(self, deal: int, outcome: Outcome) -> list[Json]:
        rows = rows_of(value_of(outcome), "productRows")
        if len(rows) < PAGE:
            return rows
        return rows + self._rest.listed(_ROWS, "productRows", _row_list(deal)[1], after=int(rows[-1]["id"]))

    def _add_contacts(self, found: dict[str, Raw]) -> None:
        """A contact that the webhook's user may not see stays unsaid: None would say that there is none."""
        wanted = sorted({_contact_id(raw["item"]) for raw in found.values()} - {0})
        contacts = self._listed(wanted, ["*", "fm"], CONTACT)
        for raw in found.values():
            one = _contact_id(raw["item"])
            if one == 0 or one in contacts:
                raw["contact"] = contacts.get(one)

    def _write_items(self, jobs: list[Job]) -> None:
        carry(self._rest, [(job, "item", self._item_command(job)) for job in jobs if job.creates])
        self._update_items([job for job in jobs if not job.creates])
        for job in alive(jobs):
            answer = job.answers["item"]
            item = answer.get("item") if isinstance(answer, dict) else None
            if not isinstance(item, dict) or not item.get("id"):
                job.fail(UnknownOutcome("crm.item: the answer has no item"))
                continue
            job.id, job.raw = str(item["id"]), {"item": item}

    def _update_items(self, jobs: list[Job]) -> None:
        """Updates, in one request with a list of how the items stood just before: there a person's last edit shows."""
        commands = {id(job): self._item_command(job) for job in jobs}
        fit = [job for job in jobs if fit_for_batch([commands[id(job)]])]
        groups = [*chunks(fit, self.batch), *([job] for job in jobs if job not in fit)]
        asked = [[_before(group), *(commands[id(job)] for job in group)] for group in groups]
        for group, (seen, *outcomes) in zip(groups, self._rest.run(asked), strict=True):
            items = rows_of(seen.value, "items") if isinstance(seen, Result) else []
            before = {str(item["id"]): item for item in items}
            for job, outcome in zip(group, outcomes, strict=True):
                job.before = {"item": before[str(job.id)]} if str(job.id) in before else None
                job.told("item", commands[id(job)], outcome)

    def _item_command(self, job: Job) -> Command:
        fields = dict(job.change.get("item") or {})
        params = {"entityTypeId": DEAL, "useOriginalUfNames": "Y"}
        if job.creates:
            fields |= {"originatorId": ORIGINATOR, "originId": job.write.origin}
            fields |= {"categoryId": int(self._category)} if self._category else {}
            return _ADD, {**params, "fields": fields}
        if not fields:
            return _GET, {**params, "id": _id(job)}
        return _UPDATE, {**params, "id": _id(job), "fields": fields}

    def _write_parts(self, jobs: list[Job]) -> None:
        """Rows and link, and for contacts what is there: the linked one, or whoever has the phone or e-mail."""
        carry(self._rest, [asked for job in jobs if "rows" in job.change for asked in _rows_asked(job)])
        self._link([job for job in alive(jobs) if job.change.get("order_id")])
        carry(self._rest, [asked for job in alive(jobs) if _said_contact(job) for asked in _contact_asked(job)])

    def _link(self, jobs: list[Job]) -> None:
        commands = [_link_command(job) for job in jobs]
        for job, command, outcome in zip(jobs, commands, self._rest.each(commands), strict=True):
            if not isinstance(outcome, Duplicate):
                job.told("link", command, outcome)

    def _write_contacts(self, jobs: list[Job]) -> None:
        """Change the linked contact, link a found one, add one nobody has; of two jobs with one phone only one adds."""
        leaders = self._claimed(jobs)
        jobs = alive(jobs)
        fresh = [job for job in jobs if _unknown(job)]
        adds = [(job, "added", _contact_add(job)) for job in leaders.values()]
        changes = [(job, "changed", command) for job in jobs if (command := _contact_update(job))]
        links = [(job, "linked", _deal_link(job, one)) for job in jobs if (one := _found_contact(job))]
        carry(self._rest, [*adds, *changes, *links])
        added = [(job, leaders[_contact_key(job)]) for job in fresh]
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
        taken = {key for key in sorted({_contact_key(job) for job in wanted}) if self._rest.claims.take(key)}
        ours = [job for job in wanted if _contact_key(job) in taken]
        for job in wanted:
            if job not in ours:
                say, until = "a contact of the same phone or e-mail is being made", datetime.now(UTC) + _CONTACT_WAIT
                job.fail(NotReady(say, until=until, cause="contact being made"))
        carry(self._rest, [asked for job in ours for asked in _contact_asked(job)])
        leaders: dict[str, Job] = {}
        for job in alive(ours):
            if _unknown(job):
                leaders.setdefault(_contact_key(job), job)
        for key in taken - set(leaders):
            self._rest.claims.drop(key)
        return leaders

    def _read_back(self, jobs: list[Job]) -> None:
        try:
            raws = self.fetch(_TYPE, [str(job.id) for job in jobs])
        except BusError as error:
            for job in jobs:
                job.fail(error)
            return
        for job in jobs:
            if str(job.id) in raws:
                job.raw = raws[str(job.id)]
            else:
                job.fail(NotFound(f"deal {job.id} was deleted while it was written", cause="deal deleted"))


def _fields_finding(fields: Outcome) -> Finding:
    if not isinstance(fields, Result):
        return Finding("deals", ok=False, say=str(fields))
    return Finding("deals", ok=True, say=f"{len(fields.value.get('fields', {}))} fields")


def _known(record_type: str) -> None:
    if record_type != _TYPE:
        raise ConfigError(f"bitrix24 has no records of type {record_type!r}, only {_TYPE!r}")


def _id(job: Job) -> int:
    return int(job.id or 0)


def _contact_id(item: Raw) -> int:
    return int(item.get("contactId") or 0)


def _list(kind: int, where: Raw, select: list[str]) -> Command:
    params = {"entityTypeId": kind, "filter": where, "select": select, "useOriginalUfNames": "Y", "start": -1}
    return _LIST, {**params, "order": {"id": "ASC"}}


def _before(jobs: list[Job]) -> Command:
    """How the deals stand just before they are written, as far as it matters: who saved them, and what we write."""
    written = {name for job in jobs for name in job.change.get("item") or {}}
    return _list(DEAL, {"@id": [_id(job) for job in jobs]}, [*_SAVED, *sorted(written - set(_SAVED))])


def _row_list(deal: int) -> Command:
    return _ROWS, {"filter": {"=ownerType": "D", "=ownerId": deal}, "order": {"id": "ASC"}, "start": -1}


def _link_list(ids: list[int]) -> Command:
    return _LINKS, {"filter": {"=ownerTypeId": DEAL, "@ownerId": ids}, "start": -1}


def _items(outcomes: Iterable[Outcome]) -> dict[int, Raw]:
    """What lists answered, by id. Raises the error of any that failed: half a list would pass for deletions."""
    return {int(item["id"]): item for outcome in outcomes for item in rows_of(value_of(outcome), "items")}


def _add_links(found: dict[str, Raw], links: Outcome) -> None:
    """A portal without the online store has no links to tell of: they are then not read, which is not "none"."""
    if isinstance(links, Permanent):
        return
    for raw in found.values():
        raw.setdefault("order_ids", [])
    for link in rows_of(value_of(links), "orderEntity"):
        if str(link["ownerId"]) in found:
            found[str(link["ownerId"])]["order_ids"].append(str(link["orderId"]))


def _rows_asked(job: Job) -> list[Asked]:
    return [(job, "rows", (_SET_ROWS, {"ownerType": "D", "ownerId": _id(job), "productRows": job.change["rows"]}))]


def _link_command(job: Job) -> Command:
    return _LINK, {"fields": {"orderId": job.change["order_id"], "ownerId": _id(job), "ownerTypeId": DEAL}}


def _said_contact(job: Job) -> bool:
    return bool(job.change.get("contact"))


def _linked(job: Job) -> int:
    return _contact_id(job.raw["item"])


def _contact_asked(job: Job) -> list[Asked]:
    if linked := _linked(job):
        return [(job, "contact", _list(CONTACT, {"=id": linked}, ["*", "fm"]))]
    said = job.change["contact"]
    own = {"=originatorId": ORIGINATOR, "=originId": job.write.origin}
    search = [(kind, str(said[key])) for kind, key in _KINDS if said.get(key)]
    return [
        *((job, kind, _duplicates(kind, value)) for kind, value in search),
        (job, "own", _list(CONTACT, own, ["id"])),
    ]


def _duplicates(kind: str, value: str) -> Command:
    return "crm.duplicate.findbycomm", {"entity_type": "CONTACT", "type": kind, "values": [value]}


def _found_contact(job: Job) -> int:
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
    return not _linked(job) and not _found_contact(job) and _addable(job)


def _addable(job: Job) -> bool:
    return any(job.change["contact"].values())


def _contact_key(job: Job) -> str:
    said = job.change["contact"]
    return str(said.get("phone") or said.get("email") or job.write.origin)


def _contact_add(job: Job) -> Command:
    said = job.change["contact"]
    multi = [_multi(kind, said[key]) for kind, key in _KINDS if said.get(key)]
    fields = {"name": said.get("name") or "", "originatorId": ORIGINATOR, "originId": job.write.origin}
    return _ADD, {"entityTypeId": CONTACT, "fields": fields | ({"fm": multi} if multi else {})}


def _contact_update(job: Job) -> Command | None:
    """The name and the first phone and e-mail of the linked contact; others of its values are a person's business."""
    present = rows_of(job.answers.get("contact"), "items")
    if not present:
        return None
    said, fields = job.change["contact"], dict[str, Json]()
    if said.get("name"):
        fields |= {"name": said["name"], "lastName": ""}
    multi = [_multi_change(present[0], kind, said[key]) for kind, key in _KINDS if key in said]
    if due := [one for one in multi if one]:
        fields["fm"] = due
    return (_UPDATE, {"entityTypeId": CONTACT, "id": _linked(job), "fields": fields}) if fields else None


def _multi_change(contact: Raw, kind: str, value: Json) -> Raw | None:
    """With the row's id, or a second value is added beside it; an empty value removes the row."""
    row = next((one for one in rows_of(contact.get("fm"), "fm") if one.get("typeId") == kind), None)
    if row is None:
        return _multi(kind, value) if value else None
    return {"id": row["id"], "typeId": kind, "valueType": row.get("valueType") or "WORK", "value": value or ""}


def _multi(kind: str, value: Json) -> Raw:
    return {"typeId": kind, "valueType": "WORK", "value": value}


def _added(job: Job) -> int:
    return int(job.answers["added"]["item"]["id"])


def _deal_link(job: Job, contact: int) -> Command:
    return _UPDATE, {"entityTypeId": DEAL, "id": _id(job), "fields": {"contactId": contact}}
