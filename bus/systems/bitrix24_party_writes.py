"""Writing counterparties to Bitrix24: items, then requisites, then their accounts and addresses, each step for all.

A change: {"type" (of one to create), "item": fields, "requisite": {"id" or None, "preset", "fields"}, "accounts":
[{"id" or None, "fields"}], "addresses": [{"there", "fields"}]}, each only where needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from bus.errors import BusError, UnknownOutcome
from bus.ports import Failed, Raw, Write, Written
from bus.systems.bitrix24_items import ADD, COMPANY, CONTACT, ORIGINATOR, UPDATE, list_of
from bus.systems.bitrix24_requisites import REQUISITE, Owner, Presets, by_owner, chosen, of_owners
from bus.systems.bitrix_errors import Duplicate
from bus.systems.bitrix_rest import BATCH, PAGE, Command, Outcome, Rest, Result, fit_for_batch, rows_of
from bus.systems.jobs import Asked, Job, alive, carry, read_back

MARK = "counterparty"
"""originVersion of what the bus made as a counterparty: a contact that has no requisite yet is one all the same."""
_KINDS = {"company": COMPANY, "contact": CONTACT}
_LOOKS = 4
"""Lists of how the items of a request stand just before it: companies, contacts, and the requisites of each."""
_TOGETHER = 40
"""Counterparties that are updated by one request at most: their requisites fit a page."""
_ADD_REQUISITE, _UPDATE_REQUISITE = "crm.requisite.add", "crm.requisite.update"
_ADD_ACCOUNT, _UPDATE_ACCOUNT = "crm.requisite.bankdetail.add", "crm.requisite.bankdetail.update"
_ADD_ADDRESS, _UPDATE_ADDRESS = "crm.address.add", "crm.address.update"

Read = Callable[[Sequence[str], Collection[str]], dict[str, Raw]]
"""Reads counterparties whole, by their ids and those of the requisites that they are known to have."""


class Writer:
    """Carries out writes of counterparties."""

    def __init__(self, rest: Rest, presets: Presets, read: Read) -> None:
        self._rest, self._presets, self._read = rest, presets, read

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """Each step is packed for all; then what was written is read back.

        Updates of items and requisites share a request with a look at how they stood just before. An update of the
        item alone is its own read-back. Never raises for the call as a whole.
        """
        jobs = [Job(write, write.id) for write in writes]
        self._create([job for job in jobs if job.creates])
        self._update([job for job in jobs if not job.creates])
        self._add_requisites([job for job in alive(jobs) if _wants_requisite(job)])
        self._add_parts(alive(jobs))
        self._shown([job for job in alive(jobs) if not job.raw])
        return [job.outcome() for job in jobs]

    def _create(self, jobs: list[Job]) -> None:
        carry(self._rest, [(job, "item", _add(job)) for job in jobs])
        for job in alive(jobs):
            answer = job.answers["item"]
            item = answer.get("item") if isinstance(answer, dict) else None
            if isinstance(item, dict) and item.get("id"):
                job.id = f"{job.change['type']}:{item['id']}"
            else:
                job.fail(UnknownOutcome("crm.item: the answer has no item"))

    def _update(self, jobs: list[Job]) -> None:
        """What can be written at once, by ids that are known; accounts go by themselves, they may be many."""
        groups = list(_grouped(jobs))
        asked = [[*_looks(group), *(command for job in group for _, command in _known(job))] for group in groups]
        for group, outcomes in zip(groups, self._rest.run(asked), strict=True):
            looks = len(_looks(group))
            self._note_before(group, outcomes[:looks])
            answers = iter(outcomes[looks:])
            self._tell([(job, name, command) for job in group for name, command in _known(job)], answers)
            for job in alive(group):
                _read_itself(job)

    def _note_before(self, group: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        """How each stood just before; unknown where a list failed, or its owners have more requisites than a page."""
        rows = [rows_of(one.value, "items") if isinstance(one, Result) else None for one in outcomes]
        kinds = sorted({_owner(job)[0] for job in group})
        items = {
            (kind, int(item["id"])): item
            for kind, some in zip(kinds, rows[: len(kinds)], strict=True)
            for item in some or []
        }
        lists = rows[len(kinds) :]
        if any(some is None or len(some) >= PAGE for some in lists):
            return
        mine = by_owner([row for some in lists for row in some or []])
        for job in group:
            if item := items.get(_owner(job)):
                job.before = self._raw(job, item, chosen(mine.get(_owner(job), []), item))

    def _raw(self, job: Job, item: Raw, requisite: Raw | None) -> Raw | None:
        try:
            preset = self._presets.code(self._rest, str(requisite["PRESET_ID"])) if requisite else None
        except BusError:
            return None
        kind = str(job.id).partition(":")[0]
        return {"type": kind, "item": item, "requisite": requisite, "preset": preset}

    def _tell(self, asked: Sequence[Asked], answers: Iterator[Outcome]) -> None:
        """Hand each outcome to its job. An address that somebody made in between is changed instead of made."""
        again: list[Asked] = []
        for (job, name, command), outcome in zip(asked, answers, strict=True):
            if isinstance(outcome, Duplicate) and command[0] == _ADD_ADDRESS:
                again.append((job, name, (_UPDATE_ADDRESS, command[1])))
            else:
                job.told(name, command, outcome)
        carry(self._rest, again)

    def _add_requisites(self, jobs: list[Job]) -> None:
        asked: list[Asked] = []
        for job in jobs:
            try:
                asked.append((job, "requisite", self._requisite(job)))
            except BusError as error:
                job.fail(error)
        carry(self._rest, asked)

    def _requisite(self, job: Job) -> Command:
        said = job.change["requisite"]
        kind, one = _owner(job)
        preset = self._presets.id(self._rest, said["preset"])
        whose = {"ENTITY_TYPE_ID": kind, "ENTITY_ID": one, "PRESET_ID": preset}
        ours = {"ORIGINATOR_ID": ORIGINATOR, "XML_ID": job.write.origin}
        return _ADD_REQUISITE, {"fields": {**said["fields"], **whose, **ours}}

    def _add_parts(self, jobs: list[Job]) -> None:
        """Accounts, and the addresses of new requisites; those of others went with the updates."""
        asked = [one for job in jobs for one in _accounts(job)]
        asked += [(job, name, command) for job in jobs if _wants_requisite(job) for name, command in _addresses(job)]
        self._tell(asked, iter(self._rest.each([command for _, _, command in asked])))

    def _shown(self, jobs: Sequence[Job]) -> None:
        known = [_requisite_id(job) for job in jobs if job.change.get("requisite")]
        read_back(jobs, lambda ids: self._read(ids, known), "counterparty")


def _owner(job: Job) -> Owner:
    kind, _, one = str(job.id).partition(":")
    return _KINDS[kind], int(one)


def _add(job: Job) -> Command:
    ours = {"originatorId": ORIGINATOR, "originId": job.write.origin, "originVersion": MARK}
    fields = {**job.change.get("item", {}), **ours}
    return ADD, {"entityTypeId": _KINDS[job.change["type"]], "fields": fields, "useOriginalUfNames": "Y"}


def _grouped(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs whose commands fit one request with the looks; one that a batch cannot say goes alone."""
    group: list[Job] = []
    for job in jobs:
        commands = [command for _, command in _known(job)]
        if not fit_for_batch(commands):
            yield [job]
            continue
        size = sum(len(_known(one)) for one in group) + len(commands)
        if group and (size > BATCH - _LOOKS or len(group) == _TOGETHER):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def _looks(group: Sequence[Job]) -> list[Command]:
    """The items of a group by kind, then their requisites: as they stand just before they are written."""
    owners = {_owner(job) for job in group}
    kinds = sorted({kind for kind, _ in owners})
    items = [list_of(kind, {"@id": sorted(one for its, one in owners if its == kind)}, ["*", "fm"]) for kind in kinds]
    return [*items, *of_owners(owners)]


