"""Erasing: taking a person's data out of every table that may hold them; sums, dates, numbers and statuses stay.

Of a counterparty nothing stays but the entity's id; of its orders and payments what says nothing of a person. What
belongs to a known record is found by that, whoever else has the same phone; what belongs to nobody, by the values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from bus.ledger import erased
from bus.ledger.database import Connection, LostRace, Row, one, rows, run
from bus.ledger.entities import key_locks
from bus.model import Fields

BY = "bus: erased"
NOWHERE = "(?!)"
"""A regular expression that nothing matches: of who left nothing to look for."""
_KEPT_OF_MONEY = ["amount", "paid_at", "external_number", "why"]
"""What a question of a payment shows that is no person's."""


@dataclass(frozen=True, slots=True)
class Found:
    """Entities whose data go: counterparties, and the orders and payments that are theirs, those too that became them.

    Their records by (system, subject, entity).
    """

    parties: Sequence[UUID]
    others: Sequence[UUID]
    records: Sequence[tuple[str, str, UUID]]

    @property
    def everything(self) -> list[UUID]:
        """All entities, in the order in which they are locked."""
        return sorted({*self.parties, *self.others})


def family(connection: Connection, parties: Collection[UUID], orders: Collection[UUID]) -> Found:
    """These entities with those that became one with them, and the payments of the orders."""
    everyone = _with_merged(connection, parties)
    shops = _with_merged(connection, orders)
    paid = rows(connection, "SELECT id FROM entity WHERE parent_id = ANY(%s)", [shops])
    others = sorted({*shops, *_with_merged(connection, [row["id"] for row in paid])})
    names = rows(
        connection,
        """SELECT system, type || '/' || external_id AS subject, entity_id FROM record
           WHERE entity_id = ANY(%(all)s) AND external_id IS NOT NULL
           UNION SELECT source, subject, entity_id FROM event WHERE entity_id = ANY(%(all)s)
           UNION SELECT 'bus', kind || '/' || id, id FROM entity WHERE id = ANY(%(all)s)""",
        {"all": [*everyone, *others]},
    )
    return Found(everyone, others, [(row["system"], row["subject"], row["entity_id"]) for row in names])


def _with_merged(connection: Connection, ids: Collection[UUID]) -> list[UUID]:
    query = "SELECT id FROM entity WHERE merged_into = ANY(%(ids)s) UNION SELECT unnest(%(ids)s::uuid[])"
    return sorted(row["id"] for row in rows(connection, query, {"ids": list(ids)}))


def orders_like(connection: Connection, inns: Sequence[str], phones: Sequence[str], emails: Sequence[str]) -> list[Row]:
    """Orders whose customer has one of these. Reads every order that says anything of its customer."""
    return rows(
        connection,
        """SELECT id, fields FROM entity WHERE kind = 'order' AND merged_into IS NULL AND (
             fields ->> 'customer.inn' = ANY(%s) OR fields ->> 'customer.phone' = ANY(%s)
             OR lower(fields ->> 'customer.email') = ANY(%s)) ORDER BY created_at""",
        [list(inns), list(phones), list(emails)],
    )


def asked_about(connection: Connection, parties: Collection[UUID]) -> list[int]:
    """Open questions in which these counterparties may be chosen."""
    found = rows(
        connection,
        """SELECT id FROM question WHERE state = 'open' AND asks = 'counterparty' AND EXISTS (
             SELECT 1 FROM jsonb_array_elements(candidates) AS one WHERE one ->> 'entity' = ANY(%s)) ORDER BY id""",
        [[str(one) for one in parties]],
    )
    return [row["id"] for row in found]


