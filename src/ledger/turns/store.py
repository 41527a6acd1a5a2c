"""Turns: scheduled, claimed under a lease, settled under its fence."""

from datetime import datetime

from msgspec import structs
from sqlalchemy import bindparam, case, func, insert, select, update

from ledger.columns import Moment, columns, fresh_token
from ledger.db import Session, returning
from ledger.events import store as events
from ledger.turns.structs import LoopName, LoopSwitch, Outlook, Turn
from ledger.turns.tables import LoopRow, TurnRow

_COLUMNS = columns(TurnRow, Turn)
_TURN = select(*_COLUMNS)
_IS_IT = (TurnRow.loop == bindparam("of_loop"), TurnRow.thread_id == bindparam("of_thread"))
_ONE = _TURN.where(*_IS_IT)
_OF_THREAD = _TURN.where(TurnRow.thread_id == bindparam("of_thread"))
_HELD = _ONE.where(TurnRow.lease_token == bindparam("token"))
_HELD_LOCKED = _HELD.with_for_update()
_CHANGED = update(TurnRow).where(*_IS_IT)
_UNCLAIMED = _CHANGED.where(TurnRow.lease_token.is_not_distinct_from(bindparam("token")))
_WANTED = select(LoopRow.wanted).where(LoopRow.loop == bindparam("of_loop"))
_NEW = insert(TurnRow)

_DATED = select(TurnRow.next_due_at).where(TurnRow.loop == bindparam("of_loop"), TurnRow.next_due_at.is_not(None))
_DUE = select(TurnRow.thread_id).where(
    TurnRow.loop == bindparam("of_loop"), TurnRow.next_due_at <= bindparam("now", type_=Moment())
)
_OUTLOOK = select(
    _WANTED.scalar_subquery().label("wanted"),
    _DATED.order_by(TurnRow.next_due_at).limit(1).scalar_subquery().label("nearest"),
    select(func.count()).select_from(_DUE.limit(bindparam("most")).subquery()).scalar_subquery().label("due"),
)

_UNTIL = bindparam("until", type_=Moment())
_NEXT = _DUE.order_by(TurnRow.next_due_at).limit(bindparam("most")).with_for_update(skip_locked=True).cte("due")
_CLAIMED = returning(
    update(TurnRow)
    .where(TurnRow.loop == bindparam("of_loop"), TurnRow.thread_id.in_(select(_NEXT.c.thread_id)))
    .values(lease_token=fresh_token(), lease_until=_UNTIL, next_due_at=_UNTIL),
    _COLUMNS,
)
_CLAIMED_ONE = returning(
    update(TurnRow)
    .where(*_IS_IT, TurnRow.lease_until.is_(None) | (TurnRow.lease_until <= bindparam("now", type_=Moment())))
    .values(
        lease_token=fresh_token(),
        lease_until=_UNTIL,
        # A claim reads nothing but this column, so a turn under way must not look due before its lease ends.
        next_due_at=case((TurnRow.next_due_at > _UNTIL, TurnRow.next_due_at), else_=_UNTIL),
    ),
    _COLUMNS,
)

_NOT_THE_CLAIMS = ("loop", "thread_id", "enabled", "every_seconds", "anchor_at")
"""What a person sets meanwhile, and a claim must not set back."""


async def of_thread(session: Session, thread_id: str) -> dict[LoopName, Turn]:
    turns = await session.all(_OF_THREAD, Turn, of_thread=thread_id)
    return {turn.loop: turn for turn in turns}


async def get(session: Session, loop: LoopName, thread_id: str) -> Turn | None:
    return await session.first(_ONE, Turn, of_loop=loop, of_thread=thread_id)


async def create(session: Session, loop: LoopName, thread_id: str, *, now: datetime) -> Turn:
    """A turn with nothing owed yet. The thread is locked."""
    turn = Turn.blank(loop, thread_id, now)
    await session.execute(_NEW, structs.asdict(turn))
    return turn


