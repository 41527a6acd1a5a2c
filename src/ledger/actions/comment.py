from typing import ClassVar

from msgspec import Struct

from ledger.actions.checks import NEWEST, WINDOW, Refused, Scene, check_content, check_new, find_post, is_id
from ledger.db import Session, new_id
from ledger.posts import comments
from ledger.posts.structs import Comment, Post
from ledger.runs.structs import ActionResult
from ledger.threads import messages


class CommentAction(Struct, frozen=True, tag_field="action", tag="comment"):
    """Answer a post, or, with parent_id, one of its comments. The content has 1 to 5000 characters."""

    kind: ClassVar[str] = "comment"

    post_id: str
    content: str
    parent_id: str | None = None

    @property
    def text(self) -> str:
        return self.content

    async def apply(self, session: Session, scene: Scene, ordinal: int) -> ActionResult:
        check_content(self.content)
        post = await find_post(session, scene, self.post_id)
        target = await self._check_target(session, post)
        if not target.mentions_agent:  # two people who ask the same may get the same answer
            earlier = await comments.recent_of_agent(
                session, scene.thread_id, post.board, since=scene.now - WINDOW, limit=NEWEST
            )
            check_new(self.content, [comment.content for comment in earlier])
        comment_id = await self._write(session, scene, post, ordinal)
        return ActionResult(action=self.kind, success=True, post_id=post.id, comment_id=comment_id, title=post.title)

    async def _check_target(self, session: Session, post: Post) -> Post | Comment:
        """What is answered: the agent answers others, not itself, and each of them once."""
        target = post
        if self.parent_id is not None:
            target = await comments.find(session, post.id, self.parent_id) if is_id(self.parent_id) else None
            if target is None:
                raise Refused(f"There is no comment {self.parent_id!r} on the post {post.id!r}.")
        if target.origin == "agent":
            raise Refused("The agent does not comment on its own posts and comments.")
        if await comments.has_answer_of_agent(session, post.id, self.parent_id):
            raise Refused("The agent has answered this already.")
        return target

    async def _write(self, session: Session, scene: Scene, post: Post, ordinal: int) -> str:
        comment = Comment(
            id=new_id(),
            post_id=post.id,
            thread_id=post.thread_id,
            parent_id=self.parent_id,
            content=self.content,
            author=scene.agent,
            origin="agent",
            run_id=scene.run_id,
            created_at=scene.now,
            edited_at=None,
            removed_at=None,
            mentions_agent=False,
        )
        await comments.add(session, comment, ordinal=ordinal)
        if scene.speaks:
            await messages.say(session, scene.thread_id, self.content, run_id=scene.run_id, now=scene.now)
        return comment.id
