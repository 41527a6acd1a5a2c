"""What becomes of requests and turns while the database cannot be used: away, silent, full, locked, or read-only."""

import logging
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from datetime import timedelta

import anyio
import httpx
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import Pool

from ledger.clock import ManualClock
from ledger.db import UNREACHABLE, Database
from ledger.runs.structs import Run
from tests.conftest import START, Opener, Running, on_postgres, on_sqlite
from tests.proxy import Lost, Proxy, proxy_running
from tests.toy import HALF_HOUR, LEASE, TICK, Process, Toy, Waits, assert_covered_once, eventually

MESSAGES = "/api/threads/default/messages"
HELLO = {"messages": [{"role": "user", "content": "Hello.", "id": "hello"}]}
LONG = {"messages": [{"role": "user", "content": "Shall we go camping? " * 5_000}]}
AWAY = "The database cannot be used just now: try again."
FULL = "The database, or the disk it is on, is full: make room, and try again. Nothing was changed."

Change = Callable[[Proxy], Awaitable[None]]

outages = pytest.mark.parametrize(("away", "back"), [(Proxy.refuse, Proxy.accept), (Proxy.block, Proxy.unblock)])


@pytest.fixture
async def proxy(database_url: str) -> AsyncGenerator[Proxy]:
    async with proxy_running(database_url) as proxy:
        yield proxy


