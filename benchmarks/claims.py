"""What it costs to claim 10 due turns, among few threads and among many: `python benchmarks/claims.py [--million]`.

A claim reads an index of what is due, so the ratios should be near 1. Beside it: asking every thread in turn whether it
is due, through the same database.
"""

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from statistics import median

import anyio
from msgspec import structs
from sqlalchemy import insert, update

from ledger import schema
from ledger.clock import SystemClock
from ledger.db import Database
from ledger.threads.tables import ThreadRow
from ledger.turns import store as turns
from ledger.turns.structs import Turn
from ledger.turns.tables import TurnRow

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
EVERY = timedelta(minutes=30)
DUE = 10
ROUNDS = 300
WALKED = 1_000
WALKS = 5
BATCH = 20_000


async def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        databases = {size: await _filled(f"sqlite+aiosqlite:///{directory}/{size}.db", size) for size in sizes}
        # In turns, so that whatever else the machine does falls on all sizes alike.
        rounds = [{size: await _claim(db) for size, db in databases.items()} for _ in range(ROUNDS)]
        claims = {size: median([took[size] for took in rounds]) for size in sizes}
        walk = median([await _milliseconds(_walk, databases[sizes[0]]) for _ in range(WALKS)]) / WALKED
        for db in databases.values():
            await db.close()
    for size, claim in claims.items():
        ratio = median([took[size] / took[sizes[0]] for took in rounds])
        print(f"claim and commit {DUE} due of {size:>9,} threads: {claim:7.3f} ms, ratio {ratio:5.2f}")
    print(f"ask one thread whether it is due:             {walk:7.3f} ms")
    for size, claim in claims.items():
        print(f"ask all of {size:>9,} threads one by one: {walk * size / claim:>12,.0f} times a claim")


async def _filled(url: str, size: int) -> Database:
    await schema.migrate(url)
    db = Database(url)
    await _fill(db, size)
    return db


async def _fill(db: Database, size: int) -> None:
    """Threads that are due later, spread over half an hour, but for ten that are due now."""
    step = size // DUE
    for first in range(0, size, BATCH):
        numbers = range(first, min(first + BATCH, size))
        async with db.write() as session:
            await session.execute(insert(ThreadRow), [_thread(n) for n in numbers])
            await session.execute(insert(TurnRow), [_turn(n, size, is_due=n % step == 0) for n in numbers])


def _thread(n: int) -> dict[str, object]:
    counts = dict.fromkeys(("message_count", "post_count", "person_seq", "said_tokens", "activity"), 0)
    return {"id": f"t{n:07}", "title": "", "timezone": "UTC", "created_at": NOW, **counts}


def _turn(n: int, size: int, *, is_due: bool) -> dict[str, object]:
    slot = NOW - EVERY if is_due else NOW + EVERY * (n + 1) / size
    return structs.asdict(
        Turn("heartbeat", f"t{n:07}", True, None, NOW - 2 * EVERY, slot, slot, 0, None, None, 0, "", None)
    )


async def _claim(db: Database) -> float:
    """Milliseconds of one claim; what it claimed is made due again."""
    claimed: list[Turn] = []

    async def claim(db: Database) -> None:
        async with db.write() as session:
            claimed.extend(await turns.claim(session, "heartbeat", now=NOW, until=NOW + EVERY, limit=DUE))

    took = await _milliseconds(claim, db)
    assert len(claimed) == DUE
    async with db.write() as session:
        again = {"next_due_at": NOW - EVERY, "lease_token": None, "lease_until": None}
        names = [turn.thread_id for turn in claimed]
        await session.execute(update(TurnRow).where(TurnRow.thread_id.in_(names)).values(again))
    return took


async def _walk(db: Database) -> None:
    found = 0
    for n in range(WALKED):
        async with db.read() as session:
            turn = await turns.get(session, "heartbeat", f"t{n:07}")
        found += turn is not None and turn.next_due_at is not None and turn.next_due_at <= NOW
    assert found == DUE


async def _milliseconds(do: Callable[[Database], Awaitable[None]], db: Database) -> float:
    clock = SystemClock()
    began = clock.now()
    await do(db)
    return (clock.now() - began) / timedelta(milliseconds=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="also among 1,000,000 threads")
    million = parser.parse_args().million
    anyio.run(main, [1_000, 100_000, *([1_000_000] if million else [])])
