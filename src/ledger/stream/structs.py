"""Events: one struct a kind, told apart by `kind`."""

from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from ledger.approvals.structs import Approval
from ledger.insights.structs import Profile, Scorecard
from ledger.instructions.structs import InstructionsChange
from ledger.journal.structs import Entry
from ledger.posts.structs import Ballot, Comment, Post
from ledger.providers.structs import Provider
from ledger.questions.structs import Question
from ledger.runs.structs import ActionResult, Run
from ledger.threads.structs import Message
from ledger.turns.structs import LoopName, LoopSwitch

Kind = Literal[
    "run",
    "post",
    "comment",
    "vote",
    "message",
    "entry",
    "scorecard",
    "profile",
    "instructions",
    "question",
    "approval",
    "loop",
    "provider",
    "started",
    "reset",
]


class Happened(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all events have in common."""

    id: str | None = None
    """Where it stands in the stream: give it as `Last-Event-ID` to go on from there. null: it is told live only."""
    at: datetime
    """When it happened."""
    thread_id: str | None = None
    """The thread it belongs to; null: it concerns all of them."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class RunEvent(Happened, frozen=True, kw_only=True, tag="run"):
    """A turn has ended. A gate that stays closed is told once, not at every slot."""

    data: Run


class PostEvent(Happened, frozen=True, kw_only=True, tag="post"):
    """A post was written, edited or removed. Of one that was removed, events before show the tombstone, too."""

    data: Post


class CommentEvent(Happened, frozen=True, kw_only=True, tag="comment"):
    """A comment was written, edited or removed. Of one that was removed, events before show the tombstone, too."""

    data: Comment


class VoteEvent(Happened, frozen=True, kw_only=True, tag="vote"):
    """A vote was cast, changed or taken back."""

    data: Ballot


class MessageEvent(Happened, frozen=True, kw_only=True, tag="message"):
    """The agent said something in the thread (`target: last`). What others say is not told."""

    data: Message


class EntryEvent(Happened, frozen=True, kw_only=True, tag="entry"):
    """An entry was added to a thread's journal, by the agent or a person."""

    data: Entry


class ScorecardEvent(Happened, frozen=True, kw_only=True, tag="scorecard"):
    """A reflection has a new revision of a thread's scorecard."""

    data: Scorecard


class ProfileEvent(Happened, frozen=True, kw_only=True, tag="profile"):
    """A profile has a new revision: learned, pinned or reverted."""

    data: Profile


class InstructionsEvent(Happened, frozen=True, kw_only=True, tag="instructions"):
    """HEARTBEAT.md has a new version (`thread_id` is null), or a thread's own instructions have."""

    data: InstructionsChange


class QuestionEvent(Happened, frozen=True, kw_only=True, tag="question"):
    """A heartbeat asked a person something, or a person answered or dismissed it."""

    data: Question


class ApprovalEvent(Happened, frozen=True, kw_only=True, tag="approval"):
    """An action waits for a person's approval, or was approved or rejected. That one expires is not told."""

    data: Approval


class LoopEvent(Happened, frozen=True, kw_only=True, tag="loop"):
    """A loop was started or stopped, for all threads, or switched or timed for one."""

    data: LoopSwitch


class ProviderEvent(Happened, frozen=True, kw_only=True, tag="provider"):
    """A model was paused because it kept failing, stays paused after a probe, or works again."""

    data: Provider


class Started(Struct, frozen=True):
    """A turn that has begun."""

    run_id: str
    """Of the run that it will leave."""
    loop: LoopName
    """Which loop's it is."""


class StartedEvent(Happened, frozen=True, kw_only=True, tag="started"):
    """A turn has passed its gates and decides. A live hint: it is not kept, and may be missed."""

    data: Started


class ResetEvent(Happened, frozen=True, kw_only=True, tag="reset"):
    """What came after the given `Last-Event-ID` is not all kept any more: read anew what you show.

    What follows is all that is kept.
    """


Event: TypeAlias = (
    RunEvent
    | PostEvent
    | CommentEvent
    | VoteEvent
    | MessageEvent
    | EntryEvent
    | ScorecardEvent
    | ProfileEvent
    | InstructionsEvent
    | QuestionEvent
    | ApprovalEvent
    | LoopEvent
    | ProviderEvent
    | StartedEvent
    | ResetEvent
)


class ReflectionScorecard(Struct, frozen=True, tag_field="type", tag="reflection_scorecard"):
    """What the thread is about, as it stands."""

    thread_id: str
    """The thread that is followed."""
    scorecard: Scorecard


class PersonalityProfile(Struct, frozen=True, tag_field="type", tag="personality_profile"):
    """How the person likes to be spoken to, as it stands."""

    thread_id: str
    """The thread that is followed."""
    profile: Profile


class HeartbeatState(Struct, frozen=True):
    """What the last heartbeat came to."""

    last_run: float
    """Epoch seconds."""
    last_summary: str
    """What it came to, in words."""
    last_actions: list[ActionResult]
    """What became of each action."""


class HeartbeatStateMessage(Struct, frozen=True, tag_field="type", tag="heartbeat_state"):
    """A heartbeat has decided, or failed."""

    thread_id: str
    """The thread that is followed."""
    state: HeartbeatState


class Alive(Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """A sign of life of the stream; it says nothing of the heartbeat loop."""

    thread_id: str
    """The thread that is followed."""
    ts: float
    """Epoch seconds."""


LoopMessage: TypeAlias = ReflectionScorecard | PersonalityProfile | HeartbeatStateMessage | Alive
