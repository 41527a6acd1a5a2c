from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.approvals.structs import ApprovalStatus
from ledger.columns import Json, Moment, Row
from ledger.runs.structs import ActionResult


class ApprovalRow(Row):
    __tablename__ = "approvals"
    __table_args__ = (
        UniqueConstraint("run_id", "ordinal"),
        Index("ix_approvals_proposed", "proposed_at", "id"),
        Index("ix_approvals_thread", "thread_id", "proposed_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    run_id: Mapped[str]
    ordinal: Mapped[int]
    action: Mapped[Any] = mapped_column(Json(object))
    speaks: Mapped[bool]
    status: Mapped[ApprovalStatus]
    """`pending` also once it has expired, which is a matter of the time."""
    proposed_at: Mapped[datetime] = mapped_column(Moment())
    expires_at: Mapped[datetime] = mapped_column(Moment())
    closed_at: Mapped[datetime | None] = mapped_column(Moment())
    note: Mapped[str | None]
    result: Mapped[ActionResult | None] = mapped_column(Json(ActionResult))
