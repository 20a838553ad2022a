"""Is every write that a stand-in saw explained by the ledger's history? Pure: takes what both hold, gives what is not.

A save that came through a stand-in's API is explained when

- the ledger knows the record, and
- its history has a line of the bus writing to that record's entity there, within `NOTED_S` of the save; or the next
  line of that kind tells the end of a creation, which a part of it may precede by as long as the system was not ready;
  or the answer was lost to something that was broken just then, and the ledger could not know.

What the release before an upgrade saved need only be of a record that is known: it told less.

A line of the bus writing a value is explained when somebody said that value before, and nobody had said another one
for `STALE_S`; and when it was not written before without anything happening to that field in between, but for once
within `TWICE_S`: a claim that lapsed while its holder was slow had two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.conductor import Struck

NOTED_S = 90.0
"""From a save to the transaction that notes it. A write of several calls that broke off, or whose claim (nine seconds)
lapsed while the system's budget was spent, goes on after a back-off, behind what came before it: once 71 s."""
LOST_S = 8.0
"""A fault that begins so long after a save can still have cost its answer: a batch, its timeout, a slow ledger."""
STALE_S = 30.0
"""What was replaced so long ago is no race any more: a lease, its timeouts and a round, and time to spare."""
TWICE_S = 10.0
_BEFORE_S = 1.0
_LEDGER = ("postgres", "backend", "disk", "all")
_WRITES = ("written", "created")
_SAYS_NOTHING = (*_WRITES, "overruled", "conflict")

Row = Mapping[str, Any]
_Noted = tuple[float, str]
"""When a line of the bus was written, and what it says it did."""


@dataclass(frozen=True, slots=True)
class Saw:
    """What one stand-in saw: its saves, and its requests."""

    system: str
    changes: Sequence[Row]
    calls: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Told:
    """What the ledger holds: history, records, entities."""

    history: Sequence[Row]
    records: Sequence[Row]
    entities: Sequence[Row]


@dataclass(slots=True)
class Explained:
    """What was found."""

    saves: int = 0
    noted: int = 0
    of_before: int = 0
    """Saves of the release before, which are not looked at closer."""
    answer_lost: int = 0
    """Saves whose answer was lost to something broken: the ledger found out later, by reading."""
    unexplained: list[str] = field(default_factory=list)


def explain(
    saw: Iterable[Saw], told: Told, struck: Sequence[Struck], timeout_s: float, *, since: float = 0.0
) -> Explained:
    """Look at every save and every line.

    A request that took longer than `timeout_s` was not answered in time. `since`: from when on all are of this release.
    """
    found, groups = Explained(), _groups(told.entities)
    known = {(row["system"], row["type"], row["external_id"]): groups[row["entity_id"]] for row in told.records}
    lines: dict[tuple[Any, str], list[_Noted]] = defaultdict(list)
    for line in told.history:
        if line["what"] in _WRITES and line["actor"] == "bus":
            place = groups.get(line["entity_id"], line["entity_id"]), line["system"]
            lines[place].append((line["at"].timestamp(), line["what"]))
    for noted in lines.values():
        noted.sort()
    for one in saw:
        _explain_saves(found, one, known, lines, [*_lost(one, timeout_s), *_broken(struck, one.system)], since)
    found.unexplained += [*_values_nobody_said(told.history), *_written_again(told.history)]
    return found


def _explain_saves(
    found: Explained,
    saw: Saw,
    known: Mapping[tuple[str, str, str], Any],
    lines: Mapping[tuple[Any, str], list[_Noted]],
    gaps: Sequence[tuple[float, float]],
    since: float,
) -> None:
    owners = _Owners(saw.changes)
    unknown: Counter[str] = Counter()
    for save in saw.changes:
        place = owners.of(save)
        if save["person"] or place is None:
            continue
        found.saves += 1
        entity, at = known.get((saw.system, *place)), save["unix"]
        if entity is not None and _noted(lines.get((entity, saw.system), ()), at):
            found.noted += 1
        elif entity is not None and at < since:
            found.of_before += 1
        elif entity is not None and any(begun - LOST_S <= at <= ended for begun, ended in gaps):
            found.answer_lost += 1
        elif entity is None:
            unknown[f"{saw.system} {'/'.join(place)}: saved, and the ledger knows no such record"] += 1
        else:
            what = ", ".join(
                sorted(name for name in save["fields"] if not name.startswith(("updated", "lastActivity")))
            )
            found.unexplained.append(f"{saw.system} {'/'.join(place)} at {at:.3f}: {what}: no line of the history")
    found.unexplained += list(unknown)


def _noted(lines: Sequence[_Noted], at: float) -> bool:
    place = bisect_left(lines, (at - _BEFORE_S, ""))
    return place < len(lines) and (lines[place][0] <= at + NOTED_S or lines[place][1] == "created")


