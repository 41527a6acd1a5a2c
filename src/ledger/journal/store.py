"""The journal: entries in the order they were written, and which of them wait for an answer of the agent."""

import hashlib
from datetime import datetime

from msgspec import Struct, structs
from sqlalchemy import bindparam, exists, func, insert, select, update

from ledger.columns import columns
from ledger.db import Session, new_id
from ledger.errors import NotFound
from ledger.events import store as events
from ledger.journal.structs import Entry, Kind
from ledger.journal.tables import EntryRow
from ledger.paging import Keyset
from ledger.threads.structs import Page

STEPS = 3
"""How many times in a row the agent may answer itself."""

_ENTRY = select(*columns(EntryRow, Entry))
_NEWEST = Keyset(EntryRow.seq)
_MOST_IN_TREES = 5_000

_OF_THREAD = EntryRow.thread_id == bindparam("thread_id")
_ONE = _ENTRY.where(_OF_THREAD, EntryRow.id == bindparam("entry_id"))
_NEWEST_ENTRIES = _ENTRY.where(_OF_THREAD).order_by(EntryRow.seq.desc()).limit(bindparam("most"))
_IS_ANY_WAITING = select(exists().where(_OF_THREAD, EntryRow.waits))
_OLDEST_WAITING = (
    _ENTRY.where(_OF_THREAD, EntryRow.waits, EntryRow.origin == bindparam("origin"), EntryRow.seq > bindparam("after"))
    .order_by(EntryRow.seq)
    .limit(1)
)
_IS_WRITTEN = select(exists().where(_OF_THREAD, EntryRow.digest == bindparam("digest")))
_LAST_SEQ = select(func.max(EntryRow.seq)).where(_OF_THREAD)
_NEW = insert(EntryRow)


class Pen(Struct, frozen=True):
    """Who writes as the agent."""

    agent: str
    """The agent's name."""
    chance: float
    """How many of its own entries it may answer, from 0 to 1."""


class Draft(Struct, frozen=True, kw_only=True):
    """An entry the agent wants to write."""

    kind: Kind
    title: str
    body: str
    evidence: list[str]
    scorecard_revision: int
    profile_revision: int
    answers: Entry | None = None


async def write(
    session: Session, thread_id: str, draft: Draft, pen: Pen, *, run_id: str, now: datetime
) -> Entry | None:
    """Write an entry of the agent, unless it has written the same before; people who ask alike get answers alike.

    The thread is locked.
    """
    answers = draft.answers
    digest = hashlib.sha256(f"{draft.kind}\n{draft.title}\n{draft.body}".encode()).hexdigest()
    to_person = answers is not None and answers.origin == "person"
    if not to_person and await _is_written(session, thread_id, digest):
        return None
    entry_id = new_id()
    entry = Entry(
        id=entry_id,
        thread_id=thread_id,
        seq=await _next_seq(session, thread_id),
        kind=draft.kind,
        author=pen.agent,
        origin="agent",
        title=draft.title,
        body=draft.body,
        reply_to=answers.id if answers else None,
        root=answers.root if answers else entry_id,
        depth=answers.depth + 1 if answers else 0,
        steps=answers.steps + 1 if answers and answers.origin == "agent" else 0,
        evidence=draft.evidence,
        scorecard_revision=draft.scorecard_revision,
        profile_revision=draft.profile_revision,
        run_id=run_id,
        created_at=now,
    )
    waits = entry.steps < STEPS and is_chosen(digest, pen.chance)
    await _insert(session, entry, digest=None if to_person else digest, waits=waits)
    if answers is not None:
        await put_aside(session, answers)
    return entry


async def comment(session: Session, answered: Entry, author: str, body: str, *, now: datetime) -> Entry:
    """Write what a person says to an entry; it waits for an answer. The thread is locked."""
    entry = Entry(
        id=new_id(),
        thread_id=answered.thread_id,
        seq=await _next_seq(session, answered.thread_id),
        kind="comment",
        author=author,
        origin="person",
        title="",
        body=body,
        reply_to=answered.id,
        root=answered.root,
        depth=answered.depth + 1,
        created_at=now,
    )
    await _insert(session, entry, digest=None, waits=True)
    return entry


async def put_aside(session: Session, entry: Entry) -> None:
    """Have an entry wait for an answer no longer."""
    await session.execute(update(EntryRow).where(EntryRow.id == entry.id).values(waits=False))


