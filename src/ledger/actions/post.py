from typing import ClassVar

from msgspec import Struct

from ledger.actions.checks import NEWEST, WINDOW, Scene, check_board, check_content, check_new, check_title
from ledger.db import Session, new_id
from ledger.posts import store as posts
from ledger.posts.ranking import hot
from ledger.posts.structs import Post
from ledger.runs.structs import ActionResult
from ledger.threads import messages


class PostAction(Struct, frozen=True, tag_field="action", tag="post"):
    """Write a new post. The title has 1 to 200 characters, the content 1 to 5000."""

    kind: ClassVar[str] = "post"

    board: str
    title: str
    content: str

    @property
    def text(self) -> str:
        return f"{self.title}\n{self.content}"

    async def apply(self, session: Session, scene: Scene, ordinal: int) -> ActionResult:
        check_board(self.board)
        check_title(self.title)
        check_content(self.content)
        earlier = await posts.recent_of_agent(
            session, scene.thread_id, self.board, since=scene.now - WINDOW, limit=NEWEST
        )
        check_new(self.text, [f"{post.title}\n{post.content}" for post in earlier])
        post_id = await self._write(session, scene, ordinal)
        return ActionResult(action=self.kind, success=True, post_id=post_id, title=self.title)

    async def _write(self, session: Session, scene: Scene, ordinal: int) -> str:
        post = Post(
            id=new_id(),
            thread_id=scene.thread_id,
            board=self.board,
            title=self.title,
            content=self.content,
            author=scene.agent,
            origin="agent",
            run_id=scene.run_id,
            score=0,
            hot=hot(0, scene.now),
            comment_count=0,
            created_at=scene.now,
            edited_at=None,
            removed_at=None,
            mentions_agent=False,
        )
        await posts.add(session, post, ordinal=ordinal)
        if scene.speaks:
            said = f"{self.title}\n\n{self.content}"
            await messages.say(session, scene.thread_id, said, run_id=scene.run_id, now=scene.now)
        return post.id
