from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.threads.structs import NOT_BLANK

LoopName = Literal["reflection", "personality", "self_reply", "heartbeat"]
DecidedBy = Literal["model", "rules"]

MIN_SECONDS, MAX_SECONDS = 60, 604_800
Every = Annotated[
    int, Meta(ge=MIN_SECONDS, le=MAX_SECONDS, description="Interval in seconds, 60 (1 min) to 604800 (7 d).")
]


class Turn(Struct, frozen=True):
    """What one loop owes one thread."""

    loop: LoopName
    thread_id: str
    enabled: bool
    every_seconds: int | None
    """The thread's own interval; null: the loop's default."""
    anchor_at: datetime
    """When the loop was first enabled for the thread: interval slots are counted from here."""
    slot: datetime | None
    """The moment owed."""
    next_due_at: datetime | None
    """The next try; null: nothing to do."""
    attempt: int
    lease_token: str | None
    lease_until: datetime | None
    watermark: int
    """The newest message that the last settled decision had read."""
    basis: str
    """What else the last settled decision rested on, in the loop's own words."""
    last_run_id: str | None
    settled_at: datetime | None = None
    """When the last turn that read anything ended."""
    settled_slot: datetime | None = None
    """The last slot that is done: whatever clocks show, it does not come again."""

    @staticmethod
    def blank(loop: LoopName, thread_id: str, now: datetime) -> "Turn":
        """A turn with nothing owed yet."""
        return Turn(loop, thread_id, True, None, now, None, None, 0, None, None, 0, "", None)

    def leased(self, now: datetime) -> bool:
        return self.lease_until is not None and self.lease_until > now

    def every(self, default: timedelta) -> timedelta:
        return default if self.every_seconds is None else timedelta(seconds=self.every_seconds)


class Outlook(Struct, frozen=True):
    """What a pass looks at."""

    wanted: bool | None
    """What a person said last: start (true), stop (false), or nothing yet (null)."""
    nearest: datetime | None
    """When the loop is due next, for whatever thread."""
    due: int
    """How many turns are due now."""


class LoopState(Struct, frozen=True):
    """One loop of this service."""

    loop: LoopName
    """Which one."""
    enabled: bool
    """What the setting says."""
    running: bool
    """What a person said last (start or stop), else the setting."""
    interval_seconds: int
    """The interval of threads that have none of their own."""
    last_pass_at: datetime | None
    """When this process last looked for what is due."""
    turns_running: int
    """Turns under way in this process."""


class LoopSwitch(Struct, frozen=True):
    """How a loop was started or stopped for all threads, or switched and timed for one."""

    loop: LoopName
    """Which one."""
    running: bool
    """Whether it runs, for all threads or for this one."""
    every_seconds: int | None = None
    """The thread's own interval; null: the loop's default."""


class ThreadLoop(Struct, frozen=True):
    """One loop on one thread."""

    loop: LoopName
    """Which one."""
    thread_id: str
    """The thread."""
    enabled: bool
    """Whether it runs on the thread, once it runs at all."""
    every: int
    """Interval in seconds."""
    next_slot: datetime | None
    """The moment owed next; null while nothing is."""
    next_due_at: datetime | None
    """When it is tried next: the slot; later after a failure; or where a decision moved it (`next_check`)."""
    attempt: int
    """How many tries of the slot have failed."""


class RunRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to say to a turn."""

    prompt: Annotated[str, Meta(min_length=1, max_length=2_000, pattern=NOT_BLANK)] | None = None
    """What you have to say to it: kept in the record, and shown to the model."""


class ThreadLoopChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; absent fields stay as they are, `every: null` goes back to the loop's default."""

    enabled: bool | UnsetType = UNSET
    """Whether it runs on the thread."""
    every: Every | UnsetType | None = UNSET
    """Interval in seconds, 60 (1 min) to 604800 (7 d); null: the loop's default."""
