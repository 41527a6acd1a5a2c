"""Posts, and the votes that rank them. Scores and comment counts are kept, so that listing aggregates nothing."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs
from sqlalchemy import bindparam, delete, exists, func, insert, or_, select, update

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Conflict, NotFound
from ledger.events import store as events
from ledger.paging import Keyset
from ledger.posts.ranking import hot
from ledger.posts.structs import Ballot, BoardCount, Post, Sort, Vote
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
_VOTERS = Keyset(VoteRow.voter, descending=False)

_IS_IT = PostRow.id == bindparam("post_id")
_OF_THREAD = PostRow.thread_id == bindparam("thread_id")
_ON_BOARD = PostRow.board == bindparam("board")
_SINCE = PostRow.created_at > bindparam("since")
_STANDS = PostRow.removed_at.is_(None)

_ONE = _POST.where(_IS_IT)
_ONE_OF_THREAD = _POST.where(_IS_IT, _OF_THREAD, _STANDS)
_BY_TIME = _POST.where(_OF_THREAD).order_by(PostRow.created_at.desc(), PostRow.id.desc())
_FEED = _BY_TIME.where(_STANDS).limit(bindparam("most"))
_BY_AGENT = _BY_TIME.where(PostRow.origin == "agent")
_OF_AGENT = _BY_AGENT.where(_STANDS).limit(bindparam("most"))
_RECENT_OF_AGENT = _BY_AGENT.where(_STANDS, _ON_BOARD, _SINCE).limit(bindparam("most"))
_NEWEST_OF_AGENT = _BY_AGENT.where(_ON_BOARD).limit(1)
_OF_OTHERS = [
    exists().where(row.thread_id == bindparam("thread_id"), row.origin != "agent", row.created_at > bindparam("since"))
    for row in (PostRow, CommentRow)
]
_ANY_OF_OTHERS = select(or_(*_OF_OTHERS))
_NEW = insert(PostRow)
_CHANGED = update(PostRow).where(_IS_IT)
_RECOUNTED = _CHANGED.values(comment_count=PostRow.comment_count + bindparam("change"))

_IS_VOTE = (VoteRow.post_id == bindparam("post_id"), VoteRow.voter == bindparam("voter"))
_VOTE_OF = _VOTE.where(*_IS_VOTE)
_NEW_VOTE = insert(VoteRow)
_TAKEN_BACK = delete(VoteRow).where(*_IS_VOTE)
_SCORE = select(func.coalesce(func.sum(VoteRow.value), 0)).where(VoteRow.post_id == bindparam("post_id"))


async def add(session: Session, post: Post, *, ordinal: int | None = None) -> Post:
    """Write a post. The thread is locked."""
    await session.execute(_NEW, structs.asdict(post) | {"ordinal": ordinal})
    await threads.count_posts(session, post.thread_id, +1)
    await _tell(session, post, post.created_at)
    return post


async def get(session: Session, post_id: str) -> Post:
    post = await session.first(_ONE, Post, post_id=post_id)
    if post is None:
        raise NotFound(f"There is no post {post_id!r}.")
    return post


async def find(session: Session, thread_id: str, post_id: str) -> Post | None:
    """A post of one thread, as a heartbeat of that thread may see it: not of others, not removed."""
    return await session.first(_ONE_OF_THREAD, Post, post_id=post_id, thread_id=thread_id)


async def page(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    sort: Sort = "new",
    board: str | None = None,
    thread_id: str | None = None,
) -> Page[Post]:
    statement = _POST.where(_STANDS)
    if board is not None:
        statement = statement.where(PostRow.board == board)
    if thread_id is not None:
        statement = statement.where(PostRow.thread_id == thread_id)
    order = _SORTS[sort]
    return Page(*order.cut(await session.all(order.select(statement, limit, cursor), Post), limit))


async def feed(session: Session, thread_id: str, limit: int) -> list[Post]:
    """The newest posts of a thread, newest first."""
    return await session.all(_FEED, Post, thread_id=thread_id, most=limit)


async def recent_of_agent(session: Session, thread_id: str, board: str, *, since: datetime, limit: int) -> list[Post]:
    """The agent's newest posts on a board of a thread, newest first; removed ones have no text left to compare."""
    return await session.all(_RECENT_OF_AGENT, Post, thread_id=thread_id, board=board, since=since, most=limit)


