"""Dead letters in the ledger: one row per event or delivery that needs a person, kept after it was ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from uuid import UUID

from bus.ledger import erased
from bus.ledger.database import Connection, Row, bulk, one, rows, run
from bus.model import Json

FAILED_FILE = "exchange file failed"
"""Cause of the letters of files that could not be imported; `sent` names the file, which a retry reads again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """Why an event (`event_seq`) or a delivery (`entity_id`, `system`) needs a person. Redacted before it gets here."""

    system: str
    error_class: str
    cause: str
    reason: str
    event_seq: int | None = None
    entity_id: UUID | None = None
    sent: Json = field(default_factory=dict)
    answered: Json = field(default_factory=dict)
    attempts: int = 1


_NOTHING_LEFT = """SELECT 1 FROM event WHERE event.seq = event_seq AND event.erased AND event.data IS NULL
  AND event.raw IS NULL AND event.kind <> 'notification' AND right(event.type, 8) <> '.deleted'"""


def write(connection: Connection, letters: Sequence[Letter]) -> None:
    """Open dead letters; one that was open or retried before is opened again with its attempts added up.

    That of an event of an erased record of which nothing is kept that could be sent again has ended with it.
    """
    for target in (
        "(event_seq) WHERE event_seq IS NOT NULL",
        "(entity_id, system) WHERE event_seq IS NULL AND state <> 'discarded'",
    ):
        chosen = [letter for letter in letters if (letter.event_seq is not None) == target.startswith("(event")]
        if not chosen:
            continue
        run(
            connection,
            f"""INSERT INTO dead_letter AS old
                  (system, class, cause, reason, event_seq, entity_id, sent, answered, attempts, state, ended_at)
                SELECT system, error_class, cause, CASE WHEN over THEN %s ELSE reason END, event_seq, entity_id, sent,
                  answered, attempts, CASE WHEN over THEN 'discarded' ELSE 'open' END, CASE WHEN over THEN now() END
                FROM jsonb_to_recordset(%s) AS new(system text, error_class text, cause text, reason text,
                  event_seq bigint, entity_id uuid, sent jsonb, answered jsonb, attempts integer),
                  LATERAL (SELECT error_class <> 'Unreadable' AND EXISTS ({_NOTHING_LEFT}) AS over) AS so
                ON CONFLICT {target} DO UPDATE SET state = excluded.state, class = excluded.class,
                  cause = excluded.cause, reason = excluded.reason, sent = excluded.sent, answered = excluded.answered,
                  entity_id = coalesce(excluded.entity_id, old.entity_id), attempts = old.attempts + excluded.attempts,
                  last_at = now(), ended_at = excluded.ended_at, ended_by = NULL""",  # noqa: S608 - ours
            [erased.WHY, bulk([asdict(letter) for letter in chosen])],
        )


def resolve_events(connection: Connection, seqs: Sequence[int]) -> None:
    """Events that went through after all end their letters."""
    if not seqs:
        return
    run(
        connection,
        """UPDATE dead_letter SET state = 'resolved', ended_at = now()
           WHERE event_seq = ANY(%s) AND state IN ('open', 'retried')""",
        [list(seqs)],
    )


def resolve_deliveries(connection: Connection, entity_ids: Sequence[UUID], system: str) -> None:
    """Deliveries that went through after all end their letters."""
    run(
        connection,
        """UPDATE dead_letter SET state = 'resolved', ended_at = now()
           WHERE entity_id = ANY(%s) AND system = %s AND event_seq IS NULL AND state IN ('open', 'retried')""",
        [list(entity_ids), system],
    )


def tell(connection: Connection, system: str, subject: str, cause: str) -> bool:
    """Whether a letter tells of this trouble with a known record, or did until a person discarded it."""
    record_type, _, external_id = subject.partition("/")
    found = rows(
        connection,
        """SELECT 1 FROM record JOIN dead_letter AS letter ON letter.entity_id = record.entity_id
             JOIN event ON event.seq = letter.event_seq
           WHERE record.system = %s AND record.type = %s AND record.external_id = %s
             AND event.source = record.system AND event.subject = %s
             AND letter.cause = %s AND letter.state <> 'resolved' LIMIT 1""",
        [system, record_type, external_id, subject, cause],
    )
    return bool(found)


def of_look(connection: Connection, system: str, subject: str, reason: str) -> bool:
    """Whether a letter tells that a record could not be read, and its retry looks at the record as it is then.

    One that a person discarded tells of its own reason only: what goes wrong with the record later is news.
    """
    found = rows(
        connection,
        """SELECT 1 FROM event JOIN dead_letter AS letter ON letter.event_seq = event.seq
           WHERE event.source = %s AND event.subject = %s AND event.state <> 'done' AND event.kind = 'notification'
             AND (letter.state IN ('open', 'retried') OR letter.state = 'discarded' AND letter.reason = %s) LIMIT 1""",
        [system, subject, reason],
    )
    return bool(found)


