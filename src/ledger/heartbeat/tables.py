from datetime import datetime

from sqlalchemy import Dialect, ForeignKey, Integer, TypeDecorator
from sqlalchemy.orm import Mapped, mapped_column

from ledger.approvals.structs import Policy
from ledger.columns import Moment, Row
from ledger.heartbeat.structs import Target
from ledger.instructions.values import clock_text, clock_time
from ledger.runs.structs import TaskOutcome

_HOUR = 60


class TimeOfDay(TypeDecorator[int | str]):
    """A whole hour, or `HH:MM`; kept in minutes after midnight."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | str | None, dialect: Dialect) -> int | None:
        del dialect
        return minutes(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | str | None:
        del dialect
        if value is None:
            return None
        return value // _HOUR if value % _HOUR == 0 and value < 24 * _HOUR else clock_text(value)


def minutes(value: int | str | None) -> int | None:
    """A time of day in minutes after midnight."""
    return clock_time(value, is_end=True) if isinstance(value, str) else value if value is None else value * _HOUR


class ConfigRow(Row):
    """What a person set; a thread without a row has the defaults. Switch and interval stand in its turn."""

    __tablename__ = "heartbeat_configs"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    target: Mapped[Target]
    active_hours_start: Mapped[int | str | None] = mapped_column(TimeOfDay())
    active_hours_end: Mapped[int | str | None] = mapped_column(TimeOfDay())
    timezone: Mapped[str]
    model: Mapped[str | None]
    max_tokens: Mapped[int]
    temperature: Mapped[float]
    dry_run: Mapped[bool]
    approval: Mapped[Policy]


class TaskRow(Row):
    """How far a task of the instructions has come on a thread."""

    __tablename__ = "heartbeat_tasks"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    schedule: Mapped[str]
    prompt_digest: Mapped[str]
    anchor_at: Mapped[datetime] = mapped_column(Moment())
    slot: Mapped[datetime | None] = mapped_column(Moment())
    seen_seq: Mapped[int]
    ran_at: Mapped[datetime | None] = mapped_column(Moment())
    outcome: Mapped[TaskOutcome | None]
