"""Messages: each gets the next position of its thread, and the same one never gets two."""

import hashlib
from collections import Counter
from datetime import UTC, datetime

from msgspec import structs
from sqlalchemy import bindparam, func, insert, select, update

from ledger.columns import columns
from ledger.db import Session, new_id
from ledger.events import store as events
from ledger.paging import Keyset
from ledger.threads import store
from ledger.threads.said import IS_SAID, is_said
from ledger.threads.structs import Added, Message, NewMessage, Origin, Page
from ledger.threads.tables import MessageRow, ThreadRow
from ledger.tokens import count_tokens

_MESSAGE = select(*columns(MessageRow, Message))
_NEWEST, _OLDEST = Keyset(MessageRow.seq), Keyset(MessageRow.seq, descending=False)

_OF_THREAD = MessageRow.thread_id == bindparam("thread_id")
_SINCE = MessageRow.created_at > bindparam("since")
_BY_POSITION = _MESSAGE.where(_OF_THREAD).order_by(MessageRow.seq.desc())
_RECEIVED_BY = select(func.max(MessageRow.seq)).where(
    MessageRow.thread_id == bindparam("thread_id"), MessageRow.received_at <= bindparam("moment")
)
_NEWEST_BEHIND = _BY_POSITION.where(MessageRow.seq > bindparam("after")).limit(bindparam("most"))
_NEWEST_SAID = _BY_POSITION.where(IS_SAID).limit(bindparam("most"))
_RECENT_OF_AGENT = _BY_POSITION.where(MessageRow.origin == "agent", _SINCE).limit(bindparam("most"))
_KNOWN = select(MessageRow.id).where(_OF_THREAD, MessageRow.id.in_(bindparam("ids")))
_NEW = insert(MessageRow)
_COUNTED = update(ThreadRow).where(ThreadRow.id == bindparam("thread_id"))


async def add(session: Session, thread_id: str, batch: list[NewMessage], *, now: datetime) -> Added:
    """Add what people and applications said; what the thread has already stays as it is."""
    state = await store.lock_existing(session, thread_id)
    ids = _ids(batch)
    known = set(await session.scalars(_KNOWN, thread_id=thread_id, ids=ids))
    messages: list[Message] = []
    for new, message_id in zip(batch, ids, strict=True):
        if message_id not in known:
            known.add(message_id)
            origin: Origin = "person" if new.role == "user" else "app"
            seq = state.message_count + len(messages) + 1
            said_at = (new.created_at or now).astimezone(UTC)
            messages.append(Message(message_id, seq, new.role, origin, new.content, said_at, now))
    if messages:
        await _insert(session, thread_id, messages, state.said_tokens)
        await store.stir(session, thread_id)
    return Added(len(messages), len(batch) - len(messages), state.message_count + len(messages), messages)


async def say(session: Session, thread_id: str, content: str, *, run_id: str, now: datetime) -> Message:
    """Add what the agent says. The thread is locked; its activity does not count it."""
    state = await store.lock_existing(session, thread_id)
    said = Message(new_id(), state.message_count + 1, "assistant", "agent", content, now, now, run_id)
    await _insert(session, thread_id, [said], state.said_tokens)
    await events.tell(session, "message", said, thread_id=thread_id, at=now)
    return said


async def recent_of_agent(session: Session, thread_id: str, *, since: datetime, limit: int) -> list[Message]:
    """What the agent has said in the thread, newest first."""
    return await session.all(_RECENT_OF_AGENT, Message, thread_id=thread_id, since=since, most=limit)


async def newest(session: Session, thread_id: str, limit: int, *, after: int = 0) -> list[Message]:
    """The newest messages behind position `after`, oldest of them first."""
    return (await session.all(_NEWEST_BEHIND, Message, thread_id=thread_id, after=after, most=limit))[::-1]


async def newest_said(session: Session, thread_id: str, limit: int) -> list[Message]:
    """The newest messages that people said, whole, oldest of them first."""
    return (await session.all(_NEWEST_SAID, Message, thread_id=thread_id, most=limit))[::-1]


async def received_by(session: Session, thread_id: str, moment: datetime) -> int:
    """The newest message that had been received by then; 0 if there was none."""
    return await session.scalar(_RECEIVED_BY, thread_id=thread_id, moment=moment) or 0


async def page(
    session: Session, thread_id: str, *, limit: int, cursor: str | None = None, newest_first: bool = False
) -> Page[Message]:
    """Messages by position."""
    await store.get(session, thread_id)
    order = _NEWEST if newest_first else _OLDEST
    statement = order.select(_MESSAGE.where(MessageRow.thread_id == thread_id), limit, cursor)
    return Page(*order.cut(await session.all(statement, Message), limit))


def _ids(batch: list[NewMessage]) -> list[str]:
    """One id a message: the caller's; else, of a dated one, what it says and the how-manieth of these it is."""
    seen: Counter[str] = Counter()
    ids: list[str] = []
    for new in batch:
        if new.id is not None:
            ids.append(new.id)
        elif new.created_at is None:
            ids.append(new_id())
        else:
            key = f"{new.role}\n{new.created_at.timestamp()!r}\n{new.content}"
            seen[key] += 1
            ids.append(hashlib.sha256(f"{seen[key]}\n{key}".encode()).hexdigest()[:32])
    return ids


async def _insert(session: Session, thread_id: str, messages: list[Message], said_tokens: int) -> None:
    rows: list[dict[str, object]] = []
    for message in messages:
        said_tokens += count_tokens(message.content) if is_said(message) else 0
        rows.append({**structs.asdict(message), "thread_id": thread_id, "said_tokens": said_tokens})
    await session.execute(_NEW, rows)
    spoken = [message.seq for message in messages if message.origin == "person"]
    values: dict[str, object] = {"message_count": messages[-1].seq, "said_tokens": said_tokens}
    values |= {"person_seq": spoken[-1]} if spoken else {}
    await session.execute(_COUNTED, values | {"thread_id": thread_id})
