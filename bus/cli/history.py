"""`bus history`: the story of one order, payment or counterparty: who changed what, by which rule and call."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from bus.cli import screen
from bus.cli.wiring import wired
from bus.config import Config
from bus.errors import BadInput
from bus.ledger import entities, history, journal, naming
from bus.ledger.database import Connection, rows

_NAMES = ("at", "actor", "what", "system", "field", "old", "new", "rule", "call")
_UNMERGED = ("record", "type", "state", "waits for", "until", "dead letter")


def tell(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Order number, system/type/id (crm/deal/759), or the entity's own id.")],
) -> None:
    """Tell the story of one entity, oldest first: who changed what, by which rule, and which call carried it."""
    wiring = wired(context)
    with wiring.ledger.transaction() as connection:
        entity = _find(connection, name, wiring.file)
        if entity is None:
            _unmerged(connection, name, wiring.file)
            return
        _head(connection, entity)
        lines = history.of_entity(connection, entity)
    screen.table("history", _NAMES, [[line[column] for column in _NAMES] for line in lines])


def _find(connection: Connection, name: str, config: Config) -> UUID | None:
    """The entity of that name. Where it was united with another one, that one."""
    numbering = config.numbering_system if config.systems else None
    entity = naming.by_id(name) or naming.by_record(connection, name) or naming.by_number(connection, name, numbering)
    return naming.kept(connection, entity) if entity else None


def _unmerged(connection: Connection, name: str, config: Config) -> None:
    """What was told of somebody, or waits for him, of whom there is no story yet. Raises BadInput where nothing was."""
    system, _, subject = name.partition("/")
    keys = [name, f"number/{config.numbering_system}/{name}"] if config.systems else [name]
    found = journal.unmerged(connection, system, subject, keys)
    if not found:
        raise BadInput(f"nothing is known of {name!r}; give an order number, system/type/id or an entity's id")
    screen.table(f"{name} has no story yet; not merged so far", _UNMERGED, [row.values() for row in found])


def _head(connection: Connection, entity: UUID) -> None:
    known = entities.load(connection, [entity])[entity]
    kept = [f"{one.system}/{one.type}/{one.external_id or '?'} {one.state}" for one in known.records]
    about = [(known.view.kind, entity), ("records", ", ".join(kept))]
    if known.parent_id:
        about.append(("of order", known.parent_id))
    about += [
        (f"its {row['kind']}", row["id"])
        for row in rows(connection, "SELECT id, kind FROM entity WHERE parent_id = %s ORDER BY created_at", [entity])
    ]
    screen.table("entity", ("", ""), [*about, *sorted(known.view.fields.items())])
