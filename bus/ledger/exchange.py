"""Files that 1C sends us as to a site: taken in chunk by chunk, imported by one worker at a time, kept for replay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from bus.channels import CHORES
from bus.ledger import erased
from bus.ledger.database import Connection, Row, one, rows, run
from bus.model import Json

_ONE_AT_A_TIME = 0x45584348
"""Advisory lock under which a file to import is chosen: two must not choose for one system at the same moment."""
_STAGED = "/"
"""What the name of a body that is still arriving begins with; no file's name does (bus.exchange_names)."""
_STAGED_KEPT_H = 1
_FILES_AT_ONCE = 200
"""So many are forgotten in one transaction: each may have gigabytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file belongs: whose it is, in which upload folder, under what type and name."""

    system: str
    folder: str
    type: str
    name: str


@dataclass(frozen=True, slots=True)
class File:
    """One file, as far as it has come."""

    id: int
    place: Place
    profile: str
    state: str
    bytes: int
    created_at: datetime
    error: str | None = None
    report: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unread:
    """A document that cannot be taken in, and why. `subject` is None where it does not even say what it is."""

    system: str
    name: str
    """By what a repetition of the very same document is known."""
    event_type: str
    kind: str
    channel: str
    subject: str | None
    raw: Json
    reason: str
    at: datetime


def _file(row: Row) -> File:
    place = Place(row["system"], row["session"], row["type"], row["name"])
    return File(
        row["id"],
        place,
        row["profile"],
        row["state"],
        row["bytes"],
        row["created_at"],
        row["error"],
        row["report"],
    )


# --- taking in -------------------------------------------------------------------------------------------------------


def find(connection: Connection, place: Place) -> File | None:
    """The file of that name."""
    found = one(
        connection,
        "SELECT * FROM exchange_file WHERE system = %s AND session = %s AND type = %s AND name = %s",
        [place.system, place.folder, place.type, place.name],
    )
    return _file(found) if found else None


def archives(connection: Connection, place: Place) -> list[File]:
    """The archives of a folder: what is asked to be imported and is no file there may be inside."""
    found = rows(
        connection,
        """SELECT * FROM exchange_file WHERE system = %s AND session = %s AND type = %s AND lower(name) LIKE '%%.zip'
           ORDER BY id""",
        [place.system, place.folder, place.type],
    )
    return [_file(row) for row in found]


def stage(connection: Connection, place: Place, profile: str) -> int:
    """Begin a body that is more than one chunk: it is nobody's file until it is here whole."""
    return _made(connection, place, f"{_STAGED}{uuid4()}", profile)


def add(connection: Connection, file_id: int, body: bytes) -> None:
    """Put a chunk at the end; the caller holds the file's row, or is the only one who knows it."""
    run(
        connection,
        """INSERT INTO exchange_chunk (file_id, n, body)
           SELECT %(file)s, coalesce(max(n) + 1, 0), %(body)s FROM exchange_chunk WHERE file_id = %(file)s""",
        {"file": file_id, "body": body},
    )
    run(
        connection,
        "UPDATE exchange_file SET bytes = bytes + %s, updated_at = now() WHERE id = %s",
        [len(body), file_id],
    )


def append(connection: Connection, place: Place, profile: str, staged: int | None, last: bytes) -> File:
    """Put a whole body at the end of its file, which is made by it. Returns the file, which may be no more open.

    A file of that name whose import has ended makes room for a new one; one that waits for its import, or is in it, is
    returned as it is, and the body is not taken.
    """
    file = _opened(connection, place, profile)
    if file.state != "receiving":
        return file
    if staged is not None:
        _take_over(connection, file.id, staged)
    if last or staged is None:
        add(connection, file.id, last)
    found = find(connection, place)
    return found or file


def drop(connection: Connection, staged: int) -> None:
    """Forget a body that broke off."""
    run(connection, "DELETE FROM exchange_file WHERE id = %s AND state = 'receiving'", [staged])


def empty(connection: Connection, system: str, folder: str) -> None:
    """Forget what was being received in a folder: a new run must not be appended to a broken one."""
    run(
        connection,
        "DELETE FROM exchange_file WHERE system = %s AND session = %s AND state = 'receiving'",
        [system, folder],
    )


