"""Scorecards: a revision for every reflection that changed one."""

from msgspec import structs
from sqlalchemy import bindparam, delete, insert, select

from ledger.columns import columns
from ledger.db import Session
from ledger.events import store as events
from ledger.insights.structs import Scorecard
from ledger.insights.tables import ScorecardRow, TallyRow
from ledger.paging import Keyset
from ledger.threads.structs import Page

_SCORECARD = select(*columns(ScorecardRow, Scorecard))
_OF_THREAD = ScorecardRow.thread_id == bindparam("thread_id")
_CURRENT = _SCORECARD.where(_OF_THREAD).order_by(ScorecardRow.revision.desc()).limit(1)
_ONE = _SCORECARD.where(_OF_THREAD, ScorecardRow.revision == bindparam("number"))
_NEWEST_REVISION = select(ScorecardRow.revision).where(_OF_THREAD).order_by(ScorecardRow.revision.desc()).limit(1)
_NEW = insert(ScorecardRow)
_NEWEST = Keyset(ScorecardRow.revision)

_IS_TALLY = TallyRow.thread_id == bindparam("thread_id")
_TALLY = select(TallyRow.tally).where(_IS_TALLY)
_TALLY_TAKEN = delete(TallyRow).where(_IS_TALLY)
_NEW_TALLY = insert(TallyRow)


async def current(session: Session, thread_id: str) -> Scorecard:
    """The newest revision; an empty one, numbered 0, before the first."""
    found = await session.first(_CURRENT, Scorecard, thread_id=thread_id)
    return found or Scorecard(thread_id=thread_id, revision=0)


async def newest_revision(session: Session, thread_id: str) -> int:
    return await session.scalar(_NEWEST_REVISION, thread_id=thread_id) or 0


async def revision(session: Session, thread_id: str, number: int) -> Scorecard:
    """One revision; an empty one if there is no such."""
    found = await session.first(_ONE, Scorecard, thread_id=thread_id, number=number)
    return found or Scorecard(thread_id=thread_id, revision=0)


async def add(session: Session, scorecard: Scorecard) -> None:
    await session.execute(_NEW, structs.asdict(scorecard))
    assert scorecard.created_at is not None  # noqa: S101 - only revision 0, which is not kept, has none
    await events.tell(session, "scorecard", scorecard, thread_id=scorecard.thread_id, at=scorecard.created_at)


async def page(session: Session, thread_id: str, *, limit: int, cursor: str | None = None) -> Page[Scorecard]:
    """Revisions, the newest first."""
    statement = _NEWEST.select(_SCORECARD.where(ScorecardRow.thread_id == thread_id), limit, cursor)
    return Page(*_NEWEST.cut(await session.all(statement, Scorecard), limit))


async def tally(session: Session, thread_id: str) -> str | None:
    """What has been counted so far, as JSON."""
    return await session.scalar(_TALLY, thread_id=thread_id)


async def keep_tally(session: Session, thread_id: str, counted: str) -> None:
    """Replace the tally. The thread is locked."""
    await session.execute(_TALLY_TAKEN, {"thread_id": thread_id})
    await session.execute(_NEW_TALLY, {"thread_id": thread_id, "tally": counted})
