"""How a turn ends: settled or put back, in one transaction, and only if its claim still holds."""

import logging
from datetime import datetime, timedelta

from msgspec import structs

from ledger.budgets import store as budgets
from ledger.clock import Clock
from ledger.db import Database, Session
from ledger.errors import Conflict
from ledger.loops.agenda import Agenda
from ledger.loops.work import Effects, Record, Work, spread_of
from ledger.runs import store as runs
from ledger.runs.structs import RunDetail
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import Turn

_BACKOFF_SECONDS = 30
_BACKOFF_CAP_SECONDS = 3_600
_MOVED_ON_TRIES = 2

_SWITCHED_OFF = "It is switched off for this thread."

log = logging.getLogger(__name__)


class Settling:
    """Ends the turns of one loop."""

    def __init__(self, work: Work, db: Database, clock: Clock, agenda: Agenda) -> None:
        self._work = work
        self._db = db
        self._clock = clock
        self._agenda = agenda
        self.lost_claims = 0
        """How many turns ended after their thread had gone or another process had taken them over."""

    async def is_wanted(self, session: Session) -> bool:
        """Whether the loop should run: what a person said last, else the setting."""
        wanted = await turns.wanted(session, self._work.name)
        return self._work.enabled if wanted is None else wanted

    async def settle(
        self, turn: Turn, record: Record, effects: Effects | None
    ) -> tuple[RunDetail | None, datetime | None]:
        """Write effects, run and schedule, all of it or nothing.

        Answers the run as it was written, None if nothing was, and when the turn is tried next.
        """
        async with self._db.write() as session:
            current = await self._held(session, turn)
            if current is None:
                self._lose(turn)
                return None, None
            if not await _is_first(session, record):
                await turns.release(session, await self._agenda.as_before(session, current, turn))
                await _correct(session, record)
                return None, None
            ended = await self._end(session, current, turn, record, effects)
            await _correct(session, record)
        return ended

    async def _end(
        self, session: Session, current: Turn, claimed: Turn, record: Record, effects: Effects | None
    ) -> tuple[RunDetail | None, datetime | None]:
        run = structs.replace(record.run, finished_at=self._clock.now())
        if run.trigger == "schedule" and not await self.is_wanted(session):
            await turns.release(session, await self._agenda.as_owed(session, current))
            return None, None
        if not current.enabled:
            run = structs.replace(run, outcome="skipped", reason="disabled", error=None, summary=_SWITCHED_OFF)
            effects = None
        if effects is not None:
            run = await effects.apply(session, run)
        if effects is not None and run.reason != "moved_on":
            read_to = {"watermark": effects.watermark, "basis": effects.basis}
            current = structs.replace(current, **read_to, settled_at=run.finished_at)
        return await self._conclude(session, current, claimed, record, run)

    async def put_back(self, turn: Turn, record: Record) -> None:
        """Owe the slot as before, as if the turn had never been claimed."""
        async with self._db.write() as session:
            current = await self._held(session, turn)
            if current is None:
                return
            if record.run.trigger == "run_now":
                after = await self._agenda.as_before(session, current, turn)
            else:
                after = await self._agenda.as_owed(session, current)
            await turns.release(session, after)
            await _correct(session, record)

    async def _conclude(
        self, session: Session, current: Turn, claimed: Turn, record: Record, run: RunDetail
    ) -> tuple[RunDetail, datetime | None]:
        """Write the run and end the lease: as a person asked, put back, or settled."""
        is_held = record.held_until is not None and run.reason != "disabled"
        if run.trigger == "run_now":
            after = await self._agenda.as_before(session, current, claimed)
        elif is_held:
            after = structs.replace(current, next_due_at=record.held_until)
        elif run.outcome == "failed" and not record.is_final:
            retry_at = run.finished_at + (record.left_alone or max(record.wait, backoff(current.attempt, run.id)))
            after = await self._retried(session, structs.replace(current, attempt=current.attempt + 1), retry_at)
        elif run.reason == "moved_on" and run.first_slot and await runs.count_moved_on(session, run) < _MOVED_ON_TRIES:
            after = structs.replace(current, next_due_at=run.finished_at)
        else:
            run, after = await self._agenda.settled(session, current, run)
            if run.outcome == "failed" and after.slot is not None and after.slot <= run.started_at:
                # Nothing was read, so what was new still is: owed as before, and not to be tried time and again.
                run = structs.replace(run, last_slot=run.first_slot, slots=0)
                retry_at = run.finished_at + timedelta(seconds=_BACKOFF_CAP_SECONDS)
                after = await self._retried(session, structs.replace(current, attempt=0), retry_at)
        if not await self._folded(session, current, run):
            await runs.add(session, run)
            after = structs.replace(after, last_run_id=run.id)
        await turns.release(session, after)
        return run, after.next_due_at

    async def _retried(self, session: Session, failed: Turn, moment: datetime) -> Turn:
        """The turn to be tried again at some moment; what came while it failed, and is due before, need not wait."""
        owed = await self._agenda.as_owed(session, failed)
        return structs.replace(failed, next_due_at=moment) if owed.slot == failed.slot else owed

    async def _folded(self, session: Session, current: Turn, run: RunDetail) -> bool:
        """Count a turn that a gate skipped on the run before it, if that was skipped for the same reason."""
        gated = run.outcome == "skipped" and run.first_slot is not None and (run.decided_by, run.prompt) == (None, None)
        return gated and current.last_run_id is not None and await runs.fold(session, current.last_run_id, run)

    async def _held(self, session: Session, turn: Turn) -> Turn | None:
        """The turn as it stands now, its thread locked, if the claim still holds it."""
        thread = await threads.lock(session, turn.thread_id)
        return await turns.held(session, turn) if thread else None

    def _lose(self, turn: Turn) -> None:
        self.lost_claims += 1
        log.warning(
            "[%s_LOOP] Turn %s of thread %s applies nothing: the thread is gone, another process took it over, or it "
            "was settled already and nobody heard of it",
            self._work.label,
            turn.lease_token,
            turn.thread_id,
        )


async def _is_first(session: Session, record: Record) -> bool:
    """Whether no other request with the same key was quicker: then this one leaves nothing."""
    try:
        if record.first is not None:
            await record.first(session)
    except Conflict:
        return False
    return True


async def _correct(session: Session, record: Record) -> None:
    """Count what the turn's calls have used, where more or less was reserved.

    Last in its transaction: it locks the service's row, which all turns write.
    """
    for purse, amounts in record.corrections:
        await budgets.add(session, purse, amounts)


def backoff(attempt: int, run_id: str) -> timedelta:
    """30 s, doubled by every failed try up to 1 h, ± 20 % by the run's id so that threads spread out."""
    seconds = min(_BACKOFF_SECONDS * 2 ** min(attempt, 16), _BACKOFF_CAP_SECONDS)
    return timedelta(seconds=seconds * (0.8 + 0.4 * spread_of(run_id)))
