"""What one PostgreSQL carries: claims, skipped heartbeats and heartbeats that ask a model, with 1, 2 and 4 processes.

`python benchmarks/workers.py`, on the database that LEDGER_TEST_POSTGRES_URL names, which is emptied. Each figure
stands beside bare transactions (one row updated, committed) of as many processes in the same minute. Processes and
server share this machine, so where its cores are used up, more processes do not help.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import anyio
import msgspec
from msgspec import structs
from sqlalchemy import func, insert, select, text, update

from ledger import schema
from ledger.clock import SystemClock
from ledger.db import Database
from ledger.instructions import store as instructions
from ledger.instructions.file import File
from ledger.llm import ChatAnswer, ChatRequest
from ledger.loops import build_loops
from ledger.runs.tables import RunRow
from ledger.settings import Settings
from ledger.threads.tables import ThreadRow
from ledger.turns import store as turns
from ledger.turns.structs import Turn
from ledger.turns.tables import TurnRow

WORKERS = (1, 2, 4)
THREADS = {"claims": 200_000, "skipped": 30_000, "asking": 10_000}
"""More than can be served while it is measured."""

SECONDS = 6.0
SECONDS_TO_START = 4.0
BATCH = 2_000
PLACES = 64
LATENCY = timedelta(seconds=0.3)
INSTRUCTIONS = "- Look after it.\n"
EVERY = timedelta(days=7)

clock = SystemClock()


class Counted(msgspec.Struct):
    done: int


class Model:
    """Takes its time, and has nothing to do."""

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        await clock.sleep_until(clock.now() + LATENCY)
        decision: dict[str, object] = {"verdict": "nothing", "reasoning": "None.", "summary": "None.", "actions": []}
        decision |= {"tasks": [], "question": None, "next_check": None}
        answer = msgspec.json.encode(decision).decode()
        return ChatAnswer(
            text=answer,
            cut_off=False,
            model=request.model,
            prompt_tokens=1_000,
            completion_tokens=50,
            latency=LATENCY,
        )

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def claims(db: Database, worker: int, ends: datetime) -> int:
    """Claim eight due turns at a time, as a process of the default size does."""
    del worker
    done = 0
    while (now := clock.now()) < ends:
        async with db.write() as session:
            done += len(await turns.claim(session, "heartbeat", now=now, until=now + EVERY, limit=8))
    return done


async def bare(db: Database, worker: int, ends: datetime) -> int:
    done = 0
    row = update(ThreadRow).where(ThreadRow.id == f"t{worker:07}").values(activity=ThreadRow.activity + 1)
    while clock.now() < ends:
        async with db.write() as session:
            await session.execute(row)
        done += 1
    return done


async def skipped(db: Database, worker: int, ends: datetime) -> int:
    """Heartbeats whose gates are closed: the instructions are empty."""
    del worker
    return await _heartbeats(db, None, ends)


async def asking(db: Database, worker: int, ends: datetime) -> int:
    del worker
    return await _heartbeats(db, Model(), ends)


async def _heartbeats(db: Database, model: Model | None, ends: datetime) -> int:
    settings = Settings(
        database_url=db.url.render_as_string(hide_password=False),
        heartbeat_enabled=True,
        concurrency=PLACES,
        llm_model="model" if model else None,
        llm_base_url="http://127.0.0.1:9",
        heartbeat_md="HEARTBEAT.md.none",
    )
    file = File(settings.heartbeat_md, db, clock)
    *_, heartbeat = build_loops(settings, db, clock, model, file)
    with anyio.move_on_after((ends - clock.now()).total_seconds()):
        await heartbeat.run_once()
    return 0  # what it has settled is counted in the database, for all processes together


KINDS: dict[str, Callable[[Database, int, datetime], Awaitable[int]]] = {
    "bare": bare,
    "claims": claims,
    "skipped": skipped,
    "asking": asking,
}


async def work(url: str, kind: str, worker: int, begins: datetime) -> None:
    """One process's share, printed."""
    db = Database(url)
    await db.ping()
    await clock.sleep_until(begins)
    done = await KINDS[kind](db, worker, begins + timedelta(seconds=SECONDS))
    await db.close()
    print(msgspec.json.encode(Counted(done)).decode())


