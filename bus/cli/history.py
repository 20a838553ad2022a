"""`bus history`: the story of one order, payment or counterparty: who changed what, by which rule and call."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from bus.cli import screen
from bus.cli.wiring import wired
from bus.config import Config
from bus.errors import BadInput
from bus.ledger import entities, history, records
from bus.ledger.database import Connection, one, rows

_NAMES = ("at", "actor", "what", "system", "field", "old", "new", "rule", "call")

_KEPT = """
    WITH RECURSIVE way AS (
      SELECT id, merged_into FROM entity WHERE id = %s
      UNION ALL SELECT entity.id, entity.merged_into FROM entity JOIN way ON entity.id = way.merged_into)
    SELECT id FROM way WHERE merged_into IS NULL"""


def tell(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Order number, system/type/id (crm/deal/759), or the entity's own id.")],
) -> None:
    """Tell the story of one entity, oldest first: who changed what, by which rule, and which call carried it."""
    wiring = wired(context)
    with wiring.ledger.transaction() as connection:
        entity = _find(connection, name, wiring.file)
        _head(connection, entity)
        lines = history.of_entity(connection, entity)
    screen.table("history", _NAMES, [[line[column] for column in _NAMES] for line in lines])


def _find(connection: Connection, name: str, config: Config) -> UUID:
    """The entity of that name. Where it was united with another one, that one."""
    found = _by_id(name) or _by_record(connection, name) or _by_number(connection, name, config)
    row = found and one(connection, _KEPT, [found])
    if not row:
        raise BadInput(f"nothing is known of {name!r}; give an order number, system/type/id or an entity's id")
    return UUID(str(row["id"]))


def _by_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _by_record(connection: Connection, name: str) -> UUID | None:
    system, _, rest = name.partition("/")
    record_type, _, external_id = rest.partition("/")
    if not external_id:
        return None
    return records.of_record(connection, system, record_type, [external_id]).get(external_id)


def _by_number(connection: Connection, name: str, config: Config) -> UUID | None:
    if not config.systems:
        return None
    key = f"number/{config.numbering_system}/{name}"
    return entities.find(connection, "order", [key]).get(key)


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
