"""Deals of Bitrix24 with their product rows, contact, company and order links, in as few requests as can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

from bus.errors import Permanent, UnknownOutcome
from bus.model import Json
from bus.ports import Alike, Failed, Raw, RawRecord, Write, Written
from bus.systems import bitrix24_contacts as contact
from bus.systems.bitrix24_companies import Companies
from bus.systems.bitrix24_contacts import Contacts
from bus.systems.bitrix24_items import (
    ADD,
    CONTACT,
    DEAL,
    GET,
    LIST,
    ORIGINATOR,
    UPDATE,
    asked_for_by_name,
    items_of,
    list_of,
    lists_of,
)
from bus.systems.bitrix_errors import Duplicate
from bus.systems.bitrix_rest import PAGE, Command, Outcome, Rest, Result, fit_for_batch, rows_of
from bus.systems.jobs import Asked, Job, alive, carry, chunks, numbers, read_back, value_of

_TYPE = "deal"
_BATCH = 49
"""Updates of one request, beside the list that looks first."""
_ROWS, _SET_ROWS = "crm.item.productrow.list", "crm.item.productrow.set"
_MOVES = "crm.stagehistory.list"
_LINKS, _LINK = "crm.orderentity.list", "crm.orderentity.add"
_SAVED = ["id", "updatedTime", "updatedBy", "stageId", "categoryId", "currencyId"]
"""Of a deal, what tells its version and its last author, and what other fields cannot be understood without."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Of time: who asks from there gets every deal, with its contact as it is."""
_PARTS = frozenset({"rows", "contact", "company", "links"})
"""What belongs to a deal and is read by calls of its own."""


