"""Tasks of the instructions on one thread: which are due in a heartbeat, and how far each has come.

A task causes no heartbeat of its own: it is due in the first one whose slot is at or after the task's.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct, structs
from sqlalchemy import bindparam, delete, insert, select

from ledger.columns import columns
from ledger.db import Session
from ledger.heartbeat.schedule import local_day, moved, next_at, next_slot
from ledger.heartbeat.tables import TaskRow
from ledger.hours import EVERY_DAY, Hours
from ledger.instructions.lint import task_hours
from ledger.instructions.structs import InForce, Task
from ledger.instructions.values import DAY_SECONDS, schedule_text
from ledger.runs.structs import TaskOutcome


class Series(Struct, frozen=True, kw_only=True):
    """The moments at which one task is due on one thread."""

    name: str
    schedule: str
    prompt_digest: str
    anchor_at: datetime
    slot: datetime | None
    """The next one; null when no more will come."""
    seen_seq: int = 0
    """The newest message when it last ran."""
    ran_at: datetime | None = None
    outcome: TaskOutcome | None = None


class Beat(NamedTuple):
    """The heartbeat that looks at tasks."""

    slot: datetime
    """The moment it stands for."""
    every: timedelta
    timezone: str
    has_model: bool


class Followed(NamedTuple):
    """A task, and how far it has come."""

    task: Task
    series: Series


_KNOWN = select(*columns(TaskRow, Series)).where(TaskRow.thread_id == bindparam("thread_id"))


async def known(session: Session, thread_id: str) -> list[Series]:
    return await session.all(_KNOWN, Series, thread_id=thread_id)


async def keep(session: Session, thread_id: str, series: Iterable[Series], *, names: set[str]) -> None:
    """Write how far some tasks have come, and forget those that the instructions no longer name. The thread is locked.

    What has run once is remembered, so that it does not run again if it comes back.
    """
    gone = TaskRow.thread_id == thread_id, TaskRow.name.not_in(names), TaskRow.slot.is_not(None)
    await session.execute(delete(TaskRow).where(*gone))
    rows = [structs.asdict(one) | {"thread_id": thread_id} for one in series]
    if rows:
        written = TaskRow.name.in_([row["name"] for row in rows])
        await session.execute(delete(TaskRow).where(TaskRow.thread_id == thread_id, written))
        await session.execute(insert(TaskRow), rows)


def follow(instructions: InForce, known: list[Series], beat: Beat) -> list[Followed]:
    """The tasks in force, with what is known of them; one that is new, or has another schedule, begins here."""
    before = {series.name: series for series in known}
    followed: list[Followed] = []
    for task in instructions.tasks:
        series = _series(task, before.get(task.name), instructions.saved_at, beat)
        followed.append(Followed(task, _in_window(task, _caught_up(task, series, beat), beat)))
    return followed


def is_due(followed: Followed, beat: Beat) -> bool:
    """Whether its slot has come, and its window is open; its `when` is another question."""
    slot = followed.series.slot
    return slot is not None and slot <= beat.slot and task_hours(followed.task, beat.timezone).is_open(beat.slot)


def ran(followed: Followed, beat: Beat, outcome: TaskOutcome, *, seen_seq: int, now: datetime) -> Series:
    """The series after a decision that showed the task."""
    slot = next_after(followed, beat.timezone, beat.slot)
    return structs.replace(followed.series, slot=slot, outcome=outcome, seen_seq=seen_seq, ran_at=now)


def next_after(followed: Followed, timezone: str, moment: datetime) -> datetime | None:
    """The task's first slot later than a moment."""
    task, series = followed
    if task.once:
        return None
    if task.at is not None:
        return _next_at(task, task.at, timezone, series.anchor_at, moment)
    every = timedelta(seconds=task.interval_seconds or 0)
    return next_slot(series.anchor_at, every, task_hours(task, timezone), moment)


def _next_at(task: Task, at: int, timezone: str, since: datetime, after: datetime) -> datetime | None:
    hours = Hours(timezone=task.tz or timezone, days=task.days)
    every_days = max(1, (task.interval_seconds or 0) // DAY_SECONDS)
    return next_at(at, every_days, local_day(since, hours.timezone), hours, after)


def _series(task: Task, known: Series | None, saved_at: datetime | None, beat: Beat) -> Series:
    digest = hashlib.sha256(task.prompt.encode()).hexdigest()[:16]
    schedule = _schedule(task, beat.timezone)
    if known is not None and known.schedule == schedule and not _runs_again(task, known, digest, beat):
        return known if known.prompt_digest == digest else structs.replace(known, prompt_digest=digest)
    slot: datetime | None = beat.slot
    if task.at is not None:
        # One that was named since the heartbeat before belongs to this one.
        since = beat.slot - beat.every if saved_at is None else max(saved_at, beat.slot - beat.every)
        slot = _next_at(structs.replace(task, interval_seconds=None), task.at, beat.timezone, since, since)
    return Series(name=task.name, schedule=schedule, prompt_digest=digest, anchor_at=slot or beat.slot, slot=slot)


def _schedule(task: Task, timezone: str) -> str:
    """Another text whenever the moments are others."""
    is_local = task.at is not None or task.window is not None or task.days != EVERY_DAY
    return schedule_text(task) + (f" ({timezone})" if is_local and not task.tz else "")


def _runs_again(task: Task, known: Series, digest: str, beat: Beat) -> bool:
    """Whether a task that runs once and has run is to run anew: with another prompt, or now that a model can do it."""
    if not task.once or known.slot is not None:
        return False
    return known.prompt_digest != digest or (known.outcome == "needs_model" and beat.has_model)


def _in_window(task: Task, series: Series, beat: Beat) -> Series:
    """Move a slot that has come while the task's window is closed, as the heartbeat's own are moved."""
    hours = task_hours(task, beat.timezone)
    is_owed = series.slot is not None and series.slot <= beat.slot
    if task.interval_seconds is None or task.at is not None or not is_owed or hours.is_open(beat.slot):
        return series
    every = timedelta(seconds=task.interval_seconds)
    return structs.replace(series, slot=moved(series.anchor_at, every, hours, beat.slot))


def _caught_up(task: Task, series: Series, beat: Beat) -> Series:
    """Pass over a slot that an earlier heartbeat should have taken, if the task wants that."""
    earlier = beat.slot - beat.every
    if task.catch_up == "once" or task.once or series.slot is None or series.slot > earlier:
        return series
    return structs.replace(series, slot=next_after(Followed(task, series), beat.timezone, earlier))
