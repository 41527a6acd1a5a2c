"""The ground: a clock set by hand, and transactions that are whole, short and never left open."""

import random
import shutil
import sqlite3
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ledger.clock import ManualClock, ServerClock, SystemClock
from ledger.completions import OpenAICompatible
from ledger.db import Database, Session
from ledger.llm import ChatMessage, ChatRequest
from ledger.sqlite import connect
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from tests.conftest import START

SECOND = timedelta(seconds=1)


def test_a_clock_set_by_hand_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    assert (clock.now(), clock.now()) == (START, START)
    clock.advance(SECOND)
    assert clock.now() == START + SECOND


async def test_whoever_sleeps_goes_on_when_its_moment_comes_and_not_before(clock: ManualClock) -> None:
    awake: list[int] = []

    async def sleep(seconds: int) -> None:
        await clock.sleep_until(START + seconds * SECOND)
        awake.append(seconds)

    async with anyio.create_task_group() as group:
        for seconds in (3, 1, 2):
            group.start_soon(sleep, seconds)
        for seconds in (1, 2, 3):
            await anyio.wait_all_tasks_blocked()
            assert awake == list(range(1, seconds))
            clock.advance(SECOND)


async def test_a_moment_that_has_gone_by_is_not_waited_for(clock: ManualClock) -> None:
    await clock.sleep_until(START)
    await clock.sleep_until(START - SECOND)
    await SystemClock().sleep_until(START - SECOND)


async def test_an_event_ends_a_sleep_early(clock: ManualClock) -> None:
    woken = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(clock.sleep_until, START + SECOND, woken)
        await anyio.wait_all_tasks_blocked()
        woken.set()
    assert clock.now() == START


async def test_a_deadline_ends_what_runs_inside_when_its_moment_comes(clock: ManualClock) -> None:
    inside = anyio.Event()

    async def run_late() -> None:
        with clock.deadline(SECOND):
            inside.set()
            await anyio.Event().wait()

    async def move_on() -> None:
        await inside.wait()
        clock.advance(SECOND)

    async with anyio.create_task_group() as group:
        group.start_soon(move_on)
        with pytest.raises(TimeoutError):
            await run_late()


async def test_a_deadline_that_is_kept_raises_nothing_later(clock: ManualClock) -> None:
    with clock.deadline(SECOND):
        await anyio.lowlevel.checkpoint()
    clock.advance(2 * SECOND)
    await anyio.lowlevel.checkpoint()


async def test_a_cancellation_from_outside_is_no_deadline(clock: ManualClock) -> None:
    with anyio.CancelScope() as scope, clock.deadline(SECOND):
        scope.cancel()
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def add_thread(session: Session, name: str) -> None:
    await threads.create(session, NewThread(id=name), now=START)


async def names(db: Database) -> list[str]:
    async with db.read() as session:
        return [thread.id for thread in (await threads.page(session, limit=200)).items]


async def test_an_answer_that_was_long_in_coming_does_not_move_the_clock() -> None:
    elapsed = timedelta(0)
    clock = ServerClock(lambda: elapsed)

    async def answer(waited: timedelta) -> datetime:
        nonlocal elapsed
        elapsed += waited
        return START + elapsed

    for waited in (timedelta(milliseconds=2), timedelta(seconds=4), timedelta(milliseconds=3)):
        await clock.follow(partial(answer, waited))
        assert abs(clock.now() - START - elapsed) <= timedelta(milliseconds=1.5)


async def test_a_server_whose_clock_is_set_is_followed() -> None:
    elapsed = timedelta(0)
    clock = ServerClock(lambda: elapsed)

    async def answer(ahead: timedelta) -> datetime:
        return START + elapsed + ahead

    for hours in (0, 1, -2):
        await clock.follow(partial(answer, timedelta(hours=hours)))
        assert clock.now() == START + elapsed + timedelta(hours=hours)


async def test_what_is_written_is_there_after_the_transaction(db: Database) -> None:
    async with db.write() as session:
        await add_thread(session, "a")
    assert await names(db) == ["a"]


async def test_an_exception_rolls_a_transaction_back_whole(db: Database) -> None:
    called: list[str] = []

    async def write() -> None:
        async with db.write() as session:
            await add_thread(session, "a")
            session.after_commit(lambda: called.append("a"))
            raise LookupError

    with pytest.raises(LookupError):
        await write()
    assert (await names(db), called) == ([], [])


