from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ledger.threads.structs import NOT_BLANK

QuestionStatus = Literal["open", "answered", "dismissed"]

MAX_ANSWER = 5_000
MAX_OPEN = 50
"""How many questions may be open on a thread; no more are asked then."""


class Question(Struct, frozen=True, kw_only=True):
    """What a heartbeat needs to know of a person."""

    id: str
    """32 hex digits."""
    thread_id: str
    """The thread it is about."""
    run_id: str
    """The heartbeat that asked it."""
    question: str
    """As it was asked."""
    status: QuestionStatus
    """Only what is `open` can be answered or dismissed."""
    asked_at: datetime
    """When."""
    answer: str | None
    """What a person said; null while nobody has, and when it was dismissed."""
    closed_at: datetime | None
    """When it was answered or dismissed."""


class NewAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """A person's answer."""

    answer: Annotated[str, Meta(min_length=1, max_length=MAX_ANSWER, pattern=NOT_BLANK)]
    """In words; the next heartbeat reads it."""
