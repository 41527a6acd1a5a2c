"""Whatever happens in whatever order, the engine does what a simple model of it does: each slot once, and no more.

Two processes share a database. Turns are begun, held open, and end in all ways; processes die, or stand still and come
back too late; the loop is stopped and started, threads are configured, deleted and made again. To play many more than
the few examples of every day, drawn anew each time (five thousand take some eight minutes):

    LEDGER_TEST_EXAMPLES=5000 .venv/bin/pytest -n 0 -o faulthandler_timeout=0 tests/test_engine_model.py
"""

import os
from collections import Counter
from datetime import datetime, timedelta
from typing import NamedTuple

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from ledger.clock import ManualClock
from ledger.db import Database, Session
from ledger.errors import Conflict, NotFound
from ledger.loops.work import Effects, Record, TurnFailed, TurnHeld
from ledger.runs.structs import RunDetail
from ledger.tables import METADATA
from ledger.threads.tables import ThreadRow
from ledger.turns import store as turns
from ledger.turns.structs import Turn
from tests.conftest import START, on_postgres, on_sqlite
from tests.toy import HALF_HOUR, LEASE, TURN_LIMIT, Process, Says, Toy, eventually

ENDS = {
    "acts": ("acted", None),
    "skips": ("skipped", "nothing_new"),
    "fails": ("failed", "provider_failed"),
    "fails for good": ("failed", "provider_failed"),
    "cannot be written": ("failed", "internal_error"),
    "is paused": ("skipped", "provider_paused"),
    "takes too long": ("failed", "timeout"),
    "is disabled": ("skipped", "disabled"),
}
"""How turns end: outcome and reason of their run."""

FAILED = ("fails", "cannot be written", "takes too long")
TRIED_AGAIN = (*FAILED, "is paused")
CHOSEN = list(ENDS)[:6]
HELD = "is held"
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=24), timedelta(seconds=4_320)
"""A turn that has failed is tried again after 30 s at first and an hour at last, more or less by a fifth."""


class Step(NamedTuple):
    """What happens, in which process, on which thread, and how a turn ends that begins or goes on."""

    what: str
    by: int = 0
    on: str = "a"
    end: str = "acts"
    seconds: int = 0
    every: int | None = None

    @property
    def by_time(self) -> timedelta:
        return timedelta(seconds=self.seconds)


WHAT = ["stop", "start", "dies", "comes back", "run now", "enable", "disable", "time", "say", "delete", "create"]
PROCESSES, HOW = st.integers(0, 1), st.sampled_from(CHOSEN)
STEPS = st.builds(
    Step,
    what=st.sampled_from(["wait", "pass", "go on", *WHAT]),
    by=PROCESSES,
    on=st.sampled_from(["a", "b"]),
    end=HOW | st.just(HELD),
    seconds=st.sampled_from([1, 31, 61, 101, 151, 700, 1_801, 5_003]),
    every=st.sampled_from([None, 60, 600, 2_700]),
)


def scene(by: int, seconds: int, meanwhile: list[Step], what: str, end: str) -> list[Step]:
    """A turn in the middle of which something happens."""
    begun = [Step("wait", seconds=seconds), Step("pass", by, end=HELD)]
    return [*begun, *meanwhile, Step(what, by, end=end)]


SCENES = st.builds(
    scene,
    by=PROCESSES,
    seconds=st.sampled_from([61, 1_801]),
    meanwhile=st.lists(STEPS, max_size=5),
    what=st.sampled_from(["go on", "comes back", "start"]),
    end=HOW,
)
PLAYS = st.lists(SCENES, min_size=5, max_size=7).map(lambda scenes: [step for scene in scenes for step in scene])


class Ran(NamedTuple):
    """A run, as far as the model knows it."""

    trigger: str
    outcome: str
    reason: str | None
    first_slot: datetime | None
    last_slot: datetime | None
    slots: int


