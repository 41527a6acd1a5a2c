"""The one loop body: find what is due, claim it, act, settle. It knows no loop by name.

A loop is what differs: its name, its interval, when a thread is due next, and what a turn does (`Work`).
"""

import logging
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import anyio
from anyio.abc import TaskGroup
from msgspec import UNSET, Struct, UnsetType, structs

from ledger.clock import Clock
from ledger.db import UNREACHABLE, Database, Session
from ledger.errors import Conflict
from ledger.loops.places import Places
from ledger.runs import store as runs
from ledger.runs.structs import Reason, RunDetail, Trigger
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import LoopName, LoopState, Turn

LEASE_MARGIN = timedelta(seconds=30)
"""How much longer than a turn's deadline its lease is."""

_BACKOFF_SECONDS = 30
_BACKOFF_CAP_SECONDS = 3_600
_MOVED_ON_TRIES = 2
_BATCH = 500

log = logging.getLogger(__name__)


class TurnFailed(Exception):
    """A turn that could not be done, with a reason for the record. It is put back and tried again later."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


class Facts(Struct, frozen=True):
    """What a schedule is computed from."""

    enabled: bool
    every: timedelta
    anchor_at: datetime
    after: datetime
    """The last moment settled, or now."""
    news_at: datetime | None
    """When the oldest thing that is new for the loop arrived."""


class Covered(NamedTuple):
    """The slots one turn stands for."""

    last: datetime
    slots: int


class Record:
    """The run of a turn while it is under way; what is noted here is kept, also when the turn fails."""

    def __init__(self, run: RunDetail) -> None:
        self.run = run

    def note(self, **changes: object) -> None:
        self.run = structs.replace(self.run, **changes)


class Effects(Protocol):
    """What a turn wants done when it is settled."""

    @property
    def watermark(self) -> int:
        """The newest message it had read."""
        ...

    @property
    def basis(self) -> str:
        """What else it rested on."""
        ...

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        """Write what was decided, in the settling transaction, and say what became of it."""
        ...


class Work(Protocol):
    """What makes a loop this loop."""

    @property
    def name(self) -> LoopName: ...
    @property
    def label(self) -> str:
        """Its name in the log."""
        ...

    @property
    def enabled(self) -> bool:
        """Whether it runs where no person has said otherwise."""
        ...

    @property
    def every(self) -> timedelta:
        """The interval of threads that have none of their own."""
        ...

    @property
    def leaves_free(self) -> int:
        """How many places its turns leave to others."""
        ...

    async def news_at(self, session: Session, turn: Turn) -> datetime | None:
        """When the oldest thing that is new for it arrived in the turn's thread."""
        ...

    def due(self, facts: Facts) -> datetime | None:
        """The next moment owed; None while nothing is."""
        ...

    def covered(self, facts: Facts, slot: datetime, until: datetime) -> Covered:
        """The slots settled by a turn for `slot` that started at `until`."""
        ...

    async def act(self, turn: Turn, record: Record) -> Effects | None:
        """Do the turn, noting what leads to its outcome. Raises `TurnFailed`."""
        ...


