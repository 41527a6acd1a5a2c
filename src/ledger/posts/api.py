from typing import Annotated

from litestar import Controller, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter

from ledger.clock import Clock
from ledger.db import Database
from ledger.posts import authors, comments, store
from ledger.posts.structs import (
    BoardCount,
    Comment,
    CommentChange,
    NewComment,
    NewPost,
    NewVote,
    Post,
    PostChange,
    Sort,
    Vote,
)
from ledger.settings import Settings
from ledger.threads.store import Wake
from ledger.threads.structs import NOT_BLANK, Page
from ledger.wire import Cursor, Given, Limit

PostKey = Annotated[str, PathParameter(description="The id of the post.")]
CommentKey = Annotated[str, PathParameter(description="The id of the comment.")]
Voter = Annotated[
    str,
    PathParameter(
        description="Who votes: 1 to 64 characters, and not the agent's own name.",
        schema_extra={"minLength": 1, "maxLength": 64, "pattern": NOT_BLANK},  # as the store checks
    ),
]
OnBoard = Annotated[str | None, QueryParameter(description="Only posts on this board.")]
OfThread = Annotated[str | None, QueryParameter(description="Only posts of this thread.")]
Sorted = Annotated[Sort, QueryParameter(description="`new` by time, `top` by score, `hot` by both.")]


class PostController(Controller):
    path = "/api"
    tags = ["posts"]

    @post("/posts")
    async def write_post(
        self,
        data: JSONBody[NewPost],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        wake: Given[Wake],
    ) -> Post:
        """Write a post on a board. `@ledger` in it (the agent's name) calls the agent, whose next heartbeat answers."""
        async with db.write() as session:
            written = await authors.write_post(session, data, agent=settings.agent_name, now=clock.now())
            await wake(session, written.thread_id)
        return written

    @get("/posts")
    async def list_posts(
        self,
        db: Given[Database],
        sort: Sorted = "new",
        board: OnBoard = None,
        thread_id: OfThread = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Post]:
        """Posts of all boards and threads, or of one, without those that were removed."""
        async with db.read() as session:
            return await store.page(session, limit=limit, cursor=cursor, sort=sort, board=board, thread_id=thread_id)

    @get("/boards")
    async def list_boards(self, db: Given[Database]) -> list[BoardCount]:
        """The boards that have posts, and how many."""
        async with db.read() as session:
            return await store.boards(session)

    @get("/posts/{post_id:str}")
    async def get_post(self, post_id: PostKey, db: Given[Database]) -> Post:
        """A post; of one that was removed, its tombstone."""
        async with db.read() as session:
            return await store.get(session, post_id)

    @patch("/posts/{post_id:str}")
    async def edit_post(
        self,
        post_id: PostKey,
        data: JSONBody[PostChange],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        wake: Given[Wake],
    ) -> Post:
        """Change a post's title or text; absent fields stay as they are. 409 if it was removed."""
        async with db.write() as session:
            edited = await authors.edit_post(session, post_id, data, agent=settings.agent_name, now=clock.now())
            await wake(session, edited.thread_id)
        return edited

    @delete("/posts/{post_id:str}", status_code=200)
    async def remove_post(
        self,
        post_id: PostKey,
        db: Given[Database],
        clock: Given[Clock],
        wake: Given[Wake],
    ) -> Post:
        """Remove a post's text; its tombstone, comments and votes stay."""
        async with db.write() as session:
            removed = await authors.remove_post(session, post_id, now=clock.now())
            await wake(session, removed.thread_id)
        return removed

    @post("/posts/{post_id:str}/comments")
    async def write_comment(
        self,
        post_id: PostKey,
        data: JSONBody[NewComment],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        wake: Given[Wake],
    ) -> Comment:
        """Write a comment on a post, or an answer to a comment on it. 409 if the post was removed."""
        async with db.write() as session:
            written = await authors.write_comment(session, post_id, data, agent=settings.agent_name, now=clock.now())
            await wake(session, written.thread_id)
        return written

    @get("/posts/{post_id:str}/comments")
    async def list_comments(
        self, post_id: PostKey, db: Given[Database], limit: Limit = 50, cursor: Cursor = None
    ) -> Page[Comment]:
        """A post's comments, oldest first; `parent_id` makes the tree."""
        async with db.read() as session:
            await store.get(session, post_id)
            return await comments.page(session, post_id, limit=limit, cursor=cursor)

    @get("/comments/{comment_id:str}")
    async def get_comment(self, comment_id: CommentKey, db: Given[Database]) -> Comment:
        """A comment; of one that was removed, its tombstone."""
        async with db.read() as session:
            return await comments.get(session, comment_id)

    @patch("/comments/{comment_id:str}")
    async def edit_comment(
        self,
        comment_id: CommentKey,
        data: JSONBody[CommentChange],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        wake: Given[Wake],
    ) -> Comment:
        """Change a comment's text; 409 if it was removed."""
        async with db.write() as session:
            edited = await authors.edit_comment(session, comment_id, data, agent=settings.agent_name, now=clock.now())
            await wake(session, edited.thread_id)
        return edited

    @delete("/comments/{comment_id:str}", status_code=200)
    async def remove_comment(
        self,
        comment_id: CommentKey,
        db: Given[Database],
        clock: Given[Clock],
        wake: Given[Wake],
    ) -> Comment:
        """Remove a comment's text; its tombstone and the answers to it stay."""
        async with db.write() as session:
            removed = await authors.remove_comment(session, comment_id, now=clock.now())
            await wake(session, removed.thread_id)
        return removed

    @put("/posts/{post_id:str}/votes/{voter:str}")
    async def cast_vote(
        self,
        post_id: PostKey,
        voter: Voter,
        data: JSONBody[NewVote],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        wake: Given[Wake],
    ) -> Post:
        """Vote a post up (+1) or down (-1); each voter has one vote, and may change it."""
        async with db.write() as session:
            post = await authors.cast_vote(
                session, post_id, voter, data.value, agent=settings.agent_name, now=clock.now()
            )
            await wake(session, post.thread_id)
        return post

    @delete("/posts/{post_id:str}/votes/{voter:str}", status_code=200)
    async def take_vote_back(
        self,
        post_id: PostKey,
        voter: Voter,
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        wake: Given[Wake],
    ) -> Post:
        """Take a voter's vote on a post back; without one, nothing changes."""
        async with db.write() as session:
            post = await authors.take_vote_back(session, post_id, voter, agent=settings.agent_name, now=clock.now())
            await wake(session, post.thread_id)
        return post

    @get("/posts/{post_id:str}/votes")
    async def list_votes(
        self, post_id: PostKey, db: Given[Database], limit: Limit = 50, cursor: Cursor = None
    ) -> Page[Vote]:
        """Who voted on a post, and how."""
        async with db.read() as session:
            await store.get(session, post_id)
            return await store.votes(session, post_id, limit=limit, cursor=cursor)