class Promise:
    """The model: what the loop owes one thread."""

    def __init__(self, now: datetime) -> None:
        self.anchor = now
        self.every = HALF_HOUR
        self.enabled = True
        self.slot: datetime | None = self.after(now)
        """The oldest slot that is not settled: one that has come, or the next."""
        self.tried_at: datetime | None = self.slot
        self.failed: datetime | None = None
        """The slot of the last turn, if that failed."""
        self.holder: Taken | None = None
        self.held_until = now
        self.settled: list[datetime] = []
        self.runs: list[Ran] = []

    def after(self, moment: datetime) -> datetime:
        return self.anchor + ((moment - self.anchor) // self.every + 1) * self.every

    def owed(self, now: datetime) -> list[datetime]:
        """The slots that have come and are not settled."""
        found: list[datetime] = []
        slot = self.slot
        while slot is not None and slot <= now:
            found.append(slot)
            slot = self.after(slot)
        return found

    def is_held(self, now: datetime) -> bool:
        return self.holder is not None and self.held_until > now

    def change(self, now: datetime, *, anew: bool) -> None:
        """Something was written. While a turn is under way nothing follows from it: the turn's end sees to that."""
        before = self.slot
        if not self.is_held(now):
            self._plan(now)
            if self.slot != before or (anew and self.slot != self.failed):
                self.tried_at = self.slot

    def begin(self, taken: "Taken", now: datetime) -> None:
        self.holder, self.held_until = taken, now + LEASE
        waits = taken.by_hand and self.tried_at is not None and self.tried_at > self.held_until
        self.tried_at = self.tried_at if waits else self.held_until

    def put_back(self, now: datetime) -> None:
        self.holder = None
        self._plan(now)
        self.tried_at = self.slot

    def end(self, taken: "Taken", end: str, now: datetime) -> None:
        """A turn that nobody has taken over ends; when it is tried again, if it is, the model does not know."""
        outcome, reason = ENDS[end if self.enabled else "is disabled"]
        if taken.by_hand:
            self.runs.append(Ran("run_now", outcome, reason, None, None, 0))
            self.put_back(now)
            self.tried_at = taken.tried_at if self.slot == taken.slot else self.slot
            return
        is_done = not (self.enabled and end in TRIED_AGAIN)
        covered = self.owed(taken.at) if is_done else []
        self.settled += covered
        self._record(Ran("schedule", outcome, reason, taken.slot, (covered or [taken.slot])[-1], len(covered)))
        self.holder, self.tried_at = None, None
        self.failed = self.slot if self.enabled and end in FAILED else self.failed
        if is_done:
            self.slot = self.after(covered[-1]) if covered else self.slot
            self.slot = self.tried_at = self.slot if self.enabled else None

    def _plan(self, now: datetime) -> None:
        """A slot that has come stays owed; one to come is counted anew."""
        if not self.enabled:
            self.slot = None
        elif self.slot is None or self.slot > now:
            self.slot = self.after(now)

    def _record(self, ran: Ran) -> None:
        """Skips for the same reason, one after the other, are one run."""
        before = self.runs[-1] if self.runs else None
        if before and ran.outcome == "skipped" and ran[:3] == before[:3]:
            last = ran.last_slot if ran.slots else before.last_slot
            self.runs[-1] = before._replace(last_slot=last, slots=before.slots + ran.slots)
        else:
            self.runs.append(ran)


class Held:
    """A turn that stands still in the middle."""

    def __init__(self, thread_id: str) -> None:
        self.thread_id = thread_id
        self.go_on = anyio.Event()
        self.end = "acts"


TORN = "This cannot be kept."


class Torn(Says, frozen=True):
    """Effects that cannot be written to their end."""

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        await super().apply(session, run)
        raise ValueError(TORN)


class Actor(Toy):
    """Work whose turns end as was said when they began, or are held until it is said."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.own_clock = clock
        self.end = "acts"
        self.held: list[Held] = []

    def begin(self, end: str) -> None:
        self.end = end
        self.served.clear()

    def holds(self, thread_id: str) -> Held:
        """The newest turn of a thread that is held."""
        return [held for held in self.held if held.thread_id == thread_id][-1]

    async def act(self, turn: Turn, record: Record) -> Effects | None:
        self.served.append(turn.thread_id)
        end = self.end
        if end == HELD:
            held = Held(turn.thread_id)
            self.held.append(held)
            await held.go_on.wait()
            end = held.end
        if end in {"fails", "fails for good"}:
            raise TurnFailed("provider_failed", "Down.", is_final=end == "fails for good")
        if end == "is paused":
            raise TurnHeld("provider_paused", "Its model is left alone.", self.own_clock.now() + LEASE)
        if end == "skips":
            record.note(outcome="skipped", reason="nothing_new")
            return None
        return Torn(record.run.id) if end == "cannot be written" else Says(record.run.id)


class Machine(Process):
    """A process whose clock stands still when it does."""

    def __init__(self, db: Database, now: datetime) -> None:
        self.own_clock = ManualClock(now)
        self.actor = Actor(self.own_clock)
        self.asked = 0
        super().__init__(db, self.own_clock, self.actor)

    async def look(self, group: TaskGroup) -> None:
        """One pass, whose turns go on in the group."""
        await self.loop._pass(group, self.clock.now())  # pyright: ignore[reportPrivateUsage] - a loop makes many

    async def ask(self, thread_id: str) -> None:
        """Run a turn by hand, whatever becomes of its thread meanwhile."""
        try:
            await self.loop.run_for_thread(thread_id)
        except Conflict:
            pass
        finally:
            self.asked -= 1

    async def is_quiet(self) -> bool:
        """Whether all turns under way are held."""
        under_way = len(self.loop._running) + self.asked  # pyright: ignore[reportPrivateUsage] - nobody else asks
        return under_way == len(self.actor.held)


class Taken:
    """A turn that was begun."""

    def __init__(self, machine: Machine, thread_id: str, promise: Promise, *, by_hand: bool) -> None:
        self.machine = machine
        self.thread_id = thread_id
        self.promise = promise
        self.by_hand = by_hand
        self.at = machine.clock.now()
        self.slot = promise.slot
        self.tried_at = promise.tried_at
        self.held: Held | None = None
        promise.begin(self, self.at)

    @property
    def acts(self) -> bool:
        return self.promise.enabled and (self.by_hand or self.slot is not None)

    def forget(self) -> None:
        """It will not be held much longer."""
        assert self.held is not None
        self.machine.actor.held.remove(self.held)

    def let_go(self, end: str) -> None:
        assert self.held is not None
        self.forget()
        self.held.end = end
        self.held.go_on.set()


async def rows_of(db: Database, on: str) -> int:
    """How many rows there are of a thread, in all tables."""
    tables = [table for table in METADATA.sorted_tables if "thread_id" in table.columns]
    counts = [select(func.count()).where(table.columns["thread_id"] == on).scalar_subquery() for table in tables]
    async with db.read() as session:
        return await session.scalar(select(sum(counts[1:], start=counts[0]))) or 0


class World:
    """Two processes and two threads, and beside them the model."""

    def __init__(self, dbs: tuple[Database, Database], group: TaskGroup) -> None:
        self.now = START
        self.is_wanted = True
        self.promises: dict[str, Promise] = {}
        self._group = group
        self._machines = [Machine(db, START) for db in dbs]
        self._dead: list[Machine] = []
        self._open: list[Taken] = []

    async def begin(self, every: int | None) -> None:
        await self._machines[0].start()
        for on in ("a", "b"):
            for what in ("create", "time"):
                await self.play(Step(what, on=on, every=every))
        await self.play(Step("start"))

    async def play(self, step: Step) -> None:
        machine, promise = self._machines[step.by], self.promises.get(step.on)
        if step.what in HAPPENS:
            await HAPPENS[step.what](self, machine, step)
        elif promise is None and step.what == "create":
            await machine.start(step.on)
            self.promises[step.on] = Promise(self.now)
        elif promise is not None and step.what == "delete":
            await self.compare(step.on, promise)
            await machine.delete(step.on)
            del self.promises[step.on]
            assert await rows_of(machine.db, step.on) == 0
        elif promise is not None and step.what != "create":
            await self._change(machine, step, promise)
        if step.what in {"stop", "go on", "comes back"}:
            for on, each in self.promises.items():
                await self._compare_turn(on, each)

    async def compare(self, on: str, promise: Promise) -> None:
        """What there is of a thread is what the model has, and nothing else."""
        process = self._machines[0]
        runs = await process.runs(on)
        assert Counter(Ran(*(getattr(run, name) for name in Ran._fields)) for run in runs) == Counter(promise.runs)
        assert sorted(await process.said(on)) == sorted(run.id for run in runs if run.outcome == "acted")
        ranges = [(run.first_slot, run.last_slot) for run in runs if run.slots]
        for slot in promise.settled:
            assert len([first for first, last in ranges if first and last and first <= slot <= last]) == 1
        assert len(set(promise.settled)) == sum(run.slots for run in runs)
        await self._compare_turn(on, promise)

    async def _compare_turn(self, on: str, promise: Promise) -> None:
        turn = await self._machines[0].turn(on)
        assert turn.slot == promise.slot
        found, expected = (at and max(at, self.now) for at in (turn.next_due_at, promise.tried_at))
        assert found == expected

    async def wait(self, _: Machine, step: Step) -> None:
        """Time passes where it does; turns that take too long fail."""
        self.now += step.by_time
        late = [each for each in self._open if each.machine in self._machines and each.at + TURN_LIMIT <= self.now]
        for taken in late:
            taken.forget()
        for machine in self._machines:
            machine.own_clock.advance(step.by_time)
        await self._ended(late, "takes too long")

    async def take_turns(self, machine: Machine, step: Step) -> None:
        """What is due is begun; while the loop is to stand still, what is under way is put back."""
        if not self.is_wanted:
            cancelled = self._cancel(machine)
            await machine.look(self._group)
            await self._put_back(cancelled)
            return
        due = [(on, each) for on, each in self.promises.items() if each.tried_at and each.tried_at <= self.now]
        begun = [Taken(machine, on, promise, by_hand=False) for on, promise in due]
        machine.actor.begin(step.end)
        await machine.look(self._group)
        await self._begun(machine, begun, step.end)

    async def run_now(self, machine: Machine, step: Step) -> None:
        promise = self.promises.get(step.on)
        if promise is None or promise.is_held(self.now):
            with pytest.raises(Conflict if promise else NotFound):
                await machine.loop.run_for_thread(step.on)
            return
        taken = Taken(machine, step.on, promise, by_hand=True)
        machine.actor.begin(step.end)
        machine.asked += 1
        self._group.start_soon(machine.ask, step.on)
        await self._begun(machine, [taken], step.end)

    async def go_on(self, machine: Machine, step: Step) -> None:
        """What turns waited for is there: also for a process that stood still, for however long."""
        taken = [each for each in self._open if each.machine is machine]
        end = "acts" if step.end == HELD else step.end
        for each in taken:
            each.let_go(end)
        machine.own_clock.advance(self.now - machine.clock.now())
        await self._ended(taken, end)

    async def die(self, machine: Machine, step: Step) -> None:
        self._dead.append(machine)
        self._machines[step.by] = Machine(machine.db, self.now)

    async def come_back(self, _: Machine, step: Step) -> None:
        for dead in [each.machine for each in self._open if each.machine in self._dead][:1]:
            await self.go_on(dead, step)

    async def start(self, machine: Machine, _: Step) -> None:
        self.is_wanted = True
        await machine.loop.start()

    async def stop(self, machine: Machine, _: Step) -> None:
        self.is_wanted = False
        cancelled = self._cancel(machine)
        await machine.loop.stop()
        await self._put_back(cancelled)

    async def _change(self, machine: Machine, step: Step, promise: Promise) -> None:
        if step.what == "say":
            await machine.say(step.on, "Hello.")
        elif step.what == "time":
            promise.every = HALF_HOUR if step.every is None else timedelta(seconds=step.every)
            await machine.configure(step.on, every_seconds=step.every)
        else:
            promise.enabled = step.what == "enable"
            await machine.configure(step.on, enabled=promise.enabled)
        promise.change(self.now, anew=step.what != "say")

    async def _begun(self, machine: Machine, begun: list[Taken], end: str) -> None:
        await self._quiet()
        assert sorted(machine.actor.served) == sorted(taken.thread_id for taken in begun if taken.acts)
        for taken in begun:
            if taken.slot is None and not taken.by_hand:
                taken.promise.put_back(self.now)  # somebody's run-now died here
            elif taken.acts and end == HELD:
                taken.held = machine.actor.holds(taken.thread_id)
                self._open.append(taken)
            else:
                await self._end(taken, end)

    async def _ended(self, let_go: list[Taken], end: str) -> None:
        await self._quiet()
        for taken in let_go:
            self._open.remove(taken)
            await self._end(taken, end)

    async def _end(self, taken: Taken, end: str) -> None:
        promise = taken.promise
        if promise.holder is not taken or self.promises.get(taken.thread_id) is not promise:
            return
        if not taken.by_hand and not self.is_wanted:
            promise.put_back(self.now)
            return
        promise.end(taken, end, self.now)
        if promise.slot is not None and promise.tried_at is None:
            promise.tried_at = (await taken.machine.turn(taken.thread_id)).next_due_at
            assert promise.tried_at is not None
            assert FIRST_WAIT <= promise.tried_at - self.now <= LONGEST_WAIT

    def _cancel(self, machine: Machine) -> list[Taken]:
        """What is about to be cancelled: all of a process that nobody asked for by hand."""
        cancelled = [taken for taken in self._open if taken.machine is machine and not taken.by_hand]
        for taken in cancelled:
            taken.forget()
        return cancelled

    async def _put_back(self, cancelled: list[Taken]) -> None:
        await self._quiet()
        for taken in cancelled:
            self._open.remove(taken)
            if taken.promise.holder is taken:
                taken.promise.put_back(self.now)

    async def _quiet(self) -> None:
        for machine in (*self._machines, *self._dead):
            await eventually(machine.is_quiet)


HAPPENS = {
    "wait": World.wait,
    "pass": World.take_turns,
    "run now": World.run_now,
    "go on": World.go_on,
    "dies": World.die,
    "comes back": World.come_back,
    "start": World.start,
    "stop": World.stop,
}


async def play(db: Database, other_db: Database, steps: list[Step], every: int | None) -> None:
    async with db.write() as session:
        await session.execute(delete(ThreadRow))  # what the example before has left
    async with anyio.create_task_group() as group:
        world = World((db, other_db), group)
        await world.begin(every)
        # In the end what is under way takes too long, and is tried again.
        for step in [*steps, Step("start"), *[Step("wait", seconds=13_000), Step("pass")] * 2]:
            await world.play(step)
        for on, promise in world.promises.items():
            await world.compare(on, promise)
            assert promise.slot is None or promise.slot > world.now
        group.cancel_scope.cancel()


EXAMPLES = int(os.environ.get("LEDGER_TEST_EXAMPLES", "0"))  # noqa: TID251 - how long to look is for the caller to say


@pytest.fixture(autouse=True)
def _torn_effects_are_logged(errors_logged: list[str]) -> None:
    errors_logged.append(TORN)


def few(number: int) -> settings:
    """The same few examples each time, or as many others as are wanted; only then one that fails is made short."""
    return settings(
        max_examples=EXAMPLES or number,
        derandomize=not EXAMPLES,
        phases=Phase if EXAMPLES else [Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


INTERVALS = st.sampled_from([None, 60])


@on_sqlite
@few(60)
@given(steps=PLAYS, every=INTERVALS)
async def test_every_slot_is_settled_once_whatever_happens(
    db: Database, other_db: Database, steps: list[Step], every: int | None
) -> None:
    await play(db, other_db, steps, every)


@on_postgres
@few(20)
@given(steps=PLAYS, every=INTERVALS)
async def test_every_slot_is_settled_once_on_postgresql_too(
    db: Database, other_db: Database, steps: list[Step], every: int | None
) -> None:
    await play(db, other_db, steps, every)


DUE, HOLD = Step("wait", seconds=1_801), Step("pass", end=HELD)
A_MINUTE, OVER = Step("wait", seconds=61), Step("wait", seconds=151)
STORIES: dict[str, tuple[int | None, list[Step]]] = {
    "a turn that was taken over applies nothing": (
        None,
        [DUE, HOLD, Step("dies"), OVER, Step("pass", 1), Step("comes back")],
    ),
    "a turn of a thread that was made again applies nothing": (
        None,
        [DUE, HOLD, Step("delete"), Step("create"), Step("go on")],
    ),
    "a turn of a thread that was switched off applies nothing": (None, [DUE, HOLD, Step("disable"), Step("go on")]),
    "a turn of a loop that was stopped elsewhere applies nothing": (None, [DUE, HOLD, Step("stop", 1), Step("go on")]),
    "a turn that is cancelled is owed at once": (None, [DUE, HOLD, Step("stop"), Step("start"), Step("pass", 1)]),
    "slots missed under another interval are caught up in one turn": (
        None,
        [DUE, DUE, Step("time", every=2_700), DUE, Step("pass")],
    ),
    "a turn that fails for good settles its slot though the next one has come": (
        60,
        [A_MINUTE, HOLD, A_MINUTE, Step("go on", end="fails for good")],
    ),
    "a turn that ends late brings no slots back that were switched off": (
        60,
        [A_MINUTE, HOLD, Step("dies"), DUE, Step("disable"), Step("enable"), Step("comes back")],
    ),
}


@pytest.mark.parametrize("story", STORIES)
async def test_this_goes_well(db: Database, other_db: Database, story: str) -> None:
    every, steps = STORIES[story]
    await play(db, other_db, steps, every)


async def test_a_schedule_computed_before_a_claim_does_not_cut_its_lease_short(
    db: Database, other_db: Database, clock: ManualClock
) -> None:
    process, other = Process(db, clock, Toy()), Process(other_db, clock, Toy())
    await process.start("a")
    clock.advance(HALF_HOUR)
    read = await process.turn("a")
    async with other.db.write() as session:
        await turns.claim(session, "heartbeat", now=clock.now(), until=clock.now() + LEASE, limit=1)
    async with process.db.write() as session:
        await turns.schedule(session, read, clock.now())
    assert (await process.turn("a")).next_due_at == clock.now() + LEASE
