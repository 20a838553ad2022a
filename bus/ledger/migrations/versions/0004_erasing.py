"""A person's data can be taken out for good; everything that grows is forgotten by an index, a portion at a time."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add what erasing and retention need; the SQL stands beside this file."""
    op.get_bind().exec_driver_sql(Path(__file__).with_name("0004_erasing.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refused, as before: the ledger is the only copy of what was acknowledged."""
    raise NotImplementedError("restore a backup instead")
