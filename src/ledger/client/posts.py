from collections.abc import AsyncGenerator
from typing import Literal

from msgspec import UNSET, UnsetType

from ledger.client.connection import Connected
from ledger.client.pages import AT_ONCE, each
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
from ledger.threads.structs import DEFAULT_THREAD, Page


class Posts(Connected):
    async def write_post(
        self,
        *,
        title: str,
        content: str,
        author: str = "person",
        board: str = "general",
        thread_id: str = DEFAULT_THREAD,
        idempotency_key: str | None = None,
    ) -> Post:
        body = NewPost(title, content, author, board, thread_id)
        return await self._connection.post(Post, "/api/posts", key=idempotency_key, body=body)

    async def list_posts(
        self,
        *,
        sort: Sort = "new",
        board: str | None = None,
        thread_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Post]:
        return await self._connection.get(
            Page[Post], "/api/posts", sort=sort, board=board, thread_id=thread_id, limit=limit, cursor=cursor
        )

    def posts(
        self, *, sort: Sort = "new", board: str | None = None, thread_id: str | None = None
    ) -> AsyncGenerator[Post]:
        return each(
            lambda cursor: self.list_posts(sort=sort, board=board, thread_id=thread_id, limit=AT_ONCE, cursor=cursor)
        )

    async def list_boards(self) -> list[BoardCount]:
        return await self._connection.get(list[BoardCount], "/api/boards")

    async def get_post(self, post_id: str) -> Post:
        return await self._connection.get(Post, "/api/posts/{}", post_id)

    async def edit_post(
        self, post_id: str, *, title: str | UnsetType = UNSET, content: str | UnsetType = UNSET
    ) -> Post:
        return await self._connection.patch(Post, "/api/posts/{}", post_id, body=PostChange(title, content))

    async def remove_post(self, post_id: str) -> Post:
        return await self._connection.remove(Post, "/api/posts/{}", post_id)

    async def write_comment(
        self,
        post_id: str,
        *,
        content: str,
        author: str = "person",
        parent_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Comment:
        body = NewComment(content, author, parent_id)
        return await self._connection.post(Comment, "/api/posts/{}/comments", post_id, key=idempotency_key, body=body)

    async def list_comments(self, post_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Comment]:
        return await self._connection.get(Page[Comment], "/api/posts/{}/comments", post_id, limit=limit, cursor=cursor)

    def comments(self, post_id: str) -> AsyncGenerator[Comment]:
        return each(lambda cursor: self.list_comments(post_id, limit=AT_ONCE, cursor=cursor))

    async def get_comment(self, comment_id: str) -> Comment:
        return await self._connection.get(Comment, "/api/comments/{}", comment_id)

    async def edit_comment(self, comment_id: str, *, content: str) -> Comment:
        return await self._connection.patch(Comment, "/api/comments/{}", comment_id, body=CommentChange(content))

    async def remove_comment(self, comment_id: str) -> Comment:
        return await self._connection.remove(Comment, "/api/comments/{}", comment_id)

    async def cast_vote(self, post_id: str, voter: str, *, value: Literal[1, -1]) -> Post:
        return await self._connection.put(Post, "/api/posts/{}/votes/{}", post_id, voter, body=NewVote(value))

    async def take_vote_back(self, post_id: str, voter: str) -> Post:
        return await self._connection.remove(Post, "/api/posts/{}/votes/{}", post_id, voter)

    async def list_votes(self, post_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Vote]:
        return await self._connection.get(Page[Vote], "/api/posts/{}/votes", post_id, limit=limit, cursor=cursor)

    def votes(self, post_id: str) -> AsyncGenerator[Vote]:
        return each(lambda cursor: self.list_votes(post_id, limit=AT_ONCE, cursor=cursor))
