"""Heartbeats rehearsed: the real engine on a temporary copy of some threads, by rules, under a clock that leaps.

The real database is only read, and nobody is called.
"""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import msgspec
from anyio import create_task_group, to_process
from msgspec import Struct, field, structs
from sqlalchemy import Table, insert, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from ledger import schema
from ledger.clock import Clock, ManualClock
from ledger.db import Database, Session
from ledger.errors import NotFound
from ledger.heartbeat import model
from ledger.heartbeat.config import hours, of_thread
from ledger.heartbeat.context import Context
from ledger.heartbeat.structs import Config
from ledger.instructions import store as instructions
from ledger.instructions.file import File
from ledger.instructions.structs import InForce
from ledger.instructions.text import understand
from ledger.loops import Loop, Waker, build_loops
from ledger.runs import store as runs
from ledger.runs.structs import Run, RunDetail
from ledger.settings import Settings
from ledger.tables import METADATA
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.tables import TurnRow

_CHUNK = 1_000
_EVER = 1_000 * 86_400.0
_MANY = 20
"""How many days of threads are worth starting processes for."""

_HEAVY = ("context", "prompt", "raw_answer", "decision", "instructions")
"""What runs keep for people to read, and no heartbeat does."""

_AFRESH = {"lease_token": None, "lease_until": None, "last_run_id": None, "attempt": 0, "next_due_at": TurnRow.slot}
"""How turns begin in a copy: nobody is working on them, nothing has failed."""


class Simulated(Struct, frozen=True, kw_only=True):
    """A heartbeat that was simulated, or several in a row that were skipped for the same reason."""

    run: Run
    timezone: str
    prompt_tokens: int | None
    """Of the call that a model would have got; null: no call."""


class Totals(Struct, kw_only=True):
    slots: int = 0
    calls: int = 0
    """That a model would have got."""
    prompt_tokens: int = 0
    max_completion_tokens: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    """Slots by the reason why it did not act, or by the outcome."""

    def add(self, beat: Simulated, config: Config) -> None:
        run = beat.run
        self.slots += run.slots
        self.outcomes[run.reason or run.outcome] = self.outcomes.get(run.reason or run.outcome, 0) + run.slots
        if beat.prompt_tokens is not None:
            self.calls += 1
            self.prompt_tokens += beat.prompt_tokens
            self.max_completion_tokens += config.max_tokens


class Simulation(Struct, frozen=True, kw_only=True):
    starts_at: datetime
    ends_at: datetime
    beats: list[Simulated]
    totals: dict[str, Totals]
    """By thread."""
    off: list[str]
    """Threads whose heartbeat is switched off, or whose active hours never open."""


class Request(Struct, frozen=True, kw_only=True):
    """What is to be simulated."""

    days: float
    thread_ids: list[str]
    """None named: all."""
    instructions: str | None = None
    """A text in the place of the one in force."""


async def simulate(
    settings: Settings, source: Database, clock: Clock, request: Request, *, processes: int | None = None
) -> Simulation:
    """Simulate heartbeats from now on.

    `processes` share the threads out, since none touches another's: as many as cores, or one where that is quicker.
    Raises `NotFound` for an unknown thread, `Invalid` for unusable instructions.
    """
    names = await _threads(source, request.thread_ids)
    instructions.check(request.instructions or "")
    groups = _groups(names, processes or (os.cpu_count() or 1 if request.days * len(names) > _MANY else 1))
    parts: dict[int, Simulation] = {}
    starts_at = clock.now()

    async def simulate_group(index: int) -> None:
        part = structs.replace(request, thread_ids=groups[index])
        if len(groups) == 1:
            parts[index] = await _simulate(settings, source, starts_at, part)
        else:
            parts[index] = await to_process.run_sync(_simulate_apart, settings, starts_at, part)

    async with create_task_group() as tasks:
        for index in range(len(groups)):
            tasks.start_soon(simulate_group, index)
    return _merged([parts[index] for index in sorted(parts)], names)


def _groups(names: list[str], processes: int) -> list[list[str]]:
    count = max(1, min(len(names), processes))
    return [names[index::count] for index in range(count)]


def _merged(parts: list[Simulation], names: list[str]) -> Simulation:
    totals = {name: total for part in parts for name, total in part.totals.items()}
    return Simulation(
        starts_at=parts[0].starts_at,
        ends_at=parts[0].ends_at,
        beats=sorted((beat for part in parts for beat in part.beats), key=_order),
        totals={name: totals[name] for name in names},
        off=sorted(name for part in parts for name in part.off),
    )


def _order(beat: Simulated) -> tuple[datetime, str]:
    return beat.run.started_at, beat.run.thread_id


def _simulate_apart(settings: Settings, starts_at: datetime, request: Request) -> Simulation:
    """Simulate in a process of its own."""

    async def run() -> Simulation:
        async with _opened(settings.database_url) as source:
            return await _simulate(settings, source, starts_at, request)

    return anyio.run(run)


async def _simulate(settings: Settings, source: Database, starts_at: datetime, request: Request) -> Simulation:
    with tempfile.TemporaryDirectory(prefix="ledger-simulation-") as folder:
        url = f"sqlite+aiosqlite:///{folder}/ledger.db"
        await schema.migrate(url)
        await _copy(source, url, request.thread_ids)
        async with _opened(url) as copy:
            clock = ManualClock(starts_at)
            await _instruct(settings, copy, clock, request.instructions)
            file = File(str(Path(folder) / "none.md"), copy, clock)
            # So that a pass says when the next turn is due, however far that is.
            patient = structs.replace(settings, tick_seconds=_EVER)
            loops = build_loops(patient, copy, clock, None, file)
            return await _Rehearsal(settings, copy, clock, loops, request.thread_ids).run(timedelta(days=request.days))