def _known(job: Job) -> list[tuple[str, Command]]:
    """The commands of an update that need no answer of another: of its item, and of a requisite that is there."""
    commands: list[tuple[str, Command]] = []
    kind, one = _owner(job)
    if item := job.change.get("item"):
        params = {"entityTypeId": kind, "id": one, "fields": item, "useOriginalUfNames": "Y"}
        commands.append(("item", (UPDATE, params)))
    requisite = job.change.get("requisite") or {}
    if requisite.get("id"):
        if fields := requisite.get("fields"):
            commands.append(("requisite", (_UPDATE_REQUISITE, {"id": requisite["id"], "fields": fields})))
        commands += _addresses(job)
    return commands


def _read_itself(job: Job) -> None:
    """An update of the item alone: what it answered, and the requisite as the same request saw it."""
    answer = job.answers.get("item")
    item = answer.get("item") if isinstance(answer, dict) else None
    if job.change.keys() == {"item"} and isinstance(item, dict) and job.before is not None:
        job.raw = {**job.before, "item": item}


def _wants_requisite(job: Job) -> bool:
    requisite = job.change.get("requisite")
    return requisite is not None and not requisite.get("id")


def _requisite_id(job: Job) -> str:
    """Known from the start, or answered by its creation."""
    return str(job.change["requisite"].get("id") or job.answers.get("requisite"))


def _accounts(job: Job) -> list[Asked]:
    return [(job, f"account{at}", _account(job, said)) for at, said in enumerate(job.change.get("accounts") or [])]


def _account(job: Job, said: Raw) -> Command:
    if said.get("id"):
        return _UPDATE_ACCOUNT, {"id": said["id"], "fields": said["fields"]}
    whose = {"ENTITY_ID": _requisite_id(job), "ORIGINATOR_ID": ORIGINATOR}
    return _ADD_ACCOUNT, {"fields": {**said["fields"], **whose}}


def _addresses(job: Job) -> list[tuple[str, Command]]:
    return [(f"address{at}", _address(job, said)) for at, said in enumerate(job.change.get("addresses") or [])]


def _address(job: Job, said: Raw) -> Command:
    method = _UPDATE_ADDRESS if said["there"] else _ADD_ADDRESS
    return method, {"fields": {**said["fields"], "ENTITY_TYPE_ID": REQUISITE, "ENTITY_ID": _requisite_id(job)}}
