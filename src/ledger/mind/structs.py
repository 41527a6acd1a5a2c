from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from ledger.insights.structs import Share

Pin = Share | UnsetType | None


class Pins(Struct, frozen=True, forbid_unknown_fields=True):
    """A number from 0 to 1 for each trait to be left alone from now on; null gives a trait back to learning."""

    verbosity: Pin = UNSET
    """0: brief, 1: at length."""
    formality: Pin = UNSET
    """0: casual, 1: formal."""
    emoji: Pin = UNSET
    """0: none, 1: many."""
    structure: Pin = UNSET
    """0: plain text, 1: lists and headings."""
    humor: Pin = UNSET
    """0: dry, 1: playful."""
    seriousness: Pin = UNSET
    """0: light, 1: serious."""
    questions: Pin = UNSET
    """0: no questions back, 1: many."""
    pace: Pin = UNSET
    """0: slow, 1: quick."""

    def __post_init__(self) -> None:
        if all(value is UNSET for value in structs.astuple(self)):
            raise ValueError("name at least one trait to pin")


class ProfileChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Which traits are pinned, and where."""

    pin: Annotated[Pins, Meta(extra_json_schema={"minProperties": 1})]
    """A number for each trait to be left alone, or null to give it back."""


class Revert(Struct, frozen=True, forbid_unknown_fields=True):
    """The way back to an earlier profile."""

    revision: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    """What to go back to."""


class Briefing(Struct, frozen=True, kw_only=True):
    """It stays the same to the letter while nothing it is made of changes."""

    thread_id: str
    """The thread."""
    max_tokens: int
    """How many tokens it may have."""
    tokens: int = 0
    """About how many tokens the text has."""
    profile: list[str] = []
    """How to write for the person, in sentences."""
    topics: list[str] = []
    """What the talk is about, most spoken of first."""
    open_questions: list[str] = []
    """The newest first."""
    insights: list[str] = []
    """The latest first."""
    posts: list[str] = []
    """What the agent posted on the ledger, the newest first."""

    def text(self) -> str:
        """The same as plain text."""
        parts = (
            ("How to write for this person", self.profile),
            ("What the talk is about", self.topics),
            ("Open questions", self.open_questions),
            ("What is known", self.insights),
            ("Recent notes", self.posts),
        )
        return "\n\n".join(
            "\n".join([f"{title}:", *(f"- {line}" for line in lines)]) for title, lines in parts if lines
        )
