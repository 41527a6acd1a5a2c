"""The messages a turn has before it, and how a model is shown them."""

from datetime import datetime

from msgspec import Struct

from ledger.threads.structs import Message
from ledger.tokens import clip, count_tokens


class Reading(Struct, frozen=True):
    """What people said, oldest first."""

    earlier: list[Message]
    """Read before: what the new is to be understood from."""
    new: list[Message]

    @property
    def messages(self) -> list[Message]:
        return [*self.earlier, *self.new]


class Shown(Struct, frozen=True):
    """A message as a model sees it."""

    id: str
    role: str
    said_at: datetime
    content: str


def shown(messages: list[Message], most: int) -> list[Shown]:
    """Messages for a prompt, of so many tokens together: where they are more, each is cut to a fair share."""
    sizes = [count_tokens(message.content) for message in messages]
    share = _share(sizes, most)
    return [
        Shown(
            message.id,
            message.role,
            message.created_at,
            clip(message.content, share) if size > share else message.content,
        )
        for message, size in zip(messages, sizes, strict=True)
    ]


def _share(sizes: list[int], most: int) -> int:
    """The largest size that each may have so that all fit together; what the small ones leave goes to the large."""
    left = most
    for taken, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - taken)
        if size > share:
            return share
        left -= size
    return most
