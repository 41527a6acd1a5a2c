from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import CleanText, Moment, Row
from ledger.questions.structs import QuestionStatus


class QuestionRow(Row):
    __tablename__ = "questions"
    __table_args__ = (
        Index("ix_questions_asked", "asked_at", "id"),
        Index("ix_questions_thread", "thread_id", "asked_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    run_id: Mapped[str]
    question: Mapped[str] = mapped_column(CleanText())
    status: Mapped[QuestionStatus]
    asked_at: Mapped[datetime] = mapped_column(Moment())
    answer: Mapped[str | None]
    closed_at: Mapped[datetime | None] = mapped_column(Moment())