def waived(connection: Connection, system: str, subject: str, reason: str) -> bool:
    """Whether a person discarded the letter which tells, for this reason, that a record could not be read."""
    found = rows(
        connection,
        """SELECT 1 FROM event JOIN dead_letter AS letter ON letter.event_seq = event.seq
           WHERE event.source = %s AND event.subject = %s AND event.state <> 'done' AND event.kind = 'notification'
             AND letter.state = 'discarded' AND letter.reason = %s LIMIT 1""",
        [system, subject, reason],
    )
    return bool(found)


def waived_deliveries(connection: Connection, entities: Collection[UUID]) -> set[tuple[UUID, str]]:
    """Deliveries of these that failed, and whose letters a person discarded: (entity, system)."""
    found = rows(
        connection,
        """SELECT entity_id, system FROM delivery WHERE entity_id = ANY(%s) AND state = 'dead' AND (
             SELECT bool_and(letter.state = 'discarded') FROM dead_letter AS letter
             WHERE letter.entity_id = delivery.entity_id AND letter.system = delivery.system
               AND letter.event_seq IS NULL AND letter.state <> 'resolved')""",
        [list(entities)],
    )
    return {(row["entity_id"], row["system"]) for row in found}


def groups(connection: Connection) -> list[Row]:
    """Open letters by cause, the largest group first."""
    return rows(
        connection,
        """SELECT cause, system, class, count(*) AS letters, min(first_at) AS first_at, max(last_at) AS last_at,
                  min(reason) AS example, min(id) AS example_id
           FROM dead_letter WHERE state = 'open' GROUP BY cause, system, class ORDER BY count(*) DESC, cause""",
    )


def listing(connection: Connection, *, cause: str | None, state: str | None, limit: int) -> list[Row]:
    """Letters, newest trouble first."""
    return rows(
        connection,
        """SELECT * FROM dead_letter WHERE (%(cause)s::text IS NULL OR cause = %(cause)s)
             AND (%(state)s::text IS NULL OR state = %(state)s) ORDER BY last_at DESC, id DESC LIMIT %(limit)s""",
        {"cause": cause, "state": state, "limit": limit},
    )


def get(connection: Connection, letter_id: int) -> Row | None:
    """One letter with the event it speaks of."""
    return one(
        connection,
        """SELECT dead_letter.*, event.source, event.type, event.subject, event.occurred_at, event.held,
                  event.kind AS event_kind
           FROM dead_letter LEFT JOIN event ON event.seq = dead_letter.event_seq WHERE dead_letter.id = %s""",
        [letter_id],
    )


def take(connection: Connection, ids: Sequence[int], actor: str) -> list[Row]:
    """Mark open letters as retried; a letter can be in one retry only, until it fails again.

    What could not be read as an event has nothing to retry: it is corrected at its producer and published anew.
    """
    return rows(
        connection,
        """UPDATE dead_letter SET state = 'retried', ended_by = %s
           WHERE id = ANY(%s) AND state = 'open' AND class <> 'Unreadable' RETURNING *""",
        [actor, list(ids)],
    )


def reopen(connection: Connection, ids: Sequence[int]) -> None:
    """Give back letters that were taken for a retry and have nothing left to send again."""
    run(
        connection,
        "UPDATE dead_letter SET state = 'open', ended_by = NULL WHERE id = ANY(%s) AND state = 'retried'",
        [list(ids)],
    )


def leave(connection: Connection, left: Mapping[int, str]) -> None:
    """Open letters again, by number, that were taken for a retry and failed at once, with what is in their way now."""
    run(
        connection,
        """UPDATE dead_letter SET state = 'open', ended_by = NULL, reason = new.reason, attempts = attempts + 1,
                  last_at = now()
           FROM unnest(%s::bigint[], %s::text[]) AS new(letter, reason)
           WHERE dead_letter.id = new.letter AND state = 'retried'""",
        [list(left), list(left.values())],
    )


def discard(connection: Connection, ids: Sequence[int], actor: str, note: str) -> list[Row]:
    """End letters without another try; the record, the reason and the name are kept."""
    return rows(
        connection,
        """UPDATE dead_letter SET state = 'discarded', ended_at = now(), ended_by = %s, note = %s
           WHERE id = ANY(%s) AND state = 'open' RETURNING *""",
        [actor, note, list(ids)],
    )


def open_count(connection: Connection) -> int:
    """How many letters wait for a person."""
    found = one(connection, "SELECT count(*) AS n FROM dead_letter WHERE state = 'open'")
    return int(found["n"]) if found else 0


def acted(connection: Connection, actor: str, action: str, target: str, detail: Json = None) -> None:
    """Who did what: every operator's action leaves a line."""
    run(
        connection,
        """INSERT INTO operator_action (actor, action, target, detail)
           SELECT actor, action, target, detail
           FROM jsonb_to_recordset(%s) AS new(actor text, action text, target text, detail jsonb)""",
        [bulk([{"actor": actor, "action": action, "target": target, "detail": detail or {}}])],
    )


def forget(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete those that ended and are past their keeping, at most so many. How many went."""
    return run(
        connection,
        """DELETE FROM dead_letter WHERE id IN (
             SELECT id FROM dead_letter
             WHERE state NOT IN ('open', 'retried') AND ended_at < now() - make_interval(days => %s)
             ORDER BY ended_at LIMIT %s)""",
        [keep_days, limit],
    )
