"""The hot path: fewer indexes to keep per event, room for updates in place, and a smaller note of who said what."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change the indexes and the form of `entity.said`; the SQL stands beside this file."""
    op.get_bind().exec_driver_sql(Path(__file__).with_name("0002_hot_path.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refused, as before: the ledger is the only copy of what was acknowledged."""
    raise NotImplementedError("restore a backup instead")
