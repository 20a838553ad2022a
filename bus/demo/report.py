"""Report: what the systems say in the evening, as a table, as a list of what differs, and as one line of JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bus.demo import books_judged, parties_judged
from bus.demo.agreement import FIELDS, Difference, Verdict
from bus.demo.parties_judged import Sides
from bus.ledger import conflicts, history
from bus.ledger.database import Ledger, rows

_LISTED = 25
_STORY_LINES = 14


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of the last line, in its order."""

    ok: bool
    orders: int
    in_sync: int
    payments: int
    lost: int
    duplicates: int
    writes: int
    requests: int
    payment_ms_p50: float | None
    payment_ms_p99: float | None
    dead_letters: int
    counterparties: int
    conflicts_open: int
    conflicts_decided: int

    def line(self) -> str:
        """One JSON object."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def table(verdict: Verdict) -> Table:
    """How many were compared in what, and how many differ."""
    made = Table("asked of the systems", "compared", "differ", "lost", title="Do the shop, the CRM and 1C agree?")
    for column in made.columns[1:]:
        column.justify = "right"
    differ = Counter(found.field for found in verdict.differences)
    lost = Counter(found.field for found in verdict.lost)
    for name in ("deal", *FIELDS, *books_judged.FIELDS):
        made.add_row(name, str(verdict.compared[name]), str(differ[name]), str(lost[name]))
    made.add_section()
    made.add_row("second deals, payments, contacts", "", str(len(verdict.duplicates)), "")
    return made


def parties_table(sides: Sides) -> Table:
    """How many counterparties were compared in what, and how many do not say everywhere what the day made of them."""
    made = Table("asked of both systems", "compared", "wrong", title="Do 1C and the CRM have the same counterparties?")
    for column in made.columns[1:]:
        column.justify = "right"
    wrong = Counter(one.field for one in sides.lost)
    made.add_row("record", str(sides.parties), str(wrong["record"]))
    for name in parties_judged.FIELDS:
        made.add_row(name, str(sides.compared[name]), str(wrong[name]))
    made.add_section()
    made.add_row("second records", "", str(len(sides.duplicates)))
    return made


def conflicts_told(console: Console, ledger: Ledger) -> None:
    """What is left to a person, the values side by side; and how a rule decided where both sides had a say."""
    with ledger.transaction() as connection:
        left = conflicts.listing(connection)
        query = f"SELECT field, rule, count(*) AS n FROM history WHERE {RULED} GROUP BY 1, 2 ORDER BY 1"  # noqa: S608
        ruled = rows(connection, query)
    for row in ruled:
        console.print(f"decided by rule: {row['n']} x {row['field']}: {row['rule']}", highlight=False)
    for row in left:
        values = "; ".join(f"{source}: {option['value']}" for source, option in sorted(row["options"].items()))
        until = f"{row['deadline']:%d.%m. %H:%M} UTC"
        console.print(
            f"left to a person: conflict {row['id']}, {row['field']}: {values}; until {until}", highlight=False
        )


RULED = "what = 'overruled' AND rule LIKE 'owner%%'"
"""History lines that tell how a rule decided between two sides."""


def explain(console: Console, ledger: Ledger, verdict: Verdict) -> None:
    """Whatever differs, by order, with both values and what the bus's history says of the first orders."""
    found = [*verdict.duplicates, *verdict.lost, *verdict.differences]
    for difference in found[:_LISTED]:
        console.print(_sentence(difference), highlight=False, markup=False, soft_wrap=True)
    if len(found) > _LISTED:
        console.print(f"… and {len(found) - _LISTED} more")
    for order in list(dict.fromkeys(one.order for one in found if one.order is not None))[:3]:
        console.print(f"what the bus did with order {order}:")
        for line in _history(ledger, order):
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _sentence(found: Difference) -> str:
    where = f"order {found.order}" if found.order is not None else "no order"
    first, second = ("shop", "1C") if found.field in books_judged.FIELDS else ("shop", "CRM")
    expected = "" if found.expected is None else f", expected {found.expected}"
    return f"{where}: {found.field}: {first} {found.shop!s}, {second} {found.crm!s}{expected}"


def _history(ledger: Ledger, order: int) -> list[str]:
    with ledger.transaction() as connection:
        query = "SELECT entity_id FROM identity WHERE kind = 'order' AND key = %s"
        known = rows(connection, query, [f"shop/order/{order}"])
        lines = [line for row in known for line in history.of_entity(connection, row["entity_id"])]
    return [_told(line) for line in lines[-_STORY_LINES:]] or ["nothing"]


def _told(line: dict[str, Any]) -> str:
    said = f"{line['at']:%H:%M:%S.%f}"[:-3]
    change = f"{line['field']}: {line['old']} -> {line['new']}" if line["field"] else ""
    parts = (said, line["actor"], line["what"], line["system"], change, line["rule"], line["call"])
    return "  ".join(str(part) for part in parts if part)
