"""A thread's heartbeat configuration: partial changes in, one whole value out."""

from typing import Any

from msgspec import UNSET, Struct, structs
from sqlalchemy import delete, insert, select

from ledger.clock import known_timezone
from ledger.db import Session, columns
from ledger.errors import Invalid
from ledger.heartbeat.structs import Config, ConfigChange
from ledger.heartbeat.tables import ConfigRow
from ledger.turns.structs import Turn

_IN_TURN = ("enabled", "every")


class Stored(Struct, frozen=True, kw_only=True):
    """What stands in the configuration's own row."""

    revision: int = 0
    """Grows with every change; 0: nothing was ever set."""
    target: Any = "none"
    active_hours_start: int | None = None
    active_hours_end: int | None = None
    timezone: str = "UTC"
    model: str | None = None
    max_tokens: int = 500
    temperature: float = 0.7
    dry_run: bool = False


async def stored(session: Session, thread_id: str) -> Stored:
    statement = select(*columns(ConfigRow, Stored)).where(ConfigRow.thread_id == thread_id)
    return await session.first(statement, Stored) or Stored()


def whole(stored: Stored, turn: Turn | None, default_seconds: int) -> Config:
    """The configuration as people see it, switch and interval of its turn included."""
    fields = structs.asdict(stored)
    del fields["revision"]
    every = turn.every_seconds if turn and turn.every_seconds is not None else default_seconds
    return Config(enabled=turn.enabled if turn else True, every=every, **fields)


async def save(session: Session, thread_id: str, change: ConfigChange) -> Stored:
    """Change what the request names of the configuration's own row. The thread is locked."""
    before = await stored(session, thread_id)
    after = structs.replace(before, revision=before.revision + 1, **_named(change))
    known_timezone(after.timezone)
    await session.execute(delete(ConfigRow).where(ConfigRow.thread_id == thread_id))
    await session.execute(insert(ConfigRow).values(structs.asdict(after) | {"thread_id": thread_id}))
    return after


def problems(config: Config) -> list[str]:
    """What is odd about a configuration that may stand all the same."""
    start, end = config.active_hours_start, config.active_hours_end
    if start is not None and start == end:
        return [f"Active hours from {start} to {end} are never open, so scheduled heartbeats will do nothing."]
    return []


def wanted_switch(change: ConfigChange) -> bool | None:
    """Whether a request switches the heartbeat on or off; None where it does neither."""
    if change.enabled is UNSET:
        return None
    return Config().enabled if change.enabled is None else change.enabled


def wanted_interval(change: ConfigChange) -> int | None:
    """The interval a request asks for: seconds, None for the default, -1 where it names none."""
    named = [value for value in (change.every, change.every_seconds) if value is not UNSET]
    if len(set(named)) > 1:
        raise Invalid(f"`every` is {named[0]}, but `every_seconds` is {named[1]}: they are the same, give one.")
    return named[0] if named else -1


def _named(change: ConfigChange) -> dict[str, object]:
    defaults = structs.asdict(Stored())
    named = {name: value for name, value in structs.asdict(change).items() if name in defaults and value is not UNSET}
    return {name: defaults[name] if value is None else value for name, value in named.items()}
