"""The one loop body: find what is due, claim it, act, settle. It knows no loop by name."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import anyio
from anyio.abc import TaskGroup
from msgspec import UNSET, UnsetType

from ledger.clock import Clock
from ledger.db import UNREACHABLE, Database, Session, Unanswered, Write, writing_first_later
from ledger.errors import Conflict
from ledger.loops.agenda import Agenda
from ledger.loops.places import Places
from ledger.loops.settling import Settling
from ledger.loops.work import Effects, Record, TurnFailed, TurnHeld, Work
from ledger.runs.structs import Reason, RunDetail, Trigger
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import LoopName, LoopState, Turn

log = logging.getLogger(__name__)


class Loop:
    """One loop on all threads."""

    def __init__(
        self,
        work: Work,
        db: Database,
        clock: Clock,
        places: Places,
        *,
        turn_limit: timedelta,
        lease: timedelta,
        tick: timedelta,
        hint: Callable[[str], None],
        started: Callable[[RunDetail], None],
    ) -> None:
        """`turn_limit` bounds all a turn does, and `lease`, which is longer, how long it is left to its process.

        `tick` is how late another process's writes are noticed; `hint` has others notice sooner, where that works.
        `started` is told of each turn that has passed its gates.
        """
        self.work = work
        self._db = db
        self._clock = clock
        self._places = places
        self._turn_limit = turn_limit
        self._lease = lease
        self._tick = tick
        self._hint = hint
        self._started = started
        self._woken = anyio.Event()
        self._turn_ended = anyio.Event()
        self._running: set[anyio.CancelScope] = set()
        self._draining = False
        self._runs = True
        self._passing = anyio.Lock()
        self._last_pass_at: datetime | None = None
        self._agenda = Agenda(work, clock)
        self._settling = Settling(work, db, clock, self._agenda)

    @property
    def name(self) -> LoopName:
        return self.work.name

    @property
    def leaves_free(self) -> int:
        return self.work.leaves_free

    @property
    def lost_claims(self) -> int:
        return self._settling.lost_claims

    def wake_up(self) -> None:
        """Look for due turns at once."""
        self._woken.set()
        self._woken = anyio.Event()

    async def start(self) -> None:
        """Have the loop run, in all processes, also after restarts."""
        async with self._db.write() as session:
            await self._want(session, runs=True)
            session.after_commit(self._wake_all)

    async def stop(self) -> None:
        """Have the loop run nowhere; turns under way are cancelled and stay owed."""
        async with self._db.write() as session:
            await self._want(session, runs=False)
            session.after_commit(self.cancel_turns)
            session.after_commit(self._wake_all)

    async def state(self) -> LoopState:
        async with self._db.read() as session:
            wanted = await self._settling.is_wanted(session)
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
            wanted = await self._settling.is_wanted(session)
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
                except Exception as error:  # noqa: BLE001 - it is logged, and the loop goes on
                    self._log(error, f"A pass failed: {error}")
                    moment = self._clock.now() + self._tick
                await self._clock.sleep_until(moment, woken)

    async def run_once(self) -> datetime:
        """Take every turn that is due now, and wait until none is under way; returns the moment of the next pass."""
        moment = now = self._clock.now()
        async with anyio.create_task_group() as tasks:
            while True:
                woken = self._woken
                moment = await self._pass(tasks, now)
                if self._running:
                    await self._turn_ended.wait()
                elif self._places.has_in_line(self):
                    await woken.wait()
                elif moment > now and not woken.is_set():
                    break  # and none has ended, with the next one due at once, while this pass looked
        return moment

    async def run_for_thread(self, thread_id: str, asked: str | None = None) -> RunDetail:
        """Take a thread's turn whether due or not, also while the loop is stopped, and leave its schedule alone.

        `asked` is what the person who wants it says to it. Raises `NotFound` for an unknown thread, `Conflict` while a
        turn of this loop and thread is under way.
        """
        async with self._db.read() as session:
            await threads.get(session, thread_id)
            turn = await turns.get(session, self.name, thread_id)
            self._refuse_second(turn, thread_id)
        await self._places.take_first()
        try:
            with writing_first_later() as first:
                run = await self._take(await self._claim_one(thread_id), "run_now", asked, first)
        finally:
            self._places.give_back()
        if run is None:
            raise Conflict(f"The thread {thread_id!r} was deleted or taken over while its turn ran.")
        return run

    async def adopt_interval(self) -> None:
        """Reschedule what depends on the loop's default interval, if that has changed since the last start."""
        await self._agenda.adopt_interval(self._db)

    async def drain(self, clock: Clock, until: datetime) -> None:
        """Start no more turns, and wait for those under way, at the longest until then."""
        self._draining = True
        while self._running and clock.now() < until:
            await clock.sleep_until(until, self._turn_ended)

    async def reschedule(self, session: Session, thread_id: str, turn: Turn | None) -> None:
        """Set when the thread is due next, after a write that may change it. The thread is locked."""
        if await self._agenda.reschedule(session, thread_id, turn):
            session.after_commit(self._wake_all)

    async def configure(
        self,
        session: Session,
        thread_id: str,
        *,
        enabled: bool | UnsetType = UNSET,
        every_seconds: int | UnsetType | None = UNSET,
    ) -> None:
        """Switch the loop on or off for a thread, or change its interval (None: the default). The thread is locked."""
        if await self._agenda.configure(session, thread_id, enabled=enabled, every_seconds=every_seconds):
            session.after_commit(self._wake_all)

    def cancel_turns(self) -> None:
        """Cancel the turns under way that nobody asked for by hand; each is put back."""
        for scope in self._running:
            scope.cancel()

    async def _want(self, session: Session, *, runs: bool) -> None:
        before = await self._settling.is_wanted(session)
        await turns.set_wanted(session, self.name, wanted=runs, before=before, now=self._clock.now())

    def _wake_all(self) -> None:
        """Look for due turns at once, here and in other processes."""
        self.wake_up()
        self._hint(self.name)

    async def _pass(self, tasks: TaskGroup, now: datetime) -> datetime:
        """Claim what is due and start the turns; returns the moment of the next pass, `now` if there may be more."""
        async with self._passing:
            return await self._look(tasks, now)

    async def _look(self, tasks: TaskGroup, now: datetime) -> datetime:
        async with self._db.read() as session:
            found = await turns.outlook(session, self.name, now=now, most=self._places.total)
        wanted = self.work.enabled if found.wanted is None else found.wanted
        nearest = found.nearest if wanted else None
        due = found.due if wanted and not self._draining else 0
        self._last_pass_at = now
        self._tell(wanted=wanted)
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

    def _tell(self, *, wanted: bool) -> None:
        if not wanted and self._runs:
            log.info("[%s_LOOP] Stopped: it claims nothing until it is started", self.work.label)
        elif wanted and not self._runs:
            log.info("[%s_LOOP] Runs again", self.work.label)
        self._runs = wanted

    async def _claim(self, limit: int, now: datetime) -> list[Turn]:
        async with self._db.write() as session:
            return await turns.claim(session, self.name, now=now, until=now + self._lease, limit=limit)

    async def _claim_one(self, thread_id: str) -> Turn:
        now = self._clock.now()
        async with self._db.write() as session:
            await threads.lock_existing(session, thread_id)
            turn = await turns.get(session, self.name, thread_id)
            turn = turn or await turns.create(session, self.name, thread_id, now=now)
            claimed = await turns.claim_one(session, turn, now=now, until=now + self._lease)
        if claimed is None:
            raise _under_way(self.name, thread_id)
        return claimed

    def _refuse_second(self, turn: Turn | None, thread_id: str) -> None:
        if turn is not None and turn.leased(self._clock.now()):
            raise _under_way(self.name, thread_id)

    async def _take_in_place(self, turn: Turn, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await self._take(turn, "schedule")
            except Exception as error:  # noqa: BLE001 - it is logged, and the loop and its other turns go on
                # The lease ends by itself, so the turn is only late.
                self._log(error, f"Turn {turn.lease_token} could not be settled: {error}")
            finally:
                self._running.remove(scope)
                self._turn_ended.set()
                self._turn_ended = anyio.Event()
                self._places.give_back()

    async def _take(
        self, turn: Turn, trigger: Trigger, asked: str | None = None, first: Write | None = None
    ) -> RunDetail | None:
        """Act and settle, writing that first. None: there is nothing left to settle."""
        if trigger == "schedule" and turn.slot is None:
            await self._put_back(turn, Record(self._blank(turn, trigger, asked)))  # a run-now died here
            return None
        record = Record(self._blank(turn, trigger, asked), self._started)
        record.first = first
        try:
            effects = await self._act(turn, record)
            return await self._settle(turn, record, effects)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._put_back(turn, record)
            raise

    async def _act(self, turn: Turn, record: Record) -> Effects | None:
        if not turn.enabled:
            return None  # which settling puts on record
        try:
            with self._clock.deadline(self._turn_limit):
                return await self.work.act(turn, record)
        except TurnHeld as held:
            record.held_until = held.until
            record.note(outcome="skipped", reason=held.reason, summary=held.detail, decided_by=None)
        except TurnFailed as failure:
            record.wait, record.is_final = failure.wait or timedelta(0), failure.is_final
            self._note_failure(record, failure.reason, failure.detail)
        except Unanswered as error:
            self._note_failure(record, "internal_error", f"The database: {error}", error)
        except TimeoutError:
            limit = self._turn_limit.total_seconds()
            self._note_failure(record, "timeout", f"The turn did not end within {limit:g} s.")
        except Exception as error:  # noqa: BLE001 - it is logged, and belongs to this turn alone
            self._note_failure(record, "internal_error", f"{type(error).__name__}: {error}", error)
        return None

    def _note_failure(self, record: Record, reason: Reason, detail: str, error: Exception | None = None) -> None:
        record.note(outcome="failed", reason=reason, error=detail, actions=[])
        self._log(error, f"Turn {record.run.id} of thread {record.run.thread_id} failed: {detail}")

    def _log(self, error: Exception | None, message: str) -> None:
        """Log what went wrong: as an error, with its traceback, only if nobody could foresee it."""
        unforeseen = None if isinstance(error, UNREACHABLE) else error
        level = logging.ERROR if unforeseen else logging.WARNING
        log.log(level, "[%s_LOOP] %s", self.work.label, message, exc_info=unforeseen)

    async def _settle(self, turn: Turn, record: Record, effects: Effects | None) -> RunDetail | None:
        try:
            run, next_due_at = await self._settle_in_time(turn, record, effects)
        except UNREACHABLE:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged, and nothing was written
            # A record of its own, in case it was what had been noted that could not be written.
            failed = Record(self._blank(turn, record.run.trigger, record.run.asked))
            self._note_failure(failed, "internal_error", f"{type(error).__name__}: {error}", error)
            failed.corrections, failed.first = record.corrections, record.first
            run, next_due_at = await self._settling.settle(turn, failed, None)
        if next_due_at is not None and next_due_at < self._clock.now() + self._tick:
            self.wake_up()
        return run

    async def _settle_in_time(
        self, turn: Turn, record: Record, effects: Effects | None
    ) -> tuple[RunDetail | None, datetime | None]:
        """Settle; where the database cannot be used, later, as long as the lease lasts and nobody waits."""
        told = False
        while True:
            try:
                return await self._settling.settle(turn, record, effects)
            except UNREACHABLE as error:
                now = self._clock.now()
                if record.run.trigger == "run_now" or turn.lease_until is None or turn.lease_until <= now:
                    raise
                if not told:
                    self._log(error, f"Turn {turn.lease_token} waits to be settled: {error}")
                told = True
                await self._clock.sleep_until(min(now + self._tick, turn.lease_until))

    async def _put_back(self, turn: Turn, record: Record) -> None:
        try:
            await self._settling.put_back(turn, record)
            self._wake_all()  # it may be due at once, for another process if this one ends
        except Exception as error:  # noqa: BLE001 - it is logged, and the lease ends by itself, only later
            self._log(error, f"Putting back turn {turn.lease_token} failed: {error}")

    def _blank(self, turn: Turn, trigger: Trigger, asked: str | None) -> RunDetail:
        now = self._clock.now()
        # A look that a decision wanted before the next slot stands for none.
        slot = turn.slot if trigger == "schedule" and turn.slot is not None and turn.slot <= now else None
        return RunDetail(
            id=turn.lease_token or "",
            thread_id=turn.thread_id,
            loop=turn.loop,
            trigger=trigger,
            outcome="skipped",
            asked=asked,
            first_slot=slot,
            last_slot=slot,
            lateness_seconds=None if slot is None else max(0.0, (now - slot).total_seconds()),
            attempt=turn.attempt if slot else 0,
            started_at=now,
            finished_at=now,
        )


class Waker:
    """Gives every loop the chance to reschedule a thread after a write to it."""

    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = loops

    async def __call__(self, session: Session, thread_id: str) -> None:
        """Reschedule the thread. It is locked."""
        known = await turns.of_thread(session, thread_id)
        for loop in self._loops:
            await loop.reschedule(session, thread_id, known.get(loop.name))


def _under_way(loop: LoopName, thread_id: str) -> Conflict:
    error = Conflict(f"A turn of {loop} on thread {thread_id!r} is under way: try again when it has ended.")
    error.headers["Retry-After"] = "1"
    return error
