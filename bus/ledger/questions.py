"""Questions in the ledger: who a record is, or which order a payment is for; asked once, answered by a person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from bus.ledger.database import Connection, Row, bulk, one, rows, run
from bus.model import Json

Asks = Literal["counterparty", "order"]
NEW = "new"
"""The answer that it is none of those we know."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question; the event (or delivery) that it is about waits. `about` and `candidates` are what a person sees."""

    asks: Asks
    system: str
    subject: str
    candidates: Sequence[dict[str, Json]]
    about: dict[str, Json] = field(default_factory=dict)
    entity_id: UUID | None = None
    """The entity of which a record is about to be created; None where a record asks to be known."""


def key(system: str, subject: str) -> str:
    """What events wait for until their question is answered."""
    return f"match/{system}/{subject}"


def ask(connection: Connection, questions: Sequence[Question], *, seconds: int) -> None:
    """Ask, or bring an open question up to date; who knows of no candidates takes none away.

    The deadline stands from when it was first asked. What is asked anew shows what was shown before of money: an event
    tells nothing of its payer and purpose.
    """
    if not questions:
        return
    each = {(one.system, one.subject): one for one in questions}  # several events of one record ask one question
    some = [asdict(one) | {"entity_id": str(one.entity_id) if one.entity_id else None} for one in each.values()]
    run(
        connection,
        """INSERT INTO question AS old (asks, system, subject, entity_id, about, candidates, deadline)
           SELECT asks, system, subject, entity_id, coalesce(last.about, '{}') || new.about,
             CASE WHEN new.candidates = '[]' THEN coalesce(last.candidates, '[]') ELSE new.candidates END,
             now() + make_interval(secs => %s)
           FROM jsonb_to_recordset(%s)
             AS new(asks text, system text, subject text, entity_id uuid, about jsonb, candidates jsonb)
           LEFT JOIN LATERAL (
             SELECT question.about, question.candidates FROM question
             WHERE (question.system, question.subject) = (new.system, new.subject) AND state = 'expired'
             ORDER BY id DESC LIMIT 1) AS last ON new.asks = 'order'
           ORDER BY system, subject
           ON CONFLICT (system, subject) WHERE state = 'open'
           DO UPDATE SET about = old.about || excluded.about, candidates =
             CASE WHEN excluded.candidates = '[]' THEN old.candidates ELSE excluded.candidates END""",
        [seconds, bulk(some)],
    )


