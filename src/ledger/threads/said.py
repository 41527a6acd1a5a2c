"""What people said: the only view of a thread that anything is learned from.

The agent's own messages are not in it, nor those of the roles system and tool.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, structs
from sqlalchemy import bindparam, func, select

from ledger.columns import columns
from ledger.db import Session
from ledger.threads.structs import Message
from ledger.threads.tables import MessageRow
from ledger.tokens import clip

LONGEST = 16_000
"""How many characters of one message are read."""

_ROLES = ("user", "assistant")
IS_SAID = (MessageRow.origin != "agent") & MessageRow.role.in_(_ROLES)
_MESSAGE = select(
    *(column for column in columns(MessageRow, Message) if column.key != "content"),
    func.substr(MessageRow.content, 1, LONGEST).label("content"),
).where(IS_SAID)

_OF_THREAD = MessageRow.thread_id == bindparam("thread_id")
_AFTER = MessageRow.seq > bindparam("after")

_TOKENS_UNTIL = func.coalesce(
    select(MessageRow.said_tokens)
    .where(_OF_THREAD, MessageRow.seq <= bindparam("after"))
    .order_by(MessageRow.seq.desc())
    .limit(1)
    .correlate(None)
    .scalar_subquery(),
    0,
)
"""The tokens of all that was said up to position `after`."""

_ENOUGH_AT = (
    select(MessageRow.received_at)
    .where(_OF_THREAD, _AFTER, IS_SAID, MessageRow.said_tokens >= _TOKENS_UNTIL + bindparam("enough"))
    .order_by(MessageRow.seq)
    .limit(1)
    .correlate(None)
    .scalar_subquery()
)
_NEWS = (
    select(MessageRow.received_at.label("first_at"), _ENOUGH_AT.label("enough_at"))
    .where(_OF_THREAD, _AFTER, IS_SAID)
    .order_by(MessageRow.seq)
    .limit(1)
)
_UNREAD = _MESSAGE.where(_OF_THREAD, _AFTER).order_by(MessageRow.seq)
_UNREAD_WITHIN = _UNREAD.where(MessageRow.said_tokens <= _TOKENS_UNTIL + bindparam("tokens")).limit(bindparam("most"))
_FIRST_UNREAD = _UNREAD.limit(1)
_NEWEST = (
    _MESSAGE.where(_OF_THREAD, MessageRow.seq <= bindparam("until"))
    .order_by(MessageRow.seq.desc())
    .limit(bindparam("most"))
)
_IDS = select(MessageRow.seq, MessageRow.id).where(_OF_THREAD, MessageRow.seq.in_(bindparam("seqs")))
_COUNT = select(func.count()).select_from(
    select(MessageRow.seq).where(_OF_THREAD, _AFTER, IS_SAID).limit(bindparam("most")).subquery()
)


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
    return await session.first(_NEWS, News, thread_id=thread_id, after=after, enough=enough)


async def unread(session: Session, thread_id: str, *, after: int, tokens: int, most: int) -> list[Message]:
    """The oldest messages behind position `after`, `most` at most and of so many tokens together.

    One at least, if there is any: then it is cut to so many tokens.
    """
    found = await session.all(_UNREAD_WITHIN, Message, thread_id=thread_id, after=after, tokens=tokens, most=most)
    if found:
        return found
    longer = await session.all(_FIRST_UNREAD, Message, thread_id=thread_id, after=after)
    return [structs.replace(message, content=clip(message.content, tokens)) for message in longer]


async def newest(session: Session, thread_id: str, limit: int, *, until: int) -> list[Message]:
    """The newest messages up to position `until`, oldest of them first."""
    return (await session.all(_NEWEST, Message, thread_id=thread_id, until=until, most=limit))[::-1]


async def ids(session: Session, thread_id: str, seqs: Iterable[int]) -> dict[int, str]:
    """The ids of the messages at some positions."""
    found = await session.execute(_IDS, {"thread_id": thread_id, "seqs": list(set(seqs))})
    return {row.seq: row.id for row in found}


async def count(session: Session, thread_id: str, *, after: int, most: int) -> int:
    """How many messages stand behind position `after`, counted no further than `most`."""
    return await session.scalar(_COUNT, thread_id=thread_id, after=after, most=most) or 0
