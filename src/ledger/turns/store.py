"""Turns: scheduled, claimed under a lease, settled under its fence."""

from datetime import datetime

from msgspec import structs
from sqlalchemy import ColumnElement, case, func, insert, select, update

from ledger.columns import columns, fresh_token
from ledger.db import Session
from ledger.turns.structs import LoopName, Outlook, Turn
from ledger.turns.tables import LoopRow, TurnRow

_COLUMNS = columns(TurnRow, Turn)
_TURN = select(*_COLUMNS)
_NOT_THE_CLAIMS = ("loop", "thread_id", "enabled", "every_seconds", "anchor_at")
"""What a person sets meanwhile, and a claim must not set back."""


async def of_thread(session: Session, thread_id: str) -> dict[LoopName, Turn]:
    turns = await session.all(_TURN.where(TurnRow.thread_id == thread_id), Turn)
    return {turn.loop: turn for turn in turns}


async def get(session: Session, loop: LoopName, thread_id: str) -> Turn | None:
    return await session.first(_TURN.where(*_key(loop, thread_id)), Turn)


async def create(session: Session, loop: LoopName, thread_id: str, *, now: datetime) -> Turn:
    """A turn with nothing owed yet. The thread is locked."""
    turn = Turn.blank(loop, thread_id, now)
    await session.execute(insert(TurnRow).values(structs.asdict(turn)))
    return turn


async def configure(session: Session, turn: Turn, *, enabled: bool, every_seconds: int | None) -> Turn:
    values = {"enabled": enabled, "every_seconds": every_seconds}
    await session.execute(update(TurnRow).where(*_key(turn.loop, turn.thread_id)).values(values))
    return structs.replace(turn, enabled=enabled, every_seconds=every_seconds)


async def schedule(session: Session, turn: Turn, slot: datetime | None) -> None:
    """Owe another moment, or none, from a fresh start."""
    values = {"slot": slot, "next_due_at": slot, "attempt": 0}
    await session.execute(update(TurnRow).where(*_key(turn.loop, turn.thread_id)).values(values))


async def forget_moves(session: Session, loop: LoopName, thread_id: str | None = None) -> None:
    """Try slots when they come that were to be tried later though nothing has failed, on one thread or on all.

    Turns that somebody is writing just now are left out: no other order of locks could be kept to.
    """
    later = TurnRow.attempt == 0, TurnRow.lease_token.is_(None), TurnRow.next_due_at > TurnRow.slot
    found = select(TurnRow.thread_id).where(TurnRow.loop == loop, *later)
    found = found if thread_id is None else found.where(TurnRow.thread_id == thread_id)
    moved = TurnRow.thread_id.in_(found.with_for_update(skip_locked=True))
    await session.execute(update(TurnRow).where(TurnRow.loop == loop, moved).values(next_due_at=TurnRow.slot))


async def outlook(session: Session, loop: LoopName, *, now: datetime, most: int) -> Outlook:
    """Whether the loop should run, and what is due, counted no further than `most`."""
    dated = select(TurnRow.next_due_at).where(TurnRow.loop == loop, TurnRow.next_due_at.is_not(None))
    due = select(TurnRow.thread_id).where(TurnRow.loop == loop, TurnRow.next_due_at <= now).limit(most)
    statement = select(
        select(LoopRow.wanted).where(LoopRow.loop == loop).scalar_subquery().label("wanted"),
        dated.order_by(TurnRow.next_due_at).limit(1).scalar_subquery().label("nearest"),
        select(func.count()).select_from(due.subquery()).scalar_subquery().label("due"),
    )
    found = await session.first(statement, Outlook)
    assert found is not None  # noqa: S101 - it has no FROM
    return found


async def claim(session: Session, loop: LoopName, *, now: datetime, until: datetime, limit: int) -> list[Turn]:
    """Lease what is due, the longest due first, each under a token of its own.

    A lease that ends without settling makes the turn due again by itself.
    """
    due = (
        select(TurnRow.thread_id)
        .where(TurnRow.loop == loop, TurnRow.next_due_at <= now)
        .order_by(TurnRow.next_due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    statement = (
        update(TurnRow)
        .where(TurnRow.loop == loop, TurnRow.thread_id.in_(select(due.c.thread_id)))
        .values(lease_token=fresh_token(), lease_until=until, next_due_at=until)
    )
    return sorted(await session.returning(statement, _COLUMNS, Turn), key=lambda turn: turn.slot or now)


async def claim_one(session: Session, turn: Turn, *, now: datetime, until: datetime) -> Turn | None:
    """Lease a turn whether due or not; None if it is leased already. The thread is locked.

    The answer keeps the turn's own next try, for when the lease ends.
    """
    statement = (
        update(TurnRow)
        .where(*_key(turn.loop, turn.thread_id), TurnRow.lease_until.is_(None) | (TurnRow.lease_until <= now))
        .values(
            lease_token=fresh_token(),
            lease_until=until,
            # A claim reads nothing but this column, so a turn under way must not look due before its lease ends.
            next_due_at=case((TurnRow.next_due_at > until, TurnRow.next_due_at), else_=until),
        )
    )
    claimed = await session.returning(statement, _COLUMNS, Turn)
    return structs.replace(claimed[0], next_due_at=turn.next_due_at) if claimed else None


async def held(session: Session, turn: Turn) -> Turn | None:
    """The turn as it stands now, locked, if the claim still holds it."""
    statement = _TURN.where(*_key(turn.loop, turn.thread_id), TurnRow.lease_token == turn.lease_token)
    return await session.first(statement.with_for_update(), Turn)


async def release(session: Session, turn: Turn) -> None:
    """End the lease and leave the turn as given: what it owes, when it is tried, what it has read."""
    values = structs.asdict(structs.replace(turn, lease_token=None, lease_until=None))
    for name in _NOT_THE_CLAIMS:
        del values[name]
    await session.execute(update(TurnRow).where(*_key(turn.loop, turn.thread_id)).values(values))


async def on_default_interval(session: Session, loop: LoopName, *, after: str, limit: int) -> list[str]:
    """Threads, by id, that have no interval of their own."""
    statement = select(TurnRow.thread_id).where(
        TurnRow.loop == loop, TurnRow.every_seconds.is_(None), TurnRow.thread_id > after
    )
    return list(await session.scalars(statement.order_by(TurnRow.thread_id).limit(limit)))


async def wanted(session: Session, loop: LoopName) -> bool | None:
    """What a person said last of the loop: start (true), stop (false), or nothing yet (None)."""
    return await session.scalar(select(LoopRow.wanted).where(LoopRow.loop == loop))


async def set_wanted(session: Session, loop: LoopName, *, wanted: bool) -> None:
    await session.execute(update(LoopRow).where(LoopRow.loop == loop).values(wanted=wanted))


async def set_default_seconds(session: Session, loop: LoopName, seconds: int) -> None:
    await session.execute(update(LoopRow).where(LoopRow.loop == loop).values(default_seconds=seconds))


async def know(session: Session, loop: LoopName, seconds: int) -> int:
    """Have a row for the loop; answers the default interval that schedules were last computed with."""
    await session.insert_missing(LoopRow, {"loop": loop, "wanted": None, "default_seconds": seconds})
    return await session.scalar(select(LoopRow.default_seconds).where(LoopRow.loop == loop)) or 0


def _key(loop: LoopName, thread_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (TurnRow.loop == loop, TurnRow.thread_id == thread_id)
