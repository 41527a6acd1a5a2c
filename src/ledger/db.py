"""The database: short shielded transactions on SQLite and PostgreSQL.

SQLite has one writer connection, whose transactions are `BEGIN IMMEDIATE`, and one read-only reader connection.
PostgreSQL has one pool for both. Stores get a `Session`, which is one transaction, and never commit.
"""

import logging
import secrets
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache, partial
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
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError, NotSupportedError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from ledger.columns import Moment, Row
from ledger.paging import AnySelect
from ledger.sqlite import connect as connect_sqlite

TRANSACTION_SECONDS = 5.0
"""What one transaction may take before it is rolled back, and how long one waits for a connection to be free."""

_BUSY_MILLISECONDS = 4_000
_POSTGRES_CONNECTIONS = 10

_FULL = (sqlite3.SQLITE_FULL, "53100")
"""SQLite's code and PostgreSQL's state for a disk that is full."""

_STATEMENTS_FAULT = ("22", "54")
"""Classes of PostgreSQL's errors that a statement's values are to blame for."""

_SCHEMA = ("42P01", "42703", "42501", "3F000")
"""PostgreSQL's states for a table, a column, a right or a schema that is missing."""

UNREACHABLE = (OperationalError, NotSupportedError, OSError, TimeoutError)
"""What is raised when the database or its schema cannot be reached or used just now.

Not among them: statements that are wrong, values that it refuses to keep, and damage to what it has kept.
"""


class Unanswered(TimeoutError):
    """The database did not answer in time: not to be taken for another deadline that has passed."""


T = TypeVar("T")

Write = Callable[["Session"], Awaitable[None]]
"""Writes something in a transaction."""

_first: ContextVar[Write | None] = ContextVar("first", default=None)
_inside: ContextVar[bool] = ContextVar("inside_transaction", default=False)

log = logging.getLogger(__name__)


def is_full(error: Exception) -> bool:
    """Whether the database, or the disk it is on, has no room for what was to be written."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlite_errorcode", getattr(cause, "sqlstate", None)) in _FULL


def new_id() -> str:
    """32 random hex digits, as a key."""
    return secrets.token_hex(16)


def outside_transaction(what: str) -> None:
    """Refuse to go on inside a transaction: whatever takes long must not hold one open."""
    if _inside.get():
        raise RuntimeError(f"{what} inside a database transaction")


@contextmanager
def writing_first(write: Write) -> Generator[None]:
    """Have something written at the beginning of every transaction that writes, in this task and those it starts."""
    token = _first.set(write)
    try:
        yield
    finally:
        _first.reset(token)


@contextmanager
def writing_first_later() -> Generator[Write | None]:
    """Leave to the block when that is written: it gets what was to be (`writing_first`), if anything was."""
    write = _first.get()
    token = _first.set(None)
    try:
        yield write
    finally:
        _first.reset(token)


def returning(statement: Update, columns: Sequence[InstrumentedAttribute[Any]]) -> AnySelect:
    """An update that gives the rows it changed, read as a select's."""
    return cast("AnySelect", statement.returning(*columns))  # pyright: ignore[reportUnknownMemberType] - untyped


class Session:
    """One transaction.

    To build a statement takes as long as to run it. Those of every turn are built once, where their store is loaded,
    with `bindparam` for what differs, and get that as `parameters`.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._afterwards: list[Callable[[], object]] = []
        self.has_events = False

    async def execute(
        self, statement: Executable, parameters: Sequence[dict[str, Any]] | dict[str, Any] | None = None
    ) -> CursorResult[Any]:
        return await self._connection.execute(statement, parameters)

    async def all(self, statement: AnySelect, into: type[T], **parameters: object) -> list[T]:
        """The rows as structs; the statement's columns are named as their fields."""
        rows = (await self._connection.execute(statement, parameters)).mappings()
        return [into(**cast("dict[str, Any]", row)) for row in rows]

    async def first(self, statement: AnySelect, into: type[T], **parameters: object) -> T | None:
        row = (await self._connection.execute(statement, parameters)).mappings().first()
        return None if row is None else into(**cast("dict[str, Any]", row))

    async def scalar(self, statement: Select[T], **parameters: object) -> T | None:
        return (await self._connection.execute(statement, parameters)).scalar()

    async def scalars(self, statement: Select[T], **parameters: object) -> Sequence[T]:
        return (await self._connection.execute(statement, parameters)).scalars().all()

    async def insert_missing(self, row: type[Row], values: dict[str, Any]) -> bool:
        """Insert a row unless its key is there already, also when another process inserts it just now."""
        statement = _insert_missing(row, self._connection.dialect.name)
        return (await self._connection.execute(statement, values)).rowcount == 1

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

    def announce(self) -> None:
        """Have those who listen (`Database.listen`) told, once the transaction is committed, that there are events."""
        self.has_events = True

    def committed(self) -> None:
        for call in self._afterwards:
            call()


@cache
def _insert_missing(row: type[Row], dialect: str) -> Executable:
    insert = sqlite_insert if dialect == "sqlite" else postgresql_insert
    return insert(row).on_conflict_do_nothing()


