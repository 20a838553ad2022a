"""Records as the lanes keep them: what is being made or told there, and what they held when we last knew."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bus.ledger import erased
from bus.ledger.database import Connection, LostRace, bulk, columns, one, rows, run
from bus.model import DERIVED, Fields

_DERIVED = sorted(frozenset().union(*DERIVED.values()))
"""Fields that only we may say, of any kind of entity: no event ever tells what became of a write of one."""


def begin_creating(connection: Connection, entities: Collection[UUID], system: str, record_type: str) -> set[UUID]:
    """Note, before the call, that records are being created. Those of which it is the first attempt.

    For these there is nothing to probe for.
    """
    made = rows(
        connection,
        """INSERT INTO record (entity_id, system, type, state)
           SELECT entity_id, %(system)s, %(type)s, 'creating' FROM unnest(%(entities)s::uuid[]) AS new(entity_id)
           WHERE NOT EXISTS (SELECT 1 FROM record
             WHERE record.entity_id = new.entity_id AND system = %(system)s AND state <> 'deleted')
           ON CONFLICT (entity_id, system, type) WHERE state = 'creating' DO NOTHING RETURNING entity_id""",
        {"entities": sorted(entities), "system": system, "type": record_type},
    )
    return {row["entity_id"] for row in made}


def linked_row(connection: Connection, entity: UUID, system: str, record_type: str, external_id: str) -> int:
    """The row of a record we created, once its id is known.

    The one noted as being created, or the one that an event of the new record made while our answer was on its way.
    """
    where = {"entity": entity, "system": system, "type": record_type, "external": external_id}
    found = one(
        connection,
        "SELECT id FROM record WHERE system = %(system)s AND type = %(type)s AND external_id = %(external)s",
        where,
    )
    mine = "entity_id = %(entity)s AND system = %(system)s AND type = %(type)s AND state = 'creating'"
    if found:
        run(connection, f"DELETE FROM record WHERE {mine}", where)  # noqa: S608 - ours
    else:
        found = one(
            connection,
            f"UPDATE record SET external_id = %(external)s, state = 'linked' WHERE {mine} RETURNING id",  # noqa: S608
            where,
        ) or one(
            connection,
            """INSERT INTO record (entity_id, system, type, external_id, state)
               VALUES (%(entity)s, %(system)s, %(type)s, %(external)s, 'linked') RETURNING id""",
            where,
        )
    if found is None:
        raise LostRace
    return int(found["id"])


@dataclass(frozen=True, slots=True)
class Creation:
    """A record that is about to be made, as its lane knows it."""

    entity_id: UUID
    promised: Fields
    """What it will say."""
    since: datetime | None = None
    """When the last call was sent that was to make it."""
    order_id: UUID | None = None
    """The order that a payment belongs to."""


def promise(connection: Connection, system: str, creations: Sequence[Creation]) -> set[UUID]:
    """Note what creations are about to say, and when. Whoever finds a record knows our own words from a person's.

    Returns the entities of those that are still to be made, and as their lane knows them; no other may be sent. Since
    it looked, the system may have told of a record that is this one, another lane may have sent a call that makes it,
    and the books may have moved a payment. The entities are locked, and so are the orders of payments: who asks what a
    system has (`entities.payments_of`) comes before, or sees it.
    """
    if not creations:
        return set()
    found = rows(
        connection,
        """UPDATE record SET promised = new.promised, creating_since = now(), updated_at = now()
           FROM jsonb_to_recordset(%s) AS new(entity_id uuid, promised jsonb, since timestamptz, order_id uuid)
             JOIN entity ON entity.id = new.entity_id AND entity.parent_id IS NOT DISTINCT FROM new.order_id
           WHERE record.entity_id = new.entity_id AND system = %s AND state = 'creating'
             AND creating_since IS NOT DISTINCT FROM new.since
           RETURNING record.entity_id""",
        [bulk([columns(one) for one in creations]), system],
    )
    return {row["entity_id"] for row in found}


def go_on(connection: Connection, system: str, ids: Collection[UUID]) -> None:
    """Note that of what is to create these, or to finish that, calls were under way until now, or are from now on.

    The entities are locked. One whose creation has come to its end is left alone.
    """
    if not ids:
        return
    run(
        connection,
        """UPDATE record SET creating_since = now()
           WHERE entity_id = ANY(%s) AND system = %s AND (state = 'creating' OR promised <> '{}')""",
        [list(ids), system],
    )


def tell_on(connection: Connection, system: str, ids: Collection[UUID]) -> None:
    """Note that of what tells these something calls were under way until now, or are from now on."""
    run(
        connection,
        "UPDATE record SET told_at = now() WHERE entity_id = ANY(%s) AND system = %s AND telling <> '{}'",
        [list(ids), system],
    )


def broke_off(connection: Connection, system: str, lease: UUID, ids: Collection[UUID]) -> None:
    """Note that calls which were to create surely did nothing: no late effect of theirs need be waited for.

    A part of it may be there all the same. Only of those whose claim is still ours: another may be at it by now.
    """
    run(
        connection,
        """UPDATE record SET creating_since = NULL FROM delivery
           WHERE record.entity_id = ANY(%s) AND record.system = %s AND (record.state = 'creating' OR promised <> '{}')
             AND delivery.entity_id = record.entity_id AND delivery.system = record.system AND delivery.lease = %s""",
        [list(ids), system, lease],
    )


def telling(connection: Connection, told: Mapping[int, Fields], unread: Collection[int] = ()) -> None:
    """Note what updates are about to say, by record: whoever reads it before our answer is in knows it for our word.

    What only we may say is not known there from now on until an answer is in, and so it is due: be the answer lost, and
    what we want to say what it said before. `unread`: records that are written without a look at them; of what else we
    told them nobody knows any more than before. What stays without an answer and is told anew is remembered, each word
    once, but of a person's data nothing: should it have arrived, it is no person's word. The entities are locked.
    """
    if not told:
        return
    run(
        connection,
        """UPDATE record SET
             base = base - ARRAY(SELECT key FROM jsonb_object_keys(new.told) AS key WHERE key = ANY(%(derived)s)),
             telling = CASE WHEN record.id = ANY(%(unread)s) THEN telling ELSE '{}' END || new.told, told_at = now(),
             superseded = CASE
               WHEN record.id = ANY(%(unread)s) OR telling - %(left_out)s::text[] <@ new.told
                 OR superseded @> jsonb_build_array(telling - %(left_out)s::text[]) THEN superseded
               ELSE superseded || jsonb_build_array(telling - %(left_out)s::text[]) END
           FROM jsonb_to_recordset(%(told)s) AS new(id bigint, told jsonb) WHERE record.id = new.id""",
        {
            "derived": _DERIVED,
            "left_out": [*_DERIVED, *erased.NAMES],
            "unread": list(unread),
            "told": bulk([{"id": record, "told": fields} for record, fields in sorted(told.items())]),
        },
    )


def of_record(connection: Connection, system: str, record_type: str, ids: Collection[str]) -> dict[str, UUID]:
    """Entities by their records' external ids."""
    found = rows(
        connection,
        "SELECT external_id, entity_id FROM record WHERE system = %s AND type = %s AND external_id = ANY(%s)",
        [system, record_type, list(ids)],
    )
    return {row["external_id"]: row["entity_id"] for row in found}


