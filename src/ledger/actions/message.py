from typing import ClassVar

from msgspec import Struct

from ledger.actions.checks import NEWEST, WINDOW, Refused, Scene, check_content, check_new
from ledger.db import Session
from ledger.runs.structs import ActionResult
from ledger.threads import messages


class MessageAction(Struct, frozen=True, tag_field="action", tag="message"):
    """Say something in the thread itself, where may_speak is true. The content has 1 to 5000 characters."""

    kind: ClassVar[str] = "message"

    content: str

    @property
    def text(self) -> str:
        return self.content

    async def apply(self, session: Session, scene: Scene, ordinal: int) -> ActionResult:
        del ordinal  # a turn's messages need no number: its lease sees to it that they are said once
        if not scene.may_speak:
            raise Refused("The agent says nothing in this thread: its configuration has `target: none`.")
        check_content(self.content)
        said = await messages.recent_of_agent(session, scene.thread_id, since=scene.now - WINDOW, limit=NEWEST)
        check_new(self.content, [message.content for message in said], "in this thread")
        message = await messages.say(session, scene.thread_id, self.content, run_id=scene.run_id, now=scene.now)
        return ActionResult(action=self.kind, success=True, message_id=message.id)
