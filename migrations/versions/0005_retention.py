"""what is kept for how long: indexes to find what is old; the last slot that is done"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_DETAILED = sa.text("context IS NOT NULL OR prompt IS NOT NULL")


def upgrade() -> None:
    op.create_index("ix_runs_detailed", "runs", ["started_at"], sqlite_where=_DETAILED, postgresql_where=_DETAILED)
    with op.batch_alter_table("turns") as batch_op:
        batch_op.add_column(sa.Column("settled_slot", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_thread_spending_day", "thread_spending", ["day"])


def downgrade() -> None:
    with op.batch_alter_table("turns") as batch_op:
        batch_op.drop_column("settled_slot")
    op.drop_index("ix_thread_spending_day", "thread_spending")
    op.drop_index("ix_runs_detailed", "runs")
