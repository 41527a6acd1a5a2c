"""What a person set for a thread's journal."""

from sqlalchemy import delete, insert, select

from ledger.db import Session
from ledger.journal.structs import JournalSettings, PostsWhen
from ledger.journal.tables import JournalSettingsRow


async def posts_when(session: Session, thread_id: str) -> PostsWhen:
    """When reflections are also posted on the ledger."""
    statement = select(JournalSettingsRow.posts).where(JournalSettingsRow.thread_id == thread_id)
    return await session.scalar(statement) or JournalSettings().posts


async def set_posts_when(session: Session, thread_id: str, posts: PostsWhen) -> None:
    """The thread is locked."""
    await session.execute(delete(JournalSettingsRow).where(JournalSettingsRow.thread_id == thread_id))
    await session.execute(insert(JournalSettingsRow).values(thread_id=thread_id, posts=posts))
