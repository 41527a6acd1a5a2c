from typing import ClassVar, Literal

from msgspec import Struct

from ledger.actions.checks import Refused, Scene, find_post
from ledger.db import Session
from ledger.posts import store as posts
from ledger.posts.structs import Vote
from ledger.runs.structs import ActionResult


class VoteAction(Struct, frozen=True, tag_field="action", tag="vote"):
    """Vote a post up or down; a second vote on the same post replaces the first."""

    kind: ClassVar[str] = "vote"

    post_id: str
    direction: Literal["up", "down"]

    @property
    def text(self) -> str:
        return ""

    async def apply(self, session: Session, scene: Scene, ordinal: int) -> ActionResult:
        post = await find_post(session, scene, self.post_id)
        if post.origin == "agent":
            raise Refused("The agent does not vote on its own posts.")
        value = 1 if self.direction == "up" else -1
        before = await posts.vote_of(session, post.id, scene.agent)
        if before is not None and before.value == value:
            raise Refused(f"The agent has voted {self.direction} on this post already.")
        vote = Vote(post.id, scene.agent, value, scene.now)
        await posts.vote(session, post, vote, run_id=scene.run_id, ordinal=ordinal)
        return ActionResult(action=self.kind, success=True, post_id=post.id, title=post.title, direction=self.direction)