class _Owners:
    """Which record of the ledger a saved row belongs to: a requisite to its company, a status to its order."""

    def __init__(self, changes: Sequence[Row]) -> None:
        self._parents: dict[tuple[str, str], str] = {}
        self._deals: dict[str, str] = {}
        for save in changes:
            said, key = save["fields"], str(save["id"])
            if save["of"] == "requisites" and "entityId" in said:
                kind = "company" if int(said["entityTypeId"]) == _COMPANY else "contact"
                self._parents["requisites", key] = f"{kind}:{said['entityId']}"
            if save["of"] == "deals" and said.get("contactId"):
                self._deals.setdefault(str(said["contactId"]), key)
            if save["of"] == "Catalog_Контрагенты" and said.get("Партнер_Key"):
                self._parents["Catalog_Партнеры", said["Партнер_Key"]] = key

    def of(self, save: Row) -> tuple[str, str] | None:
        """Type and id in the ledger; None for what belongs to no record (goods)."""
        table, key = str(save["of"]), str(save["id"])
        if table in _OF_NO_RECORD:
            return None
        if table == "contacts" and key in self._deals:
            return "deal", self._deals[key]
        kind, prefix = _TYPES.get(table, (table, ""))
        return kind, self._parents.get((table, key), prefix + key.partition("|")[0])


_COMPANY = 4
_OF_NO_RECORD = ("Catalog_Номенклатура",)
_TYPES = {
    "deals": ("deal", ""),
    "companies": ("party", "company:"),
    "contacts": ("party", "contact:"),
    "requisites": ("party", "requisite:"),
    "orders": ("order", ""),
    "Document_ЗаказКлиента": ("order", ""),
    "InformationRegister_СостоянияЗаказовКлиентов": ("order", ""),
    "Catalog_Контрагенты": ("counterparty", ""),
    "Catalog_Партнеры": ("counterparty", ""),
}
"""The ledger's type of what stands in a stand-in's table, and what its id begins with."""


def _lost(saw: Saw, timeout_s: float) -> Iterator[tuple[float, float]]:
    """Requests that the stand-in did not answer, failed in part or as a whole, or answered too late."""
    for call in saw.calls:
        slow = call["ms"] >= timeout_s * 900
        if call["status"] == 0 or call["status"] >= _FAILED or call["error"] is not None or slow:
            yield call["unix"] - call["ms"] / 1000, call["unix"] + _BEFORE_S


_FAILED = 500


def _broken(struck: Sequence[Struck], system: str) -> Iterator[tuple[float, float]]:
    """When an answer of this system could get lost on our side: its lane, its link, or the ledger was broken."""
    for one in struck:
        name = one.target.removeprefix("worker-")
        if one.target in _LEDGER or name in (f"lanes-{system}", "payments", system):
            yield one.begun, one.ended + _BEFORE_S


def _groups(entities: Sequence[Row]) -> dict[Any, Any]:
    """An entity that was united with another is that one; a payment goes with its order."""
    onward = {row["id"]: row["merged_into"] or row["parent_id"] for row in entities}

    def end(entity: Any) -> Any:
        while onward.get(entity):
            entity = onward[entity]
        return entity

    return {entity: end(entity) for entity in onward}


def _by_field(history: Sequence[Row]) -> Iterator[list[Row]]:
    fields: dict[tuple[Any, str], list[Row]] = defaultdict(list)
    for line in history:
        if line["field"]:
            fields[line["entity_id"], line["field"]].append(line)
    for lines in fields.values():
        yield sorted(lines, key=lambda line: (line["at"], line["id"]))


def _values_nobody_said(history: Sequence[Row]) -> Iterator[str]:
    for lines in _by_field(history):
        said: list[tuple[float, Any]] = []
        for line in lines:
            at = line["at"].timestamp()
            if line["what"] not in _SAYS_NOTHING:
                said.append((at, line["new"]))
            elif line["what"] in _WRITES and line["actor"] == "bus":
                ends = [after for after, _ in said[1:]] + [at]
                if not any(
                    value == line["new"] and end >= at - STALE_S for (_, value), end in zip(said, ends, strict=True)
                ):
                    yield _line_told(line, "a value that nobody says")


def _written_again(history: Sequence[Row]) -> Iterator[str]:
    for lines in _by_field(history):
        last: dict[str, Row] = {}
        twice: set[str] = set()
        for line in lines:
            system = line["system"]
            if line["what"] not in _WRITES:
                last.clear()
                continue
            if system in last and last[system]["new"] == line["new"]:
                near = (line["at"] - last[system]["at"]).total_seconds() <= TWICE_S
                if not near or system in twice:
                    yield _line_told(line, "written again, and nothing had happened")
                twice.add(system)
            last[system] = line


def _line_told(line: Row, why: str) -> str:
    return f"{line['system']} {line['field']} of entity {line['entity_id']} at {line['at']:%H:%M:%S.%f}: {why}"