async def measure(url: str, kind: str, workers: int) -> float:
    """How many a second that many processes do together."""
    begins = clock.now() + timedelta(seconds=SECONDS_TO_START)
    counted: list[int] = []

    async def one(worker: int) -> None:
        command = [sys.executable, __file__, "--work", kind, str(worker), begins.isoformat()]
        environment = {"LEDGER_TEST_POSTGRES_URL": url}
        process = await anyio.run_process(command, env=environment, stderr=subprocess.STDOUT)
        counted.append(msgspec.json.decode(process.stdout.splitlines()[-1], type=Counted).done)

    async with anyio.create_task_group() as group:
        for worker in range(workers):
            group.start_soon(one, worker)
    return (sum(counted) + await _settled(url)) / SECONDS


async def _settled(url: str) -> int:
    db = Database(url)
    async with db.read() as session:
        settled = await session.scalar(select(func.count()).select_from(RunRow)) or 0
    await db.close()
    return settled


async def fill(url: str, size: int, content: str) -> None:
    """Threads that are due now, and instructions."""
    db = Database(url)
    async with db.write() as session:
        await session.execute(text("DROP SCHEMA public CASCADE"))
        await session.execute(text("CREATE SCHEMA public"))
    await schema.migrate(url)
    now = clock.now()
    async with db.write() as session:
        await instructions.save(session, content, source="api", now=now)
    for first in range(0, size, BATCH):
        numbers = range(first, min(first + BATCH, size))
        async with db.write() as session:
            await session.execute(insert(ThreadRow), [_thread(n, now) for n in numbers])
            await session.execute(insert(TurnRow), [_turn(n, now) for n in numbers])
    await db.close()


def _thread(n: int, now: datetime) -> dict[str, object]:
    counts = dict.fromkeys(("message_count", "post_count", "person_seq", "said_tokens", "activity"), 0)
    return {"id": f"t{n:07}", "title": "", "timezone": "UTC", "created_at": now, **counts}


def _turn(n: int, now: datetime) -> dict[str, object]:
    seconds = int(EVERY.total_seconds())
    return structs.asdict(
        Turn("heartbeat", f"t{n:07}", True, seconds, now - EVERY, now, now, 0, None, None, 0, "", None)
    )


async def main(url: str) -> None:
    print(f"{'a second':24}" + "".join(f"{workers:>8} proc." for workers in WORKERS))
    for kind, size in THREADS.items():
        rates: list[float] = []
        ratios: list[float] = []
        for workers in WORKERS:
            await fill(url, size, INSTRUCTIONS if kind == "asking" else "")
            rates.append(await measure(url, kind, workers))
            await fill(url, workers, "")
            ratios.append(rates[-1] / await measure(url, "bare", workers))
        print(f"{kind:24}" + "".join(f"{rate:14,.0f}" for rate in rates))
        print(f"{'  for a bare transaction':24}" + "".join(f"{ratio:14.3f}" for ratio in ratios))


if __name__ == "__main__":
    given_url = os.environ.get("LEDGER_TEST_POSTGRES_URL", "")  # noqa: TID251
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=3, metavar=("KIND", "WORKER", "BEGINS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given_url:
        parser.error("set LEDGER_TEST_POSTGRES_URL=postgresql+asyncpg://USER@HOST/DATABASE, which is emptied")
    if given.work:
        kind_of_work, number, moment = given.work
        begins_at = datetime.fromisoformat(moment).astimezone(UTC)
        anyio.run(work, given_url, kind_of_work, int(number), begins_at, backend_options={"use_uvloop": True})
    else:
        anyio.run(main, given_url)
