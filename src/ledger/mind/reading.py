"""The messages a turn has before it, and how a model is shown them."""

from datetime import datetime

from msgspec import Struct

from ledger.threads.structs import Message
from ledger.tokens import clip, json_tokens

LINE = 60
"""How many tokens of a sentence learned before a prompt repeats."""


class Reading(Struct, frozen=True):
    """What people said, oldest first."""

    earlier: list[Message]
    """Read before: what the new is to be understood from."""
    new: list[Message]

    @property
    def messages(self) -> list[Message]:
        return [*self.earlier, *self.new]


class Shown(Struct, frozen=True):
    """A message as a model sees it. Its number is what it is cited by: short, and hard to get wrong."""

    number: int
    """Its position in the thread."""
    role: str
    said_at: datetime
    content: str


def shown(messages: list[Message], most: int) -> list[Shown]:
    """Messages for a prompt, their texts of so many tokens together: where they are more, the long ones are cut."""
    share = _share([json_tokens(message.content) for message in messages], most)
    return [
        Shown(message.seq, message.role, message.created_at, clip(message.content, share, json_tokens))
        for message in messages
    ]


def lines(texts: list[str]) -> list[str]:
    """Sentences for a prompt, each cut to a line."""
    return [clip(text, LINE, json_tokens) for text in texts]


def _share(sizes: list[int], most: int) -> int:
    """The largest size that each may have so that all fit together; what the small ones leave goes to the large."""
    left = most
    for taken, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - taken)
        if size > share:
            return share
        left -= size
    return most
