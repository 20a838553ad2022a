"""The journal: events as they came, what became of them, and which of them still wait for something."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from bus.channels import NORMAL, URGENT
from bus.envelope import Event, has_nul, version_order
from bus.ledger import erased
from bus.ledger.database import Connection, Row, bulk, columns, one, rows, run
from bus.ledger.deliveries import NOT_URGENT, URGENT_ONLY
from bus.merge import Outcome
from bus.model import Json
from bus.ports import Entry, Former, Notification

_COLUMNS = """source text, id text, type text, subject text, channel text, kind text, occurred_at timestamptz,
    sourceversion text, version bigint, actor text, correlationid text, causationid text, partitionkey text,
    data jsonb, raw jsonb, held jsonb, priority smallint, observed_at timestamptz, former jsonb"""
_NAMES = ", ".join(line.split()[0] for line in _COLUMNS.replace("\n", " ").split(","))
_ENVELOPE = """event.seq, event.source, event.id, event.type, event.subject, event.kind, event.occurred_at, event.data,
    event.sourceversion, event.actor, event.correlationid, event.causationid, event.partitionkey"""
_READ = f"""{_ENVELOPE}, event.state, event.received_at, event.observed_at, event.version, event.held, event.priority,
    event.former"""
"""What the path reads of an event: all but its raw record, which may be large and is for people and translators."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one event ends in one transaction."""

    seq: int
    outcome: Outcome
    entity_id: UUID | None
    error: str | None = None


def record(connection: Connection, entries: Sequence[Entry]) -> list[Event]:
    """Journal events; those whose (source, id) is known are left as they are. Returns the new ones.

    Of an erased record nothing of its person is kept; what says nothing besides has ended here, and is not returned.
    """
    if not entries:
        return []
    unique = {(entry.event.source, entry.event.id): entry for entry in entries}
    inserted = rows(
        connection,
        f"""INSERT INTO event ({_NAMES}, erased, state, outcome, error, finished_at)
            SELECT {", ".join(_KEPT_OUT.get(name, name) for name in _NAMES.split(", "))}, gone,
                   CASE WHEN over THEN 'done' ELSE 'pending' END, CASE WHEN over THEN 'OVERRULED' END,
                   CASE WHEN over THEN %s END, CASE WHEN over THEN now() END
            FROM jsonb_to_recordset(%s) AS new({_COLUMNS}), LATERAL (
              SELECT {erased.known("source", "subject")} AS gone OFFSET 0) AS asked, LATERAL (
              SELECT gone AND kind = 'counterparty' AS over) AS so
            ORDER BY source, id
            ON CONFLICT (source, id) DO NOTHING
            RETURNING source, id, state, erased, CASE WHEN erased THEN data END AS data""",  # noqa: S608 - names are ours
        [erased.WHY, bulk([_row(entry) for entry in unique.values()])],
    )
    return [_as_kept(unique[row["source"], row["id"]].event, row) for row in inserted if row["state"] == "pending"]


_KEPT_OUT = {
    "data": f"CASE WHEN gone THEN {erased.without_person('kind', 'data')} ELSE data END",
    "raw": "CASE WHEN gone THEN NULL ELSE raw END",
    "former": "CASE WHEN gone THEN NULL ELSE former END",
    "held": "CASE WHEN over THEN '[]' ELSE held END",
}


def _as_kept(event: Event, row: Row) -> Event:
    return event.model_copy(update={"data": row["data"]}) if row["erased"] else event


def _row(entry: Entry) -> Row:
    event = entry.event
    urgent = URGENT if event.kind == "payment" else NORMAL
    return {
        **event.model_dump(mode="json", exclude={"specversion", "datacontenttype", "dataschema", "time"}),
        "occurred_at": event.time.isoformat(),
        "channel": event.channel,
        "kind": event.kind,
        "version": version_order(event.sourceversion),
        "raw": _storable(entry.raw),
        "held": [asdict(item) for item in entry.held] if entry.held else [],
        "observed_at": entry.observed_at.isoformat() if entry.observed_at else None,
        "former": _former(entry.former) if entry.former else None,
        "priority": urgent if entry.priority is None else entry.priority,
    }


def _former(former: Former) -> Json:
    return {"fields": former.fields, "at": former.at.isoformat(), "replaced_by": former.replaced_by}


def _storable(raw: Json) -> Json:
    """A raw record without the character that PostgreSQL cannot store, wherever in it a system put one."""
    return json.loads(json.dumps(raw).replace("\\u0000", "")) if has_nul(raw) else raw


