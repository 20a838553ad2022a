"""Naming: what people call an entity by: its own id, a record of it, its order's number, its INN."""

from __future__ import annotations

from uuid import UUID

from bus.ledger import entities, records, traits
from bus.ledger.database import Connection, one

_KEPT = """
    WITH RECURSIVE way AS (
      SELECT id, merged_into FROM entity WHERE id = %s
      UNION ALL SELECT entity.id, entity.merged_into FROM entity JOIN way ON entity.id = way.merged_into)
    SELECT id FROM way WHERE merged_into IS NULL"""


def kept(connection: Connection, entity: UUID) -> UUID | None:
    """What an entity is now: itself, or the one that it was united with. None for one that there is not."""
    row = one(connection, _KEPT, [entity])
    return UUID(str(row["id"])) if row else None


def by_id(name: str) -> UUID | None:
    """An entity's own id."""
    try:
        return UUID(name)
    except ValueError:
        return None


def by_record(connection: Connection, name: str) -> UUID | None:
    """The entity of a record: crm/deal/759, crm/party/company:12."""
    system, _, rest = name.partition("/")
    record_type, _, external_id = rest.partition("/")
    if not external_id:
        return None
    return records.of_record(connection, system, record_type, [external_id]).get(external_id)


def by_number(connection: Connection, number: str, numbering: str | None) -> UUID | None:
    """The order of a number, in the numbering of this system."""
    if numbering is None:
        return None
    key = f"number/{numbering}/{number}"
    return entities.find(connection, "order", [key]).get(key)


def by_inn(connection: Connection, inn: str) -> list[UUID]:
    """The counterparties that have this INN: branches share one."""
    return sorted(traits.sharing(connection, [f"inn:{inn}"]).get(f"inn:{inn}", ()))
