"""the mind: scorecards, profiles, the journal"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# As the program counts: a quarter of a token a character, and 0.4 for every further byte.
_TOKENS = {
    "sqlite": "(5 * length(content) + 8 * (length(CAST(content AS BLOB)) - length(content)) + 19) / 20",
    "postgresql": "(5 * char_length(content) + 8 * (octet_length(content) - char_length(content)) + 19) / 20",
}


def upgrade() -> None:
    _create_entries()
    _create_insights()
    op.create_table(
        "journal_settings",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("posts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name=op.f("fk_journal_settings_thread_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("thread_id", name=op.f("pk_journal_settings")),
    )
    with op.batch_alter_table("runs") as batch_op:
        batch_op.add_column(sa.Column("asked", sa.Text(), nullable=True))
    with op.batch_alter_table("turns") as batch_op:
        batch_op.add_column(sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True))
    _count_tokens()
    _read_again()


def _create_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=True),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("scorecard_revision", sa.Integer(), nullable=False),
        sa.Column("profile_revision", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waits", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name=op.f("fk_entries_thread_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("thread_id", "seq", name=op.f("pk_entries")),
        sa.UniqueConstraint("id", name=op.f("uq_entries_id")),
        sa.UniqueConstraint("run_id", name=op.f("uq_entries_run_id")),
        sa.UniqueConstraint("thread_id", "digest", name=op.f("uq_entries_thread_id_digest")),
    )
    op.create_index("ix_entries_kind", "entries", ["thread_id", "kind", "seq"])
    op.create_index("ix_entries_root", "entries", ["root", "seq"])
    _create_partial_index("ix_entries_steps", ["thread_id", "seq"], "steps > 0")
    _create_partial_index("ix_entries_waiting", ["thread_id", "origin", "seq"], "waits")
    _create_partial_index("uq_entries_answer", ["reply_to"], "origin = 'agent'", unique=True)


def _create_partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    only = sa.text(where)
    op.create_index(name, "entries", columns, unique=unique, sqlite_where=only, postgresql_where=only)


def _create_insights() -> None:
    op.create_table(
        "scorecards",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("topics", sa.Text(), nullable=False),
        sa.Column("rising", sa.Text(), nullable=False),
        sa.Column("fading", sa.Text(), nullable=False),
        sa.Column("open_questions", sa.Text(), nullable=False),
        sa.Column("insights", sa.Text(), nullable=False),
        sa.Column("preference_confidence", sa.Double(), nullable=False),
        sa.Column("importance", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name=op.f("fk_scorecards_thread_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("thread_id", "revision", name=op.f("pk_scorecards")),
    )
    op.create_table(
        "tallies",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("tally", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name=op.f("fk_tallies_thread_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("thread_id", name=op.f("pk_tallies")),
    )
    op.create_table(
        "profiles",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("reverted_to", sa.Integer(), nullable=True),
        sa.Column("traits", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name=op.f("fk_profiles_thread_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("thread_id", "revision", name=op.f("pk_profiles")),
    )


def _count_tokens() -> None:
    for table in ("messages", "threads"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.add_column(sa.Column("said_tokens", sa.Integer(), nullable=True))
    tokens = _TOKENS[op.get_bind().dialect.name]
    op.execute(
        f"""
        WITH counted AS (
            SELECT thread_id, seq, sum(
                CASE WHEN origin <> 'agent' AND role IN ('user', 'assistant') THEN {tokens} ELSE 0 END
            ) OVER (PARTITION BY thread_id ORDER BY seq) AS total FROM messages
        )
        UPDATE messages SET said_tokens = counted.total FROM counted
        WHERE counted.thread_id = messages.thread_id AND counted.seq = messages.seq
        """  # noqa: S608 - made of constants
    )
    op.execute(
        "UPDATE threads SET said_tokens = "
        "coalesce((SELECT max(said_tokens) FROM messages WHERE thread_id = threads.id), 0)"
    )
    for table in ("messages", "threads"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.alter_column("said_tokens", existing_type=sa.Integer(), nullable=False)


def _read_again() -> None:
    """So far the quiet loops passed over what they read; from now on there is something to learn from it."""
    op.execute("UPDATE turns SET watermark = 0, basis = '' WHERE loop IN ('reflection', 'personality', 'self_reply')")
    op.execute(
        """
        UPDATE turns SET slot = newest.received_at, next_due_at = newest.received_at, attempt = 0
        FROM (
            SELECT thread_id, max(received_at) AS received_at FROM messages
            WHERE origin <> 'agent' AND role IN ('user', 'assistant') GROUP BY thread_id
        ) AS newest
        WHERE newest.thread_id = turns.thread_id AND turns.loop IN ('reflection', 'personality') AND turns.enabled
        """
    )


def downgrade() -> None:
    for table, column in (
        ("threads", "said_tokens"),
        ("messages", "said_tokens"),
        ("turns", "settled_at"),
        ("runs", "asked"),
    ):
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column(column)
    for table in ("journal_settings", "profiles", "tallies", "scorecards", "entries"):
        op.drop_table(table)