def _opened(connection: Connection, place: Place, profile: str) -> File:
    """The file of that name, locked; one whose import has ended moves aside for it."""
    key = [place.system, place.folder, place.type, place.name]
    where = "system = %s AND session = %s AND type = %s AND name = %s"
    run(
        connection,
        f"""UPDATE exchange_file SET session = session || '/' || id
            WHERE {where} AND state IN ('done', 'failed', 'aside')""",  # noqa: S608 - ours
        key,
    )
    run(
        connection,
        """INSERT INTO exchange_file (system, session, type, name, profile, state)
           VALUES (%s, %s, %s, %s, %s, 'receiving') ON CONFLICT (system, session, type, name) DO NOTHING""",
        [*key, profile],
    )
    found = rows(connection, f"SELECT * FROM exchange_file WHERE {where} FOR UPDATE", key)  # noqa: S608 - ours
    return _file(found[0])


def _take_over(connection: Connection, file_id: int, staged: int) -> None:
    """What was staged is the file's, at its end. Only the rows' keys are written: their bodies stay where they are."""
    run(
        connection,
        """UPDATE exchange_chunk SET file_id = %(file)s, n = n + (
             SELECT coalesce(max(n) + 1, 0) FROM exchange_chunk WHERE file_id = %(file)s)
           WHERE file_id = %(staged)s""",
        {"file": file_id, "staged": staged},
    )
    run(
        connection,
        """UPDATE exchange_file SET updated_at = now(), bytes = bytes + (
             SELECT bytes FROM exchange_file WHERE id = %(staged)s) WHERE id = %(file)s""",
        {"file": file_id, "staged": staged},
    )
    drop(connection, staged)


def _made(connection: Connection, place: Place, name: str, profile: str) -> int:
    made = rows(
        connection,
        """INSERT INTO exchange_file (system, session, type, name, profile, state)
           VALUES (%s, %s, %s, %s, %s, 'receiving') RETURNING id""",
        [place.system, place.folder, place.type, name, profile],
    )
    return int(made[0]["id"])


# --- importing -------------------------------------------------------------------------------------------------------


def await_import(connection: Connection, file_id: int) -> bool:
    """A received file is complete, and waits for whoever imports it. False when it did so before."""
    query = "UPDATE exchange_file SET state = 'waiting', updated_at = now() WHERE id = %s AND state = 'receiving'"
    return run(connection, query, [file_id]) == 1


def set_aside(connection: Connection, file_id: int) -> None:
    """A received file holds nothing that we read (goods, prices, pictures)."""
    run(
        connection,
        """UPDATE exchange_file SET state = 'aside', updated_at = now(), finished_at = now()
           WHERE id = %s AND state = 'receiving'""",
        [file_id],
    )


def quiet(connection: Connection, seconds: float) -> list[File]:
    """Files that nobody added to for so long, and nobody asked to import: some 1C do not ask."""
    found = rows(
        connection,
        """SELECT * FROM exchange_file WHERE state = 'receiving' AND left(name, 1) <> %s
             AND updated_at < now() - make_interval(secs => %s) ORDER BY id""",
        [_STAGED, seconds],
    )
    return [_file(row) for row in found]


def unfinished(connection: Connection, system: str) -> list[File]:
    """Files of a system that are not read to their end."""
    found = rows(
        connection,
        """SELECT * FROM exchange_file WHERE state IN ('receiving', 'waiting', 'importing') AND system = %s
             AND left(name, 1) <> %s""",
        [system, _STAGED],
    )
    return [_file(row) for row in found]


def claim(connection: Connection, lease: UUID, *, seconds: int) -> File | None:
    """Take the oldest waiting file of a system that nobody imports for, or one whose importer has fallen silent.

    Two files of one system are never imported at once: the later one would overtake the earlier.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ONE_AT_A_TIME])
    found = one(
        connection,
        """UPDATE exchange_file SET state = 'importing', lease = %(lease)s,
                  lease_until = now() + make_interval(secs => %(seconds)s), updated_at = now(),
                  report = jsonb_build_object('attempts', coalesce((report ->> 'attempts')::int, 0) + 1)
                           || CASE WHEN report ? 'replayed' THEN '{"replayed": true}'::jsonb ELSE '{}' END
           WHERE id = (
             SELECT id FROM exchange_file AS file
             WHERE (state = 'waiting' OR state = 'importing' AND lease_until < now()) AND NOT EXISTS (
               SELECT 1 FROM exchange_file AS other
               WHERE other.system = file.system AND other.state = 'importing' AND other.lease_until >= now())
             ORDER BY id LIMIT 1)
           RETURNING *""",
        {"lease": lease, "seconds": seconds},
    )
    return _file(found) if found else None


def go_on(connection: Connection, file_id: int, lease: UUID, report: Json, *, seconds: int) -> bool:
    """Note how far an import is, and hold the file for as long again. False when it is somebody else's by now."""
    return (
        run(
            connection,
            """UPDATE exchange_file SET report = %s, lease_until = now() + make_interval(secs => %s), updated_at = now()
               WHERE id = %s AND lease = %s""",
            [Jsonb(report), seconds, file_id, lease],
        )
        == 1
    )


