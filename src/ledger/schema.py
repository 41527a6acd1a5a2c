"""The schema's owner is Alembic: bring a database up to date, or say that it is not."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

_LOCK = 0x1ED6E5  # any number, as long as all processes lock the same


class SchemaError(Exception):
    """The database's schema is not the program's, and what to do about it."""


def alembic_config() -> Config:
    """Alembic's configuration for the migrations shipped with the program, or those of a checkout."""
    shipped = Path(__file__).parent / "migrations"
    config = Config()
    config.set_main_option(
        "script_location", str(shipped if shipped.exists() else Path(__file__).parents[2] / "migrations")
    )
    return config


async def migrate(url: str) -> None:
    """Bring the schema up to date in one transaction, on a connection of its own; several processes may try at once.

    SQLite's foreign keys are off meanwhile, because rebuilding a table would delete its children, and are checked
    before the commit. Raises `SchemaError` for a database that is newer than the program.
    """
    async with _connection(url) as connection:
        if await connection.run_sync(_revision) != head():
            await connection.rollback()
            await connection.run_sync(_migrate)


async def verify(url: str) -> None:
    """Raise `SchemaError` unless the database is up to date."""
    async with _connection(url) as connection:
        current = await connection.run_sync(_revision)
    if current == head():
        return
    if current is not None and not is_known(current):
        raise SchemaError(newer(current))
    raise SchemaError("The database is not up to date: run `ledger migrate` first.")


def is_known(revision: str) -> bool:
    """Whether a revision is one of the program's, and not a newer one's."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


@cache
def head() -> str | None:
    """The revision this program works with."""
    return _scripts().get_current_head()


@asynccontextmanager
async def _connection(url: str) -> AsyncGenerator[AsyncConnection]:
    _refuse_unusable_file(make_url(url))
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def _refuse_unusable_file(url: URL) -> None:
    """Say at once that an SQLite file cannot be opened; the driver's thread would say it again after its loop's end."""
    if url.get_backend_name() == "sqlite":
        try:
            sqlite3.connect(url.database or "").close()
        except sqlite3.Error as error:
            raise SchemaError(f"The database {url} cannot be used: {error}.") from None


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _migrate(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    if connection.dialect.name == "sqlite":
        driver = connection.connection.dbapi_connection
        driver.isolation_level = None  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        for statement in ("PRAGMA busy_timeout = 30000", "PRAGMA foreign_keys = OFF", "BEGIN IMMEDIATE"):
            connection.exec_driver_sql(statement)
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(newer(str(_revision(connection)))) from error
    if connection.dialect.name == "sqlite" and (
        broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    ):
        raise SchemaError(
            f"The migration would leave a row of {broken[0]} without what it refers to; nothing was changed."
        )
    connection.commit()


def newer(revision: str) -> str:
    """What to say of a revision that is not known."""
    return (
        f"The database has the revision {revision}, which this program does not know: it is newer. Upgrade the program."
    )
