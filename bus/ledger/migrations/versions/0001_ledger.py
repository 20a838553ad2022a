"""The ledger: journal, entities, records, deliveries, dead letters, conflicts, history, and beat's bookkeeping."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything; the SQL stands beside this file, so that a DBA can read it."""
    op.get_bind().exec_driver_sql(Path(__file__).with_name("0001_ledger.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refused: the ledger is the only copy of what was acknowledged."""
    raise NotImplementedError("restore a backup instead")