class _Rehearsal:
    """The heartbeats of a copy, from one due moment to the next."""

    def __init__(
        self, settings: Settings, db: Database, clock: ManualClock, loops: tuple[Loop, ...], names: list[str]
    ) -> None:
        self._settings = settings
        self._names = names
        self._db = db
        self._clock = clock
        self._loops = loops
        self._heartbeat = next(loop for loop in loops if loop.name == "heartbeat")

    async def run(self, length: timedelta) -> Simulation:
        starts_at = self._clock.now()
        until = starts_at + length
        configs = await self._prepare()
        async with self._db.read() as session:
            before = {run.id for run in await runs.since(session, "heartbeat", starts_at)}
        moment = starts_at
        while moment <= until:
            self._clock.advance(moment - self._clock.now())
            moment = await self._heartbeat.run_once()
        beats = await self._beats(starts_at, configs, before)
        off = [name for name, config in configs.items() if not config.enabled or hours(config).never]
        totals = {name: Totals() for name in self._names}
        for beat in beats:
            totals[beat.run.thread_id].add(beat, configs[beat.run.thread_id])
        return Simulation(starts_at=starts_at, ends_at=until, beats=beats, totals=totals, off=off)

    async def _prepare(self) -> dict[str, Config]:
        """Have every thread's next heartbeat scheduled; answers how each is configured."""
        await self._heartbeat.start()
        await self._heartbeat.adopt_interval()
        wake = Waker(self._loops)
        found: dict[str, Config] = {}
        for name in self._names:
            async with self._db.write() as session:
                await threads.lock_existing(session, name)
                await wake(session, name)
                turn = await turns.get(session, "heartbeat", name)
                found[name] = await of_thread(session, name, turn, self._settings.heartbeat_seconds)
        return found

    async def _beats(self, since: datetime, configs: dict[str, Config], before: set[str]) -> list[Simulated]:
        async with self._db.read() as session:
            found = [run for run in await runs.since(session, "heartbeat", since) if run.id not in before]
            inforce = {name: await _in_force(session, name) for name in self._names}
        beats: list[Simulated] = []
        for run in found:
            config, tokens = configs[run.thread_id], None
            if run.outcome != "skipped":
                async with self._db.read() as session:
                    detail = await runs.get(session, run.id)
                tokens = _prompt_tokens(detail, config, inforce[run.thread_id])
            beats.append(Simulated(run=run, timezone=config.timezone, prompt_tokens=tokens))
        return beats


def _prompt_tokens(run: RunDetail, config: Config, inforce: InForce) -> int:
    """What the call would have been that a model had got in the place of rules."""
    shown = {task.name for task in run.tasks}
    request = model.build_request(
        config,
        config.model or "",
        run.instructions,
        msgspec.convert(run.context, Context),
        due=[task for task in inforce.tasks if task.name in shown],
        now=run.started_at,
        asked=None,
    )
    return request.prompt_tokens


async def _in_force(session: Session, thread_id: str) -> InForce:
    return instructions.assemble(await instructions.newest(session), await instructions.own(session, thread_id))


async def _threads(source: Database, wanted: list[str]) -> list[str]:
    async with source.read() as session:
        known = await threads.ids(session)
    if unknown := sorted(set(wanted) - set(known)):
        raise NotFound(f"There is no thread {unknown[0]!r}.")
    return list(dict.fromkeys(wanted)) or known


@asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Database]:
    db = Database(url)
    try:
        yield db
    finally:
        await db.close()


async def _instruct(settings: Settings, copy: Database, clock: ManualClock, text: str | None) -> None:
    """Put the text in force, or else what the service would find in the file at its next heartbeat."""
    if text is None:
        await File(settings.heartbeat_md, copy, clock).follow()
        return
    await understand(text)
    async with copy.write() as session:
        await instructions.save(session, text, source="api", now=clock.now())


async def _copy(source: Database, url: str, names: list[str]) -> None:
    """Copy all rows of some threads, and what belongs to no thread."""
    # Without the pragma that turns foreign keys on: answers may be copied before what they answer.
    engine = create_async_engine(url)
    try:
        for table in METADATA.sorted_tables:
            async with engine.begin() as connection:
                await _copy_table(source, connection, table, names)
        async with engine.begin() as connection:
            await connection.execute(update(TurnRow).values(_AFRESH))
    finally:
        await engine.dispose()


async def _copy_table(source: Database, copy: AsyncConnection, table: Table, names: list[str]) -> None:
    owner = table.c.get("thread_id", table.c.id if table.name == "threads" else None)
    key = list(table.primary_key)
    kept = [column for column in table.c if not (table.name == "runs" and column.name in _HEAVY)]
    statement = select(*kept).order_by(*key).limit(_CHUNK)
    statement = statement if owner is None else statement.where(owner.in_(names))
    last: list[object] | None = None
    while True:
        behind = statement if last is None else statement.where(tuple_(*key) > tuple_(*map(literal, last)))
        async with source.read() as session:
            rows = [dict(row) for row in (await session.execute(behind)).mappings()]
        if rows:
            await copy.execute(insert(table), rows)
            last = [rows[-1][column.name] for column in key]
        if len(rows) < _CHUNK:
            return
