"""Threads: found, made, changed, deleted, and locked before anything that can change a schedule."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import UNSET, Struct, structs
from sqlalchemy import bindparam, delete, select, update

from ledger.clock import known_timezone
from ledger.columns import columns
from ledger.db import Session, new_id
from ledger.errors import Conflict, NotFound
from ledger.events import store as events
from ledger.paging import Keyset
from ledger.threads.structs import DEFAULT_THREAD, NewThread, Page, Thread, ThreadChange
from ledger.threads.tables import ThreadRow


class State(Struct, frozen=True):
    """How far a thread has come, as schedules and gates need it."""

    message_count: int
    """The newest message's position."""
    person_seq: int
    said_tokens: int
    activity: int


_THREAD = select(*columns(ThreadRow, Thread))
_IS_IT = ThreadRow.id == bindparam("thread_id")
_ONE = _THREAD.where(_IS_IT)
_STATE = select(*columns(ThreadRow, State)).where(_IS_IT)
_LOCKED = _STATE.with_for_update()
_STIRRED = update(ThreadRow).where(_IS_IT).values(activity=ThreadRow.activity + 1)
_RECOUNTED = update(ThreadRow).where(_IS_IT).values(post_count=ThreadRow.post_count + bindparam("change"))
_BY_ID = Keyset(ThreadRow.id, descending=False)
_COUNTS = ("message_count", "post_count", "person_seq", "said_tokens", "activity")

Wake = Callable[[Session, str], Awaitable[None]]
"""Reschedules the loops of a thread, which is locked; called after every write that can make it due."""


async def lock(session: Session, thread_id: str) -> State | None:
    """Lock the thread's row until the transaction ends; None if there is no such thread.

    On SQLite the writing transaction is that lock already.
    """
    return await session.first(_LOCKED, State, thread_id=thread_id)


async def lock_existing(session: Session, thread_id: str) -> State:
    state = await lock(session, thread_id)
    if state is None:
        raise NotFound(f"There is no thread {thread_id!r}.")
    return state


async def stir(session: Session, thread_id: str) -> None:
    """Count a write of a person or an application. The thread is locked."""
    await session.execute(_STIRRED, {"thread_id": thread_id})


async def count_posts(session: Session, thread_id: str, change: int) -> None:
    await session.execute(_RECOUNTED, {"thread_id": thread_id, "change": change})


async def state(session: Session, thread_id: str) -> State | None:
    return await session.first(_STATE, State, thread_id=thread_id)


async def get(session: Session, thread_id: str) -> Thread:
    thread = await session.first(_ONE, Thread, thread_id=thread_id)
    if thread is None:
        raise NotFound(f"There is no thread {thread_id!r}.")
    return thread


async def page(session: Session, *, limit: int, cursor: str | None = None) -> Page[Thread]:
    """Threads by id."""
    threads = await session.all(_BY_ID.select(_THREAD, limit, cursor), Thread)
    return Page(*_BY_ID.cut(threads, limit))


async def create(session: Session, new: NewThread, *, now: datetime) -> Thread:
    thread_id = new_id() if new.id is UNSET else new.id
    thread = Thread(thread_id, new.title, known_timezone(new.timezone), now, 0, 0)
    if not await session.insert_missing(ThreadRow, structs.asdict(thread) | dict.fromkeys(_COUNTS, 0)):
        raise Conflict(f"There is a thread {thread_id!r} already.")
    return thread


async def ids(session: Session) -> list[str]:
    """The ids of all threads."""
    return list(await session.scalars(select(ThreadRow.id).order_by(ThreadRow.id)))


async def ensure_default(session: Session, *, now: datetime) -> None:
    """Have the thread `default`."""
    values = {"title": "", "timezone": "UTC", "created_at": now} | dict.fromkeys(_COUNTS, 0)
    await session.insert_missing(ThreadRow, {"id": DEFAULT_THREAD} | values)


async def change(session: Session, thread_id: str, wanted: ThreadChange) -> Thread:
    await lock_existing(session, thread_id)
    values: dict[str, str] = {}
    if wanted.title is not UNSET:
        values["title"] = wanted.title
    if wanted.timezone is not UNSET:
        values["timezone"] = known_timezone(wanted.timezone)
    if values:
        await session.execute(update(ThreadRow).where(ThreadRow.id == thread_id).values(values))
    return await get(session, thread_id)


async def remove(session: Session, thread_id: str, *, now: datetime) -> None:
    """Delete the thread and, by foreign keys, all that is its own; `default` comes back empty."""
    await lock_existing(session, thread_id)
    await session.execute(delete(ThreadRow).where(ThreadRow.id == thread_id))
    await events.rewrite(session, at=now)
    if thread_id == DEFAULT_THREAD:
        await ensure_default(session, now=now)
