from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Moment, Row
from ledger.threads.structs import Origin, Role


class ThreadRow(Row):
    __tablename__ = "threads"

    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    timezone: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(Moment())
    message_count: Mapped[int]
    post_count: Mapped[int]
    person_seq: Mapped[int]
    """Position of the newest message of origin person."""
    said_tokens: Mapped[int]
    """Tokens of all that people said in it."""
    activity: Mapped[int]
    """How many writes of people and applications it has seen; what the agent writes does not count."""


class MessageRow(Row):
    __tablename__ = "messages"
    __table_args__ = (UniqueConstraint("thread_id", "id"),)

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str]
    role: Mapped[Role]
    origin: Mapped[Origin]
    content: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(Moment())
    received_at: Mapped[datetime] = mapped_column(Moment())
    said_tokens: Mapped[int]
    """Tokens of all that people said in the thread up to here, this message included."""
    run_id: Mapped[str | None]
