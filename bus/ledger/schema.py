"""The schema of the ledger: its migrations, and which of them is the last.

The tools for it load when they are asked for: 20 MB that no worker needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

_LOCK = 0x1B05


def migrate(database_url: str) -> None:
    """Bring the schema to the present version; two processes at once do it one after the other."""
    import sqlalchemy  # noqa: PLC0415 - see above
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    url = database_url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with _scripts() as folder, engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        connection.commit()
        config = Config()
        config.set_main_option("script_location", folder)
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()


def head() -> str:
    """The version that this bus needs."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    with _scripts() as folder:
        return str(ScriptDirectory(folder).get_current_head())


@contextmanager
def _scripts() -> Iterator[str]:
    with as_file(files("bus.ledger") / "migrations") as folder:
        yield str(folder)
