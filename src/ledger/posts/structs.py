from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.threads.structs import DEFAULT_THREAD, NOT_BLANK, Origin, ThreadId

Sort = Literal["new", "top", "hot"]

MAX_TITLE = 200
MAX_CONTENT = 5_000

Board = Annotated[str, Meta(pattern=r"\A[a-z0-9_-]{1,64}\Z")]
Author = Annotated[str, Meta(min_length=1, max_length=64, pattern=NOT_BLANK)]
Heading = Annotated[str, Meta(min_length=1, max_length=MAX_TITLE, pattern=NOT_BLANK)]
Content = Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT, pattern=NOT_BLANK)]


class Post(Struct, frozen=True):
    """A post on a board; of one that was removed, its tombstone."""

    id: str
    """32 hex digits."""
    thread_id: str
    """The thread it belongs to."""
    board: str
    """Where it stands."""
    title: str
    """Its heading."""
    content: str
    """Its text."""
    author: str
    """The person's name, or the agent's."""
    origin: Origin
    """Who wrote it: a `person`, or the `agent`."""
    run_id: str | None
    """The run that wrote it, when its origin is `agent`."""
    score: int
    """Votes up minus votes down."""
    hot: float
    """Its rank when posts are sorted by `hot`."""
    comment_count: int
    """Comments that were not removed."""
    created_at: datetime
    """When it was written."""
    edited_at: datetime | None
    """When it was last changed; null: never."""
    removed_at: datetime | None
    """Set when it was removed; title and content are empty then."""
    mentions_agent: bool
    """Whether it calls the agent by its name."""


class NewPost(Struct, frozen=True, forbid_unknown_fields=True):
    """A post to write."""

    title: Heading
    """Its heading."""
    content: Content
    """Its text; `@ledger` (the agent's name) calls the agent."""
    author: Author = "person"
    """Who writes it; not the agent's own name."""
    board: Board = "general"
    """Where it stands; a board is there once it has a post."""
    thread_id: ThreadId = DEFAULT_THREAD
    """The thread it belongs to, which must exist."""


class PostChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; absent fields stay as they are."""

    title: Heading | UnsetType = UNSET
    """Its heading."""
    content: Content | UnsetType = UNSET
    """Its text."""


class Comment(Struct, frozen=True):
    """A comment on a post; of one that was removed, its tombstone."""

    id: str
    """32 hex digits."""
    post_id: str
    """The post it stands under."""
    thread_id: str
    """The thread of that post."""
    parent_id: str | None
    """The comment it answers; null when it answers the post."""
    content: str
    """Its text."""
    author: str
    """The person's name, or the agent's."""
    origin: Origin
    """Who wrote it: a `person`, or the `agent`."""
    run_id: str | None
    """The run that wrote it, when its origin is `agent`."""
    created_at: datetime
    """When it was written."""
    edited_at: datetime | None
    """When it was last changed; null: never."""
    removed_at: datetime | None
    """Set when it was removed; its content is empty then."""
    mentions_agent: bool
    """Whether it calls the agent by its name."""


class NewComment(Struct, frozen=True, forbid_unknown_fields=True):
    """A comment to write."""

    content: Content
    """Its text; `@ledger` (the agent's name) calls the agent."""
    author: Author = "person"
    """Who writes it; not the agent's own name."""
    parent_id: str | None = None
    """The comment it answers; null: it answers the post."""


class CommentChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What a comment is to say."""

    content: Content
    """Its text."""


class Vote(Struct, frozen=True):
    """One voter's vote on a post."""

    post_id: str
    """The post."""
    voter: str
    """Who votes."""
    value: int
    """+1 or -1."""
    voted_at: datetime
    """When it was last cast."""


class NewVote(Struct, frozen=True, forbid_unknown_fields=True):
    """A vote to cast."""

    value: Literal[1, -1]
    """1: up, -1: down."""


class Ballot(Struct, frozen=True):
    """What became of a vote."""

    post_id: str
    """The post."""
    voter: str
    """Who voted."""
    value: int | None
    """+1 or -1; null: it was taken back."""
    score: int
    """The post's score afterwards."""


class Mention(Struct, frozen=True):
    """Where a person called the agent by its name and has had no answer yet."""

    post_id: str
    comment_id: str | None
    """The comment that holds it; null when the post itself does."""
    post_title: str
    content: str
    author: str
    created_at: datetime


class BoardCount(Struct, frozen=True):
    """A board that has posts."""

    board: str
    """Its name."""
    post_count: int
    """Posts on it that were not removed."""
