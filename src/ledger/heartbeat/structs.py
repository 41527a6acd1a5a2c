from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.runs.structs import ActionResult
from ledger.turns.structs import Every

Target = Literal["none", "last"]
"""`last`: what it posts or comments is also said in the thread, as a message of origin `agent`."""

Hour = Annotated[int, Meta(ge=0, le=23, description="A whole hour of the day, local to `timezone`.")]
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
    active_hours_start: int | None = None
    """First hour it may run in; null: from midnight."""
    active_hours_end: int | None = None
    """First hour it may not run in any more; null: until midnight. Before the start, it wraps midnight."""
    timezone: str = "UTC"
    model: str | None = None
    """null: the service's model."""
    max_tokens: int = 500
    temperature: float = 0.7
    dry_run: bool = False
    """Decide and record, but write nothing to the ledger."""


class ConfigChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to change: an absent field stays as it is, null goes back to the default."""

    enabled: bool | UnsetType | None = UNSET
    every: Every | UnsetType | None = UNSET
    every_seconds: Every | UnsetType | None = UNSET
    """Another name of `every`."""
    target: Target | UnsetType | None = UNSET
    active_hours_start: Hour | UnsetType | None = UNSET
    active_hours_end: Hour | UnsetType | None = UNSET
    timezone: Zone | UnsetType | None = UNSET
    model: ModelName | UnsetType | None = UNSET
    max_tokens: MaxTokens | UnsetType | None = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    dry_run: bool | UnsetType | None = UNSET


class ThreadConfig(Struct, frozen=True):
    thread_id: str
    config: Config
    last_run: float | None
    """When it last decided or failed, in epoch seconds."""
    last_summary: str | None
    problems: list[str]
    """What is odd about the configuration, in sentences."""


class Status(Struct, frozen=True):
    enabled: bool
    """What the setting says."""
    running: bool
    """What a person said last, else the setting."""
    interval_seconds: int


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


class InstructionsProblem(Struct, frozen=True):
    line: int
    """From 1; 0 is the file as a whole."""
    severity: Literal["error", "warning"]
    message: str


class InstructionsFile(Struct, frozen=True, kw_only=True):
    content: str
    last_modified: float | None
    """When this version came into force, in epoch seconds; null while there is none."""
    path: str
    problems: list[InstructionsProblem] = []