def answers(connection: Connection, subjects: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What people have answered: an entity's id, or NEW, by (system, subject); the last answer counts."""
    if not subjects:
        return {}
    found = rows(
        connection,
        """SELECT DISTINCT ON (system, subject) system, subject, decision FROM question
           WHERE state = 'decided' AND (system, subject) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
           ORDER BY system, subject, id DESC""",
        [[system for system, _ in subjects], [subject for _, subject in subjects]],
    )
    return {(row["system"], row["subject"]): row["decision"] for row in found}


_MOOT = "UPDATE question SET state = 'moot', decided_at = now(), decided_by = 'bus: it became known'"


def moot(
    connection: Connection, subjects: Collection[tuple[str, str]], there: Collection[tuple[str, UUID]] = ()
) -> list[Row]:
    """Nothing is left to ask: it has become known by itself who these are, by (system, subject).

    `there`: nor which record it is at a system, of entities that have one there, by (system, entity). Returns what was
    asked about: `system`, `subject`, `entity_id`. Deliveries may have waited for an answer.
    """
    if not subjects and not there:
        return []
    return rows(
        connection,
        f"""{_MOOT} WHERE state = 'open' AND id IN (
              SELECT id FROM question JOIN unnest(%s::text[], %s::text[]) AS known(system, subject)
                USING (system, subject) WHERE state = 'open'
              UNION ALL
              SELECT id FROM question JOIN unnest(%s::text[], %s::uuid[]) AS known(system, entity_id)
                USING (system, entity_id) WHERE state = 'open')
            RETURNING system, subject, entity_id""",  # noqa: S608 - ours
        [
            [system for system, _ in subjects],
            [subject for _, subject in subjects],
            [system for system, _ in there],
            [entity for _, entity in there],
        ],
    )


def decide(connection: Connection, question_id: int, decision: str, actor: str) -> Row | None:
    """Answer an open question; None when there is none open."""
    return one(
        connection,
        """UPDATE question SET state = 'decided', decision = %s, decided_by = %s, decided_at = now()
           WHERE id = %s AND state = 'open' RETURNING *""",
        [decision, actor, question_id],
    )


def answer(connection: Connection, system: str, subject: str, decision: str, actor: str) -> None:
    """Note an answer that nobody asked for."""
    run(
        connection,
        """INSERT INTO question (asks, system, subject, deadline, state, decision, decided_by, decided_at)
           VALUES ('counterparty', %s, %s, now(), 'decided', %s, %s, now())""",
        [system, subject, decision, actor],
    )


def take_back(connection: Connection, entity: UUID, system: str, subject: str) -> None:
    """That an entity is this record counts no more: it was a mistake."""
    run(
        connection,
        """UPDATE question SET state = 'moot'
           WHERE entity_id = %s AND system = %s AND state = 'decided' AND decision = %s""",
        [entity, system, subject],
    )


def get(connection: Connection, question_id: int) -> Row | None:
    """One question."""
    return one(connection, "SELECT * FROM question WHERE id = %s", [question_id])


_ROUND = "questions of money"
"""The cursor of who looks at them over and over: what was asked before it comes next."""


def of_money(connection: Connection, limit: int) -> list[Row]:
    """The next open questions of which order money is for; each call goes on where the last one ended.

    Those that were asked last come first, and again after those that were asked first. What was asked at once is
    looked at together, so there may be more than `limit`.
    """
    last = one(connection, "DELETE FROM cursor WHERE name = %s RETURNING position", [_ROUND])
    found = _asked_before(connection, last["position"], limit) if last else []
    found = found or _asked_before(connection, None, limit)
    if len(found) >= limit:
        position = [_ROUND, found[-1]["opened_at"]]
        run(connection, "INSERT INTO cursor (name, position) VALUES (%s, %s)", position)
    return found


def _asked_before(connection: Connection, moment: datetime | None, limit: int) -> list[Row]:
    return rows(
        connection,
        """SELECT id, system, about, opened_at FROM question
           WHERE state = 'open' AND asks = 'order' AND opened_at < coalesce(%s, 'infinity'::timestamptz)
           ORDER BY opened_at DESC FETCH FIRST %s ROWS WITH TIES""",
        [moment, limit],
    )


def listing(connection: Connection, state: str | None = "open") -> list[Row]:
    """Questions, the most pressing first."""
    return rows(
        connection,
        "SELECT * FROM question WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY deadline, id LIMIT 500",
        {"state": state},
    )


def expire(connection: Connection) -> int:
    """Close what nobody answered in time, and nothing waits for any more. How many.

    The events that wait become dead letters by their own deadlines; a later one keeps its question open.
    """
    return run(
        connection,
        """UPDATE question SET state = 'expired', decided_at = now(), decided_by = 'bus: deadline passed'
           WHERE state = 'open' AND deadline < now() AND NOT EXISTS (
             SELECT 1 FROM event WHERE event.state = 'waiting'
               AND event.waits_for = 'match/' || question.system || '/' || question.subject)""",
    )


def move(connection: Connection, lost: UUID, kept: UUID) -> None:
    """An entity became another: what was answered with it. Which record it is, the one that is kept asks for itself."""
    run(connection, f"{_MOOT} WHERE state = 'open' AND entity_id = %s", [lost])
    run(connection, "UPDATE question SET decision = %s WHERE decision = %s", [str(kept), str(lost)])


def forget(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete those that nobody will ask for again, at most so many. How many were deleted, or made to forget.

    An answer stays: it is how a record is known. What was shown to whoever gave it goes.
    """
    some = "SELECT id FROM question WHERE {which} AND decided_at < now() - make_interval(days => %s) LIMIT %s"
    ended = some.format(which="state IN ('moot', 'expired')")
    answered = some.format(which="state = 'decided' AND (about <> '{}' OR candidates <> '[]')")
    return run(connection, f"DELETE FROM question WHERE id IN ({ended})", [keep_days, limit]) + run(  # noqa: S608 - ours
        connection,
        f"UPDATE question SET about = '{{}}', candidates = '[]' WHERE id IN ({answered})",  # noqa: S608 - ours
        [keep_days, limit],
    )
