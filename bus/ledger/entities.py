"""Entities, their records and the keys they are known by: found, locked, saved and united, a batch at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bus.ledger import conflicts, questions
from bus.ledger.database import Connection, LostRace, Row, bulk, one, rows, run
from bus.merge import Entity, Record, Said
from bus.model import Fields, Kind

OF_ORDER = "order"
"""What the words of a payment's fields have beside them: who said last of which order it is. That is its parent."""
NAMED = "bus-"
"""What a name begins with that a record is given out under: it ends with its entity, and is no id of the system's."""


@dataclass(slots=True)
class Linked:
    """One row of `record`: the merge's view of it and where it lives."""

    system: str
    type: str
    external_id: str | None
    view: Record
    state: str = "linked"
    id: int | None = None
    dirty: bool = False
    creating_since: datetime | None = None
    """When a call was sent that creates it, or finishes that; None once such a call surely did nothing."""
    written_at: datetime | None = None
    """When the answer to our last write was in, by the ledger's clock."""
    told_at: datetime | None = None
    """When it was told what has no answer, by the ledger's clock."""
    heard_at: datetime | None = None
    """When the reading began that was heard last, by the ledger's clock.

    Of a record whose version went back since: when that was known; what was read before may be of either side of it.
    """
    known_at: datetime | None = None
    """When something was noted of it last, by the ledger's clock: a reading that began then shows nothing older."""

    @property
    def stands(self) -> bool:
        """Is it at its system, as far as we know? One that is only to be made there is not, until a call was sent."""
        return self.state == "linked" or (self.state == "creating" and self.creating_since is not None)


@dataclass(slots=True)
class Known:
    """One locked entity with everything the merge and the deliveries need of it."""

    id: UUID
    view: Entity
    records: list[Linked] = field(default_factory=list)
    parent_id: UUID | None = None
    revision: int = 0
    dirty: bool = False
    fresh: bool = False
    """Made in this very transaction: nothing of it is in the ledger yet but the keys that mean it."""
    erased: bool = False
    """A person's data were taken out of it, and none are taken in again (bus.erasing)."""

    def record(self, system: str, record_type: str, external_id: str, *, ours: bool = True) -> Linked:
        """The row of one record; a creation of ours that was on its way is recognized in it, else it is new.

        What we were to say is no word of a record that somebody else made, while nothing of ours was on its way. One
        that was given out under a name of ours keeps that: by it the other system knows it when it is given again.
        """
        if linked := self.found(system, record_type, external_id):
            return linked
        for linked in self.records:
            named = (linked.external_id or "").startswith(NAMED)
            if (linked.system, linked.type, linked.state) == (system, record_type, "creating") and not named:
                linked.external_id, linked.state, linked.dirty = external_id, "linked", True
                if not ours and linked.creating_since is None:
                    linked.view.promised = {}
                return linked
        self.records.append(Linked(system, record_type, external_id, Record({}), dirty=True))
        return self.records[-1]

    def found(self, system: str, record_type: str, external_id: str) -> Linked | None:
        """The row of one record, if it has one."""
        name = (system, record_type, external_id)
        return next((one for one in self.records if (one.system, one.type, one.external_id) == name), None)

    def primary(self, system: str) -> Linked | None:
        """The record deliveries go to: of several (a copied deal) the one that was linked first."""
        linked = [record for record in self.records if record.system == system and record.state != "deleted"]
        return min(linked, key=lambda record: (record.id is None, record.id or 0), default=None)

    def deleted_in(self, system: str) -> bool:
        """Someone deleted its record there; it is not made again."""
        return any(record.system == system and record.state == "deleted" for record in self.records)


def find(connection: Connection, kind: Kind, keys: Collection[str]) -> dict[str, UUID]:
    """Which entities are known by these keys."""
    if not keys:
        return {}
    found = rows(
        connection, "SELECT key, entity_id FROM identity WHERE kind = %s AND key = ANY(%s)", [kind, list(keys)]
    )
    return {row["key"]: row["entity_id"] for row in found}


