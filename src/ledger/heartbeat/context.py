"""What a heartbeat is shown of its thread and the ledger before it decides."""

from datetime import datetime

from msgspec import Struct

from ledger.posts.structs import Mention


class Said(Struct, frozen=True):
    seq: int
    role: str
    origin: str
    content: str
    created_at: datetime


class PostSeen(Struct, frozen=True):
    id: str
    board: str
    title: str
    content: str
    author: str
    own: bool
    score: int
    comment_count: int
    created_at: datetime


class CommentSeen(Struct, frozen=True):
    id: str
    post_id: str
    parent_id: str | None
    content: str
    author: str
    own: bool
    created_at: datetime


class OwnRun(Struct, frozen=True):
    started_at: datetime
    outcome: str
    summary: str


class EntrySeen(Struct, frozen=True):
    kind: str
    author: str
    title: str
    body: str
    created_at: datetime


class OwnQuestion(Struct, frozen=True):
    """What a heartbeat asked a person."""

    question: str
    status: str
    answer: str | None
    asked_at: datetime


class OwnProposal(Struct, frozen=True):
    """An action that waits for a person's approval, or was rejected."""

    action: str
    post_id: str | None
    parent_id: str | None
    direction: str | None
    text: str
    status: str
    note: str | None
    """What the person said who rejected it."""
    proposed_at: datetime


class Learned(Struct, frozen=True):
    """What reflection and personality have learned so far."""

    topics: list[str]
    trends: list[str]
    open_questions: list[str]
    insights: list[str]
    profile: list[str]
    """How to write for the person."""


class Context(Struct, frozen=True, kw_only=True):
    """What the thread and the ledger look like now, what waits for an answer first."""

    agent: str
    thread_title: str
    mentions: list[Mention]
    """Where people called the agent and have had no answer, oldest first."""
    last_seq: int
    """The thread's newest message."""
    new_messages: int
    """How many messages of people came since the last decision, counted up to 1,000."""
    messages: list[Said]
    posts: list[PostSeen]
    comments: list[CommentSeen]
    own_runs: list[OwnRun]
    own_questions: list[OwnQuestion] = []
    """What was asked of people: what is open, then what was answered or dismissed last."""
    own_proposals: list[OwnProposal] = []
    """What waits for a person's approval, then what was rejected last."""
    may_speak: bool = False
    """Whether it may say something in the thread itself."""
    undigested: int
    """How many messages of people came since the last digest, counted up to 1,000."""
    learned: Learned
    journal: list[EntrySeen]
