"""Erased records: those whose person was erased. What they say of a person is kept out of the ledger, whoever says it.

A record is known as erased by the SHA-256 of its name, since its id may be a person's own (an INN). The SQL below is
for the statements that let something in: in each it costs a look at an index which is nearly always empty.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from bus.ledger.database import Connection, bulk, rows, run
from bus.model import PERSONAL

NAMES = sorted(frozenset().union(*PERSONAL.values()))
"""Fields that speak of a person, of any kind of entity; no two kinds mean different things by one of them."""
WHY = "its person was erased: nothing of it is taken in (bus erase)"


def name(source: str, subject: str) -> str:
    """SQL for what a record is known by as erased."""
    return f"encode(sha256(convert_to({source} || '/' || {subject}, 'UTF8')), 'hex')"


def known(source: str, subject: str) -> str:
    """SQL: is this record an erased one? The first question spares everybody the second one while nobody was erased."""
    its = f"EXISTS (SELECT 1 FROM erased WHERE erased.record = {name(source, subject)})"  # noqa: S608 - ours
    return f"(EXISTS (SELECT 1 FROM erased) AND {its})"  # noqa: S608 - ours


def without_person(kind: str, data: str) -> str:
    """SQL for an event's data without what they say of a person; a payment's references may bear an INN."""
    return f"""CASE {kind} WHEN 'order' THEN ({data} - '{{customer,comment}}'::text[]) #- '{{delivery,address}}'
                    WHEN 'payment' THEN {data} - 'records' END"""


def among(connection: Connection, subjects: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the records, by (system, subject), that are erased."""
    if not subjects:
        return set()
    found = rows(
        connection,
        f"""SELECT source, subject FROM unnest(%s::text[], %s::text[]) AS asked(source, subject)
            WHERE {known("source", "subject")}""",  # noqa: S608 - ours
        [[source for source, _ in subjects], [subject for _, subject in subjects]],
    )
    return {(row["source"], row["subject"]) for row in found}


def close(connection: Connection, records: Collection[tuple[str, str, UUID]]) -> None:
    """From now on nothing of a person is taken in of these records: (system, subject, entity)."""
    run(
        connection,
        f"""INSERT INTO erased (record, entity_id)
            SELECT DISTINCT ON (1) {name("source", "subject")}, entity_id
            FROM jsonb_to_recordset(%s) AS new(source text, subject text, entity_id uuid) ORDER BY 1
            ON CONFLICT (record) DO UPDATE SET entity_id = excluded.entity_id""",  # noqa: S608 - ours
        [bulk([{"source": source, "subject": subject, "entity_id": entity} for source, subject, entity in records])],
    )


def take_out(connection: Connection, events: Collection[tuple[int, UUID]]) -> None:
    """Of events of erased entities that came under a name nobody had closed: (event, entity). Their names are closed.

    The caller holds the events and their entities.
    """
    if not events:
        return
    found = rows(
        connection,
        f"""UPDATE event SET data = {without_person("event.kind", "event.data")}, raw = NULL, former = NULL,
              erased = true
            WHERE seq = ANY(%s) AND NOT erased RETURNING seq, source, subject""",  # noqa: S608 - ours
        [[seq for seq, _ in events]],
    )
    entities = dict(events)
    close(connection, [(row["source"], row["subject"], entities[row["seq"]]) for row in found])


def live_on(connection: Connection, entity: UUID) -> None:
    """A counterparty that was erased is there again, by a record that is not: its erased ones stay closed."""
    run(connection, "UPDATE entity SET erased_at = NULL WHERE id = %s", [entity])


def lift(connection: Connection, entities: Sequence[UUID], names: Collection[tuple[str, str]]) -> int:
    """Take in again what their records say from now on. How many records that are.

    What they said while they were erased is news when it is said again: those events give up their ids.
    """
    run(connection, "UPDATE entity SET erased_at = NULL WHERE id = ANY(%s)", [list(entities)])
    run(
        connection,
        """UPDATE event SET id = id || '/erased-' || seq WHERE erased AND state = 'done'
             AND (source, subject) IN (SELECT * FROM unnest(%s::text[], %s::text[]))""",
        [[source for source, _ in names], [subject for _, subject in names]],
    )
    return run(connection, "DELETE FROM erased WHERE entity_id = ANY(%s)", [list(entities)])


def of_record(connection: Connection, system: str, subject: str) -> UUID | None:
    """The entity whose erased record this is."""
    found = rows(
        connection,
        f"""SELECT entity_id FROM erased WHERE record = {name("%s::text", "%s::text")}""",  # noqa: S608 - ours
        [system, subject],
    )
    return found[0]["entity_id"] if found else None