def close(connection: Connection, found: Found) -> None:
    """From the commit on nothing personal is taken in of them, and nothing begins to be written.

    Keys are locked before entities, as the path does it. Raises LostRace when one was united with another meanwhile.
    """
    everything = found.everything
    key_locks(connection, {f"{system}/{subject}" for system, subject, _ in found.records})
    held = rows(connection, "SELECT id FROM entity WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [everything])
    now = family(connection, found.parties, found.others)
    if len(held) < len(everything) or now.everything != everything:
        raise LostRace
    run(connection, "UPDATE entity SET erased_at = coalesce(erased_at, now()) WHERE id = ANY(%s)", [everything])
    erased.close(connection, now.records)
    run(
        connection,
        """UPDATE delivery SET lease = NULL, lease_until = NULL WHERE entity_id = ANY(%s) AND lease IS NOT NULL
             AND NOT in_flight""",
        [everything],
    )


def let_writers_end(connection: Connection) -> None:
    """Wait until whoever began to journal before `close` was committed has ended: he may not have seen it.

    Writers that come meanwhile wait for us, so this transaction does nothing else. Raises psycopg's LockNotAvailable
    after two seconds: to be tried again.
    """
    connection.execute("SET LOCAL lock_timeout = '2s'")
    connection.execute("LOCK TABLE event IN SHARE MODE")


def in_flight(connection: Connection, found: Found) -> int:
    """Deliveries of theirs that were sent, and whose answers are not in."""
    counted = one(
        connection,
        "SELECT count(*) AS n FROM delivery WHERE entity_id = ANY(%s) AND lease IS NOT NULL AND lease_until > now()",
        [found.everything],
    )
    return int(counted["n"]) if counted else 0


def scrub(connection: Connection, found: Found, pattern: str = NOWHERE) -> Counter[str]:
    """Take everything personal out of the ledger. Rows that were touched, by table.

    `pattern`: what tells this person for certain, as a regular expression. Events are locked before keys and entities.
    """
    events = _events(connection, found, pattern)
    connection.execute("SELECT 1 FROM entity WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [found.everything])
    erased.close(connection, found.records)
    done = Counter({"event": len(events)})
    what = {
        "parties": list(found.parties),
        "others": list(found.others),
        "systems": [system for system, _, _ in found.records],
        "subjects": [subject for _, subject, _ in found.records],
        "ids": [str(entity) for entity in found.parties],
        "events": list(events),
        "names": erased.NAMES,
        "pattern": pattern,
        "by": BY,
        "why": erased.WHY,
        "money": _KEPT_OF_MONEY,
    }
    for table, statement in _STATEMENTS:
        done[table] += run(connection, statement, what)
    return +done


_HASH = erased.name("source", "subject")
_OF_NOBODY = """entity_id IS NULL AND kind <> 'notification'
    AND (state IN ('done', 'dead') OR kind = 'payment' AND state = 'waiting')
    AND (data::text ~* %(pattern)s OR raw::text ~* %(pattern)s)"""


def _events(connection: Connection, found: Found, pattern: str) -> list[int]:
    """Take the person out of events: those of the entities, of their records, and nobody's that tell the person."""
    what = {
        "all": found.everything,
        "parties": list(found.parties),
        "systems": [system for system, _, _ in found.records],
        "subjects": [subject for _, subject, _ in found.records],
        "pattern": pattern,
    }
    chosen = rows(
        connection,
        f"""SELECT seq FROM event WHERE seq IN (
              SELECT seq FROM event WHERE entity_id = ANY(%(all)s)
              UNION SELECT seq FROM event JOIN unnest(%(systems)s::text[], %(subjects)s::text[]) AS its(source, subject)
                USING (source, subject)
              UNION SELECT seq FROM event WHERE {_OF_NOBODY}) ORDER BY seq FOR UPDATE""",  # noqa: S608 - ours
        what,
    )
    seqs = [row["seq"] for row in chosen]
    over = "event.kind = 'counterparty' AND state <> 'done'"
    run(
        connection,
        f"""UPDATE event SET data = {erased.without_person("event.kind", "event.data")}, raw = NULL, former = NULL,
              erased = true,
              held = CASE WHEN event.kind = 'counterparty' THEN '[]' ELSE held END,
              state = CASE WHEN {over} THEN 'done' ELSE state END,
              outcome = CASE WHEN {over} THEN 'OVERRULED' ELSE outcome END,
              error = CASE WHEN {over} OR error ~* %(pattern)s THEN %(why)s ELSE error END,
              finished_at = coalesce(finished_at, CASE WHEN {over} THEN now() END),
              waits_for = CASE WHEN {over} THEN NULL ELSE waits_for END,
              deadline = CASE WHEN {over} THEN NULL ELSE deadline END,
              partitionkey = CASE WHEN partitionkey ~* %(pattern)s THEN NULL ELSE partitionkey END,
              actor = CASE WHEN actor ~* %(pattern)s THEN NULL ELSE actor END,
              subject = CASE WHEN subject ~* %(pattern)s
                        THEN split_part(subject, '/', 1) || '/erased-' || left({_HASH}, 16) ELSE subject END
            WHERE seq = ANY(%(seqs)s) AND event.kind <> 'notification'""",  # noqa: S608 - ours
        {"seqs": seqs, "pattern": pattern, "why": erased.WHY},
    )
    return seqs


_ITS = "(system, subject) IN (SELECT * FROM unnest(%(systems)s::text[], %(subjects)s::text[]))"
_STATEMENTS = [
    (
        "history",
        """UPDATE history SET old = NULL, new = NULL WHERE (old IS NOT NULL OR new IS NOT NULL) AND (
             entity_id = ANY(%(parties)s) OR entity_id = ANY(%(others)s) AND field = ANY(%(names)s))""",
    ),
    (
        "conflict",
        """UPDATE conflict SET decision = NULL,
             options = (SELECT coalesce(jsonb_object_agg(key, value || '{"value": null}'), '{}')
                        FROM jsonb_each(options)),
             decided_by = CASE WHEN state = 'open' THEN %(by)s ELSE decided_by END,
             decided_at = CASE WHEN state = 'open' THEN now() ELSE decided_at END,
             state = CASE WHEN state = 'open' THEN 'decided' ELSE state END
           WHERE entity_id = ANY(%(parties)s) OR entity_id = ANY(%(others)s) AND field = ANY(%(names)s)""",
    ),
    (
        "question",
        f"""DELETE FROM question WHERE asks = 'counterparty' AND (
             {_ITS} OR entity_id = ANY(%(parties)s) OR decision = ANY(%(ids)s))""",  # noqa: S608 - ours
    ),
    (
        "question",
        f"""UPDATE question SET about = (SELECT coalesce(jsonb_object_agg(key, value), '{{}}')
                                         FROM jsonb_each(about) WHERE key = ANY(%(money)s))
            WHERE asks = 'order' AND ({_ITS} OR about::text ~* %(pattern)s)""",  # noqa: S608 - ours
    ),
    (
        "question",  # who was asked about may be somebody else, whom the sweep lets go on when nobody is left to choose
        """WITH left_over AS (
             SELECT question.id, coalesce(jsonb_agg(one) FILTER (WHERE coalesce(one ->> 'entity', '') <> ALL(%(ids)s)
               AND (question.system, coalesce(one ->> 'record', '')) NOT IN (
                 SELECT * FROM unnest(%(systems)s::text[], %(subjects)s::text[]))), '[]') AS candidates
             FROM question, jsonb_array_elements(candidates) AS one
             WHERE asks = 'counterparty' AND candidates <> '[]' GROUP BY question.id)
           UPDATE question SET candidates = left_over.candidates,
             state = CASE WHEN state = 'open' AND left_over.candidates = '[]' THEN 'moot' ELSE state END,
             decided_at = CASE WHEN state = 'open' AND left_over.candidates = '[]' THEN now() ELSE decided_at END,
             decided_by = CASE WHEN state = 'open' AND left_over.candidates = '[]' THEN %(by)s ELSE decided_by END
           FROM left_over WHERE left_over.id = question.id AND question.candidates <> left_over.candidates""",
    ),
    (
        "dead_letter",
        """UPDATE dead_letter SET sent = '{}', answered = '{}',
             reason = CASE WHEN reason ~* %(pattern)s THEN %(why)s ELSE reason END,
             note = CASE WHEN note ~* %(pattern)s THEN NULL ELSE note END
           WHERE entity_id = ANY(%(parties)s) OR entity_id = ANY(%(others)s) OR event_seq = ANY(%(events)s)""",
    ),
    (
        "dead_letter",  # nothing is left to send again
        """UPDATE dead_letter SET state = 'discarded', ended_at = now(), ended_by = %(by)s, reason = %(why)s
           WHERE state IN ('open', 'retried') AND (entity_id = ANY(%(parties)s) OR event_seq IN (
             SELECT seq FROM event WHERE seq = ANY(%(events)s) AND kind <> 'notification'
               AND (kind = 'counterparty' OR data IS NULL AND right(type, 8) <> '.deleted')))""",
    ),
    ("trait", "DELETE FROM trait WHERE entity_id = ANY(%(parties)s)"),
    ("identity", "DELETE FROM identity WHERE entity_id = ANY(%(parties)s) AND NOT starts_with(key, 'bus/')"),
    ("identity", "DELETE FROM identity WHERE entity_id = ANY(%(others)s) AND key ~* %(pattern)s"),
    ("record", "DELETE FROM record WHERE entity_id = ANY(%(parties)s)"),
    (
        "record",
        """UPDATE record SET base = base - %(names)s::text[], promised = promised - %(names)s::text[],
             telling = telling - %(names)s::text[], updated_at = now()
           WHERE entity_id = ANY(%(others)s)""",
    ),
    (
        "delivery",
        """UPDATE delivery SET state = 'idle', lease = NULL, lease_until = NULL, last_error = NULL, updated_at = now()
           WHERE entity_id = ANY(%(parties)s)""",
    ),
    (
        "delivery",
        """UPDATE delivery SET last_error = NULL, updated_at = now()
           WHERE entity_id = ANY(%(others)s) AND last_error ~* %(pattern)s""",
    ),
    (
        "drift",
        f"DELETE FROM drift WHERE entity_id = ANY(%(parties)s) OR subject ~* %(pattern)s AND {_ITS}",  # noqa: S608 - ours
    ),
    (
        "operator_action",
        """UPDATE operator_action SET detail = '{}',
             target = CASE WHEN target ~* %(pattern)s THEN 'erased' ELSE target END
           WHERE detail::text ~* %(pattern)s OR target ~* %(pattern)s""",
    ),
    (
        "entity",
        """UPDATE entity SET fields = CASE WHEN kind = 'counterparty' THEN '{}' ELSE fields - %(names)s::text[] END,
             said = CASE WHEN kind = 'counterparty' THEN '[]' ELSE said END,
             erased_at = coalesce(erased_at, now()), revision = revision + 1, updated_at = now()
           WHERE id = ANY(%(parties)s) OR id = ANY(%(others)s)""",
    ),
]


def united(connection: Connection, kept: UUID, lost: UUID) -> None:
    """An order (or payment) became one with an erased one: it is erased too."""
    found = family(connection, [], [kept, lost])
    close(connection, found)
    scrub(connection, found)


def left(connection: Connection, pattern: str) -> dict[str, int]:
    """In how many rows of each table a regular expression is found, whatever table it is. Reads the whole ledger."""
    tables = rows(
        connection,
        """SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
             AND relnamespace = current_schema()::regnamespace AND relname <> 'exchange_chunk' ORDER BY relname""",
    )
    counted: Mapping[str, int] = {
        row["relname"]: one(connection, _counting(row["relname"]), [pattern])["n"]  # type: ignore[index]  # a count is there
        for row in tables
    }
    return {table: n for table, n in counted.items() if n}


def _counting(table: str) -> str:
    whole = sql.SQL("SELECT count(*) AS n FROM {table} AS whole WHERE whole::text ~* %s")
    return whole.format(table=sql.Identifier(table)).as_string(None)


def values(connection: Connection, ids: Collection[UUID]) -> list[Fields]:
    """All that these entities say, and that their records said or were told."""
    found = rows(
        connection,
        """SELECT fields FROM entity WHERE id = ANY(%(ids)s)
           UNION ALL SELECT base || promised || telling FROM record WHERE entity_id = ANY(%(ids)s)""",
        {"ids": list(ids)},
    )
    return [row["fields"] for row in found]
