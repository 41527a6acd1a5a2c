from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

Role = Literal["user", "assistant", "system", "tool"]
Origin = Literal["person", "app", "agent"]

DEFAULT_THREAD = "default"
"""The thread that always exists."""

ThreadId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Title = Annotated[str, Meta(max_length=200)]
Timezone = Annotated[
    str,
    Meta(
        max_length=64,
        description="An IANA time zone, such as Europe/Paris.",
        extra_json_schema={"format": "iana-time-zone"},
    ),
]
Moment = Annotated[datetime, Meta(tz=True)]

FIRST_YEAR, LAST_YEAR = 2, 9998  # so that a moment stays one in every time zone

NOT_BLANK = r"[^\s\x1c-\x1f\x85\ufeff]"
"""A pattern for texts with something to be seen in them, which means the same here and in JSON Schema (ECMA-262)."""

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True):
    """Some of a list, and where the rest begins."""

    items: list[T]
    """The items of this page."""
    next_cursor: str | None = None
    """Give it as `cursor` to go on; null at the end."""


class Thread(Struct, frozen=True):
    """A conversation."""

    id: str
    """Chosen by whoever created it, or 32 hex digits."""
    title: str
    """What it is about; may be empty."""
    timezone: str
    """An IANA time zone: where its days begin."""
    created_at: datetime
    """When it was created."""
    message_count: int
    """How many messages it has."""
    post_count: int
    """How many posts it has that were not removed."""


class NewThread(Struct, frozen=True, forbid_unknown_fields=True):
    """A thread to create."""

    id: ThreadId | UnsetType = UNSET
    """Chosen by the caller, or given by the server."""
    title: Title = ""
    """What it is about."""
    timezone: Timezone = "UTC"
    """An IANA time zone, such as Europe/Paris: where its days begin."""


class ThreadChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; absent fields stay as they are."""

    title: Title | UnsetType = UNSET
    """What it is about."""
    timezone: Timezone | UnsetType = UNSET
    """An IANA time zone, such as Europe/Paris: where its days begin."""


class Message(Struct, frozen=True):
    """What was said in a thread."""

    id: str
    """Chosen by whoever sent it, or 32 hex digits."""
    seq: int
    """Position in the thread, from 1, in the order of arrival."""
    role: Role
    """Who speaks."""
    origin: Origin
    """Who wrote it: a `person`, the `app`, or the `agent`."""
    content: str
    """What was said."""
    created_at: datetime
    """When it was said."""
    received_at: datetime
    """When the server got it."""
    run_id: str | None = None
    """The run that wrote it, when its origin is `agent`."""


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """A message to add."""

    role: Role
    """Who speaks."""
    content: Annotated[str, Meta(min_length=1)]
    """What was said."""
    id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,128}\Z")] | None = None
    """Chosen by the caller; a message with an id that the thread has is a duplicate and changes nothing."""
    created_at: Moment | None = None
    """When it was said, in the year 2 to 9998; now, if absent.

    Sent again with the same moment, role and content it is a duplicate.
    """

    def __post_init__(self) -> None:
        if isinstance(self.created_at, datetime) and not FIRST_YEAR <= self.created_at.year <= LAST_YEAR:
            raise ValueError(f"`created_at` is out of range: write a year from {FIRST_YEAR} to {LAST_YEAR}")


class NewMessages(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages to add in one transaction."""

    messages: Annotated[list[NewMessage], Meta(min_length=1, max_length=1000)]
    """In the order in which they were said."""


class Added(Struct, frozen=True):
    """What became of a batch."""

    added: int
    """How many are new."""
    duplicates: int
    """How many the thread had already."""
    last_seq: int
    """The thread's newest position afterwards."""
    messages: list[Message]
    """The messages that are new, in order."""
