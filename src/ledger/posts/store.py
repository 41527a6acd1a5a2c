"""Posts, and the votes that rank them. Scores and comment counts are kept, so that listing aggregates nothing."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs
from sqlalchemy import delete, exists, func, insert, or_, select, update

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Conflict, NotFound
from ledger.paging import AnySelect, Keyset
from ledger.posts.ranking import hot
from ledger.posts.structs import BoardCount, Post, Sort, Vote
from ledger.posts.tables import CommentRow, PostRow, VoteRow
from ledger.threads import store as threads
from ledger.threads.structs import Page

_POST = select(*columns(PostRow, Post))
_VOTE = select(*columns(VoteRow, Vote))
_SORTS: dict[Sort, Keyset] = {
    "new": Keyset(PostRow.created_at, PostRow.id),
    "top": Keyset(PostRow.score, PostRow.id),
    "hot": Keyset(PostRow.hot, PostRow.id),
}
_BY_TIME = (PostRow.created_at.desc(), PostRow.id.desc())
_VOTERS = Keyset(VoteRow.voter, descending=False)


async def add(session: Session, post: Post, *, ordinal: int | None = None) -> Post:
    """Write a post. The thread is locked."""
    await session.execute(insert(PostRow).values(structs.asdict(post) | {"ordinal": ordinal}))
    await threads.count_posts(session, post.thread_id, +1)
    return post


async def get(session: Session, post_id: str) -> Post:
    post = await session.first(_POST.where(PostRow.id == post_id), Post)
    if post is None:
        raise NotFound(f"There is no post {post_id!r}.")
    return post


async def find(session: Session, thread_id: str, post_id: str) -> Post | None:
    """A post of one thread, as a heartbeat of that thread may see it: not of others, not removed."""
    where = (PostRow.id == post_id, PostRow.thread_id == thread_id, PostRow.removed_at.is_(None))
    return await session.first(_POST.where(*where), Post)


async def page(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    sort: Sort = "new",
    board: str | None = None,
    thread_id: str | None = None,
) -> Page[Post]:
    statement = _POST.where(PostRow.removed_at.is_(None))
    if board is not None:
        statement = statement.where(PostRow.board == board)
    if thread_id is not None:
        statement = statement.where(PostRow.thread_id == thread_id)
    order = _SORTS[sort]
    return Page(*order.cut(await session.all(order.select(statement, limit, cursor), Post), limit))


async def feed(session: Session, thread_id: str, limit: int) -> list[Post]:
    """The newest posts of a thread, newest first."""
    return (await page(session, limit=limit, thread_id=thread_id)).items


async def recent_of_agent(session: Session, thread_id: str, board: str, *, since: datetime, limit: int) -> list[Post]:
    """The agent's newest posts on a board of a thread, newest first; removed ones have no text left to compare."""
    return await session.all(_of_agent(thread_id, board).where(PostRow.created_at > since).limit(limit), Post)


async def any_of_others(session: Session, thread_id: str, *, since: datetime) -> bool:
    """Whether somebody but the agent has posted or commented on a thread since then."""
    rows = [
        select(row.id).where(row.thread_id == thread_id, row.origin != "agent", row.created_at > since)
        for row in (PostRow, CommentRow)
    ]
    return bool(await session.scalar(select(or_(*(exists(found) for found in rows)))))


async def of_agent(session: Session, thread_id: str, limit: int) -> list[Post]:
    """The agent's newest posts in a thread, newest first."""
    where = (PostRow.thread_id == thread_id, PostRow.origin == "agent", PostRow.removed_at.is_(None))
    return await session.all(_POST.where(*where).order_by(*_BY_TIME).limit(limit), Post)


async def newest_of_agent(session: Session, thread_id: str, board: str) -> Post | None:
    return await session.first(_of_agent(thread_id, board, removed=True).limit(1), Post)


async def boards(session: Session) -> list[BoardCount]:
    count = func.count().label("post_count")
    statement = select(PostRow.board, count).where(PostRow.removed_at.is_(None)).group_by(PostRow.board)
    return await session.all(statement.order_by(PostRow.board), BoardCount)


async def change(
    session: Session, post: Post, *, title: str, content: str, mentions_agent: bool, now: datetime
) -> Post:
    values = {"title": title, "content": content, "edited_at": now, "mentions_agent": mentions_agent}
    return await _write(session, post, values)


async def remove(session: Session, post: Post, *, now: datetime) -> Post:
    """Leave a tombstone: the text goes, who wrote it and in which run stays."""
    await threads.count_posts(session, post.thread_id, -1)
    return await _write(session, post, {"title": "", "content": "", "removed_at": now, "mentions_agent": False})


async def count_comments(session: Session, post_id: str, change: int) -> None:
    values = {"comment_count": PostRow.comment_count + change}
    await session.execute(update(PostRow).where(PostRow.id == post_id).values(values))


async def vote(
    session: Session, post: Post, vote: Vote, *, run_id: str | None = None, ordinal: int | None = None
) -> Post:
    """Cast or change a vote. The thread is locked."""
    await session.execute(delete(VoteRow).where(VoteRow.post_id == post.id, VoteRow.voter == vote.voter))
    row = structs.asdict(vote) | {"thread_id": post.thread_id, "run_id": run_id, "ordinal": ordinal}
    await session.execute(insert(VoteRow).values(row))
    return await _rank(session, post)


async def unvote(session: Session, post: Post, voter: str) -> Post:
    """Take a vote back; none is fine, too. The thread is locked."""
    await session.execute(delete(VoteRow).where(VoteRow.post_id == post.id, VoteRow.voter == voter))
    return await _rank(session, post)


async def vote_of(session: Session, post_id: str, voter: str) -> Vote | None:
    return await session.first(_VOTE.where(VoteRow.post_id == post_id, VoteRow.voter == voter), Vote)


async def votes(session: Session, post_id: str, *, limit: int, cursor: str | None = None) -> Page[Vote]:
    statement = _VOTERS.select(_VOTE.where(VoteRow.post_id == post_id), limit, cursor)
    return Page(*_VOTERS.cut(await session.all(statement, Vote), limit))


def standing(post: Post) -> Post:
    """The post, unless it was removed."""
    if post.removed_at is not None:
        raise Conflict(f"The post {post.id!r} was removed.")
    return post


def _of_agent(thread_id: str, board: str, *, removed: bool = False) -> AnySelect:
    where = [PostRow.thread_id == thread_id, PostRow.board == board, PostRow.origin == "agent"]
    if not removed:
        where.append(PostRow.removed_at.is_(None))
    return _POST.where(*where).order_by(*_BY_TIME)


async def _rank(session: Session, post: Post) -> Post:
    total = select(func.coalesce(func.sum(VoteRow.value), 0)).where(VoteRow.post_id == post.id)
    score = await session.scalar(total) or 0
    return await _write(session, post, {"score": score, "hot": hot(score, post.created_at)})


async def _write(session: Session, post: Post, values: Mapping[str, object]) -> Post:
    await session.execute(update(PostRow).where(PostRow.id == post.id).values(values))
    return structs.replace(post, **values)
