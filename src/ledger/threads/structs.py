from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

Role = Literal["user", "assistant", "system", "tool"]
Origin = Literal["person", "app", "agent"]

DEFAULT_THREAD = "default"
"""The thread that always exists."""

ThreadId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Title = Annotated[str, Meta(max_length=200)]
Timezone = Annotated[str, Meta(max_length=64, description="An IANA time zone, such as Europe/Paris.")]
Moment = Annotated[datetime, Meta(tz=True)]

FIRST_YEAR, LAST_YEAR = 2, 9998  # so that a moment stays one in every time zone

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True):
    """Some of a list, and where the rest begins."""

    items: list[T]
    next_cursor: str | None = None
    """Give it as `cursor` to go on; null at the end."""


class Thread(Struct, frozen=True):
    id: str
    title: str
    timezone: str
    created_at: datetime
    message_count: int
    post_count: int


class NewThread(Struct, frozen=True, forbid_unknown_fields=True):
    id: ThreadId | UnsetType = UNSET
    """Chosen by the caller, or given by the server."""
    title: Title = ""
    timezone: Timezone = "UTC"


class ThreadChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; absent fields stay as they are."""

    title: Title | UnsetType = UNSET
    timezone: Timezone | UnsetType = UNSET


class Message(Struct, frozen=True):
    id: str
    seq: int
    """Position in the thread, from 1, in the order of arrival."""
    role: Role
    origin: Origin
    content: str
    created_at: datetime
    """When it was said."""
    received_at: datetime
    """When the server got it."""
    run_id: str | None = None
    """The run that wrote it, when its origin is `agent`."""


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    role: Role
    content: Annotated[str, Meta(min_length=1)]
    id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,128}\Z")] | None = None
    """Chosen by the caller; a message with an id that the thread has is a duplicate and changes nothing."""
    created_at: Moment | None = None
    """When it was said; now, if absent. Sent again with the same moment, role and content it is a duplicate."""

    def __post_init__(self) -> None:
        if self.created_at is not None and not FIRST_YEAR <= self.created_at.year <= LAST_YEAR:
            raise ValueError(f"`created_at` is out of range: write a year from {FIRST_YEAR} to {LAST_YEAR}")


class NewMessages(Struct, frozen=True, forbid_unknown_fields=True):
    messages: Annotated[list[NewMessage], Meta(min_length=1, max_length=1000)]


class Added(Struct, frozen=True):
    """What became of a batch."""

    added: int
    duplicates: int
    last_seq: int
    """The thread's newest position afterwards."""
    messages: list[Message]
    """The messages that are new, in order."""
