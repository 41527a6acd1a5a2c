"""What is kept for how long: old records are deleted in small batches, by every process that runs loops.

Processes need not agree on who does it: a batch leaves out the rows that another one has in hand.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

import anyio

from ledger.approvals import store as approvals
from ledger.budgets import store as budgets
from ledger.clock import Clock
from ledger.db import UNREACHABLE, Database, Session
from ledger.events import store as events
from ledger.idempotency import store as idempotency
from ledger.questions import store as questions
from ledger.runs import store as runs
from ledger.settings import Settings

EVERY = timedelta(hours=1)
FIRST = timedelta(minutes=5)
"""After a start: processes that live shorter than `EVERY` have their share, too."""

BATCH = 200
"""How many rows one transaction deletes: a few milliseconds."""

Batch = Callable[[Session], Awaitable[int]]

log = logging.getLogger(__name__)


class Retention:
    """Deletes what has been kept long enough."""

    def __init__(self, settings: Settings, db: Database, clock: Clock) -> None:
        self._settings = settings
        self._db = db
        self._clock = clock

    async def run(self, stopping: anyio.Event) -> None:
        """Look every hour until `stopping`."""
        wait = FIRST
        while True:
            await self._clock.sleep_until(self._clock.now() + wait, stopping)
            if stopping.is_set():
                return
            try:
                await self.prune(stopping)
            except Exception as error:
                unforeseen = None if isinstance(error, UNREACHABLE) else error
                log.log(
                    logging.ERROR if unforeseen else logging.WARNING,
                    "Old records could not be deleted, which is tried again in an hour: %s",
                    error,
                    exc_info=unforeseen,
                )
            wait = EVERY

    async def prune(self, stopping: anyio.Event | None = None) -> dict[str, int]:
        """Delete all that is due to be; how many rows of each kind it was."""
        kept, now = self._settings, self._clock.now()
        details_before = await self._cutoff(now, kept.keep_prompts_days, kept.keep_prompts)
        runs_before = await self._cutoff(now, kept.keep_runs_days, kept.keep_runs)
        by_age = now - timedelta(days=kept.keep_runs_days) if kept.keep_runs_days is not None else None
        stale = now - idempotency.LIFETIME
        batches: dict[str, Batch] = {"answers to keys": partial(idempotency.forget, before=stale, limit=BATCH)}
        if details_before:
            batches["prompts"] = partial(runs.strip, before=details_before, limit=BATCH)
        if runs_before:
            batches["runs"] = partial(runs.forget, before=runs_before, limit=BATCH)
        if by_age:
            batches["approvals"] = partial(approvals.forget, before=by_age, limit=BATCH)
            batches["questions"] = partial(questions.forget, before=by_age, limit=BATCH)
            batches["days of budgets"] = partial(budgets.forget, before=by_age.date(), limit=BATCH)
        if kept.keep_events_days is not None:
            before = now - timedelta(days=kept.keep_events_days)
            batches["events"] = partial(events.forget, before=before, limit=BATCH)
        done = {name: await self._all(batch, stopping or anyio.Event()) for name, batch in batches.items()}
        if any(done.values()):
            log.info("Deleted what was kept long enough: %s", ", ".join(f"{n:,} {name}" for name, n in done.items()))
        return done

    async def _cutoff(self, now: datetime, days: float | None, newest: int | None) -> datetime | None:
        """What started before this is not kept; None: all is."""
        cutoffs = [] if days is None else [now - timedelta(days=days)]
        if newest is not None:
            async with self._db.read() as session:
                nth = await runs.nth_newest(session, newest)
            cutoffs += [nth] if nth else []
        return max(cutoffs, default=None)

    async def _all(self, batch: Batch, stopping: anyio.Event) -> int:
        """Take batches until one is not full; each is a transaction of its own, so that others get in between."""
        total = 0
        while not stopping.is_set():
            async with self._db.write() as session:
                count = await batch(session)
            total += count
            if count < BATCH:
                break
        return total
