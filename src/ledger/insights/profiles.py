"""Profiles: a revision for everything learned, pinned or taken back."""

from msgspec import structs
from sqlalchemy import bindparam, insert, select

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import NotFound
from ledger.events import store as events
from ledger.insights.structs import Profile, Words
from ledger.insights.tables import ProfileRow
from ledger.paging import Keyset
from ledger.threads.structs import Page

_PROFILE = select(*columns(ProfileRow, Profile))
_OF_THREAD = ProfileRow.thread_id == bindparam("thread_id")
_CURRENT = _PROFILE.where(_OF_THREAD).order_by(ProfileRow.revision.desc()).limit(1)
_WORDS = select(ProfileRow.words).where(_OF_THREAD, ProfileRow.revision == bindparam("number"))
_NEW = insert(ProfileRow)
_NEWEST = Keyset(ProfileRow.revision)


async def current(session: Session, thread_id: str) -> Profile:
    """The newest revision; an empty one, numbered 0, before the first."""
    found = await session.first(_CURRENT, Profile, thread_id=thread_id)
    return found or Profile(thread_id=thread_id, revision=0, words=Words())


async def revision(session: Session, thread_id: str, number: int) -> Profile:
    where = (ProfileRow.thread_id == thread_id, ProfileRow.revision == number)
    found = await session.first(_PROFILE.where(*where), Profile)
    if found is None:
        raise NotFound(f"The profile of thread {thread_id!r} has no revision {number}.")
    return found


async def words(session: Session, thread_id: str, number: int) -> Words:
    """The words of one revision; none known before the first."""
    return await session.scalar(_WORDS, thread_id=thread_id, number=number) or Words()


async def add(session: Session, profile: Profile) -> None:
    await session.execute(_NEW, structs.asdict(profile))
    assert profile.created_at is not None  # noqa: S101 - only revision 0, which is not kept, has none
    await events.tell(session, "profile", profile, thread_id=profile.thread_id, at=profile.created_at)


async def page(session: Session, thread_id: str, *, limit: int, cursor: str | None = None) -> Page[Profile]:
    """Revisions, the newest first."""
    statement = _NEWEST.select(_PROFILE.where(ProfileRow.thread_id == thread_id), limit, cursor)
    return Page(*_NEWEST.cut(await session.all(statement, Profile), limit))
