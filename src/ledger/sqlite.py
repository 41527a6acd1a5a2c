"""SQLite's driver with one step to the connection's thread for each statement.

SQLAlchemy's adapter takes four (make a cursor, execute, fetch, close), and they are most of what a statement costs.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, cast

import aiosqlite
from sqlalchemy import URL

_ROWS_AT_ONCE = 64


class _Result:
    """What a statement left, its cursor being closed already."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self.rows: list[Any] = cursor.fetchall() if cursor.description else []
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
        cursor.close()


class _Cursor:
    """A cursor as the adapter uses it."""

    arraysize = 1
    description: Any = None
    rowcount = -1
    lastrowid: int | None = None

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> "_Cursor":
        return await self._do(lambda connection: connection.execute(statement, parameters))

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> "_Cursor":
        return await self._do(lambda connection: connection.executemany(statement, parameters))

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = []

    async def _do(self, step: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> "_Cursor":
        def whole(connection: sqlite3.Connection) -> _Result:
            return _Result(step(connection))

        result: _Result = await self._run(whole)
        self.description, self.rowcount, self.lastrowid = result.description, result.rowcount, result.lastrowid
        self._rows = result.rows
        return self


class _Connection(aiosqlite.Connection):
    _stopped: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        # The driver's own way waits for ever where it is told twice, as by a close that is cut short.
        if self._stopped is None:
            self._stopped = super().stop()  # pyright: ignore[reportUnknownMemberType] - untyped
        return self._stopped

    def cursor(self) -> _Cursor:  # pyright: ignore[reportIncompatibleMethodOverride] - the adapter only enters it
        return _Cursor(self._run)

    async def _run(self, step: Callable[[sqlite3.Connection], Any]) -> Any:  # noqa: ANN401 - what the step gives
        return await self._execute(lambda: step(self._conn))  # pyright: ignore[reportUnknownMemberType]


async def connect(url: URL) -> aiosqlite.Connection:
    """Open a database file."""
    arguments, options = url.get_dialect()().create_connect_args(url)
    driver = cast("Callable[..., sqlite3.Connection]", sqlite3.connect)
    connection = _Connection(lambda: driver(*arguments, **options), _ROWS_AT_ONCE)
    connection._thread.daemon = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as the adapter has it
    return await connection
