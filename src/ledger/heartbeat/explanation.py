from datetime import datetime

from msgspec import Struct

from ledger.budgets.structs import Budget
from ledger.runs.structs import Reason, TaskOutcome
from ledger.turns.structs import DecidedBy


class GateShown(Struct, frozen=True):
    gate: Reason
    """Why it would not act, if the gate is closed."""
    open: bool
    why: str


class SlotShown(Struct, frozen=True):
    utc: datetime
    local: str
    """By the clocks of the thread's time zone."""
    tasks: list[str]
    """What would be due then, if every heartbeat before does what is due; `when` is not foreseen."""


class TaskShown(Struct, frozen=True, kw_only=True):
    name: str
    schedule: str
    next_slot: datetime | None
    """null: it will not run again."""
    is_due: bool
    when: str | None
    last_ran_at: datetime | None
    last_outcome: TaskOutcome | None


class Cost(Struct, frozen=True, kw_only=True):
    """What one heartbeat would cost now, estimated."""

    decided_by: DecidedBy
    model: str | None
    calls: int
    prompt_tokens: int
    """Of the prompt a model gets, or would get."""
    max_completion_tokens: int


class Explanation(Struct, frozen=True, kw_only=True):
    """Why the next heartbeat of a thread will act, or will not."""

    thread_id: str
    now: datetime
    timezone: str
    summary: str
    """The whole in one sentence."""
    running: bool
    """Whether the heartbeat loop is to run at all."""
    enabled: bool
    """Whether it is switched on for this thread."""
    is_due: bool
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
    changes: list[str]
    """What is new since the last decision."""
    tasks: list[TaskShown]
    slots: list[SlotShown]
    """The next ten."""
    cost: Cost
    budgets: list[Budget]
    """What the thread, and then what all threads together, may spend today, and have."""
    instructions_version: int | None
    problems: list[str]
    """What is odd about the thread's configuration."""
