"""A thousand starts and stops of busy loops: nothing leaks, nothing goes wrong, and what is owed is done once."""

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.pool import Pool

from ledger.clock import ManualClock
from ledger.insights.tables import ScorecardRow
from ledger.journal.tables import EntryRow
from ledger.llm import ChatRequest
from ledger.loops import Loop
from ledger.posts.tables import PostRow
from ledger.runs import store as runs
from ledger.runs.structs import RunFilter
from ledger.runs.tables import RunRow
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.tables import TurnRow
from tests.conftest import Opener, Running
from tests.scripted import QUIET, ScriptedModel, Step, act, post
from tests.toy import HALF_HOUR, assert_covered_once, eventually

Json = dict[str, Any]

PEOPLE, WRITES = 2, 60
INTERVAL = timedelta(minutes=3)
THREADS = [f"t{number}" for number in range(2)]
BUSY = {f"{loop}_seconds": 180 for loop in ("reflection", "personality", "self_reply", "heartbeat")} | {
    "thread_calls_per_day": None,
    "thread_actions_per_day": None,
    "turn_seconds": 3_600.0,
}
"""Loops with much to do, and turns that never take too long, however fast the clock goes."""

INSIGHT: Json = {"text": "They greet.", "importance": 5, "evidence": [1]}


class Thinker:
    """Has a model answer when it is told to, and then something that leaves a trace in the thread."""

    def __init__(self) -> None:
        self.answers = 0
        self.is_quick = True
        self._told = anyio.Event()

    def tell(self, *, is_quick: bool) -> None:
        self.is_quick = is_quick
        self._told.set()
        self._told = anyio.Event()

    async def __call__(self, request: ChatRequest) -> Step:
        if not self.is_quick:
            await self._told.wait()
        self.answers += 1
        if request.schema_name == "decision":
            return act(post(f"Number {self.answers}", f"This is answer {self.answers}."))
        if request.schema_name == "answer":
            return {"verdict": "reply", "body": f"This is answer {self.answers}."}
        return QUIET[request.schema_name]


class Connections:
    """Counts the connections that are open, and those that are in somebody's hands."""

    def __init__(self) -> None:
        self.open = 0
        self.out = 0

    def opened(self, *_: object) -> None:
        self.open += 1

    def closed(self, *_: object) -> None:
        self.open -= 1

    def taken(self, *_: object) -> None:
        self.out += 1

    def given_back(self, *_: object) -> None:
        self.out -= 1


@pytest.fixture
def connections() -> Iterator[Connections]:
    found = Connections()
    heard = {"connect": found.opened, "close": found.closed, "checkout": found.taken, "checkin": found.given_back}
    for name, hear in heard.items():
        event.listen(Pool, name, hear)
    yield found
    for name, hear in heard.items():
        event.remove(Pool, name, hear)


class Held(NamedTuple):
    """What a process holds, and could fail to let go."""

    tasks: int
    files: int
    """Without those of connections, which are kept."""


def held(connections: Connections) -> Held:
    known = Path("/proc/self/fd")
    files = len(list(known.iterdir())) if known.is_dir() else 0
    return Held(len(asyncio.all_tasks()), files - connections.open)


async def send(running: Running, path: str, body: Json | None = None) -> Json:
    return (await running.http.post(f"/api/{path}", json=body)).raise_for_status().json()


async def say(running: Running, thread: str, content: str) -> None:
    await send(running, f"threads/{thread}/messages", {"messages": [{"role": "user", "content": content}]})


async def fill(running: Running, model: ScriptedModel) -> dict[str, str]:
    """Have threads with one entry of the journal each; answers the entries."""
    entries: dict[str, str] = {}
    for thread in THREADS:
        await send(running, "threads", {"id": thread})
        await say(running, thread, "Hello.")
        model.says(QUIET["findings"] | {"insights": [INSIGHT]}, to="findings")
        await send(running, f"threads/{thread}/loops/reflection/run-now")
        found = (await running.http.get(f"/api/threads/{thread}/journal")).json()["items"]
        entries[thread] = found[0]["id"]
    return entries


async def switch(running: Running, loops: list[Loop], chance: random.Random) -> None:
    """Start and stop loops, directly and over HTTP, as one of several people who do not agree."""
    for _ in range(500 if running.db.is_sqlite else 200):
        loop, way = chance.choice(loops), chance.choice(["start", "stop"])
        if chance.random() < 0.75:
            await (loop.start() if way == "start" else loop.stop())
        else:
            await send(running, f"loops/{loop.name}/{way}")


