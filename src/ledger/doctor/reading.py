"""The database as a doctor sees it: on a connection that cannot change anything, and makes no file."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import anyio
from sqlalchemy import URL, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ledger.clock import Clock, ServerClock
from ledger.columns import Moment
from ledger.settings import Settings


def is_sqlite(settings: Settings) -> bool:
    return make_url(settings.database_url).get_backend_name() == "sqlite"


def path_of(settings: Settings) -> Path:
    """Where the SQLite file lies."""
    return Path(make_url(settings.database_url).database or "").absolute()


def file_uri(path: Path) -> str:
    """A name of a SQLite file for `sqlite3.connect`, under which it is only read."""
    return f"{path.as_uri()}?{urlencode(_read_only(path))}"


@asynccontextmanager
async def reading(settings: Settings) -> AsyncGenerator[AsyncConnection]:
    """A connection to the database that only reads."""
    engine = create_async_engine(
        _url(settings),
        poolclass=NullPool,
        execution_options={} if is_sqlite(settings) else {"postgresql_readonly": True},
    )
    try:
        connection = await engine.connect()
        try:
            yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await connection.invalidate()  # which does not wait for long for a server that may be gone
                await connection.close()
    finally:
        await engine.dispose()


async def database_clock(settings: Settings, connection: AsyncConnection, clock: Clock) -> Clock:
    """The clock that Ledger goes by: the database server's, or on SQLite the machine's."""
    if is_sqlite(settings):
        return clock
    server = ServerClock()
    await server.follow(partial(_server_time, connection))
    return server


async def _server_time(connection: AsyncConnection) -> datetime:
    return (await connection.execute(select(func.clock_timestamp(type_=Moment())))).scalar_one()


def _url(settings: Settings) -> URL:
    url = make_url(settings.database_url)
    if not is_sqlite(settings):
        return url
    path = path_of(settings)
    return url.set(database=path.as_uri(), query={"uri": "true", **_read_only(path)})


def _read_only(path: Path) -> dict[str, str]:
    # Even a connection that only reads makes the files `-wal` and `-shm`, unless it takes the database to be
    # immutable. Where there is no `-wal`, nobody has it open, and whoever opens it now writes to a new `-wal` first.
    is_open = path.with_name(f"{path.name}-wal").exists()
    return {"mode": "ro"} if is_open else {"mode": "ro", "immutable": "1"}