class Loop:
    """One loop on all threads."""

    def __init__(
        self, work: Work, db: Database, clock: Clock, places: Places, *, turn_limit: timedelta, tick: timedelta
    ) -> None:
        """`turn_limit` bounds all a turn does; `tick` is how late another process's writes are noticed."""
        self.work = work
        self._db = db
        self._clock = clock
        self._places = places
        self._turn_limit = turn_limit
        self._tick = tick
        self._woken = anyio.Event()
        self._turn_ended = anyio.Event()
        self._running: set[anyio.CancelScope] = set()
        self._draining = False
        self._passing = anyio.Lock()
        self._last_pass_at: datetime | None = None
        self.lost_claims = 0
        """How many turns ended after another process had taken them over."""

    @property
    def name(self) -> LoopName:
        return self.work.name

    @property
    def leaves_free(self) -> int:
        return self.work.leaves_free

    def wake_up(self) -> None:
        """Look for due turns at once."""
        self._woken.set()
        self._woken = anyio.Event()

    async def start(self) -> None:
        """Have the loop run, in all processes, also after restarts."""
        async with self._db.write() as session:
            await turns.set_wanted(session, self.name, wanted=True)
            session.after_commit(self.wake_up)

    async def stop(self) -> None:
        """Have the loop run nowhere; turns under way are cancelled and stay owed."""
        async with self._db.write() as session:
            await turns.set_wanted(session, self.name, wanted=False)
            session.after_commit(self.cancel_turns)

    async def state(self) -> LoopState:
        async with self._db.read() as session:
            wanted = await self._wanted(session)
        return LoopState(
            self.name,
            self.work.enabled,
            wanted,
            int(self.work.every.total_seconds()),
            self._last_pass_at,
            len(self._running),
        )

    async def is_stale(self) -> bool:
        """Whether it should run and has not looked for due turns for three ticks."""
        async with self._db.read() as session:
            wanted = await self._wanted(session)
        now = self._clock.now()
        return wanted and (self._last_pass_at is None or now - self._last_pass_at > 3 * self._tick)

    async def run(self) -> None:
        """Make passes until cancelled."""
        log.info("[%s_LOOP] Started", self.work.label)
        async with anyio.create_task_group() as tasks:
            while True:
                woken = self._woken
                try:
                    moment = await self._pass(tasks, self._clock.now())
                except Exception as error:
                    unforeseen = None if isinstance(error, UNREACHABLE) else error
                    level = logging.ERROR if unforeseen else logging.WARNING
                    log.log(level, "[%s_LOOP] A pass failed: %s", self.work.label, error, exc_info=unforeseen)
                    moment = self._clock.now() + self._tick
                await self._clock.sleep_until(moment, woken)

    async def run_once(self) -> None:
        """Take every turn that is due now, and wait until none is under way."""
        now = self._clock.now()
        async with anyio.create_task_group() as tasks:
            while True:
                woken = self._woken
                again = await self._pass(tasks, now) <= now
                if self._running:
                    await self._turn_ended.wait()
                elif self._places.has_in_line(self):
                    await woken.wait()
                elif not again:
                    return

    async def run_for_thread(self, thread_id: str) -> RunDetail:
        """Take a thread's turn whether due or not, also while the loop is stopped, and leave its schedule alone.

        Raises `NotFound` for an unknown thread, `Conflict` while a turn of this loop and thread is under way.
        """
        async with self._db.read() as session:
            await threads.get(session, thread_id)
            turn = await turns.get(session, self.name, thread_id)
            self._refuse_second(turn, thread_id)
        await self._places.take_first()
        try:
            run = await self._take(await self._claim_one(thread_id), "run_now")
        finally:
            self._places.give_back()
        if run is None:
            raise Conflict(f"The thread {thread_id!r} was deleted or taken over while its turn ran.")
        return run

    async def adopt_interval(self) -> None:
        """Have a row for the loop, and reschedule what depends on its default interval if that has changed."""
        seconds = int(self.work.every.total_seconds())
        async with self._db.write() as session:
            await turns.know(session, self.name)
            before = await turns.default_seconds(session, self.name)
        if before not in (None, seconds):
            await self._reschedule_all()
        if before != seconds:
            async with self._db.write() as session:
                await turns.set_default_seconds(session, self.name, seconds)

    async def drain(self, until: datetime) -> None:
        """Start no more turns, and wait for those under way, at the longest until then."""
        self._draining = True
        while self._running and self._clock.now() < until:
            await self._clock.sleep_until(until, self._turn_ended)

    async def reschedule(self, session: Session, thread_id: str, turn: Turn | None) -> None:
        """Set when the thread is due next, after a write that may change it. The thread is locked."""
        now = self._clock.now()
        if turn is None:
            turn = await turns.create(session, self.name, thread_id, now=now)
        if turn.leased(now):
            return  # settling computes the schedule
        slot = await self._owed(session, turn, now)
        if slot != turn.slot:
            await turns.schedule(session, turn, slot)
            session.after_commit(self.wake_up)

    async def configure(
        self,
        session: Session,
        thread_id: str,
        *,
        enabled: bool | UnsetType = UNSET,
        every_seconds: int | UnsetType | None = UNSET,
    ) -> Turn:
        """Switch the loop on or off for a thread, or change its interval (None: the default). The thread is locked."""
        turn = await turns.get(session, self.name, thread_id)
        if turn is None:
            turn = await turns.create(session, self.name, thread_id, now=self._clock.now())
        turn = await turns.configure(
            session,
            turn,
            enabled=turn.enabled if enabled is UNSET else enabled,
            every_seconds=turn.every_seconds if every_seconds is UNSET else every_seconds,
        )
        await self.reschedule(session, thread_id, turn)
        return turn

    def cancel_turns(self) -> None:
        """Cancel the turns under way that nobody asked for by hand; each is put back."""
        for scope in self._running:
            scope.cancel()

    async def _reschedule_all(self) -> None:
        last = ""
        while True:
            async with self._db.write() as session:
                batch = await turns.on_default_interval(session, self.name, after=last, limit=_BATCH)
                for thread_id in batch:
                    if await threads.lock(session, thread_id):
                        await self.reschedule(session, thread_id, await turns.get(session, self.name, thread_id))
            if len(batch) < _BATCH:
                return
            last = batch[-1]

    async def _pass(self, tasks: TaskGroup, now: datetime) -> datetime:
        """Claim what is due and start the turns; returns the moment of the next pass, `now` if there may be more."""
        async with self._passing:
            return await self._look(tasks, now)

    async def _look(self, tasks: TaskGroup, now: datetime) -> datetime:
        async with self._db.read() as session:
            wanted = await self._wanted(session)
            nearest = await turns.nearest(session, self.name) if wanted else None
            is_due = nearest is not None and nearest <= now and not self._draining
            due = await turns.count_due(session, self.name, now=now, most=self._places.total) if is_due else 0
        self._last_pass_at = now
        if not wanted:
            self.cancel_turns()
        if not due:
            self._places.leave(self)
            return min(nearest, now + self._tick) if nearest and nearest > now else now + self._tick
        taken = self._places.take(self, due)
        claimed: list[Turn] = []
        try:
            claimed = await self._claim(taken, now) if taken else []
            for turn in claimed:
                scope = anyio.CancelScope()
                self._running.add(scope)
                tasks.start_soon(self._take_in_place, turn, scope)
        finally:
            self._places.give_back(taken - len(claimed))
        return now if claimed else now + self._tick

    async def _claim(self, limit: int, now: datetime) -> list[Turn]:
        until = now + self._turn_limit + LEASE_MARGIN
        async with self._db.write() as session:
            return await turns.claim(session, self.name, now=now, until=until, limit=limit)

    async def _claim_one(self, thread_id: str) -> Turn:
        now = self._clock.now()
        async with self._db.write() as session:
            await threads.lock_existing(session, thread_id)
            turn = await turns.get(session, self.name, thread_id)
            turn = turn or await turns.create(session, self.name, thread_id, now=now)
            claimed = await turns.claim_one(session, turn, now=now, until=now + self._turn_limit + LEASE_MARGIN)
        if claimed is None:
            raise Conflict(_under_way(self.name, thread_id))
        return claimed

    def _refuse_second(self, turn: Turn | None, thread_id: str) -> None:
        if turn is not None and turn.leased(self._clock.now()):
            raise Conflict(_under_way(self.name, thread_id))

    async def _take_in_place(self, turn: Turn, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await self._take(turn, "schedule")
            except Exception:
                # The lease ends by itself, so the turn is only late; the loop and its other turns go on.
                log.exception("[%s_LOOP] Turn %s could not be settled", self.work.label, turn.lease_token)
            finally:
                self._running.remove(scope)
                self._turn_ended.set()
                self._turn_ended = anyio.Event()
                self._places.give_back()

    async def _take(self, turn: Turn, trigger: Trigger) -> RunDetail | None:
        """Act and settle. None: there is nothing left to settle."""
        if trigger == "schedule" and turn.slot is None:
            await self._put_back_untouched(turn, trigger)  # a run-now died here: nothing is owed
            return None
        record = Record(self._blank(turn, trigger))
        try:
            effects = await self._act(turn, record)
            return await self._settle_or_fail(turn, record, effects)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._put_back_untouched(turn, trigger)
            raise

    async def _act(self, turn: Turn, record: Record) -> Effects | None:
        try:
            with self._clock.deadline(self._turn_limit):
                return await self.work.act(turn, record)
        except TurnFailed as failure:
            self._note_failure(record, failure.reason, failure.detail)
        except TimeoutError:
            limit = self._turn_limit.total_seconds()
            self._note_failure(record, "timeout", f"The turn did not end within {limit:g} s.")
        except Exception as error:  # noqa: BLE001 - it is logged, and belongs to this turn alone
            self._note_failure(record, "internal_error", f"{type(error).__name__}: {error}", error)
        return None

    def _note_failure(self, record: Record, reason: Reason, detail: str, unforeseen: Exception | None = None) -> None:
        record.note(outcome="failed", reason=reason, error=detail, actions=[])
        log.log(
            logging.ERROR if unforeseen else logging.WARNING,
            "[%s_LOOP] Turn %s of thread %s failed: %s",
            self.work.label,
            record.run.id,
            record.run.thread_id,
            detail,
            exc_info=unforeseen,
        )

    async def _settle_or_fail(self, turn: Turn, record: Record, effects: Effects | None) -> RunDetail | None:
        try:
            return await self._settle(turn, record.run, effects)
        except Exception as error:  # noqa: BLE001 - it is logged, and nothing was written
            self._note_failure(record, "internal_error", f"{type(error).__name__}: {error}", error)
        return await self._settle(turn, record.run, None)

    async def _settle(self, turn: Turn, run: RunDetail, effects: Effects | None) -> RunDetail | None:
        """Effects, run and schedule in one transaction, all of it or nothing, if the claim still holds."""
        async with self._db.write() as session:
            thread = await threads.lock(session, turn.thread_id)
            current = await turns.held(session, turn) if thread else None
            if current is None:
                self._lose(turn)
                return None
            if run.trigger == "schedule" and not await self._wanted(session):
                await turns.release(session, await self._as_owed(session, current))
                return None
            if not current.enabled:
                run, effects = structs.replace(run, outcome="skipped", reason="disabled", error=None), None
            run = structs.replace(run, finished_at=self._clock.now())
            if effects is not None:
                run = await effects.apply(session, run)
            if run.reason == "moved_on" or run.outcome == "failed":
                effects = None
            if effects is not None:
                current = structs.replace(current, watermark=effects.watermark, basis=effects.basis)
            return await self._conclude(session, current, turn, run)

    async def _conclude(self, session: Session, current: Turn, claimed: Turn, run: RunDetail) -> RunDetail:
        """Write the run and end the lease: as asked by hand, put back, or settled."""
        if run.trigger == "run_now":
            after = await self._as_before(session, current, claimed)
        elif run.outcome == "failed":
            retry_at = run.finished_at + _backoff(current.attempt, run.id)
            after = structs.replace(current, attempt=current.attempt + 1, next_due_at=retry_at)
        elif run.reason == "moved_on" and await runs.count_moved_on(session, run) < _MOVED_ON_TRIES:
            after = structs.replace(current, next_due_at=run.finished_at)
        else:
            run, after = await self._settled(session, current, run)
        if not await self._folded(session, current, run):
            await runs.add(session, run)
            after = structs.replace(after, last_run_id=run.id)
        await turns.release(session, after)
        if after.next_due_at is not None and after.next_due_at < run.finished_at + self._tick:
            session.after_commit(self.wake_up)
        return run

    async def _folded(self, session: Session, current: Turn, run: RunDetail) -> bool:
        """Count a turn that a gate skipped on the run before it, if that was skipped for the same reason."""
        gated = run.outcome == "skipped" and run.decided_by is None and run.slots > 0
        return gated and current.last_run_id is not None and await runs.fold(session, current.last_run_id, run)

    async def _settled(self, session: Session, current: Turn, run: RunDetail) -> tuple[RunDetail, Turn]:
        facts = await self._facts(session, current, after=run.started_at)
        if current.slot is not None:
            last, slots = self.work.covered(facts, current.slot, run.started_at)
            run = structs.replace(run, last_slot=last, slots=slots)
            facts = structs.replace(facts, after=last)
        slot = self.work.due(facts)
        return run, structs.replace(current, slot=slot, next_due_at=slot, attempt=0)

    async def _put_back_untouched(self, turn: Turn, trigger: Trigger) -> None:
        """Owe the slot as before, as if the turn had never been claimed."""
        try:
            async with self._db.write() as session:
                thread = await threads.lock(session, turn.thread_id)
                current = await turns.held(session, turn) if thread else None
                if current is None:
                    return
                if trigger == "run_now":
                    after = await self._as_before(session, current, turn)
                else:
                    after = await self._as_owed(session, current)
                await turns.release(session, after)
        except Exception:
            # The lease ends by itself, only later.
            log.exception("[%s_LOOP] Putting back turn %s failed", self.work.label, turn.lease_token)

    async def _as_owed(self, session: Session, current: Turn) -> Turn:
        """The turn as it is when its lease ends and nothing came of it: due at once, if it still owes its slot."""
        slot = await self._owed(session, current, self._clock.now())
        return structs.replace(current, slot=slot, next_due_at=slot)

    async def _as_before(self, session: Session, current: Turn, claimed: Turn) -> Turn:
        """The turn as it is after a run-now, which leaves the schedule and its backoff alone."""
        after = await self._as_owed(session, current)
        waits = after.attempt and after.slot == claimed.slot
        return structs.replace(after, next_due_at=claimed.next_due_at) if waits else after

    async def _owed(self, session: Session, turn: Turn, now: datetime) -> datetime | None:
        """The slot a turn owes: the one that has come stays owed, any other is computed anew."""
        if turn.enabled and turn.slot is not None and turn.slot <= now:
            return turn.slot
        return self.work.due(await self._facts(session, turn, after=now))

    async def _facts(self, session: Session, turn: Turn, *, after: datetime) -> Facts:
        news_at = await self.work.news_at(session, turn)
        return Facts(turn.enabled, turn.every(self.work.every), turn.anchor_at, after, news_at)

    async def _wanted(self, session: Session) -> bool:
        wanted = await turns.wanted(session, self.name)
        return self.work.enabled if wanted is None else wanted

    def _lose(self, turn: Turn) -> None:
        self.lost_claims += 1
        log.warning(
            "[%s_LOOP] Turn %s of thread %s applies nothing: the thread is gone or another process took it over",
            self.work.label,
            turn.lease_token,
            turn.thread_id,
        )

    def _blank(self, turn: Turn, trigger: Trigger) -> RunDetail:
        now = self._clock.now()
        slot = turn.slot if trigger == "schedule" else None
        return RunDetail(
            id=turn.lease_token or "",
            thread_id=turn.thread_id,
            loop=turn.loop,
            trigger=trigger,
            outcome="skipped",
            first_slot=slot,
            last_slot=slot,
            lateness_seconds=None if slot is None else max(0.0, (now - slot).total_seconds()),
            attempt=turn.attempt if slot else 0,
            started_at=now,
            finished_at=now,
        )


class Waker:
    """Gives every loop the chance to reschedule a thread after a write to it."""

    def __init__(self, loops: tuple[Loop, ...]) -> None:
        self._loops = loops

    async def __call__(self, session: Session, thread_id: str) -> None:
        """Reschedule the thread. It is locked."""
        known = await turns.of_thread(session, thread_id)
        for loop in self._loops:
            await loop.reschedule(session, thread_id, known.get(loop.name))


def _under_way(loop: LoopName, thread_id: str) -> str:
    return f"A turn of {loop} on thread {thread_id!r} is under way: try again when it has ended."


def _backoff(attempt: int, run_id: str) -> timedelta:
    """30 s, doubled by every failed try up to 1 h, ± 20 % by the run's id so that threads spread out."""
    seconds = min(_BACKOFF_SECONDS * 2 ** min(attempt, 16), _BACKOFF_CAP_SECONDS)
    spread = int(run_id[:8], 16) / 0xFFFFFFFF
    return timedelta(seconds=seconds * (0.8 + 0.4 * spread))
