"""What people said: the only view of a thread that anything is learned from.

The agent's own messages are not in it, nor those of the roles system and tool.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute

from ledger.columns import columns
from ledger.db import Session
from ledger.paging import AnySelect
from ledger.threads.structs import Message
from ledger.threads.tables import MessageRow
from ledger.tokens import clip

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
    reached = MessageRow.said_tokens >= _tokens_until(thread_id, after) + enough
    enough_at = (
        _behind(thread_id, after, MessageRow.received_at).where(reached).limit(1).correlate(None).scalar_subquery()
    )
    first = _behind(thread_id, after, MessageRow.received_at.label("first_at"), enough_at.label("enough_at"))
    return await session.first(first.limit(1), News)


async def unread(session: Session, thread_id: str, *, after: int, tokens: int, most: int) -> list[Message]:
    """The oldest messages behind position `after`, `most` at most and of so many tokens together.

    One at least, if there is any: then it is cut to so many tokens.
    """
    behind = _MESSAGE.where(MessageRow.thread_id == thread_id, MessageRow.seq > after).order_by(MessageRow.seq)
    within = MessageRow.said_tokens <= _tokens_until(thread_id, after) + tokens
    found = await session.all(behind.where(within).limit(most), Message)
    if found:
        return found
    longer = await session.all(behind.limit(1), Message)
    return [structs.replace(message, content=clip(message.content, tokens)) for message in longer]


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


def _behind(thread_id: str, seq: int, *wanted: ColumnElement[Any] | InstrumentedAttribute[Any]) -> AnySelect:
    return (
        select(*wanted).where(MessageRow.thread_id == thread_id, MessageRow.seq > seq, _SAID).order_by(MessageRow.seq)
    )


def _tokens_until(thread_id: str, seq: int) -> ColumnElement[int]:
    until = select(MessageRow.said_tokens).where(MessageRow.thread_id == thread_id, MessageRow.seq <= seq)
    return func.coalesce(until.order_by(MessageRow.seq.desc()).limit(1).correlate(None).scalar_subquery(), 0)
