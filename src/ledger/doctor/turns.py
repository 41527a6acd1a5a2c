"""Whether somebody takes the turns that are due."""

from datetime import datetime, timedelta
from functools import partial
from typing import get_args

from msgspec import Struct
from sqlalchemy import func, select

from ledger.clock import Clock
from ledger.db import Session
from ledger.doctor.finding import Finding
from ledger.doctor.reading import database_clock, reading
from ledger.settings import Settings
from ledger.turns import store as turns
from ledger.turns.structs import LoopName
from ledger.turns.tables import TurnRow
from ledger.variables import VARIABLES

_LATE = timedelta(minutes=5)
"""How long a turn may wait before one must ask whether anybody takes it."""


class Overdue(Struct, frozen=True):
    """Turns of a loop that have been due for long."""

    count: int
    abandoned: int
    """Those whose process ended amid the turn: nobody has taken them over."""
    oldest: datetime | None


async def look(settings: Settings, clock: Clock) -> list[Finding]:
    found: list[Finding] = []
    async with reading(settings) as connection:
        session, now = Session(connection), (await database_clock(settings, connection, clock)).now()
        for loop in get_args(LoopName):
            overdue = await _overdue(session, loop, before=now - _LATE)
            found.append(_finding(loop, overdue, await turns.wanted(session, loop), settings))
    return found


async def _overdue(session: Session, loop: LoopName, *, before: datetime) -> Overdue:
    statement = select(
        func.count().label("count"),
        func.count(TurnRow.lease_token).label("abandoned"),
        func.min(TurnRow.next_due_at).label("oldest"),
    ).where(TurnRow.loop == loop, TurnRow.next_due_at < before)
    found = await session.first(statement, Overdue)
    assert found is not None  # noqa: S101 - an aggregate has a row
    return found


def _finding(loop: LoopName, overdue: Overdue, wanted: bool | None, settings: Settings) -> Finding:
    """`wanted`: what a person said last of the loop."""
    is_on: bool = getattr(settings, f"{loop}_enabled")
    if wanted is False:
        level = "warn" if overdue.count else "ok"
        stopped = f"The {loop} loop was stopped over the API. {_waiting(overdue)}"
        return _found(level, stopped, f"POST /api/loops/{loop}/start has it run again.")
    if wanted is None and not is_on:
        (variable,) = (each.name for each in VARIABLES if each.field == f"{loop}_enabled")
        return _found("ok", f"The {loop} loop is off by {variable}, as it is set here. {_waiting(overdue)}")
    if not overdue.count:
        return _found("ok", f"No turn of the {loop} loop is overdue.")
    mend = (
        "Start `ledger serve` or `ledger work`. If one runs, see its log and GET /health/ready; "
        "if it is busy, start another, or raise CRT_CONCURRENCY."
    )
    return _found("FAIL", f"The {loop} loop should run, but nobody takes its turns. {_waiting(overdue)}", mend)


def _waiting(overdue: Overdue) -> str:
    if overdue.oldest is None:
        return "No turn waits."
    turns_wait = "1 turn waits" if overdue.count == 1 else f"{overdue.count:,} turns wait"
    left = f"; {overdue.abandoned:,} of them were left by a process that ended amid them" if overdue.abandoned else ""
    return f"{turns_wait}, since {overdue.oldest:%Y-%m-%d %H:%M} UTC at the longest{left}."


_found = partial(Finding, "turns")
