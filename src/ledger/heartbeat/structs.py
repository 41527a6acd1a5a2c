from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.approvals.structs import Policy
from ledger.instructions.structs import Mode, Problem
from ledger.instructions.values import Unreadable, clock_time
from ledger.providers.structs import Provider
from ledger.runs.structs import ActionResult
from ledger.turns.structs import Every

Target = Literal["none", "last"]
"""`last`: what it posts or comments is also said in the thread, as a message of origin `agent`, and it may say
something there alone."""

Hour = Annotated[int, Meta(description="A whole hour of the day, 0 to 23, local to `timezone`.")]
TimeOfDay = Annotated[str, Meta(description="A time of day, such as 08:30.")]
MaxTokens = Annotated[int, Meta(ge=10, le=32_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Zone = Annotated[str, Meta(min_length=1, max_length=64, description="An IANA time zone, such as Europe/Paris.")]
ModelName = Annotated[str, Meta(min_length=1, max_length=200)]


class Config(Struct, frozen=True, kw_only=True):
    """How a thread's heartbeat runs."""

    enabled: bool = True
    every: int = 1800
    """Interval in seconds."""
    target: Target = "none"
    active_hours_start: int | str | None = None
    """When it may run from: a whole hour, or `HH:MM`; null: from midnight."""
    active_hours_end: int | str | None = None
    """When it may not run any more; null: until midnight. Before the start, it wraps midnight; equal: never."""
    timezone: str = "UTC"
    model: str | None = None
    """null: the service's model."""
    max_tokens: int = 500
    temperature: float = 0.7
    dry_run: bool = False
    """Decide and record, but write nothing to the ledger."""
    approval: Policy = "auto"
    """What waits for a person: nothing, `posts`: all that has a text, or `all` actions."""


class ConfigChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to change: an absent field stays as it is, null goes back to the default."""

    enabled: bool | UnsetType | None = UNSET
    every: Every | UnsetType | None = UNSET
    every_seconds: Every | UnsetType | None = UNSET
    """Another name of `every`."""
    target: Target | UnsetType | None = UNSET
    active_hours_start: Hour | TimeOfDay | UnsetType | None = UNSET
    active_hours_end: Hour | TimeOfDay | UnsetType | None = UNSET
    timezone: Zone | UnsetType | None = UNSET
    model: ModelName | UnsetType | None = UNSET
    max_tokens: MaxTokens | UnsetType | None = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    dry_run: bool | UnsetType | None = UNSET
    approval: Policy | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        _check_time("active_hours_start", self.active_hours_start, is_end=False)
        _check_time("active_hours_end", self.active_hours_end, is_end=True)


def _check_time(name: str, value: int | str | UnsetType | None, *, is_end: bool) -> None:
    """Raise `ValueError` for what is neither a whole hour nor a time of day."""
    try:
        if isinstance(value, int):
            clock_time(f"{value}:00")
        elif isinstance(value, str):
            clock_time(value, is_end=is_end)
    except Unreadable as right:
        said = str(value)[:20]
        raise ValueError(f"`{name}` is not understood: {said}; {right}, or a whole hour, 0 to 23") from None


class ThreadConfig(Struct, frozen=True):
    thread_id: str
    config: Config
    last_run: float | None
    """When it last decided or failed, in epoch seconds."""
    last_summary: str | None
    problems: list[str]
    """What is odd about the configuration, in sentences."""


class Status(Struct, frozen=True, omit_defaults=True):
    enabled: bool
    """What the setting says."""
    running: bool
    """What a person said last, else the setting."""
    interval_seconds: int
    paused: list[Provider] = []
    """Models that get no calls but probes, because they kept failing: since when, and why; absent if none is."""


class Done(Struct, frozen=True):
    ok: bool
    message: str


class RunNow(Struct, frozen=True):
    thread_id: str
    ran_successfully: bool
    timestamp: float
    """Epoch seconds."""
    decision_summary: str | None
    actions: list[ActionResult]
    execution_time_seconds: float
    error: str | None


class Activity(Struct, frozen=True):
    timestamp: float
    """Epoch seconds."""
    summary: str
    actions: list[ActionResult]
    success: bool


class History(Struct, frozen=True):
    activities: list[Activity]
    """Decisions and failures, newest first; skips are not among them."""
    total_runs: int


class NewInstructions(Struct, frozen=True, forbid_unknown_fields=True):
    content: str


class InstructionsFile(Struct, frozen=True, kw_only=True):
    content: str
    last_modified: float | None
    """When this version came into force, in epoch seconds; null while there is none."""
    path: str
    version: int
    """0 while there is none; `ETag` says the same."""
    problems: list[Problem] = []


class InstructionsText(Struct, frozen=True):
    """One version, whole."""

    version: int
    content: str
    saved_at: datetime
    source: str
    """`api`, `disk`, or the version it was restored from, such as `restore 3`."""


class InstructionsDiff(Struct, frozen=True):
    old: int
    new: int
    diff: str
    """A unified diff; empty if both are the same."""


class NewOwnInstructions(Struct, frozen=True, forbid_unknown_fields=True):
    content: str
    mode: Mode = "extend"
    """`extend`: beside HEARTBEAT.md; a task of the same name goes before the shared one. `replace`: in its place."""


class OwnInstructions(Struct, frozen=True):
    """A thread's own instructions."""

    thread_id: str
    mode: str
    """`extend` or `replace`."""
    content: str
    version: int
    saved_at: datetime
    problems: list[Problem]