async def test_what_follows_a_commit_happens_once_it_is_done(db: Database) -> None:
    called: list[str] = []
    async with db.write() as session:
        await add_thread(session, "a")
        session.after_commit(lambda: called.append("a"))
        assert called == []
    assert called == ["a"]


async def test_a_transaction_inside_a_transaction_is_refused(db: Database) -> None:
    async with db.write():
        with pytest.raises(RuntimeError, match="another transaction inside a database transaction"):
            async with db.read():
                pass


async def test_a_model_call_inside_a_transaction_is_refused(db: Database, clock: ManualClock) -> None:
    provider = OpenAICompatible(base_url="http://127.0.0.1:9", api_key=None, timeout=SECOND, clock=clock)
    question = [ChatMessage("user", "Hello?")]
    request = ChatRequest(model="m", messages=question, max_tokens=10, temperature=0, schema_name="s", schema={})
    for transaction in (db.read, db.write):
        async with transaction():
            with pytest.raises(RuntimeError, match="a model call inside a database transaction"):
                await provider.complete(request)


async def test_a_task_cancelled_inside_a_transaction_finishes_it(db: Database) -> None:
    async with anyio.create_task_group() as group, db.write() as session:
        await add_thread(session, "a")
        group.cancel_scope.cancel()
        await add_thread(session, "b")
    assert await names(db) == ["a", "b"]


async def test_cancelled_writers_leave_nothing_locked(db: Database) -> None:
    chance = random.Random(1)  # noqa: S311 - a test, not a secret
    committed: set[str] = set()
    for number in range(200):
        async with anyio.create_task_group() as group:
            for writer in (f"{number}-a", f"{number}-b"):
                group.start_soon(write_slowly, db, writer, chance.randrange(6), committed)
            for _ in range(chance.randrange(40)):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    async with db.write() as session:
        count = await session.execute(text("SELECT count(*) FROM threads"))
    assert count.scalar_one() == len(committed) > 0
    if db.is_sqlite:
        assert can_be_locked(db)


async def write_slowly(db: Database, name: str, pauses: int, committed: set[str]) -> None:
    async with db.write() as session:
        await add_thread(session, name)
        session.after_commit(lambda: committed.add(name))
        for _ in range(pauses):
            await anyio.lowlevel.checkpoint()


def can_be_locked(db: Database) -> bool:
    """Whether another connection gets the file's write lock without waiting."""
    other = sqlite3.connect(str(db.url.database), timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()
    return True


@pytest.fixture
def sqlite(empty_sqlite: Path, tmp_path: Path) -> str:
    shutil.copyfile(empty_sqlite, tmp_path / "ledger.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"


async def test_on_sqlite_a_connection_that_is_ended_while_it_closes_is_closed(sqlite: str) -> None:
    connection = await connect(make_url(sqlite))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(connection.close)
            await anyio.lowlevel.checkpoint()
            connection.stop()  # pyright: ignore[reportUnknownMemberType] - untyped


async def test_on_sqlite_a_reading_session_cannot_write(sqlite: str) -> None:
    db = Database(sqlite)
    with pytest.raises(DBAPIError, match="readonly"):
        async with db.read() as session:
            await add_thread(session, "a")
    assert await names(db) == []
    await db.close()


async def test_on_sqlite_a_reader_does_not_wait_for_a_writer(sqlite: str) -> None:
    db, other = Database(sqlite), Database(sqlite)
    async with db.write() as session:
        await add_thread(session, "a")
    begun, read = anyio.Event(), anyio.Event()

    async def write() -> None:
        async with db.write() as session:
            await session.execute(text("DELETE FROM threads"))
            begun.set()
            await read.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        await begun.wait()
        assert (await names(db), await names(other)) == (["a"], ["a"])
        read.set()
    assert (await names(db), await names(other)) == ([], [])
    await db.close()
    await other.close()


async def test_the_name_of_a_database_hides_its_password() -> None:
    db = Database("postgresql+asyncpg://ada:secret@127.0.0.1/ledger")
    assert db.name == "postgresql+asyncpg://ada:***@127.0.0.1/ledger"
    await db.close()