async def any_of_others(session: Session, thread_id: str, *, since: datetime) -> bool:
    """Whether somebody but the agent has posted or commented on a thread since then."""
    return bool(await session.scalar(_ANY_OF_OTHERS, thread_id=thread_id, since=since))


async def of_agent(session: Session, thread_id: str, limit: int) -> list[Post]:
    """The agent's newest posts in a thread, newest first."""
    return await session.all(_OF_AGENT, Post, thread_id=thread_id, most=limit)


async def newest_of_agent(session: Session, thread_id: str, board: str) -> Post | None:
    """The agent's newest post on a board of a thread, removed or not."""
    return await session.first(_NEWEST_OF_AGENT, Post, thread_id=thread_id, board=board)


async def boards(session: Session) -> list[BoardCount]:
    count = func.count().label("post_count")
    statement = select(PostRow.board, count).where(_STANDS).group_by(PostRow.board)
    return await session.all(statement.order_by(PostRow.board), BoardCount)


async def change(
    session: Session, post: Post, *, title: str, content: str, mentions_agent: bool, now: datetime
) -> Post:
    values = {"title": title, "content": content, "edited_at": now, "mentions_agent": mentions_agent}
    changed = await _write(session, post, values)
    await _tell(session, changed, now)
    return changed


async def remove(session: Session, post: Post, *, now: datetime) -> Post:
    """Leave a tombstone: the text goes, who wrote it and in which run stays."""
    await threads.count_posts(session, post.thread_id, -1)
    gone = await _write(session, post, {"title": "", "content": "", "removed_at": now, "mentions_agent": False})
    await events.blank(session, "post", post.thread_id, post.id, gone, at=now)
    await _tell(session, gone, now)
    return gone


async def count_comments(session: Session, post_id: str, change: int) -> None:
    await session.execute(_RECOUNTED, {"post_id": post_id, "change": change})


async def vote(
    session: Session, post: Post, vote: Vote, *, run_id: str | None = None, ordinal: int | None = None
) -> Post:
    """Cast or change a vote. The thread is locked."""
    await session.execute(_TAKEN_BACK, {"post_id": post.id, "voter": vote.voter})
    row = structs.asdict(vote) | {"thread_id": post.thread_id, "run_id": run_id, "ordinal": ordinal}
    await session.execute(_NEW_VOTE, row)
    return await _rank(session, post, vote.voter, vote.value, vote.voted_at)


async def unvote(session: Session, post: Post, voter: str, *, now: datetime) -> Post:
    """Take a vote back; none is fine, too. The thread is locked."""
    taken_back = await session.execute(_TAKEN_BACK, {"post_id": post.id, "voter": voter})
    return await _rank(session, post, voter, None, now) if taken_back.rowcount else post


async def vote_of(session: Session, post_id: str, voter: str) -> Vote | None:
    return await session.first(_VOTE_OF, Vote, post_id=post_id, voter=voter)


async def votes(session: Session, post_id: str, *, limit: int, cursor: str | None = None) -> Page[Vote]:
    statement = _VOTERS.select(_VOTE.where(VoteRow.post_id == post_id), limit, cursor)
    return Page(*_VOTERS.cut(await session.all(statement, Vote), limit))


def standing(post: Post) -> Post:
    """The post, unless it was removed."""
    if post.removed_at is not None:
        raise Conflict(f"The post {post.id!r} was removed.")
    return post


async def _rank(session: Session, post: Post, voter: str, value: int | None, at: datetime) -> Post:
    score = await session.scalar(_SCORE, post_id=post.id) or 0
    ballot = Ballot(post.id, voter, value, score)
    await events.tell(session, "vote", ballot, thread_id=post.thread_id, at=at)
    return await _write(session, post, {"score": score, "hot": hot(score, post.created_at)})


async def _tell(session: Session, post: Post, at: datetime) -> None:
    await events.tell(session, "post", post, thread_id=post.thread_id, subject=post.id, at=at)


async def _write(session: Session, post: Post, values: Mapping[str, object]) -> Post:
    await session.execute(_CHANGED, {"post_id": post.id, **values})
    return structs.replace(post, **values)
