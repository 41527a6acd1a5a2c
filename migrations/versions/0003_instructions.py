"""instructions with tasks: their versions' sources, threads' own ones, how far tasks have come, hours to the minute"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ADDED = {
    "instructions": {"source": "api", "carried": "[]"},
    "runs": {"tasks": "[]"},
}
"""New columns, and what stands in them for rows that are there already."""


def upgrade() -> None:
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as batch_op:
            for column in columns:
                batch_op.add_column(sa.Column(column, sa.Text(), nullable=True))
        for column, value in columns.items():
            op.execute(sa.table(table, sa.column(column)).update().values({column: value}))
        with op.batch_alter_table(table) as batch_op:
            for column in columns:
                batch_op.alter_column(column, existing_type=sa.Text(), nullable=False)
    op.create_table(
        "thread_instructions",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("carried", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name=op.f("fk_thread_instructions_thread_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("thread_id", name=op.f("pk_thread_instructions")),
    )
    op.create_table(
        "heartbeat_tasks",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("prompt_digest", sa.Text(), nullable=False),
        sa.Column("anchor_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_seq", sa.Integer(), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name=op.f("fk_heartbeat_tasks_thread_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("thread_id", "name", name=op.f("pk_heartbeat_tasks")),
    )
    _scale_hours("* 60")


def _scale_hours(by: str) -> None:
    """From whole hours to minutes after midnight, or back."""
    op.execute(
        f"UPDATE heartbeat_configs SET active_hours_start = active_hours_start {by}, "  # noqa: S608 - made of constants
        f"active_hours_end = active_hours_end {by}"
    )


def downgrade() -> None:
    _scale_hours("/ 60")
    op.drop_table("heartbeat_tasks")
    op.drop_table("thread_instructions")
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as batch_op:
            for column in columns:
                batch_op.drop_column(column)
