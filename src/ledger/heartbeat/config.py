"""A thread's heartbeat configuration: partial changes in, one whole value out."""

from msgspec import UNSET, UnsetType, structs
from sqlalchemy import bindparam, delete, insert, select

from ledger.approvals.structs import Policy
from ledger.clock import known_timezone
from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Invalid
from ledger.heartbeat.structs import Config, ConfigChange
from ledger.heartbeat.tables import ConfigRow, minutes
from ledger.hours import DAY_MINUTES, Hours
from ledger.instructions.values import clock_text
from ledger.turns.structs import Turn

_STORED = columns(ConfigRow, Config)
_OF_THREAD = select(*_STORED).where(ConfigRow.thread_id == bindparam("thread_id"))


async def of_thread(session: Session, thread_id: str, turn: Turn | None, default_seconds: int) -> Config:
    """The configuration as people see it: switch and interval stand in the turn, the rest in a row of its own."""
    stored = await _stored(session, thread_id)
    every = turn.every_seconds if turn and turn.every_seconds is not None else default_seconds
    return structs.replace(stored, enabled=turn.enabled if turn else True, every=every)


async def save(session: Session, thread_id: str, change: ConfigChange) -> None:
    """Change what the request names of the configuration's own row. The thread is locked."""
    after = structs.replace(await _stored(session, thread_id), **_named(change))
    known_timezone(after.timezone)
    row = {column.key: getattr(after, column.key) for column in _STORED} | {"thread_id": thread_id}
    await session.execute(delete(ConfigRow).where(ConfigRow.thread_id == thread_id))
    await session.execute(insert(ConfigRow).values(row))


def problems(config: Config) -> list[str]:
    """What is odd about a configuration that may stand all the same."""
    active = hours(config)
    if active.never:
        both = f"from {clock_text(active.start)} to {clock_text(active.end)}"
        return [f"Active hours {both} are never open, so there will be no scheduled heartbeats."]
    return []


def hours(config: Config) -> Hours:
    """The active hours: without a start from midnight, without an end until midnight."""
    start, end = minutes(config.active_hours_start), minutes(config.active_hours_end)
    return Hours(0 if start is None else start, DAY_MINUTES if end is None else end, config.timezone)


async def hours_of(session: Session, thread_id: str) -> Hours:
    return hours(await _stored(session, thread_id))


async def policy(session: Session, thread_id: str) -> Policy:
    """What waits for a person's approval in the thread."""
    return (await _stored(session, thread_id)).approval


def wanted_switch(change: ConfigChange) -> bool | UnsetType:
    """Whether a request switches the heartbeat on or off, if it does either."""
    return Config().enabled if change.enabled is None else change.enabled


def wanted_interval(change: ConfigChange) -> int | UnsetType | None:
    """The interval a request asks for, if it names one; None for the default."""
    named = [value for value in (change.every, change.every_seconds) if value is not UNSET]
    if len(set(named)) > 1:
        raise Invalid(f"`every` is {named[0]}, but `every_seconds` is {named[1]}: they are the same, give one.")
    return named[0] if named else UNSET


async def _stored(session: Session, thread_id: str) -> Config:
    return await session.first(_OF_THREAD, Config, thread_id=thread_id) or Config()


def _named(change: ConfigChange) -> dict[str, object]:
    defaults = structs.asdict(Config())
    kept = {column.key for column in _STORED}
    named = {name: value for name, value in structs.asdict(change).items() if name in kept and value is not UNSET}
    return {name: defaults[name] if value is None else value for name, value in named.items()}