def finish(connection: Connection, file_id: int, lease: UUID, state: str, error: str | None, report: Json) -> bool:
    """End an import; False for one that was lost to somebody else, which is left alone."""
    query = """UPDATE exchange_file SET state = %s, error = %s, report = %s, finished_at = now(), updated_at = now(),
                      lease = NULL, lease_until = NULL
               WHERE id = %s AND lease = %s"""
    return run(connection, query, [state, error, Jsonb(report), file_id, lease]) == 1


def failed(connection: Connection, file: File, reason: str) -> int:
    """Journal that a file could not be imported. A dead letter is of an event, so there is one to stand for the file.

    Returns its sequence number.
    """
    name = f"file/{file.id}"
    found = rows(
        connection,
        """INSERT INTO event
             (source, id, subject, channel, error, occurred_at, type, kind, state, outcome, finished_at)
           VALUES (%s, %s, %s, %s, %s, %s, 'unreadable', 'unreadable', 'dead', 'DEAD', now())
           ON CONFLICT (source, id) DO UPDATE
             SET state = 'dead', outcome = 'DEAD', error = excluded.error, finished_at = now()
           RETURNING seq""",
        [file.place.system, name, name, CHORES, reason, file.created_at],
    )
    return int(found[0]["seq"])


def imported(connection: Connection, file: File) -> list[int]:
    """Journal that a file was imported after all, where it had failed before: the event that stands for it."""
    found = rows(
        connection,
        """UPDATE event SET state = 'done', outcome = 'APPLIED', error = NULL, finished_at = now()
           WHERE source = %s AND id = %s RETURNING seq""",
        [file.place.system, f"file/{file.id}"],
    )
    return [row["seq"] for row in found]


def chunk(connection: Connection, file_id: int, n: int) -> bytes | None:
    """One chunk; None after the last."""
    found = one(connection, "SELECT body FROM exchange_chunk WHERE file_id = %s AND n = %s", [file_id, n])
    return bytes(found["body"]) if found else None


def unread(connection: Connection, documents: Sequence[Unread]) -> list[int | None]:
    """Journal documents that cannot be taken in, as dead: their raw records are kept for when they can.

    A sequence number for each; None for one that is there already, from an earlier try, and that nothing readable came
    after.
    """
    return [_unread(connection, document) for document in documents]


def _unread(connection: Connection, document: Unread) -> int | None:
    found = one(
        connection,
        f"""INSERT INTO event
             (source, id, type, subject, channel, kind, occurred_at, raw, erased, state, outcome, error, finished_at)
           SELECT source, id, type, subject, channel, kind, at, CASE WHEN gone THEN NULL ELSE raw END, gone,
                  'dead', 'DEAD', error, now()
           FROM (VALUES (%s, %s, %s, %s, %s, %s, %s::timestamptz, %s::jsonb, %s))
                  AS new(source, id, type, subject, channel, kind, at, raw, error),
                LATERAL (SELECT {erased.known("source", "subject")} AS gone) AS asked
           ON CONFLICT (source, id) DO UPDATE
             SET state = 'dead', outcome = 'DEAD', error = excluded.error, raw = excluded.raw,
                 erased = excluded.erased, occurred_at = excluded.occurred_at, finished_at = now()
             WHERE event.state = 'done' AND event.outcome = 'STALE'
           RETURNING seq""",  # noqa: S608 - ours
        [
            document.system,
            f"unread/{document.name}",
            document.event_type if document.subject else "unreadable",
            document.subject or f"document/{document.name}",
            document.channel,
            document.kind if document.subject else "unreadable",
            document.at,
            Jsonb(document.raw),
            document.reason,
        ],
    )
    return int(found["seq"]) if found else None


def told_anew(connection: Connection, system: str, subjects: Collection[str], at: datetime) -> list[int]:
    """End what could not be read of records that 1C has told of again: sent again it would pass for a change back.

    The events that stand for it.
    """
    found = rows(
        connection,
        """UPDATE event SET state = 'done', outcome = 'STALE', error = 'told of again since', finished_at = now()
           WHERE source = %s AND subject = ANY(%s) AND state <> 'done' AND state = 'dead' AND starts_with(id, 'unread/')
             AND occurred_at < %s RETURNING seq""",
        [system, list(subjects), at],
    )
    return [row["seq"] for row in found]


