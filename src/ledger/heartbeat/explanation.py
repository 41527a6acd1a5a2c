from datetime import datetime

from msgspec import Struct

from ledger.budgets.structs import Budget
from ledger.runs.structs import Reason, TaskOutcome
from ledger.turns.structs import DecidedBy


class GateShown(Struct, frozen=True):
    """One condition of a heartbeat."""

    gate: Reason
    """Why it would not act, if the gate is closed."""
    open: bool
    """Whether it lets the heartbeat act."""
    why: str
    """In one sentence."""


class SlotShown(Struct, frozen=True):
    """A moment at which a heartbeat is to come."""

    utc: datetime
    """The moment."""
    local: str
    """By the clocks of the thread's time zone."""
    tasks: list[str]
    """What would be due then, if every heartbeat before does what is due; `when` is not foreseen."""


class TaskShown(Struct, frozen=True, kw_only=True):
    """A task of the instructions in force."""

    name: str
    """Its name."""
    schedule: str
    """When it runs, in words."""
    next_slot: datetime | None
    """null: it will not run again."""
    is_due: bool
    """Whether a heartbeat would do it now."""
    when: str | None
    """What else must be there, such as `new_messages`; null: nothing."""
    last_ran_at: datetime | None
    """When it was last done; null: never."""
    last_outcome: TaskOutcome | None
    """What became of it then."""


class Cost(Struct, frozen=True, kw_only=True):
    """What one heartbeat would cost now, estimated."""

    decided_by: DecidedBy
    """Whether a model would be asked."""
    model: str | None
    """Which one; null: rules decide."""
    calls: int
    """How many calls of it."""
    prompt_tokens: int
    """Of the prompt a model gets, or would get."""
    max_completion_tokens: int
    """The most its answer may have."""


class Explanation(Struct, frozen=True, kw_only=True):
    """Why the next heartbeat of a thread will act, or will not."""

    thread_id: str
    """The thread."""
    now: datetime
    """The moment this was said."""
    timezone: str
    """The thread's, for its hours and times of day."""
    summary: str
    """The whole in one sentence."""
    running: bool
    """Whether the heartbeat loop is to run at all."""
    enabled: bool
    """Whether it is switched on for this thread."""
    is_due: bool
    """Whether a heartbeat is due now."""
    next_slot: datetime | None
    """The moment owed next; null: none."""
    next_due_at: datetime | None
    """When it is tried next: later than the slot after a failure, or while a turn is under way."""
    attempt: int
    """How many tries of the slot have failed."""
    would_decide: bool
    """Whether it would come to a decision, if it ran now."""
    reason: Reason | None
    """The first gate that is closed now."""
    gates: list[GateShown]
    """All conditions, in the order in which they are looked at."""
    changes: list[str]
    """What is new since the last decision."""
    tasks: list[TaskShown]
    """Those in force."""
    slots: list[SlotShown]
    """The next ten."""
    cost: Cost
    """What one heartbeat would cost now."""
    budgets: list[Budget]
    """What the thread, and then what all threads together, may spend today, and have."""
    instructions_version: int | None
    """Of HEARTBEAT.md; null: there is none."""
    problems: list[str]
    """What is odd about the thread's configuration."""
