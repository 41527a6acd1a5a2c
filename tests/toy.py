"""Loops of toys: work that does what a test tells it to, on a real database and a clock set by hand."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import anyio
import anyio.lowlevel
from msgspec import UNSET, Struct, UnsetType, structs

from ledger.budgets.plan import Plan
from ledger.clock import Clock
from ledger.db import Database, Session
from ledger.heartbeat.schedule import covered, next_slot
from ledger.hours import Hours
from ledger.journal.store import Pen
from ledger.loops.engine import Loop, Waker
from ledger.loops.places import Places
from ledger.loops.quiet import Means
from ledger.loops.work import Covered, Effects, Facts, Record, Work
from ledger.runs import store as runs
from ledger.runs.structs import Reason, Run, RunDetail, RunFilter
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.threads.said import News
from ledger.threads.structs import NewMessage, NewThread
from ledger.turns import store as turns
from ledger.turns.structs import LoopName, Turn

HALF_HOUR = timedelta(minutes=30)
TURN_LIMIT = timedelta(seconds=120)
LEASE = timedelta(seconds=150)
TICK = timedelta(seconds=5)

Step = Callable[[Turn, Record], Awaitable[Effects | None]]


class Says(Struct, frozen=True):
    """Effects: one message of the agent in the thread."""

    text: str = "Done."
    watermark: int = 0
    basis: str = ""

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        await messages.say(session, run.thread_id, self.text, run_id=run.id, now=run.finished_at)
        return structs.replace(run, outcome="acted")


async def speak(turn: Turn, record: Record) -> Effects:
    """A turn that acts."""
    del turn, record
    return Says()


def skip(reason: Reason) -> Step:
    """A turn that a gate skips."""

    async def step(turn: Turn, record: Record) -> None:
        del turn
        record.note(outcome="skipped", reason=reason)

    return step


def fail(error: Exception) -> Step:
    """A turn that goes wrong."""

    async def step(turn: Turn, record: Record) -> None:
        del turn, record
        raise error

    return step


class Waits:
    """A turn that stands still between having begun and having something to say."""

    def __init__(self, text: str = "Done.") -> None:
        self.begun = anyio.Event()
        self.go_on = anyio.Event()
        self._text = text

    async def __call__(self, turn: Turn, record: Record) -> Effects:
        del turn, record
        self.begun.set()
        await self.go_on.wait()
        return Says(self._text)


class Toy:
    """Work that is due every interval, as the heartbeat is, and takes the steps it was told, then always `speak`."""

    label = "TOY"
    enabled = True

    def __init__(self, name: LoopName = "heartbeat", *, every: timedelta = HALF_HOUR, leaves_free: int = 0) -> None:
        self.name: LoopName = name
        self.every = every
        self.leaves_free = leaves_free
        self.served: list[str] = []
        self.under_way = 0
        self.most_at_once = 0
        self._steps: dict[str | None, list[Step]] = {}

    def does(self, *steps: Step, on: str | None = None) -> None:
        """What its next turns do, on one thread or on any."""
        self._steps.setdefault(on, []).extend(steps)

    async def news(self, session: Session, turn: Turn) -> News | None:
        del session, turn
        return None

    async def hours(self, session: Session, turn: Turn) -> Hours:
        del session, turn
        return Hours()

    def due(self, facts: Facts) -> datetime | None:
        if not facts.enabled:
            return None
        return facts.owed or next_slot(facts.anchor_at, facts.every, facts.hours, facts.after)

    def covered(self, facts: Facts, slot: datetime, until: datetime) -> Covered:
        return Covered(*covered(facts.anchor_at, facts.every, facts.hours, slot, until))

    async def look_again(self, session: Session, facts: Facts, slot: datetime, run: RunDetail) -> datetime:
        del session, facts
        return run.next_check_at or slot

    async def act(self, turn: Turn, record: Record) -> Effects | None:
        self.served.append(turn.thread_id)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return await self._step(turn.thread_id)(turn, record)
        finally:
            self.under_way -= 1

    def _step(self, thread_id: str) -> Step:
        steps = self._steps.get(thread_id) or self._steps.get(None)
        return steps.pop(0) if steps else speak


async def _no_wake(session: Session, thread_id: str) -> None:
    del session, thread_id


def means(db: Database) -> Means:
    """What quiet loops work with, without a model."""
    return Means(db, None, 20, Pen("ledger", 0.25), _no_wake, Plan())


class Process:
    """What one process is to the engine: loops that share places, on a database that others may share."""

    def __init__(self, db: Database, clock: Clock, *works: Work, places: int = 8) -> None:
        self.db = db
        self.clock = clock
        self.places = Places(places)
        self.hints: list[str] = []
        self.started: list[RunDetail] = []
        self.loops = tuple(
            Loop(
                work,
                db,
                clock,
                self.places,
                turn_limit=TURN_LIMIT,
                lease=LEASE,
                tick=TICK,
                hint=self.hints.append,
                started=self.started.append,
            )
            for work in works
        )
        self.loop = self.loops[0]
        self._wake = Waker(self.loops)

    async def start(self, *thread_ids: str) -> None:
        """As a process does when it starts; then have threads."""
        for loop in self.loops:
            await loop.adopt_interval()
        async with self.db.write() as session:
            for thread_id in thread_ids:
                await threads.create(session, NewThread(id=thread_id), now=self.clock.now())
                await self._wake(session, thread_id)

    async def say(self, thread_id: str, content: str) -> None:
        async with self.db.write() as session:
            await messages.add(session, thread_id, [NewMessage("user", content)], now=self.clock.now())
            await self._wake(session, thread_id)

    async def delete(self, thread_id: str) -> None:
        async with self.db.write() as session:
            await threads.remove(session, thread_id, now=self.clock.now())

    async def configure(
        self, thread_id: str, *, enabled: bool | UnsetType = UNSET, every_seconds: int | UnsetType | None = UNSET
    ) -> None:
        async with self.db.write() as session:
            await threads.lock_existing(session, thread_id)
            await self.loop.configure(session, thread_id, enabled=enabled, every_seconds=every_seconds)

    async def turn(self, thread_id: str) -> Turn:
        async with self.db.read() as session:
            turn = await turns.get(session, self.loop.name, thread_id)
        assert turn is not None
        return turn

    async def runs(self, thread_id: str | None = None) -> list[Run]:
        """The runs of the first loop, the one started first first."""
        wanted = RunFilter(thread_id=thread_id, loop=self.loop.name)
        async with self.db.read() as session:
            return (await runs.page(session, wanted, limit=1_000)).items[::-1]

    async def said(self, thread_id: str) -> list[str]:
        """What the agent said in a thread."""
        async with self.db.read() as session:
            found = await messages.newest(session, thread_id, 1_000)
        return [message.content for message in found if message.origin == "agent"]


def assert_covered_once(found: list[Run], anchor: datetime, every: timedelta, until: datetime) -> None:
    """Every slot after `anchor` and up to `until` is covered by exactly one settled run."""
    settled = sorted((run.first_slot, run.last_slot, run.slots) for run in found if run.first_slot and run.slots)
    slot = anchor + every
    for first, last, slots in settled:
        assert last is not None
        assert (first, slots) == (slot, (last - first) // every + 1)
        slot = last + every
    assert slot == next_slot(anchor, every, Hours(), until)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Let everything else go on until the condition holds."""
    with anyio.fail_after(20):
        while not await condition():
            await anyio.lowlevel.checkpoint()
