"""Scorecards: a revision for every reflection that changed one."""

from msgspec import structs
from sqlalchemy import delete, insert, select

from ledger.columns import columns
from ledger.db import Session
from ledger.insights.structs import Scorecard
from ledger.insights.tables import ScorecardRow, TallyRow
from ledger.paging import Keyset
from ledger.threads.structs import Page

_SCORECARD = select(*columns(ScorecardRow, Scorecard))
_NEWEST = Keyset(ScorecardRow.revision)


async def current(session: Session, thread_id: str) -> Scorecard:
    """The newest revision; an empty one, numbered 0, before the first."""
    newest = _SCORECARD.where(ScorecardRow.thread_id == thread_id).order_by(ScorecardRow.revision.desc())
    return await session.first(newest.limit(1), Scorecard) or Scorecard(thread_id=thread_id, revision=0)


async def newest_revision(session: Session, thread_id: str) -> int:
    newest = select(ScorecardRow.revision).where(ScorecardRow.thread_id == thread_id)
    return await session.scalar(newest.order_by(ScorecardRow.revision.desc()).limit(1)) or 0


async def revision(session: Session, thread_id: str, number: int) -> Scorecard:
    """One revision; an empty one if there is no such."""
    where = (ScorecardRow.thread_id == thread_id, ScorecardRow.revision == number)
    return await session.first(_SCORECARD.where(*where), Scorecard) or Scorecard(thread_id=thread_id, revision=0)


async def add(session: Session, scorecard: Scorecard) -> None:
    await session.execute(insert(ScorecardRow).values(structs.asdict(scorecard)))


async def page(session: Session, thread_id: str, *, limit: int, cursor: str | None = None) -> Page[Scorecard]:
    """Revisions, the newest first."""
    statement = _NEWEST.select(_SCORECARD.where(ScorecardRow.thread_id == thread_id), limit, cursor)
    return Page(*_NEWEST.cut(await session.all(statement, Scorecard), limit))


async def tally(session: Session, thread_id: str) -> str | None:
    """What has been counted so far, as JSON."""
    return await session.scalar(select(TallyRow.tally).where(TallyRow.thread_id == thread_id))


async def keep_tally(session: Session, thread_id: str, counted: str) -> None:
    """Replace the tally. The thread is locked."""
    await session.execute(delete(TallyRow).where(TallyRow.thread_id == thread_id))
    await session.execute(insert(TallyRow).values(thread_id=thread_id, tally=counted))
