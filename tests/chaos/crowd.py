"""A crowd of threads, each due every few seconds, and processes that are killed: `python -m tests.chaos.crowd`.

On SQLite with two processes, or, with `--postgres`, with three on the database that LEDGER_TEST_POSTGRES_URL names,
which is emptied. Every slot asks a model, which posts: something new is written to every thread in every interval, as
another program would that shares the database. Prints what the database holds afterwards; exits with 1 if a slot or an
effect is lost or doubled, or a slot was later than two leases: so late is one whose turn was killed with two processes,
since kills are as far apart as a lease is long.
"""
# ruff: noqa: T201 - it talks to whoever runs it

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import quantiles

import anyio
from msgspec import Struct, structs
from sqlalchemy import insert, select, text, update

from ledger import schema
from ledger.db import Database
from ledger.runs.tables import RunRow
from ledger.threads.tables import ThreadRow
from ledger.turns.structs import Turn
from ledger.turns.tables import TurnRow
from tests.chaos import Service, serving
from tests.chaos.audit import Report, audit, audit_kept
from tests.chaos.fleet import Fleet, clock, variables, wait
from tests.chaos.stub import Stub, stub_running

LATENCY = timedelta(seconds=0.3)
TURN_SECONDS, MARGIN_SECONDS = 3, 2
LEASE = timedelta(seconds=TURN_SECONDS + MARGIN_SECONDS)
PLACES = 64
BATCH = 500


class Plan(Struct, frozen=True):
    """What is tried."""

    url: str
    processes: int
    threads: int
    every: timedelta
    lasts: timedelta
    kill_every: timedelta | None


class Outcome(Struct, frozen=True):
    plan: Plan
    fleet: Fleet
    calls: int
    report: Report
    lateness: list[float]
    """Of each run that had a slot, in seconds, sorted."""
    seconds: float
    """How long slots were due."""


async def crowd(plan: Plan) -> Outcome:
    with tempfile.TemporaryDirectory() as directory:
        await anyio.Path(directory, "HEARTBEAT.md").write_text("- Post what is new.\n")
        async with stub_running(LATENCY) as stub:
            fleet = Fleet(_Start(plan, stub, Path(directory)), plan.processes)
            db = Database(plan.url)
            first = await _prepare(db, plan)
            ends = first + plan.lasts
            async with anyio.create_task_group() as group:
                for name in fleet.names:
                    group.start_soon(fleet.keep_running, name)
                await fleet.all_running()
                print(f"{plan.processes} processes, {plan.threads:,} threads, due every {plan.every}", flush=True)
                await _live(db, fleet, plan, first, ends)
                group.cancel_scope.deadline = anyio.current_time() + 60  # when all have ended by themselves
            report = await audit(db, plan.every, served_until=ends)
            await audit_kept(db, report)
            lateness = await _lateness(db)
            await db.close()
        return Outcome(plan, fleet, stub.calls, report, lateness, plan.lasts.total_seconds())


class _Start:
    def __init__(self, plan: Plan, stub: Stub, directory: Path) -> None:
        self._plan = plan
        self._stub = stub
        self._directory = directory

    def __call__(self, name: str) -> AbstractAsyncContextManager[Service]:
        del name
        quiet = {f"CRT_{loop}_LOOP_ENABLED": "false" for loop in ("REFLECTION", "PERSONALITY", "JOURNAL_SELF_REPLY")}
        return serving(
            command="work",
            directory=self._directory,
            CRT_DATABASE_URL=self._plan.url,
            CRT_CONCURRENCY=str(PLACES),
            **variables(
                self._stub.url, "key", turn_seconds=TURN_SECONDS, margin_seconds=MARGIN_SECONDS, tick_seconds=1
            ),
            **quiet,
        )


async def _prepare(db: Database, plan: Plan) -> datetime:
    """Threads whose first slots are spread over one interval; answers when the first one comes."""
    begins = clock.now() + timedelta(seconds=10)
    for numbers in _batches(plan.threads):
        async with db.write() as session:
            counts = dict.fromkeys(("message_count", "post_count", "person_seq", "said_tokens", "activity"), 0)
            row = {"title": "", "timezone": "UTC", "created_at": begins, **counts}
            await session.execute(insert(ThreadRow), [{"id": f"t{n:05}", **row} for n in numbers])
            await session.execute(insert(TurnRow), [_turn(n, plan, begins) for n in numbers])
    return begins


def _batches(count: int) -> Iterator[range]:
    return (range(first, min(first + BATCH, count)) for first in range(0, count, BATCH))


def _turn(n: int, plan: Plan, begins: datetime) -> dict[str, object]:
    slot = begins + plan.every * n / plan.threads
    seconds = int(plan.every.total_seconds())
    anchor = slot - plan.every
    return structs.asdict(Turn("heartbeat", f"t{n:05}", True, seconds, anchor, slot, slot, 0, None, None, 0, "", None))


