"""Comments, and the mentions that wait for an answer."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs
from sqlalchemy import bindparam, exists, insert, null, select, update
from sqlalchemy.orm import aliased

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Conflict, NotFound
from ledger.events import store as events
from ledger.paging import Keyset
from ledger.posts import store
from ledger.posts.structs import Comment, Mention
from ledger.posts.tables import CommentRow, PostRow
from ledger.threads.structs import Page

_COMMENT = select(*columns(CommentRow, Comment))
_OLDEST = Keyset(CommentRow.created_at, CommentRow.id, descending=False)

_IS_IT = CommentRow.id == bindparam("comment_id")
_OF_THREAD = CommentRow.thread_id == bindparam("thread_id")
_STANDS = CommentRow.removed_at.is_(None)

_ONE = _COMMENT.where(_IS_IT)
_ONE_OF_POST = _ONE.where(CommentRow.post_id == bindparam("post_id"), _STANDS)
_NEWEST = (
    _COMMENT.where(_OF_THREAD, _STANDS)
    .order_by(CommentRow.created_at.desc(), CommentRow.id.desc())
    .limit(bindparam("most"))
)
_RECENT_OF_AGENT = (
    _COMMENT.join(PostRow, PostRow.id == CommentRow.post_id)
    .where(
        _OF_THREAD,
        CommentRow.origin == "agent",
        _STANDS,
        CommentRow.created_at > bindparam("since"),
        PostRow.board == bindparam("board"),
    )
    .order_by(CommentRow.created_at.desc(), CommentRow.id)
    .limit(bindparam("most"))
)
_NEW = insert(CommentRow)
_CHANGED = update(CommentRow).where(_IS_IT)

_ANSWER = aliased(CommentRow)
_IS_ANSWERED = exists().where(_ANSWER.origin == "agent", _ANSWER.post_id == PostRow.id)
_OPEN_IN_POSTS = (
    select(
        PostRow.id.label("post_id"),
        null().label("comment_id"),
        PostRow.title.label("post_title"),
        (PostRow.title + "\n" + PostRow.content).label("content"),
        PostRow.author,
        PostRow.created_at,
    )
    .where(
        PostRow.thread_id == bindparam("thread_id"),
        PostRow.mentions_agent,
        ~_IS_ANSWERED.where(_ANSWER.parent_id.is_(None)),
    )
    .order_by(PostRow.created_at)
    .limit(bindparam("most"))
)
_OPEN_IN_COMMENTS = (
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
        _OF_THREAD,
        CommentRow.mentions_agent,
        PostRow.removed_at.is_(None),
        ~_IS_ANSWERED.where(_ANSWER.parent_id == CommentRow.id),
    )
    .order_by(CommentRow.created_at)
    .limit(bindparam("most"))
)


async def add(session: Session, comment: Comment, *, ordinal: int | None = None) -> Comment:
    """Write a comment. The thread is locked."""
    await session.execute(_NEW, structs.asdict(comment) | {"ordinal": ordinal})
    await store.count_comments(session, comment.post_id, +1)
    await _tell(session, comment, comment.created_at)
    return comment


async def get(session: Session, comment_id: str) -> Comment:
    comment = await session.first(_ONE, Comment, comment_id=comment_id)
    if comment is None:
        raise NotFound(f"There is no comment {comment_id!r}.")
    return comment


async def find(session: Session, post_id: str, comment_id: str) -> Comment | None:
    """A comment of one post, unless it was removed."""
    return await session.first(_ONE_OF_POST, Comment, comment_id=comment_id, post_id=post_id)


async def page(session: Session, post_id: str, *, limit: int, cursor: str | None = None) -> Page[Comment]:
    """A post's comments, oldest first, tombstones included (their answers still hang on them)."""
    statement = _OLDEST.select(_COMMENT.where(CommentRow.post_id == post_id), limit, cursor)
    return Page(*_OLDEST.cut(await session.all(statement, Comment), limit))


async def newest(session: Session, thread_id: str, limit: int) -> list[Comment]:
    """The newest comments on a thread's posts, oldest of them first."""
    return (await session.all(_NEWEST, Comment, thread_id=thread_id, most=limit))[::-1]


async def change(session: Session, comment: Comment, content: str, *, mentions_agent: bool, now: datetime) -> Comment:
    values = {"content": content, "edited_at": now, "mentions_agent": mentions_agent}
    changed = await _write(session, comment, values)
    await _tell(session, changed, now)
    return changed


async def remove(session: Session, comment: Comment, *, now: datetime) -> Comment:
    """Leave a tombstone: the text goes, who wrote it and in which run stays."""
    await store.count_comments(session, comment.post_id, -1)
    gone = await _write(session, comment, {"content": "", "removed_at": now, "mentions_agent": False})
    await events.blank(session, "comment", comment.thread_id, comment.id, gone, at=now)
    await _tell(session, gone, now)
    return gone


async def has_answer_of_agent(session: Session, post_id: str, parent_id: str | None) -> bool:
    """Whether the agent has answered this comment (or, with None, the post itself), removed or not."""
    parent = CommentRow.parent_id.is_(None) if parent_id is None else CommentRow.parent_id == parent_id
    where = (CommentRow.post_id == post_id, CommentRow.origin == "agent", parent)
    return bool(await session.scalar(select(exists().where(*where))))


async def recent_of_agent(
    session: Session, thread_id: str, board: str, *, since: datetime, limit: int
) -> list[Comment]:
    """The agent's newest comments on a board of a thread, newest first."""
    return await session.all(_RECENT_OF_AGENT, Comment, thread_id=thread_id, board=board, since=since, most=limit)


async def open_mentions(session: Session, thread_id: str, limit: int) -> list[Mention]:
    """Mentions of the agent it has not answered, oldest first: an answer is its comment on the comment or post."""
    found = [
        *await session.all(_OPEN_IN_POSTS, Mention, thread_id=thread_id, most=limit),
        *await session.all(_OPEN_IN_COMMENTS, Mention, thread_id=thread_id, most=limit),
    ]
    return sorted(found, key=lambda mention: mention.created_at)[:limit]


def standing(comment: Comment) -> Comment:
    """The comment, unless it was removed."""
    if comment.removed_at is not None:
        raise Conflict(f"The comment {comment.id!r} was removed.")
    return comment


async def _write(session: Session, comment: Comment, values: Mapping[str, object]) -> Comment:
    await session.execute(_CHANGED, {"comment_id": comment.id, **values})
    return structs.replace(comment, **values)


async def _tell(session: Session, comment: Comment, at: datetime) -> None:
    await events.tell(session, "comment", comment, thread_id=comment.thread_id, subject=comment.id, at=at)
