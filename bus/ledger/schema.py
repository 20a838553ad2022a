"""The schema of the ledger: its migrations, and which of them is the last.

The tools for it load when they are asked for: 20 MB that no worker needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from time import sleep

from psycopg.errors import DeadlockDetected, LockNotAvailable

from bus.errors import BadInput
from bus.ledger.database import WATCHED

LOCK = 0x1B05
"""Of who changes the tables themselves."""
_PATIENCE_S = 3
"""A change waits so long for a table that the bus uses; whoever comes behind it waits too."""
_TRIES = 60
_PAUSE_S = 1.0
_ANOTHER_RUNS = "SELECT 1 FROM pg_roles WHERE rolname = 'bus_run' AND rolname <> current_user"


def migrate(database_url: str, to: str = "head") -> None:
    """Bring the schema to the present version, or an older one; two processes at once do it one after the other.

    The bus may be at work: it takes tables in its own orders, so a change that met it crosswise is rolled back whole
    and made again a moment later. Where there is a role `bus_run`, it is granted what it needs (rights.sql).
    Raises BadInput for tables of a newer bus.
    """
    import sqlalchemy  # noqa: PLC0415 - see above
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    url = database_url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=dict(WATCHED))
    with _scripts() as folder, engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
        connection.commit()
        config = Config()
        config.set_main_option("script_location", folder)
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        connection.exec_driver_sql(f"SET lock_timeout = '{_PATIENCE_S}s'")
        connection.commit()
        for left in reversed(range(_TRIES)):
            try:
                command.upgrade(config, to)
                if connection.exec_driver_sql(_ANOTHER_RUNS).first():
                    connection.exec_driver_sql((files("bus.ledger") / "rights.sql").read_text(encoding="utf-8"))
                connection.commit()
                break
            except CommandError as error:
                raise BadInput(f"the ledger is of a newer bus, run that one: {error}", field="ledger") from None
            except sqlalchemy.exc.OperationalError as error:
                connection.rollback()
                if not left or not isinstance(error.orig, (DeadlockDetected, LockNotAvailable)):
                    raise
                sleep(_PAUSE_S)
    engine.dispose()


def head() -> str:
    """The version that this bus needs."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    with _scripts() as folder:
        return str(ScriptDirectory(folder).get_current_head())


def revisions() -> set[str]:
    """Every version that this bus knows: those from which it can bring the tables to its own."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    with _scripts() as folder:
        return {script.revision for script in ScriptDirectory(folder).walk_revisions()}


@contextmanager
def _scripts() -> Iterator[str]:
    with as_file(files("bus.ledger") / "migrations") as folder:
        yield str(folder)
