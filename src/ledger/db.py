"""The database: short shielded transactions on SQLite and PostgreSQL.

SQLite has one writer connection, whose transactions are `BEGIN IMMEDIATE`, and one read-only reader connection.
PostgreSQL has one pool for both. Stores get a `Session`, which is one transaction, and never commit.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeVar, cast

import anyio
import msgspec
from sqlalchemy import (
    CursorResult,
    DateTime,
    Dialect,
    Executable,
    MetaData,
    Select,
    Text,
    TypeDecorator,
    Update,
    event,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import Tuple
from sqlalchemy.sql.functions import GenericFunction

from ledger.errors import Malformed

TRANSACTION_SECONDS = 5.0
"""What one transaction may take before it is rolled back."""

_BUSY_MILLISECONDS = 4_000
_POSTGRES_CONNECTIONS = 10

UNREACHABLE = (DBAPIError, OSError, TimeoutError)
"""What is raised when the database cannot be reached or used just now."""

T = TypeVar("T")

AnySelect = Select[*tuple[Any, ...]]

_inside: ContextVar[bool] = ContextVar("inside_transaction", default=False)


class Row(DeclarativeBase):
    """A table. Rows never leave the folder they are declared in: stores give structs."""

    # A closed set of words is plain text here: the structs know which words, and it may grow without a migration.
    type_annotation_map: ClassVar[dict[Any, Any]] = {Literal: Text(), str: Text()}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Moment(TypeDecorator[datetime]):
    """An aware moment in UTC; SQLite, which knows no zones, keeps it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text from outside that is kept for people to read; NUL, which PostgreSQL cannot keep, is left out."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else value.replace("\x00", "")


class Json(TypeDecorator[Any]):
    """A value of one type, kept as JSON text (so that it may hold what a text column may not, such as NUL)."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: object) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401 - of the kind it was made for
        del dialect
        return None if value is None else msgspec.json.decode(value, type=cast("Any", self.kind))


class fresh_token(GenericFunction[str]):  # noqa: N801 - it reads as a function in SQL
    """32 random hex digits, another for every row of a statement."""

    inherit_cache = True


@compiles(fresh_token, "sqlite")
def _fresh_token_on_sqlite(element: fresh_token, compiler: SQLCompiler, **_: object) -> str:
    del element, compiler
    return "lower(hex(randomblob(16)))"


@compiles(fresh_token, "postgresql")
def _fresh_token_on_postgresql(element: fresh_token, compiler: SQLCompiler, **_: object) -> str:
    del element, compiler
    return "replace(gen_random_uuid()::text, '-', '')"


def new_id() -> str:
    """32 random hex digits, as a key."""
    return secrets.token_hex(16)


def columns(row: type[Row], struct: type[msgspec.Struct]) -> list[InstrumentedAttribute[Any]]:
    """The columns of a table that a struct has fields for, in the order of its fields."""
    return [getattr(row, name) for name in struct.__struct_fields__ if hasattr(row, name)]


class Keyset:
    """The order of a list by columns that name one row, and where in it a page begins.

    A page is read by `select(…, limit)`, which asks for one row more than the limit, and cut by `cut`.
    """

    def __init__(self, *keys: InstrumentedAttribute[Any], descending: bool = True) -> None:
        self._keys = keys
        self._descending = descending
        self._cursor = msgspec.json.Decoder(tuple.__class_getitem__(tuple(key.type.python_type for key in keys)))

    def select(self, statement: AnySelect, limit: int, cursor: str | None) -> AnySelect:
        if cursor is not None:
            place, keys = self._read(cursor), tuple_(*self._keys)
            statement = statement.where(keys < place if self._descending else keys > place)
        order = [key.desc() if self._descending else key.asc() for key in self._keys]
        return statement.order_by(*order).limit(limit + 1)

    def cut(self, items: list[T], limit: int) -> tuple[list[T], str | None]:
        """The page, and the cursor of the next one if there is more."""
        if len(items) <= limit:
            return items, None
        values = [getattr(items[limit - 1], key.key) for key in self._keys]
        return items[:limit], urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")

    def _read(self, cursor: str) -> Tuple:
        try:
            values = self._cursor.decode(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
            return tuple_(*(literal(value, key.type) for value, key in zip(values, self._keys, strict=True)))
        except (ValueError, OverflowError):
            raise Malformed(f"The cursor {cursor!r} is not one this list gave: use a next_cursor as it came.") from None


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
    engine = create_async_engine(url, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)

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