def begun(entity: UUID, kind: Kind) -> Known:
    """An entity that is about to be made: `save` writes it. Its keys may be learnt before."""
    return Known(entity, Entity(kind, {}, {}), dirty=True, fresh=True)


def own_key(kind: str, entity: UUID) -> str:
    """The key under which we create records at other systems (ORIGIN_ID, xmlId)."""
    return f"bus/{kind}/{entity}"


def learn(connection: Connection, kind: Kind, keys: Mapping[str, UUID]) -> set[str]:
    """Make entities known by keys. Returns the keys that are new; raises LostRace if one already means another entity.

    Keys are inserted in order, so that two transactions that learn the same ones cannot wait for each other crosswise.
    """
    if not keys:
        return set()
    key_locks(connection, keys)
    new = rows(
        connection,
        """INSERT INTO identity (kind, key, entity_id)
           SELECT %s, key, entity_id FROM jsonb_to_recordset(%s) AS new(key text, entity_id uuid) ORDER BY key
           ON CONFLICT (kind, key) DO NOTHING RETURNING key""",
        [kind, bulk([{"key": key, "entity_id": entity} for key, entity in keys.items()])],
    )
    fresh = {row["key"] for row in new}
    if others := set(keys) - fresh:
        taken = find(connection, kind, others)
        if any(taken.get(key) != keys[key] for key in others):
            raise LostRace
    return fresh


_SELECT = "SELECT id, kind, fields, said, revision, parent_id, merged_into, erased_at FROM entity"


