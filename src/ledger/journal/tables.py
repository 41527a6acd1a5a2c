from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import CleanText, Json, Moment, Row
from ledger.journal.structs import Kind, PostsWhen
from ledger.threads.structs import Origin


class EntryRow(Row):
    __tablename__ = "entries"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("run_id"),
        UniqueConstraint("thread_id", "digest"),
        Index(
            "uq_entries_answer",
            "reply_to",
            unique=True,
            sqlite_where=text("origin = 'agent'"),
            postgresql_where=text("origin = 'agent'"),
        ),
        Index("ix_entries_root", "root", "seq"),
        Index(
            "ix_entries_steps", "thread_id", "seq", sqlite_where=text("steps > 0"), postgresql_where=text("steps > 0")
        ),
        Index("ix_entries_kind", "thread_id", "kind", "seq"),
        Index(
            "ix_entries_waiting",
            "thread_id",
            "origin",
            "seq",
            sqlite_where=text("waits"),
            postgresql_where=text("waits"),
        ),
    )

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str]
    kind: Mapped[Kind]
    author: Mapped[str]
    origin: Mapped[Origin]
    title: Mapped[str] = mapped_column(CleanText())
    body: Mapped[str] = mapped_column(CleanText())
    reply_to: Mapped[str | None]
    root: Mapped[str]
    depth: Mapped[int]
    steps: Mapped[int]
    evidence: Mapped[list[str]] = mapped_column(Json(list[str]))
    scorecard_revision: Mapped[int]
    profile_revision: Mapped[int]
    run_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Moment())
    waits: Mapped[bool]
    """Whether the agent may answer it and has not."""
    digest: Mapped[str | None]
    """Of what the agent wrote: it never writes the same entry twice."""


class JournalSettingsRow(Row):
    """What a person set; a thread without a row has the defaults. The switch of self-reply stands in its turn."""

    __tablename__ = "journal_settings"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    posts: Mapped[PostsWhen]
