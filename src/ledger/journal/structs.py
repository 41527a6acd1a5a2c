from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.threads.structs import NOT_BLANK, Origin

Kind = Literal["reflection", "personality", "self_reply", "comment"]
"""`comment` is what people write; the rest is the agent's, each of the loop it is named after."""

PostsWhen = Literal["never", "trends", "always"]
"""When a reflection is also posted on the board `reflections`; `trends`: only when a topic rose or faded."""

MAX_TITLE, MAX_BODY = 200, 5_000

Author = Annotated[str, Meta(min_length=1, max_length=64, pattern=NOT_BLANK)]
Body = Annotated[str, Meta(min_length=1, max_length=MAX_BODY, pattern=NOT_BLANK)]


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of a thread's journal."""

    id: str
    """32 hex digits."""
    thread_id: str
    """The thread."""
    seq: int
    """Position in the journal, from 1."""
    kind: Kind
    """`comment` is what people write; the rest is the agent's, each of the loop it is named after."""
    author: str
    """The person's name, or the agent's."""
    origin: Origin
    """Who wrote it: a `person`, or the `agent`."""
    title: str
    """Empty for comments."""
    body: str
    """Its text."""
    reply_to: str | None = None
    """The entry it answers."""
    root: str
    """The entry that the conversation began with; its own id, if it is that entry."""
    depth: int = 0
    """How many answers lie between it and the root."""
    steps: int = 0
    """How many answers of the agent to itself in a row lead to it."""
    evidence: list[str] = []
    """Ids of the messages it rests on."""
    scorecard_revision: int = 0
    """The scorecard as it stood then."""
    profile_revision: int = 0
    """The profile as it stood then."""
    run_id: str | None = None
    """The run that wrote it; null for a person's."""
    created_at: datetime
    """When it was written."""


class EntryTree(Entry, frozen=True, kw_only=True):
    """An entry with all answers to it."""

    replies: list["EntryTree"] | UnsetType = UNSET
    """Oldest first; absent where entries are listed one by one."""


class NewReply(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says to an entry."""

    body: Body
    """What to say."""
    author: Author = "person"
    """The person's name; not the agent's own."""


class JournalSettings(Struct, frozen=True):
    """What happens to a thread's journal."""

    self_reply: bool = True
    """Whether the agent answers its own entries and people's comments on them."""
    posts: PostsWhen = "trends"
    """Which reflections are also posted: none, those in which a topic rose or faded, or all."""


class JournalSettingsChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; absent fields stay as they are."""

    self_reply: bool | UnsetType = UNSET
    """Whether the agent answers its own entries and people's comments on them."""
    posts: PostsWhen | UnsetType = UNSET
    """Which reflections are also posted: none, those in which a topic rose or faded, or all."""
