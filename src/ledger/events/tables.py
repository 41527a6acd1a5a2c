from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Moment, Row


class EventRow(Row):
    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_order", "tx", "number"),
        Index("ix_events_thread", "thread_id", "tx", "number"),
        {"sqlite_autoincrement": True},  # a number is never given twice, also when its event is deleted
    )

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    tx: Mapped[int] = mapped_column(BigInteger)
    """The transaction that wrote it; 0 on SQLite, which has one writer, and for those of an earlier life."""
    kind: Mapped[str]
    thread_id: Mapped[str | None] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    subject: Mapped[str | None]
    """The id of what it is about, where its text may have to go."""
    at: Mapped[datetime] = mapped_column(Moment())
    data: Mapped[str]
    """A struct as JSON."""


class LogRow(Row):
    """One row, about all events."""

    __tablename__ = "event_log"

    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tx: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(BigInteger)
    """With `tx`: up to where events were deleted because they were old."""
    life: Mapped[int] = mapped_column(BigInteger)
    """The transaction with which this life of the database began."""
