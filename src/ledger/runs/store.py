"""Runs: written once at settle, folded while a loop keeps skipping for the same reason, read by many."""

from datetime import datetime

from msgspec import structs
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update

from ledger.columns import Moment, columns
from ledger.db import Session
from ledger.errors import NotFound
from ledger.events import store as events
from ledger.paging import Keyset
from ledger.runs.structs import Run, RunDetail, RunFilter
from ledger.runs.tables import RunRow
from ledger.threads.structs import Page
from ledger.turns.structs import LoopName

_RUN = select(*columns(RunRow, Run))
_NEWEST = Keyset(RunRow.started_at, RunRow.id)
_NEW = insert(RunRow)
_FOLDED = (
    update(RunRow)
    .where(
        RunRow.id == bindparam("run_id"),
        RunRow.trigger == "schedule",
        RunRow.outcome == "skipped",
        RunRow.reason.is_not_distinct_from(bindparam("same_reason")),
        RunRow.first_slot.is_not(None),
    )
    .values(
        slots=RunRow.slots + bindparam("more_slots"),
        last_slot=func.coalesce(bindparam("newest_slot", type_=Moment()), RunRow.last_slot),
        summary=bindparam("summary"),
        finished_at=bindparam("finished_at"),
        lateness_seconds=bindparam("lateness_seconds"),
    )
)
_DECIDED = (
    RunRow.thread_id == bindparam("thread_id"),
    RunRow.loop == bindparam("of_loop"),
    RunRow.outcome != "skipped",
)
_NEWEST_DECIDED = _RUN.where(*_DECIDED).order_by(RunRow.started_at.desc(), RunRow.id.desc()).limit(bindparam("most"))
_COUNT_DECIDED = select(func.count()).select_from(RunRow).where(*_DECIDED)
_SEEN = select(RunRow.seen_seq).where(RunRow.id == bindparam("run_id"))
_DETAILS = ("instructions", "context", "prompt", "raw_answer")
"""What is long, and holds what people wrote."""


async def add(session: Session, run: RunDetail) -> None:
    await session.execute(_NEW, structs.asdict(run))
    shown = Run(**{name: getattr(run, name) for name in Run.__struct_fields__})
    await events.tell(session, "run", shown, thread_id=run.thread_id, at=run.finished_at)


async def fold(session: Session, run_id: str, skip: RunDetail) -> bool:
    """Count a skip on the run before it, if that was skipped for the same reason; say whether it was."""
    values = {name: getattr(skip, name) for name in ("summary", "finished_at", "lateness_seconds")}
    counted = {"more_slots": skip.slots, "newest_slot": skip.last_slot if skip.slots else None}
    same = {"run_id": run_id, "same_reason": skip.reason}
    return (await session.execute(_FOLDED, values | counted | same)).rowcount == 1


async def get(session: Session, run_id: str) -> RunDetail:
    statement = select(*columns(RunRow, RunDetail)).where(RunRow.id == run_id)
    run = await session.first(statement, RunDetail)
    if run is None:
        raise NotFound(f"There is no run {run_id!r}.")
    return run


async def page(session: Session, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> Page[Run]:
    """Runs, the one started last first."""
    statement = _NEWEST.select(_RUN.where(*_matching(wanted)), limit, cursor)
    return Page(*_NEWEST.cut(await session.all(statement, Run), limit))


async def decided(session: Session, thread_id: str, loop: LoopName, limit: int) -> list[Run]:
    """The newest runs that decided or failed (not those that were skipped), newest first."""
    return await session.all(_NEWEST_DECIDED, Run, thread_id=thread_id, of_loop=loop, most=limit)


async def since(session: Session, loop: LoopName, moment: datetime) -> list[Run]:
    """All runs of a loop that started at a moment or later, oldest first."""
    statement = _RUN.where(RunRow.loop == loop, RunRow.started_at >= moment)
    return await session.all(statement.order_by(RunRow.started_at, RunRow.id), Run)


async def count_decided(session: Session, thread_id: str, loop: LoopName) -> int:
    return await session.scalar(_COUNT_DECIDED, thread_id=thread_id, of_loop=loop) or 0


async def count_moved_on(session: Session, owed: RunDetail) -> int:
    """How often the slot that this run is for was put back because its thread had moved on."""
    where = (
        RunRow.thread_id == owed.thread_id,
        RunRow.loop == owed.loop,
        RunRow.first_slot == owed.first_slot,
        RunRow.reason == "moved_on",
        RunRow.slots == 0,
    )
    return await session.scalar(select(func.count()).select_from(RunRow).where(*where)) or 0


async def seen_seq(session: Session, run_id: str) -> int:
    """The newest message that a run had read; 0 if the run is unknown."""
    return await session.scalar(_SEEN, run_id=run_id) or 0


async def nth_newest(session: Session, n: int) -> datetime | None:
    """When the n-th newest run started; None if there are fewer."""
    return await session.scalar(select(RunRow.started_at).order_by(RunRow.started_at.desc()).offset(n - 1).limit(1))


async def strip(session: Session, *, before: datetime, limit: int) -> int:
    """Empty the details of some runs that started before a moment, the oldest first; answers how many."""
    detailed = RunRow.context.is_not(None) | RunRow.prompt.is_not(None)
    old = select(RunRow.id).where(detailed, RunRow.started_at < before).order_by(RunRow.started_at)
    some = RunRow.id.in_(old.limit(limit).with_for_update(skip_locked=True))
    return (await session.execute(update(RunRow).where(some).values(dict.fromkeys(_DETAILS)))).rowcount


async def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Delete some runs that ended before a moment, the oldest first; answers how many."""
    old = select(RunRow.id).where(RunRow.started_at < before, RunRow.finished_at < before).order_by(RunRow.started_at)
    some = RunRow.id.in_(old.limit(limit).with_for_update(skip_locked=True))
    return (await session.execute(delete(RunRow).where(some))).rowcount


def _matching(wanted: RunFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    for name in ("thread_id", "loop", "outcome", "reason"):
        value = getattr(wanted, name)
        if value is not None:
            where.append(getattr(RunRow, name) == value)
    if wanted.since is not None:
        where.append(RunRow.started_at >= wanted.since)
    if wanted.until is not None:
        where.append(RunRow.started_at < wanted.until)
    return where
