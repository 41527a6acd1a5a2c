"""Approvals: proposed by a run, approved or rejected once by a person, or left to expire."""

from datetime import datetime

from msgspec import structs
from sqlalchemy import bindparam, case, delete, func, insert, select, update

from ledger.approvals.structs import Approval, ApprovalStatus
from ledger.approvals.tables import ApprovalRow
from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Conflict, NotFound
from ledger.events import store as events
from ledger.paging import Keyset
from ledger.runs.structs import ActionResult
from ledger.threads import store as threads
from ledger.threads.structs import Page

_STORED = [column for column in columns(ApprovalRow, Approval) if column.key != "status"]
_IS_OVER = (ApprovalRow.status == "pending") & (ApprovalRow.expires_at <= bindparam("now"))
_STATUS = case((_IS_OVER, "expired"), else_=ApprovalRow.status)
_APPROVAL = select(*_STORED, _STATUS.label("status"))
_NEWEST = Keyset(ApprovalRow.proposed_at, ApprovalRow.id)

_ONE = _APPROVAL.where(ApprovalRow.id == bindparam("approval_id"))
_NEW = insert(ApprovalRow)
_STANDING = _APPROVAL.where(
    ApprovalRow.thread_id == bindparam("thread_id"),
    _STATUS == bindparam("wanted"),  # noqa: SIM300 - a column
)
_CHANGED_AT = func.coalesce(ApprovalRow.closed_at, ApprovalRow.proposed_at)
_LAST_CHANGED = _STANDING.order_by(_CHANGED_AT.desc(), ApprovalRow.ordinal, ApprovalRow.id).limit(bindparam("most"))


async def add(session: Session, approval: Approval) -> None:
    """Have an action wait. The thread is locked."""
    await session.execute(_NEW, structs.asdict(approval))
    await _tell(session, approval, approval.proposed_at)


async def get(session: Session, approval_id: str, *, now: datetime) -> Approval:
    approval = await session.first(_ONE, Approval, approval_id=approval_id, now=now)
    if approval is None:
        raise NotFound(f"There is no approval {approval_id!r}.")
    return approval


async def page(
    session: Session,
    *,
    now: datetime,
    limit: int,
    cursor: str | None = None,
    thread_id: str | None = None,
    status: ApprovalStatus | None = None,
) -> Page[Approval]:
    """Approvals, the newest first."""
    statement = _APPROVAL
    if thread_id is not None:
        statement = statement.where(ApprovalRow.thread_id == thread_id)
    if status is not None:
        statement = statement.where(_STATUS == status)  # noqa: SIM300 - a column
    found = await session.all(_NEWEST.select(statement, limit, cursor), Approval, now=now)
    return Page(*_NEWEST.cut(found, limit))


async def of_thread(
    session: Session, thread_id: str, status: ApprovalStatus, *, now: datetime, limit: int
) -> list[Approval]:
    """A thread's approvals that stand so: those that were closed last, or proposed last, first."""
    return await session.all(_LAST_CHANGED, Approval, thread_id=thread_id, wanted=status, now=now, most=limit)


async def open_to(session: Session, approval_id: str, *, now: datetime) -> Approval:
    """An approval that waits, its thread locked. Raises `Conflict` for one that does not."""
    await threads.lock_existing(session, (await get(session, approval_id, now=now)).thread_id)
    approval = await get(session, approval_id, now=now)
    if approval.status == "expired":
        raise Conflict(f"The action expired at {approval.expires_at:%Y-%m-%d %H:%M} UTC.")
    if approval.status != "pending":
        raise Conflict(f"The action was {approval.status} already.")
    return approval


async def approve(session: Session, approval: Approval, result: ActionResult, *, now: datetime) -> Approval:
    """Write down that an action that waited was applied."""
    return await _close(session, structs.replace(approval, status="approved", result=result, closed_at=now))


async def reject(session: Session, approval_id: str, note: str | None, *, now: datetime) -> Approval:
    """Close an action that waits; with a note, that is news for the thread. Raises `Conflict` if it does not wait."""
    approval = await open_to(session, approval_id, now=now)
    if note is not None:
        await threads.stir(session, approval.thread_id)
    return await _close(session, structs.replace(approval, status="rejected", note=note, closed_at=now))


async def _close(session: Session, closed: Approval) -> Approval:
    kept = {"status": closed.status, "note": closed.note, "result": closed.result, "closed_at": closed.closed_at}
    await session.execute(update(ApprovalRow).where(ApprovalRow.id == closed.id).values(kept))
    await _tell(session, closed, closed.closed_at or closed.proposed_at)
    return closed


async def _tell(session: Session, approval: Approval, at: datetime) -> None:
    await events.tell(session, "approval", approval, thread_id=approval.thread_id, at=at)


async def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Delete some that were closed or expired before a moment, the oldest first; answers how many."""
    ended = func.coalesce(ApprovalRow.closed_at, ApprovalRow.expires_at) < before
    # Proposed before that as well, which an index finds.
    old = select(ApprovalRow.id).where(ApprovalRow.proposed_at < before, ended).order_by(ApprovalRow.proposed_at)
    some = old.limit(limit).with_for_update(skip_locked=True)
    return (await session.execute(delete(ApprovalRow).where(ApprovalRow.id.in_(some)))).rowcount
