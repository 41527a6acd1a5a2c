"""What tests stand on: a clock that is set by hand, a scripted model, real databases, and the application over ASGI."""

import asyncio
import gc
import logging
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from msgspec import structs
from sqlalchemy import URL, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from ledger import schema
from ledger.app import Ledger, Role, build, create_app, routed
from ledger.clock import ManualClock
from ledger.db import Database
from ledger.settings import Settings
from ledger.tables import METADATA
from tests.scripted import ScriptedModel

POSTGRES_URL = os.environ.get("LEDGER_TEST_POSTGRES_URL", "")  # noqa: TID251 - where the tests' own server is
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests with many cases in which the database plays no part."""

on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""For tests of what SQLite does not have."""

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
"""A Monday noon: where every test's clock starts."""


# Every application that a test opens is some ten thousand objects, which the collector would look through time and
# again: a fifth of all that the tests take.
gc.freeze()
gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture(scope="session")
async def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    await schema.migrate(f"sqlite+aiosqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # as every application would make it, each on its own copy
    return path


@pytest.fixture(scope="session")
async def empty_postgres(worker_id: str) -> str:
    """A migrated PostgreSQL database; its tables are emptied before each test that asks for it.

    Each of several test processes has one of its own, beside the one that was named.
    """
    url = make_url(POSTGRES_URL)
    if worker_id != "master":
        url = url.set(database=f"{url.database}_{worker_id}")
        await _create(url)
    rendered = url.render_as_string(hide_password=False)
    await _rebuild(rendered)
    return rendered


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once on each engine."""
    if request.param == "postgresql" and not POSTGRES_URL:
        _without_postgres()
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def sqlite_url(empty_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "ledger.db"
    shutil.copyfile(empty_sqlite, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture(scope="session")
async def emptying(empty_postgres: str) -> AsyncGenerator[Database]:
    """A connection that is kept, for nothing but to empty the tables."""
    database = Database(empty_postgres)
    yield database
    await database.close()


@pytest.fixture
async def postgresql_url(empty_postgres: str, emptying: Database) -> str:
    await _empty(emptying)
    return empty_postgres


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        heartbeat_md=str(tmp_path / "HEARTBEAT.md"),
        heartbeat_enabled=True,
        llm_model="scripted",
    )


Opener = Callable[..., AbstractAsyncContextManager["Running"]]


class Running:
    """The application while it runs: called over HTTP, and reachable inside."""

    def __init__(self, app: Ledger, http: httpx.AsyncClient) -> None:
        self.app = app
        self.http = http
        self.db: Database = app.state.db
        self.heartbeat = app.state.heartbeat_loop
        self.reflection = app.state.reflection_loop


@pytest.fixture
def opened(settings: Settings, clock: ManualClock, model: ScriptedModel) -> Opener:
    """Open the application, as often as a test wants: `async with opened() as running`.

    Keyword arguments change settings; `rules=True` runs without a model, and `role` says what it does. Its loops run,
    but with the clock standing still they sleep; tests take turns by `run_once()`.
    """

    @asynccontextmanager
    async def open_app(*, rules: bool = False, role: Role = "all", **changes: object) -> AsyncGenerator[Running]:
        changed = structs.replace(settings, **changes)
        headers = {"Authorization": f"Bearer {changed.api_token}"} if changed.api_token else {}
        with _routed(changed) as app:
            app.furnish(build(changed, clock, None if rules else model, role))
            async with served(app, headers) as running:
                yield running

    return open_app


_at_rest: list[Ledger] = []
"""Applications whose routes may be served with other parts: to make them takes longer than most tests."""


@contextmanager
def _routed(settings: Settings) -> Generator[Ledger]:
    if settings.cors_origins:
        yield routed(settings)
        return
    app = _at_rest.pop() if _at_rest else routed(settings)
    yield app
    _at_rest.append(app)


def settings_for(empty_sqlite: Path, folder: Path) -> Settings:
    """Settings of an application with all its files in one folder."""
    path = folder / "ledger.db"
    shutil.copyfile(empty_sqlite, path)
    return Settings(database_url=f"sqlite+aiosqlite:///{path}", heartbeat_md=str(folder / "HEARTBEAT.md"))


@asynccontextmanager
async def in_a_task_of_its_own(context: AbstractAsyncContextManager[Running]) -> AsyncGenerator[Running]:
    """Keep a context open over many tests: fixtures of several scopes end in another order than they began."""
    entered: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    end = asyncio.Event()

    async def hold() -> None:
        async with context as running:
            entered.set_result(running)
            await end.wait()

    task = asyncio.create_task(hold())
    await asyncio.wait({entered, task}, return_when=asyncio.FIRST_COMPLETED)
    yield entered.result()
    end.set()
    await task


@asynccontextmanager
async def served(app: Ledger, headers: dict[str, str]) -> AsyncGenerator[Running]:
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - httpx types ASGI more narrowly
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers) as http,
    ):
        yield Running(app, http)


@pytest.fixture(scope="session")
async def never_written(empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Running]:
    settings = settings_for(empty_sqlite, tmp_path_factory.mktemp("refusing"))
    async with in_a_task_of_its_own(served(create_app(settings, clock=ManualClock(START)), {})) as running:
        yield running


@pytest.fixture(scope="session")
def data_version(never_written: Running) -> Iterator[Callable[[], int]]:
    """A number that SQLite changes with every write to the file of `never_written`."""
    with closing(sqlite3.connect(str(never_written.db.url.database))) as connection:
        yield lambda: connection.execute("PRAGMA data_version").fetchone()[0]


@pytest.fixture
def refusing(never_written: Running, data_version: Callable[[], int]) -> Iterator[Running]:
    """One application for all tests that only send what it refuses, whatever its database; a write fails the test."""
    before = data_version()
    yield never_written
    assert data_version() == before, "the application that all refusals share was written to: use `running`"


@pytest.fixture
async def other_db(db: Database, database_url: str) -> AsyncGenerator[Database]:
    """The same database as another process has it."""
    del db
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def running(opened: Opener) -> AsyncGenerator[Running]:
    """The application with the scripted model."""
    async with opened() as app:
        yield app


@pytest.fixture(autouse=True)
def errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Fails a test in which an ERROR was logged; a test that expects one empties this list."""
    found: list[str] = []
    caplog.set_level(logging.INFO, logger="ledger")
    yield found
    # At teardown the records of the test itself have moved on.
    records = [*caplog.get_records("setup"), *caplog.get_records("call"), *caplog.records]
    errors = [record.getMessage() for record in records if record.levelno >= logging.ERROR]
    unexpected = [message for message in errors if not any(part in message for part in found)]
    assert not unexpected, f"logged as errors: {unexpected}"


def _without_postgres() -> NoReturn:
    """Skip, loudly; where PostgreSQL is required, as in CI, fail."""
    why = "PostgreSQL is NOT tested: set LEDGER_TEST_POSTGRES_URL=postgresql+asyncpg://USER@HOST/DATABASE"
    if os.environ.get("LEDGER_TEST_REQUIRE_POSTGRES"):  # noqa: TID251 - set by CI
        pytest.fail(why)
    pytest.skip(why)


async def _create(url: URL) -> None:
    engine = create_async_engine(POSTGRES_URL, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        known = text("SELECT 1 FROM pg_database WHERE datname = :name").bindparams(name=url.database)
        if (await connection.execute(known)).first() is None:
            await connection.execute(text(f'CREATE DATABASE "{url.database}"'))
    await engine.dispose()


async def _rebuild(url: str) -> None:
    database = Database(url)
    async with database.write() as session:
        await session.execute(text("DROP SCHEMA public CASCADE"))
        await session.execute(text("CREATE SCHEMA public"))
        # Nothing here has to outlive a power cut, and waiting for the disk is most of a test's time.
        await session.execute(text(f'ALTER DATABASE "{database.url.database}" SET synchronous_commit TO off'))
    await database.close()
    await schema.migrate(url)


async def _empty(database: Database) -> None:
    # Few rows are deleted far faster than tables are truncated, which makes new files of all of them.
    deletes = "".join(f'DELETE FROM "{table.name}"; ' for table in reversed(METADATA.sorted_tables))  # noqa: S608 - our own tables
    async with database.write() as session:
        await session.execute(text(f"DO $$ BEGIN {deletes} END $$"))
