from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Moment, Row
from ledger.turns.structs import LoopName


class TurnRow(Row):
    __tablename__ = "turns"
    __table_args__ = (
        Index(
            "ix_turns_due",
            "loop",
            "next_due_at",
            sqlite_where=text("next_due_at IS NOT NULL"),
            postgresql_where=text("next_due_at IS NOT NULL"),
        ),
    )

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    loop: Mapped[LoopName] = mapped_column(primary_key=True)
    enabled: Mapped[bool]
    every_seconds: Mapped[int | None]
    anchor_at: Mapped[datetime] = mapped_column(Moment())
    slot: Mapped[datetime | None] = mapped_column(Moment())
    next_due_at: Mapped[datetime | None] = mapped_column(Moment())
    attempt: Mapped[int]
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None] = mapped_column(Moment())
    watermark: Mapped[int]
    basis: Mapped[str]
    last_run_id: Mapped[str | None]
    settled_at: Mapped[datetime | None] = mapped_column(Moment())
    settled_slot: Mapped[datetime | None] = mapped_column(Moment())


class LoopRow(Row):
    __tablename__ = "loops"

    loop: Mapped[LoopName] = mapped_column(primary_key=True)
    wanted: Mapped[bool | None]
    """What a person said last: start (true) or stop (false)."""
    default_seconds: Mapped[int | None]
    """The default interval that schedules were last computed with."""
