"""Events in the order in which readers may see them: told in the transaction they belong to, deleted once they are old.

PostgreSQL gives numbers when rows are written, not when they are committed, so a reader who goes by them alone would
pass over one that is committed late. Here the order is (transaction, number), and an event is read only when no
transaction before it is still open: when it is older than the snapshot's xmin. SQLite writes one transaction at a time.
"""

import re
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, bindparam, delete, exists, insert, or_, select, tuple_, update

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Malformed
from ledger.events.order import first_open_transaction, last_number, next_transaction, this_transaction
from ledger.events.tables import EventRow, LogRow

REWRITTEN = "rewritten"
"""The kind of what is no event: it tells processes that events before it were changed or deleted."""

_ID = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)


class Position(NamedTuple):
    """A place between two events."""

    tx: int
    number: int

    def __str__(self) -> str:
        return f"{self.tx}-{self.number}"

    @staticmethod
    def read(text: str) -> "Position":
        """Raises `Malformed`."""
        found = _ID.fullmatch(text.strip())
        if found is None:
            raise Malformed(f"{text[:40]!r} is no event's id: give the last `id` that the stream gave, as it came.")
        return Position(int(found[1]), int(found[2]))


class Told(Struct, frozen=True):
    """An event as it is kept."""

    tx: int
    number: int
    kind: str
    thread_id: str | None
    at: datetime
    data: str
    is_safe: bool
    """Whether nothing can come before it any more."""

    @property
    def position(self) -> Position:
        return Position(self.tx, self.number)


class Log(Struct, frozen=True):
    """From where to where events are kept."""

    pruned: Position
    """Up to where they were deleted because they were old."""
    life: int
    """The transaction with which this life of the database began: 0, or when a dump was restored."""
    end: Position
    """Where events will come that are still to be told: all before it are safe."""

    def holds_on_from(self, position: Position) -> bool:
        """Whether all that was ever told behind a position is kept, and the position is of this life."""
        return self.pruned <= position <= self.end and not 0 < position.tx < self.life


class _Bounds(Struct, frozen=True):
    first_open: int
    last: int | None
    tx: int | None
    number: int | None
    life: int | None


class _Upto(Struct, frozen=True):
    tx: int
    number: int


class _Aged(Struct, frozen=True):
    tx: int
    number: int
    at: datetime


class Filter(Struct, frozen=True):
    """Which events somebody wants; None: all."""

    thread_id: str | None = None
    kinds: frozenset[str] | None = None

    def wants(self, kind: str, thread_id: str | None) -> bool:
        if kind == REWRITTEN:
            return False
        return (self.thread_id is None or thread_id == self.thread_id) and (self.kinds is None or kind in self.kinds)


_PLACE = tuple_(EventRow.tx, EventRow.number)
_BEHIND = tuple_(bindparam("tx", type_=BigInteger()), bindparam("after", type_=BigInteger())) < _PLACE
_NEW = insert(EventRow).values(tx=this_transaction())
_IN_ORDER = (
    select(*columns(EventRow, Told), (EventRow.tx < first_open_transaction()).label("is_safe"))
    .where(_BEHIND)
    .order_by(EventRow.tx, EventRow.number)
    .limit(bindparam("most"))
)
_OF_THREAD = _IN_ORDER.where(EventRow.thread_id == bindparam("thread_id"))
_OF_LOG = (LogRow.tx, LogRow.number, LogRow.life)
_BOUNDS = select(
    first_open_transaction().label("first_open"),
    last_number().label("last"),
    *(select(column).scalar_subquery().label(column.key) for column in _OF_LOG),
)
_UPTO = select(LogRow.tx, LogRow.number).with_for_update()
_NO_LOG = {"key": 1, "tx": 0, "number": 0, "life": 0}


async def tell(
    session: Session, kind: str, data: Struct | None, *, thread_id: str | None, at: datetime, subject: str | None = None
) -> None:
    """Have an event told once the transaction is committed, and not if it is rolled back.

    `subject`: under what id `blank` finds it.
    """
    values = {"kind": kind, "thread_id": thread_id, "subject": subject, "at": at}
    await session.execute(_NEW, values | {"data": msgspec.json.encode(data).decode()})
    session.announce()


async def blank(session: Session, kind: str, thread_id: str, subject: str, tombstone: Struct, *, at: datetime) -> None:
    """Have all events about something show its tombstone: the text that was removed is not to be read here either."""
    about = (EventRow.thread_id == thread_id, EventRow.kind == kind, EventRow.subject == subject)
    await session.execute(update(EventRow).where(*about).values(data=msgspec.json.encode(tombstone).decode()))
    await rewrite(session, at=at)


async def rewrite(session: Session, *, at: datetime) -> None:
    """Have processes forget what they know of events before this: some were changed or deleted."""
    await tell(session, REWRITTEN, None, thread_id=None, at=at)


async def after(session: Session, position: Position, *, limit: int, thread_id: str | None = None) -> list[Told]:
    """The events behind a position, also those that are not safe to be shown yet."""
    place = {"tx": position.tx, "after": position.number, "most": limit}
    if thread_id is None:
        return await session.all(_IN_ORDER, Told, **place)
    return await session.all(_OF_THREAD, Told, thread_id=thread_id, **place)


async def log(session: Session) -> Log:
    found = await session.first(_BOUNDS, _Bounds)
    assert found is not None  # noqa: S101 - it has no FROM
    end = Position(found.first_open, 0) if found.last is None else Position(0, found.last)
    return Log(Position(found.tx or 0, found.number or 0), found.life or 0, end)


async def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Delete some events that were told before a moment, the oldest first; answers how many."""
    await session.insert_missing(LogRow, _NO_LOG)
    # Locked, so that nobody deletes what comes later than what somebody else is still about to delete.
    (before_that,) = await session.all(_UPTO, _Upto)
    oldest = select(EventRow.tx, EventRow.number, EventRow.at).order_by(EventRow.tx, EventRow.number).limit(limit)
    # Without those that somebody else deletes or changes just now: they are the oldest next time.
    free = oldest.with_for_update(skip_locked=True)
    old = [event for event in await session.all(free, _Aged) if event.at < before]
    if old:
        await session.execute(delete(EventRow).where(EventRow.number.in_([event.number for event in old])))
        upto = max((before_that.tx, before_that.number), (old[-1].tx, old[-1].number))
        await session.execute(update(LogRow).values(tx=upto[0], number=upto[1]))
    return len(old)


async def adopt(session: Session) -> None:
    """Take over the events of an earlier life, if a dump was restored: their transactions have numbers still to come.

    They stay in the order of their numbers, before all that is told in this life.
    """
    await session.insert_missing(LogRow, _NO_LOG)
    ahead = [exists().where(row.tx >= next_transaction()) for row in (EventRow, LogRow)]
    begun = await session.execute(update(LogRow).where(or_(*ahead)).values(tx=0, number=0, life=next_transaction()))
    if begun.rowcount:
        await session.execute(update(EventRow).values(tx=0))
