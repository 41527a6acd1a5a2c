"""What an idle thread costs: a heartbeat slot in which nothing is new, against a bare transaction that writes one row.

Both are measured in the same minute on the same database: `python benchmarks/idle.py`.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from statistics import median

import anyio
from sqlalchemy import func, select, update

from ledger import schema
from ledger.clock import ManualClock, SystemClock
from ledger.db import Database
from ledger.instructions.file import File
from ledger.loops import Loop, build_loops
from ledger.runs.tables import RunRow
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from ledger.threads.tables import ThreadRow

THREADS = 1_000
ROUNDS = 5
MOST = timedelta(seconds=25)
"""Begin no further round after this long."""

EVERY = timedelta(minutes=30)


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite+aiosqlite:///{directory}/ledger.db"
        await schema.migrate(url)
        db = Database(url)
        clock = ManualClock(datetime(2026, 1, 5, 12, 0, tzinfo=UTC))
        settings = Settings(database_url=url, heartbeat_enabled=True)
        file = File(f"{directory}/HEARTBEAT.md", db, clock)
        *_, heartbeat = build_loops(settings, db, clock, None, file)
        await _fill(db, clock, heartbeat)
        for _ in range(2):  # each thread decides once, and is skipped once: from then on skips fold
            await _heartbeat(clock, heartbeat)
        slots: list[float] = []
        writes: list[float] = []
        began = SystemClock().now()
        while len(slots) < ROUNDS and SystemClock().now() - began < MOST:
            slots.append(await _heartbeat(clock, heartbeat))
            writes.append(await _bare(db))
        await _check(db, 2 + len(slots))
        await db.close()
    slot, write = median(slots) / THREADS, median(writes) / THREADS
    ratio = median(one / other for one, other in zip(slots, writes, strict=True))
    print(f"an idle heartbeat slot of one of {THREADS:,} threads: {slot:6.3f} ms")
    print(f"a bare transaction that writes one row:       {write:6.3f} ms")
    print(f"ratio:                                        {ratio:6.2f}")


async def _fill(db: Database, clock: ManualClock, heartbeat: Loop) -> None:
    async with db.write() as session:
        for n in range(THREADS):
            await threads.create(session, NewThread(f"t{n}"), now=clock.now())
            await heartbeat.reschedule(session, f"t{n}", None)


async def _heartbeat(clock: ManualClock, heartbeat: Loop) -> float:
    """Milliseconds of one slot of all threads."""
    clock.advance(EVERY)
    began = SystemClock().now()
    await heartbeat.run_once()
    return (SystemClock().now() - began) / timedelta(milliseconds=1)


async def _bare(db: Database) -> float:
    """Milliseconds of one write to each thread, in a transaction each."""
    began = SystemClock().now()
    for n in range(THREADS):
        async with db.write() as session:
            await session.execute(update(ThreadRow).where(ThreadRow.id == f"t{n}").values(title="x"))
    return (SystemClock().now() - began) / timedelta(milliseconds=1)


async def _check(db: Database, rounds: int) -> None:
    """All that was measured was folded: one run that decided and one that stands for all skips, for each thread."""
    async with db.read() as session:
        runs = await session.scalar(select(func.count()).select_from(RunRow))
        slots = await session.scalar(select(func.sum(RunRow.slots)))
    assert (runs, slots) == (2 * THREADS, rounds * THREADS), (runs, slots)


if __name__ == "__main__":
    anyio.run(main)
