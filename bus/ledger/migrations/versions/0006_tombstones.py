"""A record's deletion is remembered: what was said before it, and comes after it, is over."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table; the SQL stands beside this file."""
    op.get_bind().exec_driver_sql(Path(__file__).with_name("0006_tombstones.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refused, as before: the ledger is the only copy of what was acknowledged."""
    raise NotImplementedError("restore a backup instead")