# --- looking, replaying, forgetting ----------------------------------------------------------------------------------


def listing(connection: Connection, *, system: str | None, state: str | None, limit: int) -> list[File]:
    """Files, the newest first."""
    found = rows(
        connection,
        """SELECT * FROM exchange_file WHERE left(name, 1) <> %(staged)s
             AND (%(system)s::text IS NULL OR system = %(system)s) AND (%(state)s::text IS NULL OR state = %(state)s)
           ORDER BY id DESC LIMIT %(limit)s""",
        {"staged": _STAGED, "system": system, "state": state, "limit": limit},
    )
    return [_file(row) for row in found]


def get(connection: Connection, file_id: int) -> File | None:
    """One file."""
    found = one(connection, "SELECT * FROM exchange_file WHERE id = %s", [file_id])
    return _file(found) if found else None


def replay(connection: Connection, file_id: int) -> bool:
    """Have a file imported once more. False when it waits for that, or is in it, or its body was dropped."""
    query = """UPDATE exchange_file SET state = 'waiting', error = NULL, report = '{"replayed": true}',
                      finished_at = NULL, updated_at = now()
               WHERE id = %s AND state IN ('receiving', 'done', 'failed', 'aside') AND NOT erased"""
    return run(connection, query, [file_id]) == 1


def superseded(connection: Connection, system: str, subjects: Collection[str], at: datetime) -> set[str]:
    """Records of a replayed file of which something newer is known: told by 1C since, or told to it by us."""
    found = rows(
        connection,
        """SELECT record.type || '/' || record.external_id AS subject FROM record
           WHERE system = %(system)s AND (type, external_id) IN (
               SELECT split_part(subject, '/', 1), substr(subject, strpos(subject, '/') + 1)
               FROM unnest(%(subjects)s::text[]) AS subject)
             AND (written_at > %(at)s OR EXISTS (
               SELECT 1 FROM event WHERE event.entity_id = record.entity_id AND event.source = record.system
                 AND event.subject = record.type || '/' || record.external_id AND event.occurred_at > %(at)s))""",
        {"system": system, "subjects": list(subjects), "at": at},
    )
    return {row["subject"] for row in found}


def kept(connection: Connection) -> list[File]:
    """Files whose bodies are here, the oldest first; those too that are still arriving."""
    found = rows(connection, "SELECT * FROM exchange_file WHERE NOT erased AND bytes > 0 ORDER BY id")
    return [_file(row) for row in found]


def erase(connection: Connection, file_id: int) -> bool:
    """Drop a file's body for good: it holds a person who was erased. False while it is not read to its end."""
    query = """UPDATE exchange_file SET erased = true, bytes = 0, updated_at = now(),
                      error = 'its body was dropped: it held a person who was erased'
               WHERE id = %s AND state IN ('done', 'failed', 'aside') AND NOT erased"""
    if run(connection, query, [file_id]) == 0:
        return False
    run(connection, "DELETE FROM exchange_chunk WHERE file_id = %s", [file_id])
    return True


def forget(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete files past their keeping, those set aside after a day, a bounded number at a time. How many went.

    Not one that failed as long as its letter waits for a person: a retry reads it again.
    """
    return run(
        connection,
        """DELETE FROM exchange_file WHERE id IN (
             SELECT id FROM exchange_file
             WHERE created_at < now() - interval '1 day' AND state NOT IN ('waiting', 'importing')
               AND (state = 'aside' OR created_at < now() - make_interval(days => %s))
               AND NOT EXISTS (SELECT 1 FROM event JOIN dead_letter AS letter ON letter.event_seq = event.seq
                               WHERE event.source = exchange_file.system AND event.id = 'file/' || exchange_file.id
                                 AND letter.state IN ('open', 'retried'))
             ORDER BY created_at LIMIT %s)""",
        [keep_days, min(limit, _FILES_AT_ONCE)],
    )


def forget_staged(connection: Connection) -> int:
    """Delete bodies that broke off and whose intake did not live to say so."""
    return run(
        connection,
        """DELETE FROM exchange_file
           WHERE state = 'receiving' AND left(name, 1) = %s AND updated_at < now() - make_interval(hours => %s)""",
        [_STAGED, _STAGED_KEPT_H],
    )
