"""The event stream: 100 readers while ten events a second are written, and one reader who comes back after a while.

`python -m benchmarks.stream`, against a service of its own on SQLite, or on PostgreSQL with `--postgres` (the database
that LEDGER_TEST_POSTGRES_URL names, which is emptied). Every reader must see every event, once and in order; exits with
1 if one does not. Each figure stands beside another of the same minute.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import anyio
from tests.chaos import Service, serving
from tests.chaos.crowd import emptied

from ledger import LedgerClient, PostEvent, schema
from ledger.clock import SystemClock

READERS = 100
PER_SECOND = 10
SECONDS = 20
KEPT = 5_000
"""How many events the reader who comes back finds."""

clock = SystemClock()


class Reader:
    """Follows all posts, and notes how late it saw each."""

    def __init__(self, url: str) -> None:
        self.titles: list[str] = []
        self.delays: list[float] = []
        self._url = url

    async def follow(self, *, after: str | None = None) -> None:
        async with LedgerClient(self._url) as ledger, aclosing(ledger.events(kinds=["post"], after=after)) as events:
            async for event in events:
                if isinstance(event, PostEvent):
                    self.delays.append((clock.now() - event.at).total_seconds())
                    self.titles.append(event.data.title)


class Written:
    """What was posted, and how long each answer took."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.seconds: list[float] = []

    async def post(self, ledger: LedgerClient) -> None:
        title = f"Post {len(self.titles)}"
        self.titles.append(title)
        began = clock.now()
        await ledger.write_post(title=title, content="What a reader is told. " * 10)
        self.seconds.append((clock.now() - began).total_seconds())

    async def post_steadily(self, ledger: LedgerClient) -> None:
        moment = clock.now()
        for _ in range(PER_SECOND * SECONDS):
            moment += timedelta(seconds=1 / PER_SECOND)
            await clock.sleep_until(moment)
            await self.post(ledger)


def processor_seconds(service: Service) -> float:
    """What the process has used so far (Linux)."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.move_on_after(30):
        while not is_so():
            await clock.sleep_until(clock.now() + timedelta(milliseconds=20))


async def crowd(service: Service, ledger: LedgerClient, count: int) -> tuple[list[Reader], Written, float]:
    """So many readers while posts are written; also the share of a core that the service used meanwhile."""
    readers, written, share = [Reader(service.url) for _ in range(count)], Written(), 0.0
    async with anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(reader.follow)
        await clock.sleep_until(clock.now() + timedelta(seconds=3))  # until all are connected
        began, before = clock.now(), processor_seconds(service)
        await written.post_steadily(ledger)
        share = (processor_seconds(service) - before) / (clock.now() - began).total_seconds()
        await until(lambda: all(len(reader.titles) >= len(written.titles) for reader in readers))
        group.cancel_scope.cancel()
    return readers, written, share


async def come_back(service: Service, ledger: LedgerClient) -> tuple[float, float]:
    """Events a second of a reader who finds many, and posts a second of one who lists as many by pages."""
    written = Written()
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(_post_many, written, ledger)
    wanted, told = len([post async for post in ledger.posts()]), 0.0
    reader, began = Reader(service.url), clock.now()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: reader.follow(after="0-0"))
        await until(lambda: len(reader.titles) >= wanted)
        told = len(reader.titles) / _since(began)
        group.cancel_scope.cancel()
    began = clock.now()
    listed = len([post async for post in ledger.posts()]) / _since(began)
    return told, listed


async def _post_many(written: Written, ledger: LedgerClient) -> None:
    while len(written.titles) < KEPT:
        await written.post(ledger)


def _since(moment: datetime) -> float:
    return (clock.now() - moment).total_seconds()


async def run(url: str | None) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        if url is not None:
            await emptied(url)
        url = url or f"sqlite+aiosqlite:///{directory}/stream.db"
        await schema.migrate(url)
        async with serving(directory=Path(directory), CRT_DATABASE_URL=url) as service:
            async with LedgerClient(service.url) as ledger:
                _, alone, share_alone = await crowd(service, ledger, 0)
                readers, written, share = await crowd(service, ledger, READERS)
                told, listed = await come_back(service, ledger)
            service.process.terminate()
            await service.ended()
    delays = sorted(delay for reader in readers for delay in reader.delays)
    late = quantiles(delays, n=100)
    answer = median(written.seconds)
    complete = sum(reader.titles == written.titles for reader in readers)
    print(f"{READERS} readers, {PER_SECOND} events a second for {SECONDS} s: {complete} saw all, in order")
    print(f"  seen after   p50 {late[49] * 1e3:.0f} ms, p99 {late[98] * 1e3:.0f} ms, most {delays[-1] * 1e3:.0f} ms")
    print(f"  which is     {late[49] / answer:.1f} and {late[98] / answer:.1f} times as long as a POST is answered in")
    print(
        f"  a POST takes {answer * 1e3:.1f} ms: {answer / median(alone.seconds):.1f} times as long as without readers"
    )
    print(f"  a core       {share:.0%} used: {share / share_alone:.1f} times as without readers")
    print(
        f"one reader who comes back: {told:,.0f} events a second, {told / listed:.1f} times as many as posts by pages"
    )
    return complete == READERS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true")
    url = os.environ.get("LEDGER_TEST_POSTGRES_URL", "") if parser.parse_args().postgres else None  # noqa: TID251
    if url == "":
        parser.error("set LEDGER_TEST_POSTGRES_URL=postgresql+asyncpg://USER@HOST/DATABASE, which is emptied")
    return 0 if anyio.run(run, url) else 1


if __name__ == "__main__":
    sys.exit(main())
