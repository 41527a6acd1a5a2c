"""The database: short shielded transactions on SQLite and PostgreSQL.

SQLite has one writer connection, whose transactions are `BEGIN IMMEDIATE`, and one read-only reader connection.
PostgreSQL has one pool for both. Stores get a `Session`, which is one transaction, and never commit.
"""

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, cast

import anyio
from sqlalchemy import (
    CursorResult,
    Executable,
    Select,
    Update,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from ledger.columns import Moment, Row
from ledger.paging import AnySelect
from ledger.sqlite import connect as connect_sqlite

TRANSACTION_SECONDS = 5.0
"""What one transaction may take before it is rolled back."""

_BUSY_MILLISECONDS = 4_000
_POSTGRES_CONNECTIONS = 10

UNREACHABLE = (DBAPIError, OSError, TimeoutError)
"""What is raised when the database cannot be reached or used just now."""

T = TypeVar("T")

_inside: ContextVar[bool] = ContextVar("inside_transaction", default=False)


def new_id() -> str:
    """32 random hex digits, as a key."""
    return secrets.token_hex(16)


def outside_transaction(what: str) -> None:
    """Refuse to go on inside a transaction: whatever takes long must not hold one open."""
    if _inside.get():
        raise RuntimeError(f"{what} inside a database transaction")


class Session:
    """One transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._afterwards: list[Callable[[], object]] = []

    async def execute(
        self, statement: Executable, parameters: Sequence[dict[str, Any]] | None = None
    ) -> CursorResult[Any]:
        return await self._connection.execute(statement, parameters)

    async def all(self, statement: AnySelect, into: type[T]) -> list[T]:
        """The rows as structs; the statement's columns are named as their fields."""
        rows = (await self._connection.execute(statement)).mappings()
        return [into(**cast("dict[str, Any]", row)) for row in rows]

    async def first(self, statement: AnySelect, into: type[T]) -> T | None:
        row = (await self._connection.execute(statement)).mappings().first()
        return None if row is None else into(**cast("dict[str, Any]", row))

    async def scalar(self, statement: Select[T]) -> T | None:
        return (await self._connection.execute(statement)).scalar()

    async def scalars(self, statement: Select[T]) -> Sequence[T]:
        return (await self._connection.execute(statement)).scalars().all()

    async def returning(
        self, statement: Update, columns: Sequence[InstrumentedAttribute[Any]], into: type[T]
    ) -> list[T]:
        """Run an update and have the rows it changed as structs."""
        changed = cast("Executable", statement.returning(*columns))  # pyright: ignore[reportUnknownMemberType] - untyped
        rows = (await self._connection.execute(changed)).mappings()
        return [into(**cast("dict[str, Any]", row)) for row in rows]

    async def insert_missing(self, row: type[Row], values: dict[str, Any]) -> bool:
        """Insert a row unless its key is there already, also when another process inserts it just now."""
        sqlite = self._connection.dialect.name == "sqlite"
        statement = sqlite_insert(row).values(values) if sqlite else postgresql_insert(row).values(values)
        return (await self._connection.execute(statement.on_conflict_do_nothing())).rowcount == 1

    @asynccontextmanager
    async def undone(self) -> AsyncGenerator[None]:
        """A part of the transaction that is taken back at its end."""
        savepoint = await self._connection.begin_nested()
        try:
            yield
        finally:
            await savepoint.rollback()

    def after_commit(self, call: Callable[[], object]) -> None:
        """Have something called once the transaction is committed, and not at all if it is rolled back."""
        self._afterwards.append(call)

    def committed(self) -> None:
        for call in self._afterwards:
            call()


class Database:
    """Where everything is kept. `url` is a SQLAlchemy URL for aiosqlite or asyncpg."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._writer, self._reader = _sqlite_engine(url, writes=True), _sqlite_engine(url, writes=False)
            self._write_places, self._read_places = anyio.Semaphore(1), anyio.Semaphore(1)
        else:
            self._writer = self._reader = create_async_engine(
                url, pool_size=_POSTGRES_CONNECTIONS, max_overflow=0, pool_pre_ping=True
            )
            self._write_places = self._read_places = anyio.Semaphore(_POSTGRES_CONNECTIONS)

    @property
    def name(self) -> str:
        """The database without its password, for logs and people."""
        return self.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Session]:
        """A transaction that may write; an exception inside rolls it back."""
        async with self._write_places, _transaction(self._writer) as session:
            yield session
        session.committed()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Session]:
        """A transaction that only reads."""
        async with self._read_places, _transaction(self._reader) as session:
            yield session

    async def server_time(self) -> datetime:
        """What the database server's clock says (PostgreSQL only)."""
        async with self.read() as session:
            moment = await session.scalar(select(func.clock_timestamp(type_=Moment())))
        return cast("datetime", moment)

    async def ping(self) -> None:
        async with self.read() as session:
            await session.execute(select(literal(1)))

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._writer.dispose()
            await self._reader.dispose()


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncGenerator[Session]:
    # Cancelling a task amid a transaction would leave its connection locked; so it is shielded, and short.
    outside_transaction("another transaction")
    with anyio.CancelScope(shield=True):
        connection = await engine.connect()
        token = _inside.set(True)
        try:
            with anyio.fail_after(TRANSACTION_SECONDS):
                await connection.begin()
                yield Session(connection)
                await connection.commit()
        except BaseException:
            await connection.rollback()
            raise
        finally:
            _inside.reset(token)
            await connection.close()


def _sqlite_engine(url: str, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        async_creator=partial(connect_sqlite, make_url(url)),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_reset_on_return=None,  # every transaction ends by itself
    )

    def connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cast("Any", connection).isolation_level = None  # the driver's own BEGIN would be a deferred one
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        if not writes:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    def begin(connection: Any) -> None:  # noqa: ANN401 - the event hands over SQLAlchemy's sync connection
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine.sync_engine, "connect", connect)
    event.listen(engine.sync_engine, "begin", begin)
    return engine
