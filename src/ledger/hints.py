"""Hints between processes that something has changed: PostgreSQL's LISTEN and NOTIFY, on a connection of their own.

Nothing rests on a hint. Where one is lost, or there is none to be had (SQLite, a pooler in between), processes notice
what others wrote within a tick. They are sent after a commit and not within the transaction, where NOTIFY would have
all commits of the database wait in line.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from ledger.clock import Clock
from ledger.db import Database, limited

CHANNEL = "ledger"

_PAUSE = timedelta(milliseconds=50)
"""Between two sendings; what is to be sent meanwhile goes out together."""

_MOST_UNSENT = 1_000
"""How many hints wait at most for a connection that is lost."""

log = logging.getLogger(__name__)


class Hints:
    """What this process tells others, a key at a time, and hears from them."""

    def __init__(self, db: Database, clock: Clock, *, tick: timedelta) -> None:
        """`tick`: how often the connection is looked after, and tried again when it is lost."""
        self._db = db
        self._clock = clock
        self._tick = tick
        self._unsent: set[str] = set()
        self._stirred = anyio.Event()
        self._ending = anyio.Event()

    def send(self, key: str) -> None:
        """Tell the other processes soon, if there is a way to."""
        if not self._db.is_sqlite and len(self._unsent) < _MOST_UNSENT:
            self._unsent.add(key)
            self._stirred.set()

    @asynccontextmanager
    async def exchanged(self, hear: Callable[[str], None]) -> AsyncGenerator[None]:
        """Exchange hints until the end of the block, which sends what is left; `hear` gets the keys of others."""
        if self._db.is_sqlite:
            yield
            return
        tried = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_exchanging, hear, tried)
            await tried.wait()
            try:
                yield
            finally:
                self._ending.set()
                self._stirred.set()

    async def _keep_exchanging(self, hear: Callable[[str], None], tried: anyio.Event) -> None:
        is_lost = False
        while not self._ending.is_set():
            try:
                async with self._connected(hear) as connection:
                    if is_lost:
                        log.info("Hints from other processes come again")
                    is_lost = False
                    tried.set()
                    await self._send_all(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, hints are all that is lost
                if not is_lost:
                    log.warning("No hints from other processes, whose writes are noticed by the tick: %s", error)
                is_lost = True
                tried.set()
                await self._clock.sleep_until(self._clock.now() + self._tick, self._ending)

    @asynccontextmanager
    async def _connected(self, hear: Callable[[str], None]) -> AsyncGenerator[Any]:
        """A connection of the driver's that listens."""
        engine = create_async_engine(self._db.url, poolclass=NullPool)
        with limited():
            pooled = await engine.connect()
        connection: Any = (await pooled.get_raw_connection()).driver_connection
        try:
            own = connection.get_server_pid()

            def notified(_: object, sender: int, __: str, key: str) -> None:
                if sender != own:
                    hear(key)

            def ended(_: object) -> None:
                self._stirred.set()

            connection.add_termination_listener(ended)
            with limited():
                await connection.add_listener(CHANNEL, notified)
            yield connection
        finally:
            with anyio.CancelScope(shield=True):
                connection.terminate()  # the polite way waits for the server, which may be gone
                await pooled.invalidate()

    async def _send_all(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg need not be installed
        """Send what comes, until the end; each tick an empty sending shows whether the connection still stands."""
        while True:
            await self._clock.sleep_until(self._clock.now() + self._tick, self._stirred)
            self._stirred = anyio.Event()
            with limited():
                await self._send_unsent(connection)
            if self._ending.is_set() and not self._unsent:
                return
            await self._clock.sleep_until(self._clock.now() + _PAUSE, self._ending)

    async def _send_unsent(self, connection: Any) -> None:  # noqa: ANN401
        unsent, self._unsent = self._unsent, set()
        try:
            await connection.fetch("SELECT pg_notify($1, key) FROM unnest($2::text[]) AS key", CHANNEL, [*unsent])
        except BaseException:
            self._unsent |= unsent
            self._stirred.set()
            raise
