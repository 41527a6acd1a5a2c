from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Json, Moment, Row
from ledger.instructions.structs import Task


class InstructionsRow(Row):
    """One version of HEARTBEAT.md; the highest is in force."""

    __tablename__ = "instructions"
    __table_args__ = (Index("ix_instructions_digest", "digest"),)

    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[str]
    digest: Mapped[str]
    saved_at: Mapped[datetime] = mapped_column(Moment())
    source: Mapped[str]
    carried: Mapped[list[Task]] = mapped_column(Json(list[Task]))


class OwnRow(Row):
    """What a thread has of its own, beside HEARTBEAT.md or in its place."""

    __tablename__ = "thread_instructions"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int]
    mode: Mapped[str]
    content: Mapped[str]
    saved_at: Mapped[datetime] = mapped_column(Moment())
    carried: Mapped[list[Task]] = mapped_column(Json(list[Task]))