async def _live(db: Database, fleet: Fleet, plan: Plan, begins: datetime, ends: datetime) -> None:
    """Serve and kill, then serve on until every lease of the dead has ended, and stop."""
    async with anyio.create_task_group() as group:
        group.start_soon(_bring_news, db, plan, ends)
        kill_at = begins
        while plan.kill_every is not None and (kill_at := kill_at + plan.kill_every) < ends:
            await clock.sleep_until(kill_at)
            await fleet.all_running()
            await fleet.kill(fleet.names[fleet.kills % len(fleet.names)])
            print(f"\rkilled {fleet.kills}", end="", flush=True)
        await clock.sleep_until(ends)
    print(", now waiting for what is owed")
    await clock.sleep_until(ends + LEASE + plan.every)
    await fleet.stop()


async def _bring_news(db: Database, plan: Plan, ends: datetime) -> None:
    """Have something new in every thread in each interval, so that no slot is skipped."""
    while clock.now() < ends:
        for numbers in _batches(plan.threads):
            names = [f"t{n:05}" for n in numbers]
            async with db.write() as session:
                news = update(ThreadRow).where(ThreadRow.id.in_(names)).values(activity=ThreadRow.activity + 1)
                await session.execute(news)
        await wait(plan.every.total_seconds() / 2)


async def _lateness(db: Database) -> list[float]:
    async with db.read() as session:
        found = await session.scalars(select(RunRow.lateness_seconds).where(RunRow.lateness_seconds.is_not(None)))
    return sorted(late for late in found if late is not None)


async def emptied(url: str) -> None:
    db = Database(url)
    async with db.write() as session:
        await session.execute(text("DROP SCHEMA public CASCADE"))
        await session.execute(text("CREATE SCHEMA public"))
    await db.close()


async def run(given: argparse.Namespace, url: str | None) -> Outcome:
    with tempfile.TemporaryDirectory() as directory:
        if url is not None:
            await emptied(url)
        url = url or f"sqlite+aiosqlite:///{directory}/crowd.db"
        await schema.migrate(url)
        plan = Plan(
            url=url,
            processes=given.processes,
            threads=given.threads,
            every=timedelta(seconds=given.every),
            lasts=timedelta(seconds=given.seconds),
            kill_every=timedelta(seconds=given.kill_every) if given.kill_every else None,
        )
        return await crowd(plan)


def _print(outcome: Outcome) -> bool:
    plan, report, late = outcome.plan, outcome.report, outcome.lateness
    percentiles = quantiles(late, n=100) if len(late) > 1 else [0.0] * 99
    lease, tick = LEASE.total_seconds(), 1.0  # until a lease has ended, and until that is noticed
    bands = [sum(n * (lease + tick) < max(each, 0.001) <= (n + 1) * (lease + tick) for each in late) for n in range(2)]
    over = len(late) - sum(bands)
    rows = {
        "slots due a second": round(plan.threads / plan.every.total_seconds(), 1),
        "processes, kills": f"{plan.processes}, {outcome.fleet.kills}",
        "calls": outcome.calls,
        "runs recorded": report.turns,
        "runs a second": round(report.turns / outcome.seconds, 1),
        "slots settled": report.settled,
        "  collapsed into another's turn": report.collapsed,
        "posts": report.effects,
        "lateness p50, p99, most (s)": f"{percentiles[49]:.2f}, {percentiles[98]:.2f}, {late[-1] if late else 0:.2f}",
        "  within a lease and a tick (6 s)": bands[0],
        "  within two, three or more": f"{bands[1]}, {over}",
        "lost": len(report.lost),
        "doubled": len(report.doubled),
        "otherwise wrong": len(report.wrong),
        "errors logged": outcome.fleet.errors,
        "exit codes of those not killed": outcome.fleet.codes,
        "runs by outcome": dict(report.outcomes),
    }
    for name, value in rows.items():
        print(f"{name:34} {value}")
    for line in (report.lost + report.doubled + report.wrong)[:20]:
        print(f"  {line}")
    once = not (report.lost or report.doubled or report.wrong or outcome.fleet.errors)
    return once and not over and set(outcome.fleet.codes) == {0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--threads", type=int, default=2_000)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--kill-every", type=int, default=5)
    given = parser.parse_args()
    url = os.environ.get("LEDGER_TEST_POSTGRES_URL", "") if given.postgres else None  # noqa: TID251
    if url == "":
        parser.error("set LEDGER_TEST_POSTGRES_URL=postgresql+asyncpg://USER@HOST/DATABASE, which is emptied")
    given.processes = given.processes or (3 if given.postgres else 2)
    return 0 if _print(anyio.run(run, given, url)) else 1


if __name__ == "__main__":
    sys.exit(main())