@contextmanager
def impatient() -> Generator[None]:
    """No transaction takes longer than a test may."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.db.TRANSACTION_SECONDS", 0.2)
        yield


@pytest.fixture
async def through(proxy: Proxy, opened: Opener, clock: ManualClock) -> AsyncGenerator[Running]:
    """The application, whose way to the database is the proxy, when its loops have looked for due turns."""
    async with opened(database_url=proxy.url) as running:
        await eventually(lambda: has_passed(running, clock))
        yield running


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
async def process(proxy: Proxy, clock: ManualClock, toy: Toy) -> AsyncGenerator[Process]:
    """The engine, whose way to the database is the proxy, with a turn that is due."""
    process = Process(Database(proxy.url), clock, toy)
    await process.start("a")
    clock.advance(HALF_HOUR)
    yield process
    await process.db.close()


@on_postgres
@outages
async def test_while_the_database_is_away_requests_get_503_and_afterwards_their_answers(
    through: Running, proxy: Proxy, away: Change, back: Change
) -> None:
    await away(proxy)
    with impatient():
        for answer in (await through.http.get("/api/threads"), await through.http.post(MESSAGES, json=HELLO)):
            assert_problem(answer, 503, AWAY)
        assert_problem(await through.http.get("/health/ready"), 503, AWAY)
    assert (await through.http.get("/health/live")).status_code == 200

    await back(proxy)
    assert (await through.http.get("/health/ready")).status_code == 200
    assert (await through.http.post(MESSAGES, json=HELLO)).json()["added"] == 1


@on_postgres
@outages
async def test_the_loops_say_once_a_tick_that_the_database_is_away_and_go_on_when_it_is_back(
    through: Running, proxy: Proxy, clock: ManualClock, caplog: pytest.LogCaptureFixture, away: Change, back: Change
) -> None:
    await away(proxy)
    with impatient():
        for ticks in (1, 2, 3):
            clock.advance(TICK)
            await logged(caplog, "A pass failed", times=4 * ticks)
    await back(proxy)
    clock.advance(TICK)
    await eventually(lambda: has_passed(through, clock))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    by_loop = {label: sum(line.startswith(f"[{label}_LOOP] A pass failed: ") for line in told) for label in LABELS}
    assert by_loop == dict.fromkeys(LABELS, 3)
    assert sum("The database cannot be read" in line for line in told) == 1
    assert "The database can be read again" in caplog.text


@on_postgres
async def test_more_requests_than_there_are_connections_wait_no_longer_than_one_when_nothing_is_answered(
    through: Running, proxy: Proxy
) -> None:
    await proxy.block()
    with impatient(), anyio.fail_after(2):
        assert await at_once(through, 40) == {503}
    await proxy.unblock()
    assert await at_once(through, 40) == {200}


@on_postgres
async def test_connections_that_were_lost_while_nobody_used_them_harm_nobody(through: Running, proxy: Proxy) -> None:
    assert await at_once(through, 40) == {200}
    await proxy.cut()
    assert await at_once(through, 40) == {200}


@on_postgres
@pytest.mark.parametrize(("lost", "added"), [("question", 1), ("answer", 0)])
async def test_what_is_written_when_the_connection_is_lost_is_there_whole_or_not_at_all(
    through: Running, proxy: Proxy, lost: Lost, added: int
) -> None:
    proxy.lose(lost, b"COMMIT", proxy.cut)
    assert_problem(await through.http.post(MESSAGES, json=HELLO), 503, AWAY)
    assert (await through.http.post(MESSAGES, json=HELLO)).json()["added"] == added
    assert await count(through) == 1


@on_postgres
@pytest.mark.parametrize("lost", ["question", "answer"])
@pytest.mark.parametrize("words", [b"BEGIN", b"COMMIT"])
async def test_a_turn_that_is_cut_off_while_it_is_settled_has_its_effects_once(
    process: Process, proxy: Proxy, toy: Toy, clock: ManualClock, words: bytes, lost: Lost
) -> None:
    async with running_with(process, toy) as waits:
        proxy.lose(lost, words, proxy.cut)
        waits.go_on.set()
        await eventually(lambda: has_said(process, clock))
    assert_acted_once(await process.runs("a"), clock)


@on_postgres
@outages
async def test_a_turn_under_way_is_settled_when_the_database_is_back(
    process: Process,
    proxy: Proxy,
    toy: Toy,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    away: Change,
    back: Change,
) -> None:
    async with running_with(process, toy) as waits:
        await away(proxy)
        waits.go_on.set()
        with impatient():
            await logged(caplog, "waits to be settled")
            for ticks in (1, 2, 3):
                clock.advance(TICK)
                await logged(caplog, "A pass failed", times=ticks)
        await back(proxy)
        await eventually(lambda: has_said(process, clock))
    assert toy.served == ["a"]
    assert_acted_once(await process.runs("a"), clock)


@on_postgres
@outages
async def test_a_turn_whose_lease_ends_before_the_database_is_back_is_taken_again(
    process: Process,
    proxy: Proxy,
    toy: Toy,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    away: Change,
    back: Change,
) -> None:
    async with running_with(process, toy) as waits:
        await away(proxy)
        waits.go_on.set()
        with impatient():
            await logged(caplog, "waits to be settled")
            clock.advance(LEASE)
            await logged(caplog, "could not be settled")
        await back(proxy)
        await eventually(lambda: has_said(process, clock))
    assert toy.served == ["a", "a"]
    assert_acted_once(await process.runs("a"), clock)


@on_postgres
async def test_slots_that_came_while_the_database_was_away_are_caught_up_once(
    process: Process, proxy: Proxy, toy: Toy, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await proxy.refuse()
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run)
        await logged(caplog, "A pass failed")
        clock.advance(5 * HALF_HOUR)
        await logged(caplog, "A pass failed", times=2)
        await proxy.accept()
        await eventually(lambda: has_said(process, clock))
        group.cancel_scope.cancel()
    (run,) = await process.runs("a")
    assert (run.slots, toy.served) == (6, ["a"])
    assert_covered_once([run], START, HALF_HOUR, clock.now())


@on_postgres
async def test_a_database_is_closed_at_once_although_nothing_is_answered(through: Running, proxy: Proxy) -> None:
    assert await at_once(through, 40) == {200}
    await proxy.block()
    with anyio.fail_after(2):
        await through.db.close()
    await proxy.unblock()


@on_postgres
async def test_what_a_process_has_locked_that_is_cut_off_can_be_had_soon(proxy: Proxy, db: Database) -> None:
    await touch(db, "INSERT INTO loops (loop, default_seconds) VALUES ('heartbeat', 1)")
    cut_off = Database(proxy.url)
    proxy.lose("question", b"COMMIT", proxy.block)
    with impatient(), pytest.raises(TimeoutError):
        await touch(cut_off)
    await touch(db)
    await cut_off.close()


class Limits:
    """What SQLite's connections may do, from their next transaction on."""

    pages = 1_000_000
    busy_milliseconds = 0
    is_read_only = False


