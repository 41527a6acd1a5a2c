"""Hints between processes on PostgreSQL: heard at once, gone without harm, and come again."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import text

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.hints import Hints
from tests.conftest import Opener, on_postgres
from tests.scripted import QUIET, Paused, ScriptedModel

TICK = timedelta(seconds=5)


class Ear:
    """One end: what it sends, and what it hears."""

    def __init__(self, db: Database, clock: ManualClock) -> None:
        self.hints = Hints(db, clock, tick=TICK)
        self._clock = clock
        self._heard = asyncio.Queue[str]()
        self.hear = self._heard.put_nowait

    async def next(self) -> str:
        """What comes next, while the time goes on."""
        with anyio.fail_after(20):
            while self._heard.empty():
                self._clock.advance(timedelta(milliseconds=10))
                await anyio.lowlevel.checkpoint()
        return self._heard.get_nowait()


@pytest.fixture
async def two(db: Database, other_db: Database, clock: ManualClock) -> AsyncGenerator[tuple[Ear, Ear]]:
    one, other = Ear(db, clock), Ear(other_db, clock)
    async with one.hints.exchanged(one.hear), other.hints.exchanged(other.hear):
        yield one, other


@on_postgres
async def test_a_hint_reaches_the_others_and_not_its_sender(two: tuple[Ear, Ear]) -> None:
    one, other = two
    one.hints.send("heartbeat")
    assert await other.next() == "heartbeat"
    other.hints.send("reflection")
    assert await one.next() == "reflection"


@on_postgres
async def test_hints_that_come_together_are_sent_once(two: tuple[Ear, Ear]) -> None:
    one, other = two
    one.hints.send("heartbeat")
    assert await other.next() == "heartbeat"
    for _ in range(1_000):
        one.hints.send("reflection")
    one.hints.send("personality")
    assert {await other.next(), await other.next()} == {"reflection", "personality"}
    one.hints.send("heartbeat")
    assert await other.next() == "heartbeat"


@on_postgres
async def test_what_is_left_is_sent_at_the_end(two: tuple[Ear, Ear], db: Database, clock: ManualClock) -> None:
    last = Ear(db, clock)
    async with last.hints.exchanged(last.hear):
        last.hints.send("heartbeat")
        assert await two[0].next() == "heartbeat"
        last.hints.send("self_reply")
    assert await two[0].next() == "self_reply"


@on_postgres
async def test_a_lost_connection_is_made_again_and_what_was_not_sent_is_sent(
    two: tuple[Ear, Ear], db: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    async with db.write() as session:
        await session.execute(text(CUT))
    await _logged(caplog, "No hints from other processes")
    clock.advance(TICK)
    await _logged(caplog, "Hints from other processes come again")
    one.hints.send("heartbeat")
    assert await other.next() == "heartbeat"


@on_postgres
async def test_a_message_that_one_process_takes_wakes_the_loop_of_another(
    opened: Opener, clock: ManualClock, model: ScriptedModel
) -> None:
    turn = Paused(QUIET["findings"])
    model.says(turn, to="findings")
    async with opened(role="api", llm_model="m") as front, opened(role="loops", llm_model="m") as back:
        clock.advance(timedelta(minutes=1))
        while (await back.reflection.state()).last_pass_at != clock.now():
            await anyio.lowlevel.checkpoint()
        long = {"role": "user", "content": "Shall we go camping? " * 200}
        await front.http.post("/api/threads/default/messages", json={"messages": [long]})
        with anyio.fail_after(20):
            await turn.asked.wait()
        turn.go_on.set()


CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"""


async def _logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until both ends have said it."""
    with anyio.fail_after(20):
        while sum(words in record.getMessage() for record in caplog.records) < 2:
            await anyio.lowlevel.checkpoint()
