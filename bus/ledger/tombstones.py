"""Tombstones: which records their systems deleted, and when. What was said before that, and comes after it, is over.

One stays when the journal and the entity are forgotten: without it a word sent again would bring back what is gone. It
is known by the SHA-256 of the record's name, as an erased one is: the id may be a person's own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from bus.ledger import erased
from bus.ledger.database import Connection, Row, bulk, columns, rows, run

Name = tuple[str, str]
"""Of a record: its system and its subject."""


def name(row: Row) -> Name:
    """Of the record that an event speaks of."""
    return row["source"], row["subject"]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A record's deletion."""

    at: datetime
    """By its system's clock; of one that we noticed ourselves, by the ledger's."""
    noted_at: datetime
    """By the ledger's clock."""
    version: int | None = None

    @classmethod
    def of(cls, row: Row) -> Tombstone:
        """What an event tells that says that its record is deleted."""
        return cls(row["occurred_at"], row["received_at"], row["version"])

    def covers(self, row: Row) -> bool:
        """Does a word of the record come from before its deletion, as far as anyone can tell?

        A reading of ours does that began before the deletion was noted; one that began later shows that it lives. Of
        what was told to us the version decides, where both have one, else its system's clock.
        """
        if row["observed_at"] is not None:
            return bool(row["observed_at"] < self.noted_at)
        if row["version"] is not None and self.version is not None:
            return bool(row["version"] <= self.version)
        return bool(row["occurred_at"] <= self.at)

    def or_later(self, other: Tombstone | None) -> Tombstone:
        """One for two deletions of a record: what came before the later one is over.

        A version counts where both have one: it says nothing of when the other was.
        """
        if other is None:
            return self
        version = None if self.version is None or other.version is None else max(self.version, other.version)
        return Tombstone(max(self.at, other.at), max(self.noted_at, other.noted_at), version)


def of(connection: Connection, names: Collection[Name]) -> dict[Name, Tombstone]:
    """Those of the records that were deleted once, be they there again."""
    if not names:
        return {}
    found = rows(
        connection,
        f"""SELECT source, subject, at, noted_at, version
            FROM unnest(%s::text[], %s::text[]) AS asked(source, subject)
              JOIN tombstone ON record = {erased.name("source", "subject")}""",  # noqa: S608 - ours
        [[source for source, _ in names], [subject for _, subject in names]],
    )
    return {(row["source"], row["subject"]): Tombstone(row["at"], row["noted_at"], row["version"]) for row in found}


def coming(connection: Connection, names: Collection[Name]) -> dict[Name, datetime]:
    """Those of the records whose deletions are journaled and not heard yet: when the first of them was noted."""
    if not names:
        return {}
    found = rows(
        connection,
        """SELECT source, subject, first.noted_at
           FROM unnest(%s::text[], %s::text[]) AS asked(source, subject), LATERAL (
             SELECT min(received_at) AS noted_at FROM event
             WHERE event.source = asked.source AND event.subject = asked.subject AND state = 'pending'
               AND right(type, 8) = '.deleted') AS first
           WHERE first.noted_at IS NOT NULL""",
        [[source for source, _ in names], [subject for _, subject in names]],
    )
    return {(row["source"], row["subject"]): row["noted_at"] for row in found}


def put(connection: Connection, stones: Mapping[Name, Tombstone]) -> None:
    """Remember deletions; of several of one record the latest, as `or_later` has it."""
    if not stones:
        return
    new = [{"source": source, "subject": subject, **columns(one)} for (source, subject), one in stones.items()]
    run(
        connection,
        f"""INSERT INTO tombstone (record, at, noted_at, version)
            SELECT {erased.name("source", "subject")} AS record, at, noted_at, version
            FROM jsonb_to_recordset(%s)
              AS new(source text, subject text, at timestamptz, noted_at timestamptz, version bigint)
            ORDER BY record
            ON CONFLICT (record) DO UPDATE SET at = greatest(tombstone.at, excluded.at),
              noted_at = greatest(tombstone.noted_at, excluded.noted_at),
              version = CASE WHEN tombstone.version IS NOT NULL AND excluded.version IS NOT NULL
                             THEN greatest(tombstone.version, excluded.version) END""",  # noqa: S608 - ours
        [bulk(new)],
    )


def forget(connection: Connection, stones: Mapping[Name, Tombstone]) -> None:
    """Take away those of records that live, and that the ledger need not know: else each reading would be news."""
    if not stones:
        return
    old = [{"source": source, "subject": subject, **columns(one)} for (source, subject), one in stones.items()]
    run(
        connection,
        f"""DELETE FROM tombstone USING jsonb_to_recordset(%s) AS old(source text, subject text, noted_at timestamptz)
            WHERE record = {erased.name("source", "subject")} AND tombstone.noted_at <= old.noted_at""",  # noqa: S608 - ours
        [bulk(old)],
    )