def is_chosen(digest: str, chance: float) -> bool:
    """Whether an entry with this digest is among those the agent may answer: the same every time."""
    return int(digest[:8], 16) / 0x1_0000_0000 < chance


async def get(session: Session, thread_id: str, entry_id: str) -> Entry:
    entry = await session.first(_ONE, Entry, thread_id=thread_id, entry_id=entry_id)
    if entry is None:
        raise NotFound(f"There is no entry {entry_id!r} in the journal of thread {thread_id!r}.")
    return entry


async def page(
    session: Session, thread_id: str, *, kind: Kind | None, roots: bool = False, limit: int, cursor: str | None = None
) -> Page[Entry]:
    """Entries, the newest first; with `roots` only those that answer nothing."""
    statement = _ENTRY.where(EntryRow.thread_id == thread_id)
    if kind is not None:
        statement = statement.where(EntryRow.kind == kind)
    if roots:
        statement = statement.where(EntryRow.depth == 0)
    entries = await session.all(_NEWEST.select(statement, limit, cursor), Entry)
    return Page(*_NEWEST.cut(entries, limit))


async def under(session: Session, roots: list[str]) -> list[Entry]:
    """The answers in the conversations that begin with these entries, oldest first, 5,000 at most."""
    statement = _ENTRY.where(EntryRow.root.in_(roots), EntryRow.depth > 0)
    return await session.all(statement.order_by(EntryRow.seq).limit(_MOST_IN_TREES), Entry)


async def newest(session: Session, thread_id: str, limit: int) -> list[Entry]:
    """The newest entries, oldest of them first."""
    return (await session.all(_NEWEST_ENTRIES, Entry, thread_id=thread_id, most=limit))[::-1]


async def path(session: Session, entry: Entry, most: int) -> list[Entry]:
    """The entries that an entry answers, from the root on, the nearest `most` of them."""
    found: list[Entry] = []
    while entry.reply_to is not None and len(found) < most:
        entry = await get(session, entry.thread_id, entry.reply_to)
        found.append(entry)
    return found[::-1]


async def is_any_waiting(session: Session, thread_id: str) -> bool:
    """Whether there is anything that the agent may answer and has not."""
    return bool(await session.scalar(_IS_ANY_WAITING, thread_id=thread_id))


async def waiting_comment(session: Session, thread_id: str) -> Entry | None:
    """The oldest comment of a person that the agent has not answered."""
    return await _waiting(session, thread_id, "person", after=0)


async def waiting_own(session: Session, thread_id: str, *, after: int) -> Entry | None:
    """The oldest entry of its own behind position `after` that the agent may answer and has not."""
    return await _waiting(session, thread_id, "agent", after=after)


async def last_step_at(session: Session, thread_id: str) -> datetime | None:
    """When the agent last answered itself."""
    statement = select(EntryRow.created_at).where(EntryRow.thread_id == thread_id, EntryRow.steps > 0)
    return await session.scalar(statement.order_by(EntryRow.seq.desc()).limit(1))


async def answered_at(session: Session, thread_id: str, nth: int) -> datetime | None:
    """When the agent wrote its nth newest answer to a person's comment."""
    where = (EntryRow.thread_id == thread_id, EntryRow.kind == "self_reply", EntryRow.steps == 0)
    statement = select(EntryRow.created_at).where(*where).order_by(EntryRow.seq.desc())
    return await session.scalar(statement.offset(nth - 1).limit(1))


async def _waiting(session: Session, thread_id: str, origin: str, *, after: int) -> Entry | None:
    return await session.first(_OLDEST_WAITING, Entry, thread_id=thread_id, origin=origin, after=after)


async def _is_written(session: Session, thread_id: str, digest: str) -> bool:
    return bool(await session.scalar(_IS_WRITTEN, thread_id=thread_id, digest=digest))


async def _next_seq(session: Session, thread_id: str) -> int:
    return (await session.scalar(_LAST_SEQ, thread_id=thread_id) or 0) + 1


async def _insert(session: Session, entry: Entry, *, digest: str | None, waits: bool) -> None:
    await session.execute(_NEW, structs.asdict(entry) | {"digest": digest, "waits": waits})
    await events.tell(session, "entry", entry, thread_id=entry.thread_id, at=entry.created_at)