class Database:
    """Where everything is kept. `url` is a SQLAlchemy URL for aiosqlite or asyncpg."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._writer = _Pool(_sqlite_engine(url, writes=True))
            self._reader = _Pool(_sqlite_engine(url, writes=False))
        else:
            self._writer = self._reader = _Pool(_postgresql_engine(url), _POSTGRES_CONNECTIONS)
        self._listeners: list[Callable[[], None]] = []

    def listen(self, call: Callable[[], None]) -> None:
        """Have something called whenever this process has committed events."""
        self._listeners.append(call)

    @property
    def name(self) -> str:
        """The database without its password, for logs and people; options, which may hold one, are left out."""
        return self.url.set(query={}).render_as_string(hide_password=True)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Session]:
        """A transaction that may write; an exception inside rolls it back."""
        async with self._writer.transaction(writes=True) as session:
            if (write_first := _first.get()) is not None:
                await write_first(session)
            yield session
        session.committed()
        if session.has_events:
            self._announce()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Session]:
        """A transaction that only reads."""
        async with self._reader.transaction(writes=False) as session:
            yield session

    def _announce(self) -> None:
        for call in self._listeners:
            call()

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
            await self._writer.close()
            await self._reader.close()


class _Pool:
    """The connections of one engine, and the transactions on them."""

    def __init__(self, engine: AsyncEngine, size: int = 1) -> None:
        self._engine = engine
        self._places = anyio.Semaphore(size)
        self._lost: set[bool] = set()
        """Whether writes (true) or reads (false) have failed of late."""

    @asynccontextmanager
    async def transaction(self, *, writes: bool) -> AsyncGenerator[Session]:
        outside_transaction("another transaction")
        with self._watched(writes=writes):
            with limited():
                await self._places.acquire()
            try:
                # Cancelling a task amid a transaction would leave its connection locked; so it is shielded, and short.
                with limited(shield=True):
                    async with self._connected() as connection, connection.begin():
                        yield Session(connection)
            finally:
                self._places.release()

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[AsyncConnection]:
        connection = await self._engine.connect()
        token = _inside.set(True)
        try:
            yield connection
        except (*UNREACHABLE, anyio.get_cancelled_exc_class()):
            # Nobody knows what state it is in. Ended, it has nothing open and nothing locked.
            with anyio.CancelScope(shield=True):
                await connection.invalidate()
            raise
        finally:
            _inside.reset(token)
            await connection.close()

    @contextmanager
    def _watched(self, *, writes: bool) -> Generator[None]:
        """Log once that the database cannot be used, and once that it can be again. Raises `Unanswered`."""
        use = "written to" if writes else "read"
        try:
            yield
        except UNREACHABLE as error:
            if isinstance(error, DBAPIError):
                error.statement = error.code = None  # whoever logs it every tick needs its own words alone, on one line
            if writes not in self._lost:
                log.warning("The database cannot be %s: %s", use, error)
            self._lost.add(writes)
            if isinstance(error, TimeoutError):
                raise Unanswered(str(error)) from error
            raise
        if writes in self._lost:
            log.info("The database can be %s again", use)
        self._lost.discard(writes)


def limited(*, shield: bool = False) -> AbstractContextManager[object]:
    """What no step on a connection may exceed; raises `TimeoutError`, which says so."""
    reason = f"it did not answer within {TRANSACTION_SECONDS:g} s"
    return anyio.fail_after(TRANSACTION_SECONDS, shield=shield, reason=reason)


def _postgresql_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url, pool_size=_POSTGRES_CONNECTIONS, max_overflow=0, pool_pre_ping=True, hide_parameters=True
    )

    def connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # What a process holds that has lost its network amid a transaction must not stay locked for hours.
        cursor = connection.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = {2_000 * TRANSACTION_SECONDS:.0f}")
        # And a statement that waits for a lock must not go on when nobody waits for it any more.
        cursor.execute(f"SET statement_timeout = {1_000 * TRANSACTION_SECONDS:.0f}")
        cursor.close()
        connection.commit()

    def close(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The polite way waits for the server, which may be gone.
        cast("Any", connection).driver_connection.terminate()

    def named(context: ExceptionContext) -> Exception | None:
        # The adapter gives lost connections, and most of what the server says, no class that tells what they are.
        error, cause = context.sqlalchemy_exception, context.original_exception
        state = str(getattr(cause, "sqlstate", ""))
        is_servers = type(error) is DBAPIError and not state.startswith(_STATEMENTS_FAULT)
        if context.is_pre_ping or not (context.is_disconnect or is_servers or state in _SCHEMA):
            return None
        return OperationalError(context.statement, context.parameters, cause, hide_parameters=True)

    event.listen(engine.sync_engine, "connect", connect)
    event.listen(engine.sync_engine, "close", close)
    event.listen(engine.sync_engine, "handle_error", named)
    return engine


def _sqlite_engine(url: str, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        async_creator=partial(connect_sqlite, make_url(url)),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_reset_on_return=None,  # every transaction ends by itself
        hide_parameters=True,
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