@pytest.fixture
def limits() -> Generator[Limits]:
    found = Limits()

    def limit(connection: DBAPIConnection, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {found.pages}")
        cursor.execute(f"PRAGMA busy_timeout = {found.busy_milliseconds}")
        if found.is_read_only:
            cursor.execute("PRAGMA query_only = ON")

    event.listen(Pool, "checkout", limit)
    yield found
    event.remove(Pool, "checkout", limit)


@contextmanager
def full(limits: Limits, path: str) -> Generator[None]:
    """No room for a page more than the file has."""
    with closing(sqlite3.connect(path)) as connection:
        (limits.pages,) = connection.execute("PRAGMA page_count").fetchone()
    yield
    limits.pages = Limits.pages


@contextmanager
def read_only(limits: Limits, path: str) -> Generator[None]:
    del path
    limits.is_read_only = True
    yield
    limits.is_read_only = False


@contextmanager
def locked(limits: Limits, path: str) -> Generator[None]:
    """Another process writes, and does not end, for longer than anybody waits."""
    del limits
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


Failure = Callable[[Limits, str], AbstractContextManager[None]]


@on_sqlite
@pytest.mark.parametrize(
    ("failure", "status", "detail", "cause"),
    [
        (full, 507, FULL, "database or disk is full"),
        (read_only, 503, AWAY, "attempt to write a readonly database"),
        (locked, 503, AWAY, "database is locked"),
    ],
)
async def test_what_cannot_be_written_is_told_reads_go_on_and_writes_go_on_when_they_can(
    limits: Limits,
    running: Running,
    caplog: pytest.LogCaptureFixture,
    failure: Failure,
    status: int,
    detail: str,
    cause: str,
) -> None:
    path = str(running.db.url.database)
    with failure(limits, path):
        for _ in range(3):
            assert_problem(await running.http.post(MESSAGES, json=LONG), status, detail)
            assert await count(running) == 0
        assert (await running.http.get("/health/ready")).status_code == 200
    assert (await running.http.post(MESSAGES, json=LONG)).json()["added"] == 1
    assert await count(running) == 1
    assert_sound(path)
    assert caplog.text.count(f"The database cannot be written to: (sqlite3.OperationalError) {cause}\n") == 1
    assert "camping" not in caplog.text


@on_sqlite
@pytest.mark.parametrize("failure", [full, read_only, locked])
async def test_a_turn_that_cannot_be_written_is_settled_when_it_can(
    limits: Limits, db: Database, toy: Toy, clock: ManualClock, caplog: pytest.LogCaptureFixture, failure: Failure
) -> None:
    process = Process(db, clock, toy)
    await process.start("a")
    clock.advance(HALF_HOUR)
    async with running_with(process, toy, "Shall we go camping? " * 5_000) as waits:
        with failure(limits, str(db.url.database)):
            waits.go_on.set()
            await logged(caplog, "waits to be settled")
            clock.advance(TICK)
        await eventually(lambda: has_said(process, clock))
    assert toy.served == ["a"]
    assert_acted_once(await process.runs("a"), clock)
    assert_sound(str(db.url.database))


@on_sqlite
async def test_a_transaction_that_ends_while_it_waits_for_the_lock_does_not_get_it_later(
    limits: Limits, db: Database
) -> None:
    limits.busy_milliseconds = 400
    path = str(db.url.database)
    with locked(limits, path), impatient(), pytest.raises(TimeoutError):
        await touch(db)
    await touch(db)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")


async def test_a_value_that_the_database_refuses_is_no_outage(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    insert = "INSERT INTO loops (loop, default_seconds) VALUES ('secret', 1)"
    await touch(db, insert)
    with pytest.raises(IntegrityError) as refused:
        await touch(db, insert)
    assert not isinstance(refused.value, UNREACHABLE)
    assert "The database cannot be" not in caplog.text
    await touch(db)


LABELS = ("REFLECTION", "PERSONALITY", "JOURNAL_SELF_REPLY", "HEARTBEAT")


async def touch(db: Database, statement: str = "UPDATE loops SET default_seconds = default_seconds") -> None:
    async with db.write() as session:
        await session.execute(text(statement))


@asynccontextmanager
async def running_with(process: Process, toy: Toy, text: str = "Done.") -> AsyncGenerator[Waits]:
    """The loop, in the middle of a turn."""
    waits = Waits(text)
    toy.does(waits)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run)
        await waits.begun.wait()
        yield waits
        group.cancel_scope.cancel()


async def at_once(running: Running, requests: int) -> set[int]:
    """The statuses of so many requests at once."""
    found: set[int] = set()

    async def ask() -> None:
        found.add((await running.http.get("/api/threads/default")).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(requests):
            group.start_soon(ask)
    return found


async def count(running: Running) -> int:
    """How many messages there are, by the thread's own count and in the list."""
    thread = (await running.http.get("/api/threads/default")).json()
    listed = (await running.http.get(MESSAGES)).json()["items"]
    assert thread["message_count"] == len(listed)
    return len(listed)


async def has_said(process: Process, clock: ManualClock) -> bool:
    """Whether the agent has said something; with each time it is asked, some time passes."""
    clock.advance(timedelta(seconds=0.1))
    try:
        return bool(await process.said("a"))
    except UNREACHABLE:
        return False


async def has_passed(running: Running, clock: ManualClock) -> bool:
    """Whether all loops have looked for due turns just now."""
    found = (await running.http.get("/api/loops")).json()
    moment = clock.now().isoformat().replace("+00:00", "Z")
    return all(loop["last_pass_at"] == moment for loop in found)


async def logged(caplog: pytest.LogCaptureFixture, words: str, times: int = 1) -> None:
    async def is_there() -> bool:
        return sum(words in record.getMessage() for record in caplog.records) >= times

    await eventually(is_there)


def assert_problem(answer: httpx.Response, status: int, detail: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["detail"] == detail


def assert_acted_once(found: list[Run], clock: ManualClock) -> None:
    assert [run.outcome for run in found if run.slots] == ["acted"]
    assert_covered_once(found, START, HALF_HOUR, clock.now())


def assert_sound(path: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
