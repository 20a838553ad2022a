"""Traits: what counterparties are alike by, and are looked for under."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

from bus.ledger.database import Connection, bulk, rows, run
from bus.ledger.entities import key_locks
from bus.model import Fields

_TRAIT_LOCKS = 512
"""A batch of a thousand counterparties has many more traits than the server has room for locks."""

_ALIKE = 50
"""So many that share one trait are looked at: a name or an address that more have tells nothing."""


def lock(connection: Connection, traits: Collection[str]) -> None:
    """Hold traits until the end of the transaction: who looks for one and who is about to have it see each other."""
    key_locks(connection, {f"trait/{crc32(trait.encode()) % _TRAIT_LOCKS}" for trait in traits})


@dataclass(frozen=True, slots=True)
class Party:
    """A counterparty as it is recognised by: what it says, and the systems that have a live record of it."""

    fields: Fields
    systems: set[str]
    made: frozenset[str] = frozenset()
    """Systems where we made it for one that this ledger, restored since, knows nothing of."""

    @property
    def forgotten(self) -> bool:
        """Nobody who told of it is known: it stands only where we made it."""
        return bool(self.systems) and self.systems <= self.made


def sharing(connection: Connection, traits: Collection[str]) -> dict[str, set[UUID]]:
    """Which counterparties have each of these traits."""
    found: dict[str, set[UUID]] = {}
    if not traits:
        return found
    for row in rows(
        connection,
        """SELECT wanted.trait, alike.entity_id FROM unnest(%s::text[]) AS wanted(trait), LATERAL (
             SELECT entity_id FROM trait WHERE trait.trait = wanted.trait LIMIT %s) AS alike""",
        [list(traits), _ALIKE],
    ):
        found.setdefault(row["trait"], set()).add(row["entity_id"])
    return found


def parties(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Party]:
    """What these counterparties say, and where they are."""
    if not ids:
        return {}
    found = rows(
        connection,
        """SELECT entity.id, entity.fields, ARRAY(
             SELECT DISTINCT system FROM record WHERE record.entity_id = entity.id AND state <> 'deleted') AS systems,
             ARRAY(SELECT split_part(key, '/', 3) FROM identity
                   WHERE identity.entity_id = entity.id AND starts_with(key, 'bus/made/')) AS made
           FROM entity WHERE id = ANY(%s) AND merged_into IS NULL""",
        [list(ids)],
    )
    return {row["id"]: Party(row["fields"], set(row["systems"]), frozenset(row["made"])) for row in found}


def put(connection: Connection, traits: Mapping[UUID, Collection[str]]) -> None:
    """What these counterparties are found by from now on."""
    if not traits:
        return
    pairs = [{"entity_id": entity, "trait": trait} for entity, some in traits.items() for trait in some]
    run(
        connection,
        """DELETE FROM trait WHERE entity_id = ANY(%(ids)s) AND NOT EXISTS (
             SELECT 1 FROM jsonb_to_recordset(%(pairs)s) AS new(entity_id uuid, trait text)
             WHERE new.entity_id = trait.entity_id AND new.trait = trait.trait)""",
        {"ids": list(traits), "pairs": bulk(pairs)},
    )
    run(
        connection,
        """INSERT INTO trait (entity_id, trait)
           SELECT entity_id, trait FROM jsonb_to_recordset(%s) AS new(entity_id uuid, trait text)
           ORDER BY entity_id, trait ON CONFLICT DO NOTHING""",
        [bulk(pairs)],
    )