def bases(connection: Connection, system: str, record_type: str, ids: Collection[str]) -> dict[str, Fields]:
    """What linked records held when we last knew, by external id."""
    found = rows(
        connection,
        """SELECT external_id, base FROM record
           WHERE system = %s AND type = %s AND external_id = ANY(%s) AND state = 'linked'""",
        [system, record_type, list(ids)],
    )
    return {row["external_id"]: row["base"] for row in found}


def beginning(
    connection: Connection, system: str, prefixes: Collection[tuple[str, str]], before: datetime
) -> dict[tuple[str, str], set[str]]:
    """Ids that begin with each of these, by its record type and itself, and go on with a digit of a GUID.

    Of records that are there as far as is known, or of which a word is still to be heard; without what was heard of in
    a reading that began after `before`. A collation may sort punctuation as it likes: it stands in the same places.
    """
    found = rows(
        connection,
        """SELECT type, prefix, array_agg(external_id) AS ids
           FROM unnest(%(types)s::text[], %(prefixes)s::text[]) AS asked(type, prefix), LATERAL (
             SELECT external_id FROM record
             WHERE system = %(system)s AND record.type = asked.type
               AND external_id BETWEEN prefix || '0' AND prefix || 'g'
               AND starts_with(external_id, prefix) AND state = 'linked' AND coalesce(heard_at <= %(before)s, true)
             UNION
             SELECT substr(subject, length(asked.type) + 2) FROM event
             WHERE source = %(system)s AND subject BETWEEN asked.type || '/' || prefix || '0'
                                                       AND asked.type || '/' || prefix || 'g'
               AND starts_with(subject, asked.type || '/' || prefix)
               AND state <> 'done' AND data IS NOT NULL AND coalesce(observed_at <= %(before)s, true)) AS there
           GROUP BY type, prefix""",
        {
            "types": [record_type for record_type, _ in prefixes],
            "prefixes": [prefix for _, prefix in prefixes],
            "system": system,
            "before": before,
        },
    )
    ids = {(row["type"], row["prefix"]): set(row["ids"]) for row in found}
    return {prefix: ids.get(prefix, set()) for prefix in prefixes}


def deleted(connection: Connection, entities: Collection[UUID]) -> set[str]:
    """Those of these entities' records that were deleted: the keys that they are known by."""
    if not entities:
        return set()
    found = rows(
        connection,
        "SELECT system, type, external_id FROM record WHERE entity_id = ANY(%s) AND state = 'deleted'",
        [list(entities)],
    )
    return {f"{row['system']}/{row['type']}/{row['external_id']}" for row in found}