def reject(connection: Connection, channel: str, document: Json, reason: str) -> int | None:
    """Journal what came on a queue and is no event, as dead; None when the very same thing is there already.

    Nothing is kept of its text where it names an erased record: it may tell of the person again.
    """
    text = json.dumps(document, sort_keys=True, default=str)
    name = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]
    record = named(document, "subject") or (None, None)
    found = one(
        connection,
        f"""INSERT INTO event
             (source, id, type, subject, channel, kind, occurred_at, raw, erased, state, outcome, error, finished_at)
           SELECT 'foreign', %s, 'unreadable', %s, %s, 'unreadable', now(), CASE WHEN gone THEN NULL ELSE %s::jsonb END,
                  gone, 'dead', 'DEAD', %s, now()
           FROM (SELECT {erased.known("%s::text", "%s::text")} AS gone) AS asked
           ON CONFLICT (source, id) DO NOTHING RETURNING seq""",  # noqa: S608 - ours
        [name, f"message/{name}", channel, Jsonb({"text": text.replace("\\u0000", "")}), reason, *record],
    )
    return int(found["seq"]) if found else None


def named(document: Json, by: Literal["id", "subject"]) -> tuple[str, str] | None:
    """The source that a message gives, with its id or its subject; None where the ledger could have none of these."""
    if not isinstance(document, dict):
        return None
    source, name = document.get("source"), document.get(by)
    if isinstance(source, str) and isinstance(name, str) and (source + name).isprintable():
        return source, name
    return None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the journal has an event, and whether it still is to be merged."""

    seq: int
    pending: bool


def known(connection: Connection, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Place]:
    """Those of the events, by (source, id), that the journal has."""
    found = rows(
        connection,
        "SELECT source, id, seq, state FROM event WHERE source = ANY(%s) AND id = ANY(%s)",
        [list({source for source, _ in names}), [name for _, name in names]],
    )
    return {
        name: Place(row["seq"], row["state"] == "pending")
        for row in found
        if (name := (row["source"], row["id"])) in names
    }


def settled(connection: Connection, events: Sequence[Event]) -> set[str]:
    """Ids of those events that have ended, and not as dead letters."""
    found = rows(
        connection,
        "SELECT source, id FROM event WHERE source = ANY(%s) AND id = ANY(%s) AND state = 'done'",
        [list({event.source for event in events}), [event.id for event in events]],
    )
    names = {(event.source, event.id) for event in events}
    return {row["id"] for row in found if (row["source"], row["id"]) in names}


def overtaken(connection: Connection, events: Sequence[Event]) -> set[str]:
    """Ids of those known events after which another word of their record came that is still to be heard."""
    if not events:
        return set()
    found = rows(
        connection,
        """SELECT known.id FROM event AS known, LATERAL (
             SELECT later.id FROM event AS later
             WHERE later.source = known.source AND later.subject = known.subject AND later.seq > known.seq
               AND later.state <> 'done' AND later.state IN ('pending', 'waiting')
             ORDER BY later.seq DESC LIMIT 1) AS last
           WHERE known.source = ANY(%s) AND known.id = ANY(%s) AND NOT starts_with(last.id, known.id)""",
        [list({event.source for event in events}), [event.id for event in events]],
    )
    return {row["id"] for row in found}


def _priority(item: Notification) -> int:
    return NORMAL if item.priority is None else item.priority


# OFFSET 0 keeps it a question of its own, asked once for each new one: as a join the planner would turn it round while
# the ledger is young, and read all that is open.
_STANDING = """SELECT seq FROM event WHERE event.state = 'notified' AND event.lease IS NULL
    AND event.source = new.source AND event.subject = new.subject AND event.type = new.type OFFSET 0"""


def notify(connection: Connection, notifications: Sequence[Notification]) -> int:
    """Journal notifications (see `note`). How many are new."""
    return len(note(connection, notifications))


def note(connection: Connection, notifications: Sequence[Notification]) -> list[Notification]:
    """Journal notifications; one that is waiting for the same record already stands for both. Returns the new ones.

    Two at the same moment may both be kept: the lane fetches the record once for all that it claims. A notification
    whose fetch has begun does not stand for a later one: the later change may have missed the fetch.
    """
    if not notifications:
        return []
    unique: dict[tuple[str, str, str], Notification] = {}
    for item in sorted(notifications, key=_priority, reverse=True):  # the most urgent of several stands for all
        type_ = f"{item.record_type}.{'removed' if item.deleted else 'reread' if item.whole else 'notified'}"
        unique[item.system, type_, f"{item.record_type}/{item.external_id}"] = item
    new = [
        {
            "source": source,
            "id": str(uuid4()),
            "type": type_,
            "subject": subject,
            "priority": _priority(item),
            "correlationid": item.correlationid,
        }
        for (source, type_, subject), item in sorted(unique.items(), key=lambda pair: pair[0])
    ]
    for priority in sorted({_priority(item) for item in unique.values()}):
        run(
            connection,
            f"""UPDATE event SET priority = %(priority)s, due_at = now()
                WHERE priority > %(priority)s AND seq = ANY(ARRAY(
                  SELECT same.seq FROM jsonb_to_recordset(%(new)s) AS new(source text, type text, subject text),
                    LATERAL ({_STANDING}) AS same))""",  # noqa: S608 - ours
            {"priority": priority, "new": bulk([item for item in new if item["priority"] == priority])},
        )
    noted = rows(
        connection,
        f"""INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, correlationid, priority, state)
            SELECT source, id, type, subject, 'lane', 'notification', now(), correlationid, priority, 'notified'
            FROM jsonb_to_recordset(%s)
              AS new(source text, id text, type text, subject text, correlationid text, priority smallint)
            WHERE NOT EXISTS ({_STANDING})
            RETURNING source, type, subject""",  # noqa: S608 - ours
        [bulk(new)],
    )
    return [unique[row["source"], row["type"], row["subject"]] for row in noted]


def take(connection: Connection, seqs: Collection[int]) -> list[Row]:
    """Those of these events that are pending, locked: who takes them too waits, and then finds them done.

    Locks are taken in journal order, before any other, so that two who take the same cannot wait crosswise.
    """
    found = rows(
        connection,
        f"SELECT {_READ} FROM event WHERE seq = ANY(%s) ORDER BY seq FOR UPDATE",  # noqa: S608 - names are ours
        [list(seqs)],
    )
    return [row for row in found if row["state"] == "pending"]


def take_more(connection: Connection, taken: Sequence[Row], limit: int) -> list[Row]:
    """Other pending events of the same records, from messages still on their way: merged together they cost one write.

    Those too that wait for something: their record's last word may tell who it is, or that it is gone.
    At most `limit`; what someone else has taken is left to him.
    """
    subjects: dict[str, set[str]] = {}
    for row in taken:
        subjects.setdefault(row["source"], set()).add(row["subject"])
    more: list[Row] = []
    for source, some in subjects.items():
        more += rows(
            connection,
            f"""SELECT event.* FROM unnest(%s::text[]) AS asked (name), LATERAL (
                  SELECT {_READ} FROM event
                  WHERE source = %s AND subject = asked.name AND state <> 'done' AND seq <> ALL(%s)
                    AND state IN ('pending', 'waiting')
                  FOR UPDATE SKIP LOCKED) AS event
                LIMIT %s""",  # noqa: S608 - names are ours
            [list(some), source, [row["seq"] for row in taken], limit - len(more)],
        )
    return more


def finish(connection: Connection, endings: Sequence[Ending]) -> None:
    """Give each event its outcome, and note which entity it spoke of."""
    if not endings:
        return
    run(
        connection,
        """UPDATE event SET state = CASE WHEN new.outcome = 'DEAD' THEN 'dead' ELSE 'done' END, outcome = new.outcome,
                  error = new.error, entity_id = coalesce(new.entity_id, event.entity_id), finished_at = now(),
                  waits_for = NULL, deadline = NULL, lease = NULL, attempts = event.attempts + 1
           FROM jsonb_to_recordset(%s) AS new(seq bigint, outcome text, entity_id uuid, error text)
           WHERE event.seq = new.seq""",
        [bulk([columns(end) for end in endings])],
    )


def wait(connection: Connection, waiting: dict[int, str], *, seconds: int) -> None:
    """Put events to wait for an entity that is not known yet, by the key it will be known by."""
    if not waiting:
        return
    run(
        connection,
        """UPDATE event SET state = 'waiting', outcome = 'WAITING', waits_for = new.key,
                  deadline = coalesce(event.deadline, now() + make_interval(secs => %s))
           FROM jsonb_to_recordset(%s) AS new(seq bigint, key text) WHERE event.seq = new.seq""",
        [seconds, bulk([{"seq": seq, "key": key} for seq, key in waiting.items()])],
    )


def wake(connection: Connection, keys: Collection[str]) -> list[Event]:
    """Make events pending again whose awaited entity has appeared."""
    if not keys:
        return []
    return events(
        rows(
            connection,
            f"""UPDATE event SET state = 'pending', outcome = NULL, waits_for = NULL, deadline = NULL, due_at = now()
                WHERE state = 'waiting' AND waits_for = ANY(%s) RETURNING {_ENVELOPE}""",  # noqa: S608 - names are ours
            [list(keys)],
        )
    )


def wake_known(connection: Connection, limit: int = 1000) -> list[Event]:
    """Make events pending again that wait for what is known: the sweep's net under `wake`.

    Those too that wait for a person whom nobody asks any more, and payments that others have told of meanwhile.
    """
    return events(
        rows(
            connection,
            f"""UPDATE event SET state = 'pending', outcome = NULL, waits_for = NULL, deadline = NULL, due_at = now()
                WHERE seq = ANY(ARRAY(
                  SELECT seq FROM event AS waiting WHERE state = 'waiting' AND (EXISTS (
                    SELECT 1 FROM identity WHERE identity.kind = 'order' AND identity.key = waiting.waits_for)
                    OR starts_with(waits_for, 'match/') AND (NOT ({_ASKED}) OR ({_TOLD})))
                  LIMIT %s FOR UPDATE OF waiting SKIP LOCKED))
                RETURNING {_ENVELOPE}""",  # noqa: S608 - names are ours
            [limit],
        )
    )


_ASKED = """EXISTS (SELECT 1 FROM question WHERE question.state = 'open' AND question.system = waiting.source
                      AND question.subject = waiting.subject)"""
_TOLD = """waiting.kind = 'payment' AND EXISTS (
             SELECT 1 FROM jsonb_to_recordset(
               CASE jsonb_typeof(waiting.data -> 'records') WHEN 'array' THEN waiting.data -> 'records' ELSE '[]' END)
               AS ref(system text, type text, id text)
             JOIN identity ON kind = 'payment' AND key = ref.system || '/' || ref.type || '/' || ref.id)"""


def unmerged(connection: Connection, source: str, subject: str, keys: Collection[str], limit: int = 100) -> list[Row]:
    """Events that have not ended: of a record, or that wait for something known by one of these keys."""
    return rows(
        connection,
        """SELECT source || '/' || subject AS record, event.type, event.state, waits_for, deadline, letter.id AS letter
           FROM event LEFT JOIN dead_letter AS letter ON letter.event_seq = event.seq
           WHERE seq = ANY(ARRAY(
             SELECT seq FROM event WHERE source = %(source)s AND subject = %(subject)s AND state <> 'done'
             UNION SELECT seq FROM event WHERE state = 'waiting' AND waits_for = ANY(%(keys)s)))
           ORDER BY seq LIMIT %(limit)s""",
        {"source": source, "subject": subject, "keys": list(keys), "limit": limit},
    )


def overdue(connection: Connection) -> list[Row]:
    """Waiting events whose deadline has passed, locked; a second beat skips them."""
    return rows(
        connection,
        """SELECT * FROM event WHERE state = 'waiting' AND deadline < now()
           ORDER BY deadline LIMIT 500 FOR UPDATE SKIP LOCKED""",
    )


def unpublished(connection: Connection, *, older_s: float, limit: int = 5000) -> list[Event]:
    """Pending events nobody has taken for `older_s`: their bell was lost. Each is named once per that time.

    Payments first, then the oldest. As an array, for the planner to look up as many rows as it holds, however many the
    journal has.
    """
    lost = "SELECT seq FROM event WHERE state = 'pending' AND due_at < now() - make_interval(secs => %(older)s)"
    return events(
        rows(
            connection,
            f"""WITH payments AS ({lost} AND priority <= {URGENT} ORDER BY due_at LIMIT %(limit)s
                       FOR UPDATE SKIP LOCKED),
                     others AS ({lost} AND priority > {URGENT} ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
                UPDATE event SET due_at = now() + make_interval(secs => %(older)s)
                WHERE seq = ANY(ARRAY(
                  SELECT seq FROM payments UNION ALL SELECT seq FROM others LIMIT %(limit)s))
                RETURNING {_ENVELOPE}""",  # noqa: S608 - names are ours
            {"older": older_s, "limit": limit},
        )
    )


def claim_notified(
    connection: Connection, system: str, lease: UUID, *, seconds: int, limit: int, urgent: bool
) -> list[Row]:
    """Lease waiting notifications of one system, the urgent and the old first; each lane its own."""
    found = rows(
        connection,
        f"""UPDATE event SET lease = %(lease)s, lease_until = now() + make_interval(secs => %(seconds)s)
           WHERE seq IN (
             SELECT seq FROM event WHERE state = 'notified' AND source = %(system)s AND due_at <= now()
               AND {URGENT_ONLY if urgent else NOT_URGENT} AND (lease IS NULL OR lease_until < now())
             ORDER BY priority, due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
           RETURNING *, now() AS claimed_at""",  # noqa: S608 - ours
        {"lease": lease, "seconds": seconds, "system": system, "limit": limit},
    )
    return sorted(found, key=lambda row: (row["priority"], row["seq"]))


def renew_notified(connection: Connection, lease: UUID, seqs: Collection[int], *, seconds: int) -> None:
    """Hold leased notifications for a full lease from now: those that still are ours."""
    run(
        connection,
        """UPDATE event SET lease_until = now() + make_interval(secs => %s)
           WHERE seq = ANY(%s) AND lease = %s AND state = 'notified'""",
        [seconds, sorted(seqs), lease],
    )


def leased(connection: Connection, lease: UUID, seqs: Collection[int]) -> set[int]:
    """Those of the leased notifications that still are ours, locked: of others somebody else says what became."""
    found = rows(
        connection,
        "SELECT seq FROM event WHERE seq = ANY(%s) AND lease = %s AND state = 'notified' ORDER BY seq FOR UPDATE",
        [sorted(seqs), lease],
    )
    return {row["seq"] for row in found}


def close_notified(connection: Connection, lease: UUID, outcomes: dict[int, Outcome]) -> None:
    """End leased notifications: APPLIED when they led to an event, DUPLICATE or ECHO when they told nothing new."""
    run(
        connection,
        """UPDATE event SET state = 'done', outcome = new.outcome, finished_at = now(), lease = NULL,
                  attempts = event.attempts + 1
           FROM jsonb_to_recordset(%s) AS new(seq bigint, outcome text)
           WHERE event.seq = new.seq AND event.lease = %s""",
        [bulk([{"seq": seq, "outcome": outcome} for seq, outcome in outcomes.items()]), lease],
    )


def postpone(connection: Connection, lease: UUID, until: Mapping[int, datetime], *, counts: bool, error: str) -> None:
    """Give leased notifications back, each to be taken at its time."""
    run(
        connection,
        """UPDATE event SET lease = NULL, lease_until = NULL, due_at = new.until, attempts = attempts + %s, error = %s
           FROM jsonb_to_recordset(%s) AS new(seq bigint, until timestamptz)
           WHERE event.seq = new.seq AND lease = %s AND state = 'notified'""",
        [int(counts), error, bulk([{"seq": seq, "until": at} for seq, at in until.items()]), lease],
    )


def retranslated(connection: Connection, seq: int, entry: Entry) -> None:
    """Replace what was made of a dead event's raw record, and make it pending again."""
    run(
        connection,
        "UPDATE event SET data = %s, held = %s WHERE seq = %s",
        [Jsonb(entry.event.data), Jsonb([asdict(item) for item in entry.held]), seq],
    )


def let_go(connection: Connection, seq: int) -> None:
    """What was held back of an event is not looked for any more."""
    run(connection, "UPDATE event SET held = '[]' WHERE seq = %s", [seq])


def revive(connection: Connection, seqs: Collection[int]) -> list[Row]:
    """Make dead events pending (or, without data, notified) again."""
    return rows(
        connection,
        """UPDATE event SET state = CASE WHEN kind = 'notification' THEN 'notified' ELSE 'pending' END, outcome = NULL,
                  error = NULL, attempts = 0, due_at = now(), finished_at = NULL
           WHERE seq = ANY(%s) AND state = 'dead' AND kind <> 'unreadable' RETURNING *""",
        [list(seqs)],
    )


def moving(connection: Connection, source: str, subjects: Collection[str]) -> dict[str, str]:
    """Subjects something is known of that has not ended well yet: "pending", "notified", "waiting" or "dead"."""
    found = rows(
        connection,
        """SELECT DISTINCT ON (subject) subject, state FROM event
           WHERE source = %s AND subject = ANY(%s) AND state <> 'done' ORDER BY subject, seq DESC""",
        [source, list(subjects)],
    )
    return {row["subject"]: row["state"] for row in found}


def waiting(connection: Connection, source: str, subjects: Collection[str]) -> set[str]:
    """Subjects of which an event waits for an answer, or for something that is not known yet."""
    found = rows(
        connection,
        """SELECT DISTINCT subject FROM event
           WHERE source = %s AND subject = ANY(%s) AND state <> 'done' AND state = 'waiting'""",
        [source, list(subjects)],
    )
    return {row["subject"] for row in found}


def merging(connection: Connection, source: str) -> bool:
    """Has a system told of anything that is not merged yet?"""
    query = "SELECT 1 AS there FROM event WHERE source = %s AND state <> 'done' AND state = 'pending' LIMIT 1"
    return one(connection, query, [source]) is not None


def latest(connection: Connection, entity: UUID, source: str, subject: str) -> Event | None:
    """The last that a record of an entity told of itself, while the journal has it."""
    found = rows(
        connection,
        f"""SELECT {_ENVELOPE} FROM event WHERE entity_id = %s AND source = %s AND subject = %s AND data IS NOT NULL
            ORDER BY seq DESC LIMIT 1""",  # noqa: S608 - names are ours
        [entity, source, subject],
    )
    return events(found)[0] if found else None


def last_told(connection: Connection, records: Mapping[tuple[str, str], UUID]) -> dict[tuple[str, str], datetime]:
    """When these records of entities spoke last, by their systems' clocks, of what was told, not read, and counted."""
    if not records:
        return {}
    asked = [
        {"entity_id": entity, "source": source, "subject": subject} for (source, subject), entity in records.items()
    ]
    found = rows(
        connection,
        """SELECT source, subject, max(occurred_at) AS at
           FROM jsonb_to_recordset(%s) AS asked(entity_id uuid, source text, subject text)
             JOIN event USING (entity_id, source, subject)
           WHERE event.data IS NOT NULL AND observed_at IS NULL AND right(event.type, 8) <> '.deleted'
             AND outcome IN ('APPLIED', 'UNCHANGED', 'ECHO', 'OVERRULED')
           GROUP BY source, subject""",
        [bulk(asked)],
    )
    return {(row["source"], row["subject"]): row["at"] for row in found}


def by_seq(connection: Connection, seqs: Collection[int]) -> list[Row]:
    """Journal rows by their sequence numbers."""
    return rows(connection, "SELECT * FROM event WHERE seq = ANY(%s) ORDER BY seq", [list(seqs)])


def forget(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete events that ended and are past their keeping, at most so many. How many went.

    Dead ones once their letter is gone. Not what a dead letter speaks of, nor an open conflict.
    """
    old = "finished_at < now() - make_interval(days => %(days)s)"
    free = """NOT EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.event_seq = event.seq)
      AND NOT EXISTS (SELECT 1 FROM conflict WHERE conflict.entity_id = event.entity_id AND conflict.state = 'open')"""
    one_state = "(SELECT seq FROM event WHERE state = '{}' AND {} AND {} ORDER BY finished_at LIMIT %(limit)s)"
    some = " UNION ALL ".join(one_state.format(state, old, free) for state in ("done", "dead"))
    return run(
        connection,
        f"DELETE FROM event WHERE seq = ANY(ARRAY(SELECT seq FROM ({some}) AS ended LIMIT %(limit)s))",  # noqa: S608
        {"days": keep_days, "limit": limit},
    )


def event_of(row: Row) -> Event:
    """The envelope of a journal row."""
    return Event.model_construct(
        specversion="1.0",
        id=row["id"],
        source=row["source"],
        type=row["type"],
        subject=row["subject"],
        time=row["occurred_at"],
        data=row["data"],
        partitionkey=row["partitionkey"],
        correlationid=row["correlationid"],
        causationid=row["causationid"],
        sourceversion=row["sourceversion"],
        actor=row["actor"],
    )


def events(found: Sequence[Row]) -> list[Event]:
    """Envelopes of journal rows, in journal order."""
    return [event_of(row) for row in sorted(found, key=lambda row: row["seq"])]


def busy(connection: Connection) -> bool:
    """Is anything on its way: pending or notified events, or due deliveries."""
    found = one(
        connection,
        """SELECT EXISTS (SELECT 1 FROM event WHERE state = 'pending')
             OR EXISTS (SELECT 1 FROM event WHERE state = 'notified')
             OR EXISTS (SELECT 1 FROM delivery WHERE state = 'due') AS busy""",
    )
    return bool(found and found["busy"])
