from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ledger.turns.structs import DecidedBy, LoopName

Outcome = Literal["acted", "nothing", "waiting", "refused", "skipped", "failed"]
"""`acted`: at least one action was applied (or, in a dry run, would have been). `nothing`: decided to do nothing.
`waiting`: it asked a person, or its actions wait for a person's approval. `refused`: it wanted to act, but no action
passed its checks. `skipped`: a gate was closed, so nothing was decided or applied. `failed`: it went wrong; the slot
stays owed, unless trying again is pointless."""

Reason = Literal[
    "disabled",
    "outside_hours",
    "instructions_empty",
    "no_task_due",
    "nothing_new",
    "budget_spent",
    "provider_paused",
    "moved_on",
    "needs_person",
    "needs_approval",
    "decided_nothing",
    "all_refused",
    "timeout",
    "provider_failed",
    "answer_invalid",
    "internal_error",
]
"""Why a turn did not act."""

Trigger = Literal["schedule", "run_now"]


class ActionResult(Struct, frozen=True, kw_only=True):
    """What became of one action."""

    action: str
    """`post`, `comment`, `vote` or `message`."""
    success: bool
    """Whether it was applied; in a dry run: whether it would have been."""
    post_id: str | None = None
    """The post it wrote, commented on or voted on."""
    comment_id: str | None = None
    """The comment it wrote."""
    message_id: str | None = None
    """The message it said in the thread."""
    approval_id: str | None = None
    """Under which it waits for a person."""
    title: str | None = None
    """Of a post it wrote."""
    direction: str | None = None
    """Of a vote: `up` or `down`."""
    dry_run: bool = False
    """Nothing was written."""
    error: str | None = None
    """Why it was not applied; null if it was."""


TaskOutcome = Literal["reported", "not_reported", "needs_model"]
"""`not_reported`: the model was shown the task and said nothing of it. `needs_model`: rules cannot do it."""


class TaskResult(Struct, frozen=True):
    """What became of a task that was due."""

    name: str
    """Its name in the instructions."""
    slot: datetime
    """The moment it was due."""
    outcome: TaskOutcome
    """`not_reported`: a model was shown it and said nothing of it; `needs_model`: rules cannot do it."""
    report: str = ""
    """What the model says of it."""


class Run(Struct, frozen=True, kw_only=True):
    """One turn, or several in a row that were skipped for the same reason."""

    id: str
    """32 hex digits."""
    thread_id: str
    """The thread."""
    loop: LoopName
    """Whose turn it was."""
    trigger: Trigger
    """`run_now`: a person asked for it."""
    outcome: Outcome
    """`nothing`: decided so; `waiting`: for a person; `refused`: by its checks; `skipped`: by a gate."""
    reason: Reason | None = None
    """Why it did not act; null when it did."""
    summary: str = ""
    """What it did, in one sentence."""
    error: str | None = None
    """What failed; null if nothing did."""
    decided_by: DecidedBy | None = None
    """null: nothing was decided."""
    actions: list[ActionResult] = []
    """What became of each action."""
    tasks: list[TaskResult] = []
    """The tasks of the instructions that were due and shown."""
    dry_run: bool = False
    """Nothing was written to the ledger."""
    asked: str | None = None
    """What the person who asked for it said to it, if anything."""
    first_slot: datetime | None = None
    """The moment it was due; null when a person asked for it, or a decision for another look before the next slot."""
    last_slot: datetime | None = None
    """The last moment it settled, when skips are folded."""
    slots: int = 0
    """How many due moments it settled; 0 when the slot stays owed, and for a run that a person asked for."""
    attempt: int = 0
    """How many tries of this slot failed before."""
    started_at: datetime
    """When it began."""
    finished_at: datetime
    """When it ended; of skips that are folded, when the newest did."""
    lateness_seconds: float | None = None
    """From the moment it was due to the moment it started; of the newest turn, when skips are folded."""
    model: str | None = None
    """The model that was asked; null: none was."""
    prompt_tokens: int | None = None
    """What the endpoint counted for the prompt."""
    completion_tokens: int | None = None
    """What the endpoint counted for the answer."""
    latency_seconds: float | None = None
    """What the model call took."""
    cost: float | None = None
    """What it cost, where the model's price is known."""
    next_check_at: datetime | None = None
    """Where it moved the next due moment to."""


class RunDetail(Run, frozen=True, kw_only=True):
    """A run with everything that led to it; prompts, answers, instructions and context are null once it is old."""

    instructions: str | None = None
    """The HEARTBEAT.md it followed."""
    instructions_version: int | None = None
    """The version of HEARTBEAT.md it followed."""
    seen_seq: int | None = None
    """The newest message it had read."""
    context: Annotated[Any, Meta(description="What it was shown of the thread and the ledger.")] = None
    prompt: Annotated[Any, Meta(description="The messages sent to the model.")] = None
    raw_answer: str | None = None
    """The model's answer as it came; both, with a line between them, where it was asked again."""
    decision: Annotated[Any, Meta(description="The decision as it was understood.")] = None


class RunFilter(Struct, frozen=True):
    thread_id: str | None = None
    loop: LoopName | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    since: datetime | None = None
    """Started at this moment or later."""
    until: datetime | None = None
    """Started before this moment."""