def inns(connection: Connection, system: str, record_type: str, ids: Collection[str]) -> dict[str, str]:
    """INNs of counterparties, by the external ids of their records, be those deleted by now."""
    found = rows(
        connection,
        """SELECT external_id, fields ->> 'inn' AS inn FROM record JOIN entity ON entity.id = record.entity_id
           WHERE system = %s AND type = %s AND external_id = ANY(%s) AND kind = 'counterparty'
             AND fields ->> 'inn' IS NOT NULL""",
        [system, record_type, list(ids)],
    )
    return {row["external_id"]: row["inn"] for row in found}


def unanswered(
    connection: Connection, system: str, record_type: str, ids: Collection[str], names: Collection[str]
) -> set[str]:
    """Of these records those that were told one of the fields, and no answer and no event has shown it there."""
    found = rows(
        connection,
        """SELECT external_id FROM record
           WHERE system = %s AND type = %s AND external_id = ANY(%s) AND state = 'linked'
             AND EXISTS (SELECT FROM unnest(%s::text[]) AS name
                         WHERE telling ? name AND base -> name IS DISTINCT FROM telling -> name)""",
        [system, record_type, list(ids), sorted(names)],
    )
    return {row["external_id"] for row in found}


def ours(connection: Connection, system: str, record_type: str, ids: Collection[str]) -> dict[str, int]:
    """Records whose last change that we know of was our own write: their versions, by external id."""
    found = rows(
        connection,
        """SELECT external_id, version FROM record WHERE system = %s AND type = %s AND external_id = ANY(%s)
             AND state = 'linked' AND ours AND version IS NOT NULL""",
        [system, record_type, list(ids)],
    )
    return {row["external_id"]: row["version"] for row in found}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a reading shows of a record's derived fields, and of which version it is."""

    system: str
    type: str
    external_id: str
    version: int
    derived: Fields


def spoiled(connection: Connection, shown: Sequence[Shown]) -> None:
    """Forget what we said of derived fields where somebody has written something else over it since: it is due again.

    Empty is not something else: there are portals that do not keep what they are told.
    """
    if not shown:
        return
    run(
        connection,
        """UPDATE record SET base = base - over.names, updated_at = now()
           FROM jsonb_to_recordset(%s) AS new(system text, type text, external_id text, version bigint, derived jsonb),
             LATERAL (SELECT id AS row, ARRAY(
                 SELECT key FROM jsonb_each(new.derived) WHERE value <> 'null' AND old.base -> key <> value) AS names
               FROM record AS old WHERE old.system = new.system AND old.type = new.type
                 AND old.external_id = new.external_id AND old.version < new.version ORDER BY id) AS over
           WHERE record.id = over.row AND over.names <> '{}'""",
        [bulk([columns(item) for item in shown])],
    )


@dataclass(frozen=True, slots=True)
class Base:
    """What a write of ours showed of a record: what it holds of that now."""

    id: int
    external_id: str
    delta: Fields
    version: int | None
    ours: bool = True
    """Nobody else changed it since we last knew it."""
    own: Fields = field(default_factory=dict)
    """Of it, what only we may say: no event ever tells it."""
    forget: tuple[str, ...] = ()
    """What is not known of it any more."""
    unread: bool = False
    """It was written without a look at it: what else we told it before is as unknown as it was."""


def set_bases(connection: Connection, bases: Sequence[Base]) -> None:
    """After writes: what the records hold now is laid over their bases.

    Only what was written: an event may have brought other news meanwhile. What a newer version has said while our
    answer was on its way is left standing, save what no event tells. Of somebody who was erased meanwhile nothing is.
    """
    run(
        connection,
        """UPDATE record SET
             base = (CASE WHEN record.version > new.version THEN new.delta || record.base || new.own
                          ELSE (record.base - ARRAY(SELECT jsonb_array_elements_text(new.forget))) || new.delta END)
                    - coalesce((SELECT %s::text[] FROM entity WHERE id = record.entity_id AND erased_at IS NOT NULL),
                               '{}'),
             version = greatest(record.version, new.version),
             ours = new.ours AND coalesce(record.version <= new.version, true),
             external_id = new.external_id, state = 'linked', promised = '{}', written_at = now(), updated_at = now(),
             telling = CASE WHEN new.unread THEN telling - ARRAY(SELECT jsonb_object_keys(new.delta)) ELSE '{}' END,
             superseded = CASE WHEN new.unread THEN superseded ELSE '[]' END
           FROM jsonb_to_recordset(%s) AS new(id bigint, external_id text, delta jsonb, version bigint, ours boolean,
                                              own jsonb, forget jsonb, unread boolean)
           WHERE record.id = new.id""",
        [erased.NAMES, bulk([columns(item) for item in bases])],
    )
