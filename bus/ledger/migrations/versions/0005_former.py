"""An event may tell what its record had said before a write of ours whose answer was lost."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; the SQL stands beside this file."""
    op.get_bind().exec_driver_sql(Path(__file__).with_name("0005_former.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refused, as before: the ledger is the only copy of what was acknowledged."""
    raise NotImplementedError("restore a backup instead")