class Deals:
    """Records of type "deal": raw {"item", "rows", "contact", "company", "order_ids"}; an absent key was not read."""

    def __init__(self, rest: Rest, category: str | None) -> None:
        self._rest, self._category = rest, category
        self._contacts, self._companies = Contacts(rest), Companies(rest)

    def fetch(self, ids: Sequence[str], parts: Collection[str] | None = None) -> dict[str, Raw]:
        """Deals by lists of 50, up to 50 lists in a request: 2,500 deals in one, where only the deals are asked for.

        Rows take a command for each deal, contacts one for 50 and a request of their own; so do companies, where deals
        have any.
        """
        wanted = _PARTS if parts is None else frozenset(parts)
        return self._deals(numbers(ids), wanted)

    def alike(self, wanted: Mapping[str, Alike]) -> dict[str, list[RawRecord]]:
        """Deals are looked for by our key only."""
        del wanted
        return {}

    def glance(self, ids: Sequence[str]) -> dict[str, Raw]:
        """When each deal was last saved, and by whom; 2,500 deals in one request."""
        items = items_of(self._rest.each(lists_of(DEAL, numbers(ids), _SAVED)))
        return {str(one): {"item": item} for one, item in items.items()}

    def retrace(self, ids: Sequence[str]) -> dict[str, Raw]:
        """The latest stages of each deal, the last one first, and with them the deal; absent where it is not told."""
        deals = numbers(ids)
        told = zip(deals, self._rest.run([[_move_list(one), _get(one)] for one in deals]), strict=True)
        return {
            str(one): {"moves": rows_of(value_of(moves), "items"), "item": value_of(item)["item"]}
            for one, (moves, item) in told
            if not isinstance(moves, Permanent) and not isinstance(item, Permanent)
        }

    def find(self, origins: Sequence[str]) -> dict[str, RawRecord]:
        """Deals created under our keys; should one key have two, the older."""
        ids: dict[str, str] = {}
        for chunk in chunks(dict.fromkeys(origins), PAGE):
            where = {"=originatorId": ORIGINATOR, "@originId": chunk}
            select = {"entityTypeId": DEAL, "select": ["id", "originId"], "filter": where}
            for item in self._rest.listed(LIST, "items", select):
                ids.setdefault(str(item["originId"]), str(item["id"]))
        raws = self.fetch(list(ids.values()))
        return {origin: RawRecord(_TYPE, one, raws[one]) for origin, one in ids.items() if one in raws}

    def changed(self, since: datetime) -> Iterator[list[RawRecord]]:
        """Deals by time of change, complete as `fetch` reads them; then those of contacts that changed.

        A contact that is edited saves no deal, and of it a portal tells nothing that names one.
        """
        read: set[str] = set()
        for chunk in chunks(self._modified(DEAL, since), _BATCH):
            read.update(chunk)
            yield self._complete(chunk)
        if since > _BEGINNING:
            others = (one for one in self._of_contacts(self._modified(CONTACT, since)) if one not in read)
            for chunk in chunks(others, _BATCH):
                yield self._complete(chunk)

    def _modified(self, kind: int, since: datetime) -> Iterator[str]:
        select = {"entityTypeId": kind, "select": ["id", "updatedTime"]}
        return self._rest.modified(LIST, "items", select, stamp="updatedTime", since=since)

    def _of_contacts(self, contacts: Iterable[str]) -> Iterator[str]:
        """Deals whose contact is one of these."""
        for page in chunks(contacts, PAGE):
            where = {"@contactId": numbers(page)}
            params = {"entityTypeId": DEAL, "select": ["id"], "filter": where}
            yield from (str(item["id"]) for item in self._rest.listed(LIST, "items", params))

    def _complete(self, ids: Sequence[str]) -> list[RawRecord]:
        raws = self.fetch(ids)
        return [RawRecord(_TYPE, one, raws[one]) for one in dict.fromkeys(ids) if one in raws]

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """Items first; rows, link and contact only of items that are there; then what was written is read back.

        A plain update is one request for all, and its own answer is the read-back: raw has then only "item".
        Never raises for the call as a whole: a failed request is the failure of each write in it.
        """
        jobs = [Job(write, write.id) for write in writes]
        self._companies.find(jobs)
        self._write_items(alive(jobs))
        self._write_parts(alive(jobs))
        self._contacts.write([job for job in alive(jobs) if contact.said(job)])
        parts = {"rows", "contact", "order_id"}
        read_back([job for job in alive(jobs) if parts & job.change.keys()], self.fetch, "deal")
        return [job.outcome() for job in jobs]

    def _deals(self, ids: list[int], parts: frozenset[str]) -> dict[str, Raw]:
        """Lists, links and rows in as few requests as carry them, packed together; contacts follow, by their ids."""
        lists = lists_of(DEAL, ids, ["*"])
        links = [_link_list(page) for page in chunks(ids, PAGE)] if "links" in parts else []
        rows = [_row_list(one) for one in ids] if "rows" in parts else []
        outcomes = iter(self._rest.each([*lists, *links, *rows]))
        by_id = items_of(islice(outcomes, len(lists)))
        by_id |= asked_for_by_name(self._rest, DEAL, [one for one in ids if one not in by_id])
        found: dict[str, Raw] = {str(one): {"item": by_id[one]} for one in ids if one in by_id}
        for outcome in islice(outcomes, len(links)):
            _add_links(found, outcome)
        for one, outcome in zip(ids, outcomes, strict=False):  # none, where no rows are wanted
            if one in by_id and not isinstance(outcome, Permanent):  # rows that may not be read stay unsaid
                found[str(one)]["rows"] = self._rows(one, outcome)
        if "contact" in parts:
            self._contacts.read(found.values())
        if "company" in parts:
            self._companies.read(found.values())
        return found

    def _rows(self, deal: int, outcome: Outcome) -> list[Json]:
        rows = rows_of(value_of(outcome), "productRows")
        if len(rows) < PAGE:
            return rows
        return rows + self._rest.listed(_ROWS, "productRows", _row_list(deal)[1], after=int(rows[-1]["id"]))

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
        groups = [*chunks(fit, _BATCH), *([job] for job in jobs if job not in fit)]
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
            fields |= {"companyId": job.answers["company_id"]} if "company_id" in job.answers else {}
            return ADD, {**params, "fields": fields}
        if not fields:
            return _get(_id(job))
        return UPDATE, {**params, "id": _id(job), "fields": fields}

    def _write_parts(self, jobs: list[Job]) -> None:
        """Rows and link, and for contacts what is there: the linked one, or whoever has the phone or e-mail."""
        carry(self._rest, [asked for job in jobs if "rows" in job.change for asked in _rows_asked(job)])
        self._link([job for job in alive(jobs) if job.change.get("order_id")])
        carry(self._rest, [asked for job in alive(jobs) if contact.said(job) for asked in contact.asked(job)])

    def _link(self, jobs: list[Job]) -> None:
        commands = [_link_command(job) for job in jobs]
        for job, command, outcome in zip(jobs, commands, self._rest.each(commands), strict=True):
            if not isinstance(outcome, Duplicate):
                job.told("link", command, outcome)


def _id(job: Job) -> int:
    return int(job.id or 0)


def _before(jobs: list[Job]) -> Command:
    """How the deals stand just before they are written, as far as it matters: who saved them, and what we write."""
    written = {name for job in jobs for name in job.change.get("item") or {}}
    return list_of(DEAL, {"@id": [_id(job) for job in jobs]}, [*_SAVED, *sorted(written - set(_SAVED))])


def _row_list(deal: int) -> Command:
    return _ROWS, {"filter": {"=ownerType": "D", "=ownerId": deal}, "order": {"id": "ASC"}, "start": -1}


def _move_list(deal: int) -> Command:
    return _MOVES, {"entityTypeId": DEAL, "filter": {"OWNER_ID": deal}, "order": {"ID": "DESC"}, "start": -1}


def _get(deal: int) -> Command:
    return GET, {"entityTypeId": DEAL, "useOriginalUfNames": "Y", "id": deal}


def _link_list(ids: list[int]) -> Command:
    return _LINKS, {"filter": {"=ownerTypeId": DEAL, "@ownerId": ids}, "start": -1}


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