async def write(
    running: Running, clock: ManualClock, thinker: Thinker, chance: random.Random, entries: dict[str, str]
) -> list[str]:
    """Let the time pass, and have messages and comments come meanwhile; answers the comments."""
    comments: list[str] = []
    for number in range(WRITES):
        thread = chance.choice(THREADS)
        if chance.random() < 0.1:
            said = {"body": f"Comment {number}.", "author": "Ida"}
            comments.append((await send(running, f"threads/{thread}/journal/{entries[thread]}/replies", said))["id"])
        else:
            await say(running, thread, f"Message {number}.")
        thinker.tell(is_quick=False)
        clock.advance(timedelta(seconds=chance.randint(0, 20)))
    return comments


async def is_served(running: Running, clock: ManualClock) -> bool:
    """Whether no turn is under way or due."""
    waits = TurnRow.lease_token.is_not(None) | (TurnRow.next_due_at <= clock.now())
    async with running.db.read() as session:
        return not await session.scalar(select(func.count()).select_from(TurnRow).where(waits))


async def test_a_thousand_starts_and_stops_leak_nothing_and_lose_nothing(
    opened: Opener, model: ScriptedModel, clock: ManualClock, connections: Connections
) -> None:
    model.otherwise = thinker = Thinker()
    async with opened(**BUSY) as running:
        state = running.app.state
        loops = [state.reflection_loop, state.personality_loop, state.journal_self_reply_loop, state.heartbeat_loop]
        entries = await fill(running, model)

        async def at_rest() -> bool:
            kept = 0 if running.db.is_sqlite else 1  # on which hints are heard
            return connections.out == kept and await is_served(running, clock)

        await eventually(at_rest)
        before = held(connections)
        comments: list[str] = []
        async with anyio.create_task_group() as group:

            async def person_writes() -> None:
                comments.extend(await write(running, clock, thinker, random.Random(0), entries))  # noqa: S311 - a test

            for number in range(PEOPLE):
                group.start_soon(switch, running, loops, random.Random(number))  # noqa: S311 - a test, not a secret
            group.start_soon(person_writes)
        thinker.tell(is_quick=True)
        for loop in loops:
            await loop.start()
        for _ in range(4):
            await eventually(lambda: is_served(running, clock))
            clock.advance(HALF_HOUR)
        await eventually(at_rest)
        assert held(connections) == before
        assert [loop.lost_claims for loop in loops] == [0] * len(loops)
        for thread in THREADS:
            await assert_slots_settled(running, thread, clock)
            await assert_all_read(running, thread)
        await assert_each_effect_once(running, comments)


async def assert_slots_settled(running: Running, thread: str, clock: ManualClock) -> None:
    async with running.db.read() as session:
        found = (await runs.page(session, RunFilter(thread_id=thread), limit=1_000)).items
        turn = await turns.get(session, "heartbeat", thread)
    assert turn is not None
    assert {run.outcome for run in found} <= {"acted", "nothing", "skipped"}
    assert_covered_once([run for run in found if run.loop == "heartbeat"], turn.anchor_at, INTERVAL, clock.now())


async def assert_all_read(running: Running, thread: str) -> None:
    """Reflection and personality have read every message, and reflection has gone on from where it was each time."""
    read_to = select(ScorecardRow.last_seq).where(ScorecardRow.thread_id == thread)
    async with running.db.read() as session:
        state = await threads.state(session, thread)
        read = await turns.of_thread(session, thread)
        steps = await session.scalars(read_to.order_by(ScorecardRow.revision))
    assert state is not None
    assert {read["reflection"].watermark, read["personality"].watermark} == {state.message_count}
    assert list(steps) == sorted(set(steps))


async def assert_each_effect_once(running: Running, comments: list[str]) -> None:
    """Each heartbeat that acted has left its post, and each comment has its answer."""
    acted = select(RunRow.id).where(RunRow.loop == "heartbeat", RunRow.outcome == "acted")
    posted = select(PostRow.run_id).where(PostRow.origin == "agent")
    answered = select(EntryRow.reply_to).where(EntryRow.origin == "agent", EntryRow.reply_to.in_(comments))
    async with running.db.read() as session:
        assert sorted(await session.scalars(acted)) == sorted(found or "" for found in await session.scalars(posted))
        assert sorted(found or "" for found in await session.scalars(answered)) == sorted(comments)
    assert comments
