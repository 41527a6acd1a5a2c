"""What a loop owes its threads, and when: every change of a schedule goes through here."""

from datetime import datetime

from msgspec import UNSET, UnsetType, structs

from ledger.clock import Clock
from ledger.db import Database, Session
from ledger.hours import Hours
from ledger.loops.work import Facts, Work
from ledger.runs.structs import RunDetail
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import Turn

_BATCH = 500


class Agenda:
    """The schedule of one loop. Whoever calls it has locked the thread, and has the news committed or in hand."""

    def __init__(self, work: Work, clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def reschedule(self, session: Session, thread_id: str, turn: Turn | None, *, anew: bool = False) -> bool:
        """Set when the thread is due next, after a write that may change it; say whether that changed anything.

        `anew`: what was planned so far was planned by another interval or other hours.
        """
        now = self._clock.now()
        if turn is None:
            turn = await turns.create(session, self._work.name, thread_id, now=now)
        if turn.leased(now):
            return False  # settling computes the schedule
        is_planned = turn.slot is not None and turn.slot > now
        slot = await self._owed(session, structs.replace(turn, slot=None) if anew and is_planned else turn, now)
        was_moved = anew and turn.attempt == 0 and turn.next_due_at != turn.slot
        if slot == turn.slot and not was_moved:
            return False
        await turns.schedule(session, turn, slot)
        return True

    async def configure(
        self,
        session: Session,
        thread_id: str,
        *,
        enabled: bool | UnsetType = UNSET,
        every_seconds: int | UnsetType | None = UNSET,
    ) -> bool:
        """Switch the loop on or off for a thread, or change its interval (None: the default)."""
        turn = await turns.get(session, self._work.name, thread_id)
        if turn is None:
            turn = await turns.create(session, self._work.name, thread_id, now=self._clock.now())
        turn = await turns.configure(
            session,
            turn,
            enabled=turn.enabled if enabled is UNSET else enabled,
            every_seconds=turn.every_seconds if every_seconds is UNSET else every_seconds,
            now=self._clock.now(),
        )
        return await self.reschedule(session, thread_id, turn, anew=True)

    async def adopt_interval(self, db: Database) -> None:
        """Have a row for the loop, and reschedule what depends on its default interval if that has changed."""
        seconds = int(self._work.every.total_seconds())
        async with db.write() as session:
            before = await turns.know(session, self._work.name, seconds)
        if before != seconds:
            await self._reschedule_all(db)
            async with db.write() as session:
                await turns.set_default_seconds(session, self._work.name, seconds)

    async def settled(self, session: Session, current: Turn, run: RunDetail) -> tuple[RunDetail, Turn]:
        """The run with the slots it stands for, and the turn with the one it owes next, from what holds now."""
        is_early = current.slot is not None and current.slot > run.started_at
        # What came in closed hours moves to the next opening.
        is_put_off = run.reason == "outside_hours" and not is_early
        kept = current.slot if is_put_off or is_early else None
        # Before its slot nothing is settled, and what comes next is what comes from now on.
        after = run.finished_at if is_early else run.started_at
        facts = await self._facts(session, current, after=after, slot=kept, is_put_off=is_put_off)
        if current.slot is not None and not is_early:
            last, slots = self._work.covered(facts, current.slot, run.started_at)
            run = structs.replace(run, last_slot=last, slots=slots)
            current = structs.replace(current, settled_slot=last)
            facts = facts if is_put_off else structs.replace(facts, after=last)
        slot = self._work.due(facts)
        tried_at = slot
        if slot is not None and run.next_check_at is not None:
            tried_at = await self._work.look_again(session, facts, slot, run)
            run = structs.replace(run, next_check_at=tried_at)
        return run, structs.replace(current, slot=slot, next_due_at=tried_at, attempt=0)

    async def as_owed(self, session: Session, current: Turn) -> Turn:
        """The turn as it is when its lease ends and nothing came of it: due at once, if it still owes its slot."""
        slot = await self._owed(session, current, self._clock.now())
        attempt = current.attempt if slot == current.slot else 0
        return structs.replace(current, slot=slot, next_due_at=slot, attempt=attempt)

    async def as_before(self, session: Session, current: Turn, claimed: Turn) -> Turn:
        """The turn as it is after a run-now, which leaves the schedule and its backoff alone."""
        after = await self.as_owed(session, current)
        waits = after.slot is not None and after.slot == claimed.slot
        return structs.replace(after, next_due_at=claimed.next_due_at) if waits else after

    async def _owed(self, session: Session, turn: Turn, now: datetime) -> datetime | None:
        """The slot a turn owes, from what holds now."""
        return self._work.due(await self._facts(session, turn, after=now, slot=turn.slot))

    async def _facts(
        self, session: Session, turn: Turn, *, after: datetime, slot: datetime | None, is_put_off: bool = False
    ) -> Facts:
        return Facts(
            enabled=turn.enabled,
            every=turn.every(self._work.every),
            anchor_at=turn.anchor_at,
            # Clocks go back now and then, by little.
            after=max(after, turn.settled_slot or after),
            slot=slot,
            hours=await self._work.hours(session, turn) if turn.enabled else Hours(),
            news=await self._work.news(session, turn) if turn.enabled else None,
            settled_at=turn.settled_at,
            is_put_off=is_put_off,
        )

    async def _reschedule_all(self, db: Database) -> None:
        last = ""
        while True:
            async with db.write() as session:
                batch = await turns.on_default_interval(session, self._work.name, after=last, limit=_BATCH)
                for thread_id in batch:
                    if await threads.lock(session, thread_id):
                        await self.reschedule(session, thread_id, await turns.get(session, self._work.name, thread_id))
            if len(batch) < _BATCH:
                return
            last = batch[-1]