def lock(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Known]:
    """Lock entities in id order and load them with their records and open conflicts.

    Raises LostRace when one was united with another meanwhile.
    """
    wanted = list(ids)
    if not wanted:
        return {}
    found = rows(connection, f"{_SELECT} WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [wanted])
    if any(row["merged_into"] for row in found):
        raise LostRace
    return _loaded(connection, found, wanted)


def page(connection: Connection, after: UUID, limit: int = 500) -> list[UUID]:
    """Ids of living entities in id order, after the given one."""
    found = rows(
        connection,
        "SELECT id FROM entity WHERE id > %s AND merged_into IS NULL ORDER BY id LIMIT %s",
        [after, limit],
    )
    return [row["id"] for row in found]


def load(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Known]:
    """The same without a lock, for those who only look."""
    wanted = list(ids)
    return _loaded(connection, rows(connection, f"{_SELECT} WHERE id = ANY(%s)", [wanted]), wanted)


def _loaded(connection: Connection, found: Iterable[Row], wanted: list[UUID]) -> dict[UUID, Known]:
    frozen: dict[UUID, dict[str, Fields]] = {}
    query = "SELECT entity_id, field, options FROM conflict WHERE state = 'open' AND entity_id = ANY(%s)"
    for row in rows(connection, query, [wanted]):
        said = {source: option["value"] for source, option in row["options"].items()}
        frozen.setdefault(row["entity_id"], {})[row["field"]] = said
    known = {
        row["id"]: Known(
            row["id"],
            _entity(row, frozen.get(row["id"], {})),
            parent_id=row["parent_id"],
            revision=row["revision"],
            erased=row["erased_at"] is not None,
        )
        for row in found
    }
    for row in rows(connection, "SELECT * FROM record WHERE entity_id = ANY(%s) ORDER BY id", [wanted]):
        if row["entity_id"] in known:
            known[row["entity_id"]].records.append(_linked(row))
    return known


def _entity(row: Row, frozen: dict[str, Fields]) -> Entity:
    return Entity(row["kind"], row["fields"], _said(row["said"]), frozen)


def _linked(row: Row) -> Linked:
    made = row["creating_since"] is not None
    view = Record(row["base"], row["version"], row["ours"], row["promised"], row["telling"], row["superseded"], made)
    return Linked(
        row["system"],
        row["type"],
        row["external_id"],
        view,
        row["state"],
        row["id"],
        creating_since=row["creating_since"],
        written_at=row["written_at"],
        heard_at=row["heard_at"],
        told_at=row["told_at"],
        known_at=row["updated_at"],
    )


def _said(stored: Iterable[list[str]]) -> dict[str, Said]:
    """From [[at, source, event, field, field, ...], ...]: an event says many fields at once."""
    said: dict[str, Said] = {}
    for at, source, event, *names in stored:
        said |= dict.fromkeys(names, Said(datetime.fromisoformat(at), source, event))
    return said


def _as_stored(said: Mapping[str, Said]) -> list[list[str]]:
    """The opposite. Words that are one object are one list; equal ones that are two do no harm."""
    words: dict[int, list[str]] = {}
    for name, word in said.items():
        known = words.get(id(word))
        if known is None:
            known = words[id(word)] = [word.at.isoformat(), word.source, word.event]
        known.append(name)
    return list(words.values())


def children(connection: Connection, parents: Collection[UUID]) -> dict[UUID, dict[UUID, Fields]]:
    """Fields of the payments of each order. Whoever changes a payment holds its order's lock.

    One that was deleted wherever it was is money that nobody has: it stands nowhere, be it still to be made somewhere.
    """
    families: dict[UUID, dict[UUID, Fields]] = {parent: {} for parent in parents}
    if not families:
        return families
    for row in rows(
        connection,
        """SELECT id, parent_id, fields FROM entity WHERE parent_id = ANY(%s) AND merged_into IS NULL
             AND EXISTS (SELECT 1 FROM record WHERE record.entity_id = entity.id
                           AND (state = 'linked' OR state = 'creating' AND creating_since IS NOT NULL))""",
        [list(parents)],
    ):
        families[row["parent_id"]][row["id"]] = row["fields"]
    return families


def payments_of(connection: Connection, orders: Collection[UUID]) -> list[Row]:
    """Payments of these orders, the eldest first, each with the systems that have it. The orders are locked for it.

    One that is only to be made somewhere is not there, until a call was sent that makes it (`Linked.stands`). `told`:
    those of them that told of it, by a record which we neither make there nor made, be it for a payment that this
    ledger, restored since, knows nothing of. `named`: those that were given it under a name of ours, and have told of
    it under none of their own.
    """
    if not orders:
        return []
    connection.execute("SELECT 1 FROM entity WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [sorted(orders)])
    return rows(
        connection,
        """SELECT id, parent_id, fields, ARRAY(
             SELECT DISTINCT system FROM record WHERE record.entity_id = entity.id
               AND (state = 'linked' OR state = 'creating' AND creating_since IS NOT NULL)) AS systems,
             ARRAY(SELECT DISTINCT system FROM record WHERE record.entity_id = entity.id
                     AND state = 'linked' AND creating_since IS NULL AND promised = '{}'
                     AND NOT EXISTS (SELECT 1 FROM identity WHERE identity.kind = entity.kind
                       AND key = 'bus/made/' || system || '/' || type || '/' || external_id)) AS told,
             ARRAY(SELECT system FROM record WHERE record.entity_id = entity.id AND state IN ('linked', 'creating')
                   GROUP BY system HAVING bool_and(coalesce(starts_with(external_id, %s), false))) AS named
           FROM entity WHERE parent_id = ANY(%s) AND merged_into IS NULL ORDER BY created_at, id""",
        [NAMED, sorted(orders)],
    )


def save(connection: Connection, known: Iterable[Known]) -> None:
    """Write what the merge made and changed: entities and records, one statement each."""
    changed = list(known)
    shape = "id uuid, kind text, fields jsonb, said jsonb, parent_id uuid"
    # A payment's order is made before it, or with it: the parent is looked for when the statement ends.
    if made := [_plain(item) for item in changed if item.fresh]:
        run(
            connection,
            f"""INSERT INTO entity (id, kind, fields, said, parent_id, revision)
                SELECT id, kind, fields, said, parent_id, 1 FROM jsonb_to_recordset(%s) AS new({shape})""",  # noqa: S608
            [bulk(made)],
        )
    if altered := [_plain(item) for item in changed if item.dirty and not item.fresh]:
        run(
            connection,
            f"""UPDATE entity SET fields = new.fields, said = new.said, parent_id = new.parent_id,
                       revision = revision + 1, updated_at = now()
                FROM jsonb_to_recordset(%s) AS new({shape}) WHERE entity.id = new.id""",  # noqa: S608 - ours
            [bulk(altered)],
        )
    save_records(connection, [(item.id, record) for item in changed for record in item.records if record.dirty])


def _plain(item: Known) -> Row:
    return {
        "id": item.id,
        "kind": item.view.kind,
        "fields": item.view.fields,
        "said": _as_stored(item.view.said),
        "parent_id": item.parent_id,
    }


def save_records(connection: Connection, changed: Sequence[tuple[UUID, Linked]]) -> None:
    """Insert new records and write back changed ones."""
    shape = """id bigint, entity_id uuid, system text, type text, external_id text, base jsonb, version bigint,
               ours boolean, state text, heard_at timestamptz, telling jsonb, promised jsonb"""
    if made := [_plain_record(entity, record) for entity, record in changed if record.id is None]:
        run(
            connection,
            f"""INSERT INTO record (entity_id, system, type, external_id, base, version, ours, state, heard_at)
                SELECT entity_id, system, type, external_id, base, version, ours, state, heard_at
                FROM jsonb_to_recordset(%s) AS new({shape}) ORDER BY system, type, external_id""",  # noqa: S608 - ours
            [bulk(made)],
        )
    if altered := [_plain_record(entity, record) for entity, record in changed if record.id is not None]:
        run(
            connection,
            f"""UPDATE record SET external_id = new.external_id, base = new.base, version = new.version,
                       ours = new.ours, state = new.state, heard_at = new.heard_at, telling = new.telling,
                       promised = new.promised, updated_at = now()
                FROM jsonb_to_recordset(%s) AS new({shape}) WHERE record.id = new.id""",  # noqa: S608 - ours
            [bulk(altered)],
        )


def _plain_record(entity: UUID, record: Linked) -> Row:
    return {
        "id": record.id,
        "entity_id": entity,
        "system": record.system,
        "type": record.type,
        "external_id": record.external_id,
        "base": record.view.base,
        "version": record.view.version,
        "ours": record.view.ours,
        "state": record.state,
        "heard_at": record.heard_at.isoformat() if record.heard_at else None,
        "telling": record.view.telling,
        "promised": record.view.promised,
    }


def eldest(connection: Connection, ids: Collection[UUID]) -> UUID:
    """Of several entities that are one, the one to keep."""
    found = one(connection, "SELECT id FROM entity WHERE id = ANY(%s) ORDER BY created_at, id LIMIT 1", [list(ids)])
    if found is None:
        raise LostRace
    return UUID(str(found["id"]))


def keys_of(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, set[str]]:
    """Every key that these entities are known by."""
    keys: dict[UUID, set[str]] = {}
    for row in rows(connection, "SELECT entity_id, key FROM identity WHERE entity_id = ANY(%s)", [list(ids)]):
        keys.setdefault(row["entity_id"], set()).add(row["key"])
    return keys


def hold(connection: Connection, ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Lock entities for a change of their records. Each with what it is now: itself, or what it was united with.

    Locks are taken in id order, as everywhere; entities that were united meanwhile are followed.
    """
    found = rows(
        connection, "SELECT id, merged_into FROM entity WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [sorted(set(ids))]
    )
    if len(found) < len(set(ids)):
        raise LostRace
    moved = {row["id"]: row["merged_into"] for row in found if row["merged_into"]}
    now = hold(connection, set(moved.values())) if moved else {}
    return {row["id"]: now[row["merged_into"]] if row["merged_into"] else row["id"] for row in found}


def key_locks(connection: Connection, keys: Collection[str]) -> None:
    """Hold keys until the end of the transaction: who waits for a key and who makes it known see each other."""
    connection.execute(
        """SELECT pg_advisory_xact_lock(hashtextextended(key, 0))
           FROM (SELECT unnest(%s::text[]) AS key ORDER BY 1) AS ordered""",
        [sorted(keys)],
    )


def move(connection: Connection, lost: UUID, kept: UUID) -> None:
    """Everything that hung on one entity hangs on the other: keys, records, events, history, payments, letters."""
    both = {"lost": lost, "kept": kept}
    for table in ("identity", "event", "history"):
        run(connection, f"UPDATE {table} SET entity_id = %(kept)s WHERE entity_id = %(lost)s", both)  # noqa: S608
    run(  # a creation that has not begun to speak, where the other already has (or is making) a record there
        connection,
        """DELETE FROM record WHERE entity_id = ANY(%(pair)s) AND state = 'creating' AND external_id IS NULL
             AND EXISTS (SELECT 1 FROM record AS other WHERE other.entity_id = ANY(%(pair)s) AND other.id <> record.id
                           AND other.system = record.system AND other.state <> 'deleted'
                           AND (other.state = 'linked' OR other.id < record.id))""",
        {"pair": [lost, kept]},
    )
    run(connection, "UPDATE record SET entity_id = %(kept)s WHERE entity_id = %(lost)s", both)
    run(connection, "DELETE FROM trait WHERE entity_id = %(lost)s", both)
    questions.move(connection, lost, kept)
    run(connection, "UPDATE entity SET parent_id = %(kept)s WHERE parent_id = %(lost)s", both)
    conflicts.move(connection, lost, kept)
    run(
        connection,
        """UPDATE dead_letter SET entity_id = %(kept)s
           WHERE entity_id = %(lost)s AND (event_seq IS NOT NULL OR state = 'discarded' OR NOT EXISTS (
             SELECT 1 FROM dead_letter AS other WHERE other.entity_id = %(kept)s AND other.event_seq IS NULL
               AND other.system = dead_letter.system AND other.state <> 'discarded'))""",
        both,
    )
    run(
        connection,
        """UPDATE dead_letter SET state = 'resolved', ended_at = now(), note = 'entities united'
           WHERE entity_id = %(lost)s AND state IN ('open', 'retried')""",
        both,
    )
    run(
        connection,
        "UPDATE delivery SET state = 'idle', lease = NULL, updated_at = now() WHERE entity_id = %(lost)s",
        both,
    )
    run(
        connection,
        "UPDATE entity SET merged_into = %(kept)s, updated_at = now() WHERE id = %(lost)s OR merged_into = %(lost)s",
        both,
    )


def part(connection: Connection, system: str, record_type: str, external_id: str) -> UUID | None:
    """Take a counterparty's record from its entity, with the key it is known by. The entity it was part of.

    None where there is no such record, or nothing would be left of the entity.
    """
    key = f"{system}/{record_type}/{external_id}"
    key_locks(connection, [key])
    entity = find(connection, "counterparty", [key]).get(key)
    if entity is None:
        return None
    hold(connection, [entity])
    alone = one(connection, "SELECT count(*) AS n FROM record WHERE entity_id = %s AND state <> 'deleted'", [entity])
    if alone is None or alone["n"] <= 1:
        return None
    run(connection, "DELETE FROM identity WHERE kind = 'counterparty' AND key = %s", [key])
    gone = "DELETE FROM record WHERE entity_id = %s AND system = %s AND type = %s AND external_id = %s"
    return entity if run(connection, gone, [entity, system, record_type, external_id]) == 1 else None
