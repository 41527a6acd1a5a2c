"""Readers that are cut off and services that are killed while much is written: `python -m tests.chaos.readers`.

Two services on one SQLite file, or, with `--postgres`, on the database that LEDGER_TEST_POSTGRES_URL names, which is
emptied. Writers post until there are so many events; each post has a key, so that what a kill left open is asked again
at the other service. One reader follows everything, is cut off or has its service killed again and again, and comes
back with the last id it saw. Exits with 1 if an event is missing, comes twice or out of order, or a post is doubled.
"""
# ruff: noqa: T201 - it talks to whoever runs it

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from contextlib import AbstractAsyncContextManager, aclosing
from itertools import count, pairwise
from pathlib import Path

import anyio
from sqlalchemy import func, select

from ledger import LedgerClient, schema
from ledger.client.retries import retry_after
from ledger.db import Database
from ledger.errors import Conflict, LedgerError
from ledger.events.store import Position
from ledger.events.tables import EventRow
from ledger.posts.tables import PostRow
from tests.chaos import Service, serving
from tests.chaos.crowd import emptied
from tests.chaos.fleet import Fleet, clock, wait

PROCESSES = 2
WRITERS = 4
TURN_SECONDS = MARGIN_SECONDS = 3


class Readers:
    def __init__(self, url: str, directory: Path, *, events: int, cuts: int, kills: int, seed: int) -> None:
        self.fleet = Fleet(self._start, PROCESSES)
        self.seen: list[str] = []
        self.lost_answers = self.cuts = 0
        self._clients: dict[str, LedgerClient] = {}
        self._url = url
        self._directory = directory
        self.events = events
        self._most_cuts = cuts
        self._random = random.Random(seed)  # noqa: S311 - chaos, not cryptography
        self._numbers = count(1)
        self._kills = set(self._random.sample(range(cuts), kills))

    async def write(self) -> None:
        """Post until there are enough."""
        while (number := next(self._numbers)) <= self.events:
            while not await self._post(number):
                await wait(0.05)

    async def read(self) -> None:
        """Follow everything, a piece at a time."""
        ends = [self.events * n // (self._most_cuts + 1) for n in range(1, self._most_cuts + 1)]
        for cut, end in enumerate(ends):
            service = await self._any_service()
            async with anyio.create_task_group() as group:
                group.start_soon(self._follow, service.url)
                while len(self.seen) < end:
                    await wait(0.005)
                if cut in self._kills:
                    await self.fleet.kill(self._name_of(service))
                group.cancel_scope.cancel()
            self.cuts += 1
        await self._follow((await self._any_service()).url, until=self.events)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _follow(self, url: str, until: int | None = None) -> None:
        last = self.seen[-1] if self.seen else "0-0"
        async with LedgerClient(url) as ledger, aclosing(ledger.events(kinds=["post"], after=last)) as events:
            async for event in events:
                self.seen.append(event.id or "")
                if until is not None and len(self.seen) >= until:
                    return

    async def _post(self, number: int) -> bool:
        """Whether it is written, as far as can be known."""
        service = await self._any_service()
        try:
            ledger = self._clients.setdefault(service.url, LedgerClient(service.url, retries=0, timeout=5))
            await ledger.write_post(title=f"Post {number}", content="…", idempotency_key=f"post-{number}")
        except Conflict as error:
            is_lost = retry_after(error, clock.now()) is None
            self.lost_answers += is_lost
            return is_lost
        except LedgerError:
            return False
        return True

    async def _any_service(self) -> Service:
        while not self.fleet.services:
            await wait(0.05)
        return self._random.choice(list(self.fleet.services.values()))

    def _name_of(self, service: Service) -> str:
        return next(name for name, running in self.fleet.services.items() if running is service)

    def _start(self, name: str) -> AbstractAsyncContextManager[Service]:
        del name
        return serving(
            directory=self._directory,
            CRT_DATABASE_URL=self._url,
            CRT_TURN_SECONDS=str(TURN_SECONDS),
            CRT_LEASE_MARGIN_SECONDS=str(MARGIN_SECONDS),
        )


async def run(given: argparse.Namespace, url: str | None) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        if url is not None:
            await emptied(url)
        url = url or f"sqlite+aiosqlite:///{directory}/readers.db"
        await schema.migrate(url)
        readers = Readers(
            url, Path(directory), events=given.events, cuts=given.cuts, kills=given.kills, seed=given.seed
        )
        async with anyio.create_task_group() as group:
            for name in readers.fleet.names:
                group.start_soon(readers.fleet.keep_running, name)
            await readers.fleet.all_running()
            async with anyio.create_task_group() as work:
                for _ in range(WRITERS):
                    work.start_soon(readers.write)
                work.start_soon(readers.read)
            await readers.close()
            await readers.fleet.stop()
        return await _print(readers, url)


async def _print(readers: Readers, url: str) -> bool:
    db = Database(url)
    async with db.read() as session:
        order = select(EventRow.tx, EventRow.number).where(EventRow.kind == "post")
        told = [str(Position(*row)) for row in await session.execute(order.order_by(EventRow.tx, EventRow.number))]
        titles = Counter(await session.scalars(select(PostRow.title)))
        posts = await session.scalar(select(func.count()).select_from(PostRow))
    await db.close()
    seen = Counter(readers.seen)
    doubled_posts = [title for title, times in titles.items() if times > 1]
    wrong = {
        "events missing": len(set(told) - set(seen)),
        "events twice": sum(times > 1 for times in seen.values()),
        "events out of order": sum(Position.read(one) >= Position.read(other) for one, other in pairwise(readers.seen)),
        "posts missing": readers.events - len(titles),
        "posts twice": len(doubled_posts),
        "errors logged": readers.fleet.errors,
    }
    rows = {
        "posts, and events of them": f"{posts:,}, {len(told):,}",
        "times the reader came back": readers.cuts,
        "  of these after a kill -9": readers.fleet.kills,
        "answers lost by a kill": readers.lost_answers,
        **wrong,
    }
    for name, value in rows.items():
        print(f"{name:34} {value}")
    return not any(wrong.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--kills", type=int, default=6, help="how many of the cuts kill a service")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    url = os.environ.get("LEDGER_TEST_POSTGRES_URL", "") if given.postgres else None  # noqa: TID251
    if url == "":
        parser.error("set LEDGER_TEST_POSTGRES_URL=postgresql+asyncpg://USER@HOST/DATABASE, which is emptied")
    return 0 if anyio.run(run, given, url) else 1


if __name__ == "__main__":
    sys.exit(main())
