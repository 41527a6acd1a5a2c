"""How long a simulated week of 10 threads takes, and what a quiet month costs: `python benchmarks/simulate.py`.

The threads have a heartbeat every half hour, 300 messages each and two tasks. Beside it, in the same minute: as many
bare transactions that write one row as heartbeats were simulated.
"""

import tempfile
from datetime import UTC, datetime, timedelta

import anyio
from sqlalchemy import update

from ledger import schema
from ledger.clock import ManualClock, SystemClock
from ledger.db import Database
from ledger.instructions import store as instructions
from ledger.instructions.file import File
from ledger.loops import build_loops
from ledger.settings import Settings
from ledger.simulate import Request, Simulation, simulate
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.threads.structs import NewMessage, NewThread
from ledger.threads.tables import ThreadRow

THREADS = [f"t{number}" for number in range(10)]
TASKS = """\
- Answer who asks.

tasks:
- name: mail
  interval: 4h
  prompt: See whether anything waits for an answer.
- name: brief
  at: 09:00
  days: mon-fri
  prompt: Sum up what the day may bring.
"""
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            database_url=f"sqlite+aiosqlite:///{folder}/ledger.db",
            heartbeat_md=f"{folder}/HEARTBEAT.md",
            heartbeat_enabled=True,
        )
        await schema.migrate(settings.database_url)
        db = Database(settings.database_url)
        await _fill(db)
        week = Request(days=7, thread_ids=THREADS)
        took, simulation = await _timed(settings, db, week)
        beats = sum(totals.slots for totals in simulation.totals.values())
        calls = sum(totals.calls for totals in simulation.totals.values())
        bare = await _bare(db, beats)
        print(
            f"a simulated week of {len(THREADS)} threads: {took:.1f} s, {beats:,} heartbeats, {calls} calls of a model"
        )
        print(f"as many bare transactions that write a row: {bare:.1f} s; ratio {took / bare:.1f}")
        print(f"a simulated week in {took / 604_800:.1e} of its own length")
        await _decide_once(settings, db)
        month = Request(days=30, thread_ids=THREADS[:1], instructions="- Answer who asks.\n")
        took, simulation = await _timed(settings, db, month)
        quiet = simulation.totals[THREADS[0]]
        print(
            f"a quiet month of one thread without tasks: {took:.1f} s, {quiet.slots:,} heartbeats, {quiet.calls} calls"
        )
        print(f"its rows: {[(beat.run.reason, beat.run.slots) for beat in simulation.beats]}")
        await db.close()


async def _fill(db: Database) -> None:
    async with db.write() as session:
        await instructions.save(session, TASKS, source="api", now=START)
    for name in THREADS:
        said = [NewMessage("user", f"Message {number} about the camp at lake {number % 17}.") for number in range(300)]
        async with db.write() as session:
            await threads.create(session, NewThread(name), now=START)
            await messages.add(session, name, said, now=START)


async def _decide_once(settings: Settings, db: Database) -> None:
    """Have the first thread decide under the month's instructions, so that nothing is new in it."""
    clock = ManualClock(SystemClock().now())
    async with db.write() as session:
        await instructions.save(session, "- Answer who asks.\n", source="api", now=clock.now())
    *_, heartbeat = build_loops(settings, db, clock, None, File(f"{settings.heartbeat_md}.none", db, clock))
    await heartbeat.run_for_thread(THREADS[0])


async def _timed(settings: Settings, db: Database, request: Request) -> tuple[float, Simulation]:
    clock = SystemClock()
    began = clock.now()
    simulation = await simulate(settings, db, clock, request)
    return (clock.now() - began).total_seconds(), simulation


async def _bare(db: Database, count: int) -> float:
    began = SystemClock().now()
    for number in range(count):
        async with db.write() as session:
            await session.execute(update(ThreadRow).where(ThreadRow.id == "t0").values(title=f"{number}"))
    return (SystemClock().now() - began) / timedelta(seconds=1)


if __name__ == "__main__":
    anyio.run(main)
