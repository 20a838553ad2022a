"""`bus status`: how much is on its way, what waits for whom, and since when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from bus import reconcile
from bus.cli import screen
from bus.cli.lanes import circuits
from bus.cli.wiring import wired
from bus.ledger import deliveries, letters, restored
from bus.ledger.database import Connection, one, rows

# Each count is answered by an index of its own; the journal's finished events are too many to be counted.
_EVENTS = """
    SELECT (SELECT count(*) FROM event WHERE state = 'notified' AND due_at IS NOT NULL) AS notified,
           (SELECT count(*) FROM event WHERE state = 'pending' AND due_at IS NOT NULL) AS pending,
           (SELECT count(*) FROM event WHERE state = 'waiting') AS waiting,
           (SELECT count(*) FROM event JOIN dead_letter ON event_seq = seq WHERE event.state = 'dead') AS dead,
           (SELECT count(*) FROM event WHERE state = 'done' AND finished_at > now() - interval '1 day') AS done_today"""
_OUTCOMES = """
    SELECT outcome, count(*) AS events FROM event WHERE state = 'done' AND finished_at > now() - interval '1 day'
    GROUP BY outcome ORDER BY count(*) DESC"""
_OLDEST = """
    SELECT entity_id, system, attempts, last_error, extract(epoch FROM now() - since)::float AS waits_s
    FROM delivery WHERE state = 'due' ORDER BY since LIMIT 1"""


def status(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show how much is on its way, what waits for a person, and since when."""
    wiring = wired(context)
    with wiring.ledger.transaction() as connection:
        found = _look(connection)
    found["circuits"] = circuits(wiring)
    if json:
        screen.as_json(found)
    else:
        _show(found)


def _look(connection: Connection) -> dict[str, Any]:
    runs = reconcile.latest(connection, 1)
    conflicts = one(connection, "SELECT count(*) AS n, min(deadline) AS next FROM conflict WHERE state = 'open'")
    asked = one(connection, "SELECT count(*) AS n, min(deadline) AS next FROM question WHERE state = 'open'")
    return {
        "events": one(connection, _EVENTS),
        "outcomes_today": {row["outcome"]: row["events"] for row in rows(connection, _OUTCOMES)},
        "lanes": deliveries.lanes(connection),
        "oldest_due": one(connection, _OLDEST),
        "dead_letters": letters.groups(connection),
        "conflicts": {"open": conflicts["n"], "next_deadline": conflicts["next"]} if conflicts else {},
        "questions": {"open": asked["n"], "next_deadline": asked["next"]} if asked else {},
        "last_reconcile": runs[0] if runs else None,
        "failing_poll": reconcile.failing_poll(connection),
        "last_backup": restored.last_backup(connection),
        "restored_to": restored.since(connection),
    }


def _show(found: dict[str, Any]) -> None:
    if found["restored_to"]:
        since = screen.plain(found["restored_to"])
        say = f"restored to {since} UTC: nothing is written until a reconciliation read all"
        screen.out().print(say + _unread(found["last_reconcile"], found["restored_to"]))
    outcomes = ", ".join(f"{count} {name}" for name, count in found["outcomes_today"].items())
    today = found["events"].pop("done_today")
    states = [*found["events"].items(), ("done in the last 24 h", f"{today}: {outcomes}" if outcomes else today)]
    screen.table("events", ("state", "events"), states)
    lanes = [[*list(row.values())[:-1], screen.age(row["oldest_s"])] for row in found["lanes"]]
    screen.table("lanes", ("system", "due", "payments", "in flight", "dead", "parked", "oldest"), lanes)
    for system, circuit in found["circuits"].items():
        screen.out().print(f"circuit of {system}: {_circuit(circuit)}")
    oldest = found["oldest_due"]
    if oldest:
        why = f", {oldest['attempts']} attempts: {oldest['last_error']}" if oldest["last_error"] else ""
        say = f"{screen.age(oldest['waits_s'])}, entity {oldest['entity_id']} in {oldest['system']}{why}"
        screen.out().print(f"oldest due: {say}")
    groups = [(row["cause"], row["system"], row["letters"], row["last_at"]) for row in found["dead_letters"]]
    screen.table("dead letters", ("cause", "system", "letters", "last at"), groups, empty="none is open")
    conflicts = found["conflicts"]
    until = (
        f", the first is decided by default at {screen.plain(conflicts['next_deadline'])}" if conflicts["open"] else ""
    )
    screen.out().print(f"conflicts: {conflicts['open']} open{until}")
    asked = found["questions"]
    late = f", the first is a dead letter at {screen.plain(asked['next_deadline'])}" if asked["open"] else ""
    screen.out().print(f"questions (who is this?): {asked['open']} open{late}")
    screen.out().print(f"last reconcile: {_run(found['last_reconcile'])}")
    if polls := found["failing_poll"]:
        why = "; ".join(f"{system}: {error}" for system, error in polls["report"]["errors"].items())
        screen.out().print(f"polls fail since {screen.plain(polls['started_at'])} UTC: {why}")
    screen.out().print(f"last backup: {_backup(found['last_backup'])}")


def _unread(row: dict[str, Any] | None, since: datetime) -> str:
    """What the last run could not read: a restored ledger is held by it. A run of before was one in the lost ledger."""
    systems = row["report"].get("systems", ()) if row and row["started_at"] > since else ()
    unread = sum(system.get("unreadable", 0) - system.get("waived", 0) for system in systems)
    if not unread:
        return ""
    return (
        f"; {unread} records could not be read: mend and retry (or discard) their dead letters, `bus reconcile --full`"
    )


def _circuit(found: dict[str, Any]) -> str:
    since = f" since {screen.plain(found['since'])}" if found["since"] else ""
    until = f", tried again at {screen.plain(found['until'])}" if found["until"] else ""
    reason = f": {found['reason']}" if found["reason"] else ""
    return f"{found['circuit']}{since}{until}{reason}"


def _run(row: dict[str, Any] | None) -> str:
    if row is None:
        return "never"
    systems = row["report"].get("systems", ())
    drifted = sum(system["missed"] + system["waiting"] for system in systems)
    unreadable = sum(system.get("unreadable", 0) for system in systems)
    failed = ", ".join(system["system"] for system in systems if system.get("error"))
    state = f"{drifted} drifted, {unreadable} unreadable" if row["finished_at"] else "not finished"
    why = f"; failed: {failed}, see `bus runs {row['id']}`" if failed else ""
    return f"run {row['id']} at {screen.plain(row['started_at'])} UTC, {state}{why}"


def _backup(row: dict[str, Any] | None) -> str:
    if row is None:
        return "never, by `bus backup`"
    report, at = row["report"], f"{screen.plain(row['started_at'])} UTC"
    if not row["finished_at"]:
        return f"{at}, not finished"
    return f"{at}, failed: {report['error']}" if "error" in report else f"{at}, {report['file']}"
