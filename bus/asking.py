"""Asking: a task in the CRM for whoever is to decide a conflict, made once, handed over when time runs out, closed.

The call that makes a task may be lost half-way: then the task is looked for by its key before it is made again. A task
that cannot be made is told in the log; the conflict waits in `bus conflicts` all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from bus import points
from bus.config import Config
from bus.errors import BusError, NotReady, Permanent, Transient, UnknownOutcome
from bus.ledger import conflicts, entities
from bus.ledger.database import Connection, Ledger, Row
from bus.model import Json
from bus.ports import Task, Tasks

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_AGAIN = timedelta(minutes=1)
_SHARE = 0.75
"""When a conflict is pressing, where no tasks are configured."""


class Asking:
    """Tells people of conflicts. Beat has it done over and over, anywhere, several at once."""

    def __init__(self, ledger: Ledger, config: Config, tasks: Tasks | None, now: Callable[[], datetime]) -> None:
        self._ledger, self._config, self._tasks, self._now = ledger, config, tasks, now

    def ask(self) -> dict[str, int]:
        """Make the tasks that are wanted, hand over what is pressing, close what was decided."""
        return {"tasks_made": self._make(), "conflicts_pressing": self._press(), "tasks_closed": self._close()}

    def _make(self) -> int:
        if self._tasks is None or self._config.tasks is None:
            return 0
        late = self._config.systems[self._config.tasks.system].late_s
        with self._ledger.transaction() as connection:
            wanted = conflicts.take_tasks(connection, again_s=late)
        return sum(self._made(row, self._tasks) for row in wanted)

    def _made(self, row: Row, tasks: Tasks) -> bool:
        """Make one; noted before the call (`asking`), so that a lost answer is known for one."""
        try:
            known = tasks.find(str(row["task_key"])) if row["probe"] else None
            task_id = known or tasks.add(self._task(row))
        except UnknownOutcome as error:
            log.warning("task.unclear", conflict=row["id"], reason=str(error))
            return False
        except (Transient, NotReady) as error:
            until = error.until if isinstance(error, NotReady) else self._now() + _AGAIN
            if not row["probe"]:  # nothing was sent; one in doubt stays so until it could be looked for
                self._ledger.run(partial(conflicts.task_later, conflict_id=row["id"], until=until))
            return False
        except BusError as error:
            log.warning("task.refused", conflict=row["id"], reason=str(error))
            self._ledger.run(partial(conflicts.tasked, conflict_id=row["id"], state="none"))
            return False
        if __debug__:
            points.here("task.added")
        self._ledger.run(partial(conflicts.tasked, conflict_id=row["id"], state="there", task_id=task_id))
        log.info("task.made", conflict=row["id"], task=task_id)
        if row["escalated_at"] and not self._handed_over(row | {"task_id": task_id}):
            self._ledger.run(partial(conflicts.press_again, conflict_id=row["id"]))
        return True

    def _task(self, row: Row) -> Task:
        config = self._config.tasks
        if config is None:
            raise Permanent("no tasks are configured", cause="no tasks")
        with self._ledger.transaction() as connection:
            record = self._record(connection, row, config.system)
        said = "\n".join(
            f"{source}: {_plain(option['value'])} ({option['at']})" for source, option in sorted(row["options"].items())
        )
        text = (
            f"Поле {row['field']} изменили в двух системах:\n{said}\n\n"
            f"Решите: bus conflicts decide {row['id']} --take СИСТЕМА\n"
            f"Если никто не решит до {row['deadline']:%d.%m.%Y %H:%M} UTC, решит правило {row['policy']}."
        )
        title = f"Расхождение: {row['field']} ({row['kind']} {row['fields'].get('number') or ''})".replace(" )", ")")
        return Task(str(row["task_key"]), title, text, row["deadline"], config.responsible, record)

    def _record(self, connection: Connection, row: Row, system: str) -> tuple[str, str] | None:
        linked = entities.load(connection, [row["entity_id"]])[row["entity_id"]].primary(system)
        return (linked.type, linked.external_id) if linked and linked.external_id else None

    def _press(self) -> int:
        """What is not decided when most of its time is over is handed over, and told once in the log as an error.

        While the portal cannot be reached nothing is marked: the next turn tells and hands over.
        """
        config = self._config.tasks
        with self._ledger.transaction() as connection:
            rows = conflicts.pressing(connection, config.escalate_share if config else _SHARE)
        done = [row for row in rows if self._handed_over(row)]
        for row in done:
            log.error("conflict.pressing", conflict=row["id"], field=row["field"], deadline=row["deadline"].isoformat())
        self._ledger.run(partial(conflicts.escalated, ids=[row["id"] for row in done]))
        return len(done)

    def _handed_over(self, row: Row) -> bool:
        """One whose task is still to be made is handed over when it is there."""
        config = self._config.tasks
        if self._tasks is None or config is None or config.escalate_to is None or row["task_id"] is None:
            return True
        return self._tried(partial(self._tasks.hand_over, row["task_id"], config.escalate_to), row["id"])

    def _close(self) -> int:
        """Complete the tasks of conflicts that were decided in another way; twice does no harm."""
        if self._tasks is None or self._config.tasks is None:
            return 0
        late = self._config.systems[self._config.tasks.system].late_s
        with self._ledger.transaction() as connection:
            rows = conflicts.ended_tasks(connection, again_s=late)
        closed = [row["id"] for row in rows if self._tried(partial(self._closed, row, self._tasks), row["id"])]
        for conflict in closed:
            self._ledger.run(partial(conflicts.tasked, conflict_id=conflict, state="closed"))
        return len(closed)

    @staticmethod
    def _closed(row: Row, tasks: Tasks) -> None:
        """One whose call ended nowhere is looked for: nobody would ever close it."""
        if task_id := row["task_id"] or tasks.find(str(row["task_key"])):
            tasks.complete(task_id)

    @staticmethod
    def _tried(call: Callable[[], None], conflict: int) -> bool:
        """Whether it was said; what the portal refuses for good counts as said, and is told in the log."""
        try:
            call()
        except BusError as error:
            log.warning("task.not_told", conflict=conflict, reason=str(error))
            return not isinstance(error, (Transient, NotReady, UnknownOutcome))
        return True


def _plain(value: Json) -> str:
    if isinstance(value, dict) and "amount" in value:
        return f"{value['amount']} {value.get('currency', '')}".strip()
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return "(пусто)" if value is None else str(value)
