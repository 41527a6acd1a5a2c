"""Comments, and the mentions that wait for an answer."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs
from sqlalchemy import exists, insert, null, select, update
from sqlalchemy.orm import aliased

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Conflict, NotFound
from ledger.paging import Keyset
from ledger.posts import store
from ledger.posts.structs import Comment, Mention
from ledger.posts.tables import CommentRow, PostRow
from ledger.threads.structs import Page

_COMMENT = select(*columns(CommentRow, Comment))
_OLDEST = Keyset(CommentRow.created_at, CommentRow.id, descending=False)


async def add(session: Session, comment: Comment, *, ordinal: int | None = None) -> Comment:
    """Write a comment. The thread is locked."""
    await session.execute(insert(CommentRow).values(structs.asdict(comment) | {"ordinal": ordinal}))
    await store.count_comments(session, comment.post_id, +1)
    return comment


async def get(session: Session, comment_id: str) -> Comment:
    comment = await session.first(_COMMENT.where(CommentRow.id == comment_id), Comment)
    if comment is None:
        raise NotFound(f"There is no comment {comment_id!r}.")
    return comment


async def find(session: Session, post_id: str, comment_id: str) -> Comment | None:
    """A comment of one post, unless it was removed."""
    where = (CommentRow.id == comment_id, CommentRow.post_id == post_id, CommentRow.removed_at.is_(None))
    return await session.first(_COMMENT.where(*where), Comment)


async def page(session: Session, post_id: str, *, limit: int, cursor: str | None = None) -> Page[Comment]:
    """A post's comments, oldest first, tombstones included (their answers still hang on them)."""
    statement = _OLDEST.select(_COMMENT.where(CommentRow.post_id == post_id), limit, cursor)
    return Page(*_OLDEST.cut(await session.all(statement, Comment), limit))


async def newest(session: Session, thread_id: str, limit: int) -> list[Comment]:
    """The newest comments on a thread's posts, oldest of them first."""
    statement = _COMMENT.where(CommentRow.thread_id == thread_id, CommentRow.removed_at.is_(None))
    order = (CommentRow.created_at.desc(), CommentRow.id.desc())
    return (await session.all(statement.order_by(*order).limit(limit), Comment))[::-1]


async def change(session: Session, comment: Comment, content: str, *, mentions_agent: bool, now: datetime) -> Comment:
    return await _write(session, comment, {"content": content, "edited_at": now, "mentions_agent": mentions_agent})


async def remove(session: Session, comment: Comment, *, now: datetime) -> Comment:
    """Leave a tombstone: the text goes, who wrote it and in which run stays."""
    await store.count_comments(session, comment.post_id, -1)
    return await _write(session, comment, {"content": "", "removed_at": now, "mentions_agent": False})


async def has_answer_of_agent(session: Session, post_id: str, parent_id: str | None) -> bool:
    """Whether the agent has answered this comment (or, with None, the post itself), removed or not."""
    parent = CommentRow.parent_id.is_(None) if parent_id is None else CommentRow.parent_id == parent_id
    where = (CommentRow.post_id == post_id, CommentRow.origin == "agent", parent)
    return bool(await session.scalar(select(exists().where(*where))))


async def recent_of_agent(
    session: Session, thread_id: str, board: str, *, since: datetime, limit: int
) -> list[Comment]:
    """The agent's newest comments on a board of a thread, newest first."""
    where = (
        CommentRow.thread_id == thread_id,
        CommentRow.origin == "agent",
        CommentRow.removed_at.is_(None),
        CommentRow.created_at > since,
        PostRow.board == board,
    )
    statement = _COMMENT.join(PostRow, PostRow.id == CommentRow.post_id).where(*where)
    return await session.all(statement.order_by(CommentRow.created_at.desc(), CommentRow.id).limit(limit), Comment)


async def open_mentions(session: Session, thread_id: str, limit: int) -> list[Mention]:
    """Mentions of the agent it has not answered, oldest first: an answer is its comment on the comment or post."""
    answer = aliased(CommentRow)
    answered = exists().where(answer.origin == "agent", answer.post_id == PostRow.id)
    in_posts = select(
        PostRow.id.label("post_id"),
        null().label("comment_id"),
        PostRow.title.label("post_title"),
        (PostRow.title + "\n" + PostRow.content).label("content"),
        PostRow.author,
        PostRow.created_at,
    ).where(PostRow.thread_id == thread_id, PostRow.mentions_agent, ~answered.where(answer.parent_id.is_(None)))
    in_comments = (
        select(
            PostRow.id.label("post_id"),
            CommentRow.id.label("comment_id"),
            PostRow.title.label("post_title"),
            CommentRow.content,
            CommentRow.author,
            CommentRow.created_at,
        )
        .join(PostRow, PostRow.id == CommentRow.post_id)
        .where(
            CommentRow.thread_id == thread_id,
            CommentRow.mentions_agent,
            PostRow.removed_at.is_(None),
            ~answered.where(answer.parent_id == CommentRow.id),
        )
    )
    found = [
        *await session.all(in_posts.order_by(PostRow.created_at).limit(limit), Mention),
        *await session.all(in_comments.order_by(CommentRow.created_at).limit(limit), Mention),
    ]
    return sorted(found, key=lambda mention: mention.created_at)[:limit]


def standing(comment: Comment) -> Comment:
    """The comment, unless it was removed."""
    if comment.removed_at is not None:
        raise Conflict(f"The comment {comment.id!r} was removed.")
    return comment


async def _write(session: Session, comment: Comment, values: Mapping[str, object]) -> Comment:
    await session.execute(update(CommentRow).where(CommentRow.id == comment.id).values(values))
    return structs.replace(comment, **values)
