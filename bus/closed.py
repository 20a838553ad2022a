"""Closed: who was erased stays so on the path: what is taken in of it, what becomes one with it, what is told of it.

A counterparty is a person: nothing is taken in of one, and nothing told. An order, or a payment, goes on without its
person: what would speak of one is left out.
"""

from __future__ import annotations

from bus.ledger import erased
from bus.ledger.database import Connection
from bus.ledger.entities import Known
from bus.model import PERSONAL, Fields, Kind


def refusal(known: Known) -> str | None:
    """Why nothing at all of what is said of it is taken in; None where something may be."""
    return erased.WHY if known.erased and known.view.kind == "counterparty" else None


def taken_in(known: Known, fields: Fields) -> Fields:
    """What may be taken in of what is said of it."""
    return _without_person(known.view.kind, fields) if known.erased else fields


def unite(connection: Connection, kept: Known, lost: Known) -> None:
    """Prepare two that are about to be one: of an erased order and another one comes an erased order.

    A counterparty lives on in its other record.
    """
    if not (kept.erased or lost.erased):
        return
    kept.erased = kept.view.kind != "counterparty"
    if not kept.erased:
        erased.live_on(connection, kept.id)
        return
    for view in (kept.view, lost.view):
        view.fields = _without_person(view.kind, view.fields)


def untold(known: Known, system: str, *, whole: bool) -> bool:
    """Is nothing written of it there? No order is made without its person.

    Nor is one told where a document is always told `whole`: it would lose there who bought.
    """
    if not known.erased:
        return False
    kind, linked = known.view.kind, known.primary(system)
    made = linked is not None and linked.state != "creating"
    return kind == "counterparty" or whole or (kind == "order" and not made)


def _without_person(kind: Kind, fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in PERSONAL[kind]}
