"""What people said: the only view of a thread that anything is learned from.

The agent's own messages are not in it, nor those of the roles system and tool.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from sqlalchemy import func, select

from ledger.columns import columns
from ledger.db import Session
from ledger.threads.structs import Message
from ledger.threads.tables import MessageRow

LONGEST = 16_000
"""How many characters of one message are read."""

_ROLES = ("user", "assistant")
_SAID = (MessageRow.origin != "agent") & MessageRow.role.in_(_ROLES)
_MESSAGE = select(
    *(column for column in columns(MessageRow, Message) if column.key != "content"),
    func.substr(MessageRow.content, 1, LONGEST).label("content"),
).where(_SAID)


class News(Struct, frozen=True):
    """What is new in a thread behind some position."""

    first_at: datetime
    """When the oldest of it was received."""
    enough_at: datetime | None = None
    """When so much had been received that it need not wait any longer."""


def is_said(message: Message) -> bool:
    return message.origin != "agent" and message.role in _ROLES


async def news(session: Session, thread_id: str, *, after: int, enough: int) -> News | None:
    """Whether people have said anything behind position `after`, and since when that is `enough` tokens."""
    behind = (MessageRow.thread_id == thread_id, MessageRow.seq > after, _SAID)
    first = await session.first(
        select(MessageRow.received_at.label("first_at")).where(*behind).order_by(MessageRow.seq).limit(1), News
    )
    if first is None:
        return None
    reached = MessageRow.said_tokens >= await _tokens_until(session, thread_id, after) + enough
    enough_at = await session.scalar(
        select(MessageRow.received_at).where(*behind, reached).order_by(MessageRow.seq).limit(1)
    )
    return News(first.first_at, enough_at)


async def unread(session: Session, thread_id: str, *, after: int, tokens: int) -> list[Message]:
    """The oldest messages behind position `after`, of so many tokens together; one at least, if there is any."""
    behind = _MESSAGE.where(MessageRow.thread_id == thread_id, MessageRow.seq > after).order_by(MessageRow.seq)
    within = MessageRow.said_tokens <= await _tokens_until(session, thread_id, after) + tokens
    return await session.all(behind.where(within), Message) or await session.all(behind.limit(1), Message)


async def newest(session: Session, thread_id: str, limit: int, *, until: int) -> list[Message]:
    """The newest messages up to position `until`, oldest of them first."""
    statement = _MESSAGE.where(MessageRow.thread_id == thread_id, MessageRow.seq <= until)
    return (await session.all(statement.order_by(MessageRow.seq.desc()).limit(limit), Message))[::-1]


async def ids(session: Session, thread_id: str, seqs: Iterable[int]) -> dict[int, str]:
    """The ids of the messages at some positions."""
    statement = select(MessageRow.seq, MessageRow.id).where(
        MessageRow.thread_id == thread_id, MessageRow.seq.in_(set(seqs))
    )
    return {row.seq: row.id for row in await session.execute(statement)}


async def count(session: Session, thread_id: str, *, after: int, most: int) -> int:
    """How many messages stand behind position `after`, counted no further than `most`."""
    behind = select(MessageRow.seq).where(MessageRow.thread_id == thread_id, MessageRow.seq > after, _SAID).limit(most)
    return await session.scalar(select(func.count()).select_from(behind.subquery())) or 0


async def _tokens_until(session: Session, thread_id: str, seq: int) -> int:
    statement = select(MessageRow.said_tokens).where(MessageRow.thread_id == thread_id, MessageRow.seq <= seq)
    return await session.scalar(statement.order_by(MessageRow.seq.desc()).limit(1)) or 0
