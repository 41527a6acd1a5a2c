"""What people do to the ledger: they may not pose as the agent, and what they do counts as news."""

from datetime import datetime

import msgspec
from msgspec import UNSET

from ledger.db import Session, new_id
from ledger.errors import Invalid, NotFound
from ledger.posts import comments, store
from ledger.posts.ranking import hot, mentions
from ledger.posts.structs import Author, Comment, CommentChange, NewComment, NewPost, Post, PostChange, Vote
from ledger.threads import store as threads
from ledger.threads.names import refuse_agents_name


async def write_post(session: Session, new: NewPost, *, agent: str, now: datetime) -> Post:
    refuse_agents_name("author", new.author, agent)
    await _news(session, new.thread_id)
    post = Post(
        id=new_id(),
        thread_id=new.thread_id,
        board=new.board,
        title=new.title,
        content=new.content,
        author=new.author,
        origin="person",
        run_id=None,
        score=0,
        hot=hot(0, now),
        comment_count=0,
        created_at=now,
        edited_at=None,
        removed_at=None,
        mentions_agent=mentions(f"{new.title}\n\n{new.content}", agent),
    )
    return await store.add(session, post)


async def edit_post(session: Session, post_id: str, change: PostChange, *, agent: str, now: datetime) -> Post:
    post = await _locked_post(session, post_id)
    title = post.title if change.title is UNSET else change.title
    content = post.content if change.content is UNSET else change.content
    if (title, content) == (post.title, post.content):
        return post
    calls = post.origin != "agent" and mentions(f"{title}\n\n{content}", agent)
    return await store.change(session, post, title=title, content=content, mentions_agent=calls, now=now)


async def remove_post(session: Session, post_id: str, *, now: datetime) -> Post:
    return await store.remove(session, await _locked_post(session, post_id), now=now)


async def write_comment(session: Session, post_id: str, new: NewComment, *, agent: str, now: datetime) -> Comment:
    refuse_agents_name("author", new.author, agent)
    post = await _locked_post(session, post_id)
    if new.parent_id is not None and await comments.find(session, post_id, new.parent_id) is None:
        raise NotFound(f"There is no comment {new.parent_id!r} on the post {post_id!r}.")
    comment = Comment(
        id=new_id(),
        post_id=post.id,
        thread_id=post.thread_id,
        parent_id=new.parent_id,
        content=new.content,
        author=new.author,
        origin="person",
        run_id=None,
        created_at=now,
        edited_at=None,
        removed_at=None,
        mentions_agent=mentions(new.content, agent),
    )
    return await comments.add(session, comment)


async def edit_comment(
    session: Session, comment_id: str, change: CommentChange, *, agent: str, now: datetime
) -> Comment:
    comment = await _locked_comment(session, comment_id)
    if change.content == comment.content:
        return comment
    calls = comment.origin != "agent" and mentions(change.content, agent)
    return await comments.change(session, comment, change.content, mentions_agent=calls, now=now)


async def remove_comment(session: Session, comment_id: str, *, now: datetime) -> Comment:
    return await comments.remove(session, await _locked_comment(session, comment_id), now=now)


async def cast_vote(session: Session, post_id: str, voter: str, value: int, *, agent: str, now: datetime) -> Post:
    _check_name(voter)
    refuse_agents_name("voter", voter, agent)
    post = await _locked_post(session, post_id)
    before = await store.vote_of(session, post.id, voter)
    if before is not None and before.value == value:
        return post
    return await store.vote(session, post, Vote(post.id, voter, value, now))


async def take_vote_back(session: Session, post_id: str, voter: str, *, agent: str, now: datetime) -> Post:
    _check_name(voter)
    refuse_agents_name("voter", voter, agent)
    return await store.unvote(session, await _locked_post(session, post_id), voter, now=now)


async def _locked_post(session: Session, post_id: str) -> Post:
    """The post, read again once its thread is locked; it must not have been removed."""
    await _news(session, (await store.get(session, post_id)).thread_id)
    return store.standing(await store.get(session, post_id))


async def _locked_comment(session: Session, comment_id: str) -> Comment:
    await _news(session, (await comments.get(session, comment_id)).thread_id)
    return comments.standing(await comments.get(session, comment_id))


async def _news(session: Session, thread_id: str) -> None:
    await threads.lock_existing(session, thread_id)
    await threads.stir(session, thread_id)


def _check_name(voter: str) -> None:
    try:
        msgspec.convert(voter, Author)
    except msgspec.ValidationError:
        raise Invalid(f"{voter!r} cannot be a voter's name: use 1 to 64 characters, not all blank.") from None
