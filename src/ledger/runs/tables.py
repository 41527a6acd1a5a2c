from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import CleanText, Json, Moment, Row
from ledger.runs.structs import ActionResult, Outcome, Reason, TaskResult, Trigger
from ledger.turns.structs import DecidedBy, LoopName

_DETAILED = "context IS NOT NULL OR prompt IS NOT NULL"


class RunRow(Row):
    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_started", "started_at", "id"),
        Index("ix_runs_thread", "thread_id", "loop", "started_at", "id"),
        Index("ix_runs_detailed", "started_at", sqlite_where=text(_DETAILED), postgresql_where=text(_DETAILED)),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    loop: Mapped[LoopName]
    trigger: Mapped[Trigger]
    outcome: Mapped[Outcome]
    reason: Mapped[Reason | None]
    summary: Mapped[str] = mapped_column(CleanText())
    error: Mapped[str | None] = mapped_column(CleanText())
    decided_by: Mapped[DecidedBy | None]
    actions: Mapped[list[ActionResult]] = mapped_column(Json(list[ActionResult]))
    tasks: Mapped[list[TaskResult]] = mapped_column(Json(list[TaskResult]))
    dry_run: Mapped[bool]
    asked: Mapped[str | None]
    first_slot: Mapped[datetime | None] = mapped_column(Moment())
    last_slot: Mapped[datetime | None] = mapped_column(Moment())
    slots: Mapped[int]
    attempt: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(Moment())
    finished_at: Mapped[datetime] = mapped_column(Moment())
    lateness_seconds: Mapped[float | None]
    model: Mapped[str | None] = mapped_column(CleanText())
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    latency_seconds: Mapped[float | None]
    cost: Mapped[float | None]
    next_check_at: Mapped[datetime | None] = mapped_column(Moment())
    instructions: Mapped[str | None]
    instructions_version: Mapped[int | None]
    seen_seq: Mapped[int | None]
    context: Mapped[Any] = mapped_column(Json(object), nullable=True)
    prompt: Mapped[Any] = mapped_column(Json(object), nullable=True)
    raw_answer: Mapped[str | None] = mapped_column(Json(str))
    decision: Mapped[Any] = mapped_column(Json(object), nullable=True)
