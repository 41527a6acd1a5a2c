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

Hour = Annotated[
    int,
    Meta(
        description="A whole hour of the day, 0 to 23, local to `timezone`.",
        extra_json_schema={"minimum": 0, "maximum": 23},  # as `ConfigChange` checks
    ),
]
_CLOCK = "([01]?[0-9]|2[0-3]):[0-5][0-9]"
TimeOfDay = Annotated[
    str, Meta(description="A time of day, such as 08:30.", extra_json_schema={"pattern": f"^{_CLOCK}$"})
]
EndOfDay = Annotated[
    str,
    Meta(description="A time of day, such as 22:30, or 24:00.", extra_json_schema={"pattern": f"^({_CLOCK}|24:00)$"}),
]
MaxTokens = Annotated[int, Meta(ge=10, le=32_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Zone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="An IANA time zone, such as Europe/Paris.",
        extra_json_schema={"format": "iana-time-zone"},
    ),
]
Markdown = Annotated[str, Meta(extra_json_schema={"maxLength": 65_536})]  # its bytes are counted, and answered 413
ModelName = Annotated[str, Meta(min_length=1, max_length=200)]


class Config(Struct, frozen=True, kw_only=True):
    """How a thread's heartbeat runs."""

    enabled: bool = True
    """Whether heartbeats run on the thread at all."""
    every: int = 1800
    """Interval in seconds."""
    target: Target = "none"
    """`last`: what it posts or comments is also said in the thread; `none`: it is not."""
    active_hours_start: int | str | None = None
    """When it may run from: a whole hour, or `HH:MM`; null: from midnight."""
    active_hours_end: int | str | None = None
    """When it may not run any more; null: until midnight. Before the start, it wraps midnight; equal: never."""
    timezone: str = "UTC"
    """An IANA time zone, for the hours and for times of day."""
    model: str | None = None
    """null: the service's model."""
    max_tokens: int = 500
    """How many tokens a model's answer may have."""
    temperature: float = 0.7
    """How freely a model answers, 0 to 2."""
    dry_run: bool = False
    """Decide and record, but write nothing to the ledger."""
    approval: Policy = "auto"
    """What waits for a person: nothing, `posts`: all that has a text, or `all` actions."""


class ConfigChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to change: an absent field stays as it is, null goes back to the default."""

    enabled: bool | UnsetType | None = UNSET
    """Whether heartbeats run on the thread at all."""
    every: Every | UnsetType | None = UNSET
    """Interval in seconds, 60 (1 min) to 604800 (7 d)."""
    every_seconds: Every | UnsetType | None = UNSET
    """Another name of `every`: give one of the two, or both alike."""
    target: Target | UnsetType | None = UNSET
    """`last`: what it posts or comments is also said in the thread; `none`: it is not."""
    active_hours_start: Hour | TimeOfDay | UnsetType | None = UNSET
    """When it may run from: a whole hour, or `HH:MM`; null: from midnight."""
    active_hours_end: Hour | EndOfDay | UnsetType | None = UNSET
    """When it may not run any more; null: until midnight. Before the start, it wraps midnight."""
    timezone: Zone | UnsetType | None = UNSET
    """An IANA time zone, for the hours and for times of day."""
    model: ModelName | UnsetType | None = UNSET
    """A model of the same endpoint; null: the service's model."""
    max_tokens: MaxTokens | UnsetType | None = UNSET
    """How many tokens a model's answer may have, 10 to 32000."""
    temperature: Temperature | UnsetType | None = UNSET
    """How freely a model answers, 0 to 2."""
    dry_run: bool | UnsetType | None = UNSET
    """Decide and record, but write nothing to the ledger."""
    approval: Policy | UnsetType | None = UNSET
    """What waits for a person: nothing (`auto`), what has a text (`posts`), or `all` actions."""

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
    """How a thread's heartbeat runs, and how it went last."""

    thread_id: str
    """The thread."""
    config: Config
    """What is in force, defaults included."""
    last_run: float | None
    """When it last decided or failed, in epoch seconds."""
    last_summary: str | None
    """What it did then, in one sentence; null: it has not run yet."""
    problems: list[str]
    """What is odd about the configuration, in sentences."""


class Status(Struct, frozen=True, omit_defaults=True):
    """How the heartbeat loop is."""

    enabled: bool
    """What the setting says."""
    running: bool
    """What a person said last, else the setting."""
    interval_seconds: int
    """The interval of threads that have none of their own."""
    paused: list[Provider] = []
    """Models that get no calls but probes, because they kept failing: since when, and why; absent if none is."""


class Done(Struct, frozen=True):
    """That it was done."""

    ok: bool
    """Always true."""
    message: str
    """What is so now, in one sentence."""


class RunNow(Struct, frozen=True):
    """What a heartbeat did that was asked for."""

    thread_id: str
    """The thread."""
    ran_successfully: bool
    """Whether it came to a decision."""
    timestamp: float
    """Epoch seconds."""
    decision_summary: str | None
    """What it decided, in one sentence."""
    actions: list[ActionResult]
    """What became of each action."""
    execution_time_seconds: float
    """How long it took."""
    error: str | None
    """Why it came to no decision; null if it did."""


class Activity(Struct, frozen=True):
    """One decision or failure of a thread's heartbeat."""

    timestamp: float
    """Epoch seconds."""
    summary: str
    """What it decided or what failed, in one sentence."""
    actions: list[ActionResult]
    """What became of each action."""
    success: bool
    """Whether it came to a decision."""


class History(Struct, frozen=True):
    """What a thread's heartbeats decided."""

    activities: list[Activity]
    """Decisions and failures, newest first; skips are not among them."""
    total_runs: int
    """How many decisions and failures there are in all."""


class NewInstructions(Struct, frozen=True, forbid_unknown_fields=True):
    """A text to check, or to put in force as HEARTBEAT.md."""

    content: Markdown
    """Markdown, at most 64 KiB; empty: no instructions."""


class InstructionsFile(Struct, frozen=True, kw_only=True):
    """HEARTBEAT.md as it is in force."""

    content: str
    """The text; empty while there is none."""
    last_modified: float | None
    """When this version came into force, in epoch seconds; null while there is none."""
    path: str
    """Where the file is, on the server."""
    version: int
    """0 while there is none; `ETag` says the same."""
    problems: list[Problem] = []
    """What is odd about the text, or wrong with the file."""


class InstructionsText(Struct, frozen=True):
    """One version, whole."""

    version: int
    """Its number, from 1."""
    content: str
    """The text."""
    saved_at: datetime
    """When it came into force."""
    source: str
    """`api`, `disk`, or the version it was restored from, such as `restore 3`."""


class InstructionsDiff(Struct, frozen=True):
    """What changed between two versions."""

    old: int
    """The version compared from."""
    new: int
    """The version compared to."""
    diff: str
    """A unified diff; empty if both are the same."""


class NewOwnInstructions(Struct, frozen=True, forbid_unknown_fields=True):
    """Instructions for one thread."""

    content: Markdown
    """Markdown, at most 64 KiB."""
    mode: Mode = "extend"
    """`extend`: beside HEARTBEAT.md; a task of the same name goes before the shared one. `replace`: in its place."""


class OwnInstructions(Struct, frozen=True):
    """A thread's own instructions."""

    thread_id: str
    """The thread."""
    mode: str
    """`extend` or `replace`."""
    content: str
    """The text."""
    version: int
    """From 1; `ETag` says the same."""
    saved_at: datetime
    """When it was saved."""
    problems: list[Problem]
    """What is odd about it."""
