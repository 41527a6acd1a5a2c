from datetime import datetime
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from ledger.threads.structs import Role
from ledger.turns.structs import DecidedBy

Share = Annotated[float, Meta(ge=0, le=1)]

TraitName = Literal["verbosity", "formality", "emoji", "structure", "humor", "seriousness", "questions", "pace"]
TRAITS: tuple[TraitName, ...] = get_args(TraitName)

TraitTrend = Literal["strengthening", "stable", "weakening", "stale"]


class Topic(Struct, frozen=True):
    """Something that people speak of."""

    topic: str
    """As people write it."""
    count: int
    """How many messages of the window speak of it."""
    evidence: list[str]
    """Ids of the newest messages that do, at most 5."""


class Trend(Struct, frozen=True):
    """A topic that is spoken of more, or less, in the last 30 days than before."""

    topic: str
    """As people write it."""
    recent: Share
    """Share of the messages of the last 30 days that speak of it."""
    earlier: Share
    """Share of all messages before these."""
    z: float
    """How sure that is: above 1.96 it rises, below -1.96 it fades.

    The z-score of the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008).
    """
    evidence: list[str]
    """Ids of the newest messages that speak of it, at most 3."""


class OpenQuestion(Struct, frozen=True):
    """A question in the thread that nobody has answered."""

    question: str
    """As it was asked."""
    role: Role
    """Who asked."""
    asked_at: datetime
    """When."""
    message_id: str
    """The message it stands in."""


class Insight(Struct, frozen=True):
    """Something worth remembering; rated as in Generative Agents (Park et al. 2023, arXiv 2304.03442)."""

    text: str
    """In one sentence."""
    importance: Annotated[int, Meta(ge=1, le=10)]
    """From 1, mundane, to 10, life-changing."""
    evidence: list[str]
    """Ids of the messages it rests on."""


class Scorecard(Struct, frozen=True, kw_only=True):
    """What a thread is about, as of one reflection."""

    thread_id: str
    """The thread."""
    revision: int
    """From 1; 0 while nothing has been reflected on."""
    created_at: datetime | None = None
    """When it was made; null for revision 0."""
    run_id: str | None = None
    """The run that made it; null for revision 0."""
    decided_by: DecidedBy = "rules"
    """`rules`: statistics alone."""
    first_seq: int = 0
    """Where the window begins: the position of the first message that was read."""
    last_seq: int = 0
    """The window: positions of the first and the last message that were read."""
    messages: int = 0
    """How many messages of people the window holds."""
    topics: list[Topic] = []
    """Most spoken of first."""
    rising: list[Trend] = []
    """Topics that are spoken of more than before."""
    fading: list[Trend] = []
    """Topics that are spoken of less than before."""
    open_questions: list[OpenQuestion] = []
    """Questions nobody has answered, the newest first."""
    insights: list[Insight] = []
    """What a model found worth remembering, the latest first."""
    preference_confidence: Share = 0.0
    """How sure the profile's traits are, on average."""
    importance: Annotated[int, Meta(ge=0, le=10)] = 0
    """How much what is new matters, from 1 to 10; 0 while nothing has been reflected on."""


class Trait(Struct, frozen=True, kw_only=True):
    """One learned number about how a person likes to be spoken to."""

    value: Share = 0.5
    """From 0 to 1; 0.5: neither way."""
    confidence: Share = 0.0
    """Weight of the evidence over that weight plus 10."""
    evidence_count: int = 0
    """How many messages have ever counted for it."""
    evidence: list[str] = []
    """Ids of the newest messages that did, the newest first, at most 10."""
    trend: TraitTrend = "stable"
    """Which way it goes; `stale`: nothing new is known of it."""
    pinned: bool = False
    """Set by a person: learning leaves it alone."""
    weight: float = 0.0
    """The evidence that is left after fading, in messages."""
    slow: Share = 0.5
    """A slower average of the same evidence; the trend is the value's way from it."""
    seen_at: datetime | None = None
    """When the newest evidence was said."""


class Profile(Struct, frozen=True, kw_only=True):
    """How the person of a thread likes to be spoken to, as of one revision."""

    thread_id: str
    """The thread."""
    revision: int
    """From 1; 0 while nothing has been learned."""
    created_at: datetime | None = None
    """When it was made; null for revision 0."""
    run_id: str | None = None
    """The run that learned it; null when a person pinned or reverted."""
    decided_by: DecidedBy | None = None
    """null when a person pinned or reverted."""
    reverted_to: int | None = None
    """The revision a person went back to, if this is such a step."""
    traits: dict[TraitName, Trait] = {}
    """By name; those of which something is known."""
    words: "Words"
    """The same in words."""


class Words(Struct, frozen=True, kw_only=True):
    """What the numbers mean in words; null while there is too little evidence."""

    verbosity: Literal["concise", "balanced", "verbose"] | None = None
    """How much to say."""
    emoji: Literal["on", "off"] | None = None
    """Whether to use emoji."""
    format: Literal["structured", "freeform"] | None = None
    """Lists and headings, or plain text."""
    tone: str | None = None
    """A label such as `casual` or `formal and serious`."""
