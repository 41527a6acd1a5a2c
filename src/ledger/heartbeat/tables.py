from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Moment, Row
from ledger.heartbeat.structs import Target


class ConfigRow(Row):
    """What a person set; a thread without a row has the defaults. Switch and interval stand in its turn."""

    __tablename__ = "heartbeat_configs"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    target: Mapped[Target]
    active_hours_start: Mapped[int | None]
    active_hours_end: Mapped[int | None]
    timezone: Mapped[str]
    model: Mapped[str | None]
    max_tokens: Mapped[int]
    temperature: Mapped[float]
    dry_run: Mapped[bool]


class InstructionsRow(Row):
    """One version of HEARTBEAT.md; the highest is in force."""

    __tablename__ = "instructions"
    __table_args__ = (Index("ix_instructions_digest", "digest"),)

    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[str]
    digest: Mapped[str]
    saved_at: Mapped[datetime] = mapped_column(Moment())
