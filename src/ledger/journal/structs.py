from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.threads.structs import Origin

Kind = Literal["reflection", "personality", "self_reply", "comment"]
"""`comment` is what people write; the rest is the agent's, each of the loop it is named after."""

PostsWhen = Literal["never", "trends", "always"]
"""When a reflection is also posted on the board `reflections`; `trends`: only when a topic rose or faded."""

MAX_TITLE, MAX_BODY = 200, 5_000

Author = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]
Body = Annotated[str, Meta(min_length=1, max_length=MAX_BODY, pattern=r"\S")]


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of a thread's journal."""

    id: str
    thread_id: str
    seq: int
    """Position in the journal, from 1."""
    kind: Kind
    author: str
    origin: Origin
    title: str
    body: str
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


class EntryTree(Entry, frozen=True, kw_only=True):
    """An entry with all answers to it."""

    replies: list["EntryTree"] | UnsetType = UNSET
    """Oldest first; absent where entries are listed one by one."""


class NewReply(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says to an entry."""

    body: Body
    author: Author = "person"


class JournalSettings(Struct, frozen=True):
    self_reply: bool = True
    """Whether the agent answers its own entries and people's comments on them."""
    posts: PostsWhen = "trends"


class JournalSettingsChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; absent fields stay as they are."""

    self_reply: bool | UnsetType = UNSET
    posts: PostsWhen | UnsetType = UNSET
