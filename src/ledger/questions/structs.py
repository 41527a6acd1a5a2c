from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

QuestionStatus = Literal["open", "answered", "dismissed"]

MAX_ANSWER = 5_000
MAX_OPEN = 50
"""How many questions may be open on a thread; no more are asked then."""


class Question(Struct, frozen=True, kw_only=True):
    id: str
    thread_id: str
    run_id: str
    """The heartbeat that asked it."""
    question: str
    status: QuestionStatus
    asked_at: datetime
    answer: str | None
    """What a person said; null while nobody has, and when it was dismissed."""
    closed_at: datetime | None
    """When it was answered or dismissed."""


class NewAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    answer: Annotated[str, Meta(min_length=1, max_length=MAX_ANSWER, pattern=r"\S")]
