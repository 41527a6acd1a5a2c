from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Row


class ThreadLimitsRow(Row):
    """A thread's own limits; null: the service's default."""

    __tablename__ = "thread_limits"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    calls: Mapped[int | None] = mapped_column(BigInteger)
    tokens: Mapped[int | None] = mapped_column(BigInteger)
    actions: Mapped[int | None] = mapped_column(BigInteger)
    cost: Mapped[float | None]


class ThreadSpendingRow(Row):
    __tablename__ = "thread_spending"
    __table_args__ = (Index("ix_thread_spending_day", "day"),)

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    """By the clocks of the thread."""
    calls: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    actions: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float]


class ServiceSpendingRow(Row):
    __tablename__ = "service_spending"

    day: Mapped[str] = mapped_column(primary_key=True)
    """In UTC."""
    calls: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    actions: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float]
