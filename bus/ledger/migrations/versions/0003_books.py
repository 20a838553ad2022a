"""The books join: questions of who is who, what a counterparty is alike by, files that 1C sends, tasks for people."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables; the SQL stands beside this file."""
    op.get_bind().exec_driver_sql(Path(__file__).with_name("0003_books.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refused, as before: the ledger is the only copy of what was acknowledged."""
    raise NotImplementedError("restore a backup instead")
