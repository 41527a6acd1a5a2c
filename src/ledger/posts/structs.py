from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.threads.structs import DEFAULT_THREAD, Origin, ThreadId

Sort = Literal["new", "top", "hot"]

MAX_TITLE = 200
MAX_CONTENT = 5_000

Board = Annotated[str, Meta(pattern=r"\A[a-z0-9_-]{1,64}\Z")]
Author = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]
Heading = Annotated[str, Meta(min_length=1, max_length=MAX_TITLE, pattern=r"\S")]
Content = Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT, pattern=r"\S")]


class Post(Struct, frozen=True):
    id: str
    thread_id: str
    board: str
    title: str
    content: str
    author: str
    origin: Origin
    run_id: str | None
    """The run that wrote it, when its origin is `agent`."""
    score: int
    """Votes up minus votes down."""
    hot: float
    """Its rank when posts are sorted by `hot`."""
    comment_count: int
    created_at: datetime
    edited_at: datetime | None
    removed_at: datetime | None
    """Set when it was removed; title and content are empty then."""
    mentions_agent: bool


class NewPost(Struct, frozen=True, forbid_unknown_fields=True):
    title: Heading
    content: Content
    author: Author = "person"
    board: Board = "general"
    thread_id: ThreadId = DEFAULT_THREAD


class PostChange(Struct, frozen=True, forbid_unknown_fields=True):
    title: Heading | UnsetType = UNSET
    content: Content | UnsetType = UNSET


class Comment(Struct, frozen=True):
    id: str
    post_id: str
    thread_id: str
    parent_id: str | None
    """The comment it answers; null when it answers the post."""
    content: str
    author: str
    origin: Origin
    run_id: str | None
    created_at: datetime
    edited_at: datetime | None
    removed_at: datetime | None
    """Set when it was removed; its content is empty then."""
    mentions_agent: bool


class NewComment(Struct, frozen=True, forbid_unknown_fields=True):
    content: Content
    author: Author = "person"
    parent_id: str | None = None


class CommentChange(Struct, frozen=True, forbid_unknown_fields=True):
    content: Content


class Vote(Struct, frozen=True):
    post_id: str
    voter: str
    value: int
    """+1 or -1."""
    voted_at: datetime


class NewVote(Struct, frozen=True, forbid_unknown_fields=True):
    value: Literal[1, -1]


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
    board: str
    post_count: int