async def configure(session: Session, turn: Turn, *, enabled: bool, every_seconds: int | None, now: datetime) -> Turn:
    values = {"enabled": enabled, "every_seconds": every_seconds}
    await session.execute(_CHANGED, _key(turn) | values)
    if (enabled, every_seconds) != (turn.enabled, turn.every_seconds):
        switch = LoopSwitch(turn.loop, enabled, every_seconds)
        await events.tell(session, "loop", switch, thread_id=turn.thread_id, at=now)
    return structs.replace(turn, enabled=enabled, every_seconds=every_seconds)


async def schedule(session: Session, turn: Turn, slot: datetime | None) -> None:
    """Owe another moment, or none, from a fresh start; unless the turn was claimed since: then settling sees to it."""
    values = {"slot": slot, "next_due_at": slot, "attempt": 0}
    await session.execute(_UNCLAIMED, _key(turn) | values | {"token": turn.lease_token})


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
    found = await session.first(_OUTLOOK, Outlook, of_loop=loop, now=now, most=most)
    assert found is not None  # noqa: S101 - it has no FROM
    return found


async def claim(session: Session, loop: LoopName, *, now: datetime, until: datetime, limit: int) -> list[Turn]:
    """Lease what is due, the longest due first, each under a token of its own.

    A lease that ends without settling makes the turn due again by itself.
    """
    claimed = await session.all(_CLAIMED, Turn, of_loop=loop, now=now, until=until, most=limit)
    return sorted(claimed, key=lambda turn: turn.slot or now)


async def claim_one(session: Session, turn: Turn, *, now: datetime, until: datetime) -> Turn | None:
    """Lease a turn whether due or not; None if it is leased already. The thread is locked.

    The answer keeps the turn's own next try, for when the lease ends.
    """
    claimed = await session.first(_CLAIMED_ONE, Turn, now=now, until=until, **_key(turn))
    return structs.replace(claimed, next_due_at=turn.next_due_at) if claimed else None


async def held(session: Session, turn: Turn) -> Turn | None:
    """The turn as it stands now, locked, if the claim still holds it."""
    return await session.first(_HELD_LOCKED, Turn, token=turn.lease_token, **_key(turn))


async def is_held(session: Session, loop: LoopName, thread_id: str, token: str) -> bool:
    """Whether a claim holds its turn still."""
    return await session.first(_HELD, Turn, of_loop=loop, of_thread=thread_id, token=token) is not None


async def release(session: Session, turn: Turn) -> None:
    """End the lease and leave the turn as given: what it owes, when it is tried, what it has read."""
    values = structs.asdict(structs.replace(turn, lease_token=None, lease_until=None))
    for name in _NOT_THE_CLAIMS:
        del values[name]
    await session.execute(_CHANGED, _key(turn) | values)


async def on_default_interval(session: Session, loop: LoopName, *, after: str, limit: int) -> list[str]:
    """Threads, by id, that have no interval of their own."""
    statement = select(TurnRow.thread_id).where(
        TurnRow.loop == loop, TurnRow.every_seconds.is_(None), TurnRow.thread_id > after
    )
    return list(await session.scalars(statement.order_by(TurnRow.thread_id).limit(limit)))


async def wanted(session: Session, loop: LoopName) -> bool | None:
    """What a person said last of the loop: start (true), stop (false), or nothing yet (None)."""
    return await session.scalar(_WANTED, of_loop=loop)


async def set_wanted(session: Session, loop: LoopName, *, wanted: bool, before: bool, now: datetime) -> None:
    """`before`: whether it ran, which it also does where nobody has said anything."""
    await session.execute(update(LoopRow).where(LoopRow.loop == loop).values(wanted=wanted))
    if wanted != before:
        await events.tell(session, "loop", LoopSwitch(loop, wanted), thread_id=None, at=now)


async def set_default_seconds(session: Session, loop: LoopName, seconds: int) -> None:
    await session.execute(update(LoopRow).where(LoopRow.loop == loop).values(default_seconds=seconds))


async def know(session: Session, loop: LoopName, seconds: int) -> int:
    """Have a row for the loop; answers the default interval that schedules were last computed with."""
    await session.insert_missing(LoopRow, {"loop": loop, "wanted": None, "default_seconds": seconds})
    return await session.scalar(select(LoopRow.default_seconds).where(LoopRow.loop == loop)) or 0


def _key(turn: Turn) -> dict[str, object]:
    return {"of_loop": turn.loop, "of_thread": turn.thread_id}
