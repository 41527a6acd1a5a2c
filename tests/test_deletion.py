"""A thread that is deleted is gone: in the middle of its turns, from every table, and for whoever comes after it."""

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy import Table, select

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.tables import METADATA
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import Paused, ScriptedModel, act, ask, post
from tests.toy import HALF_HOUR, eventually

Json = dict[str, Any]

WORD = "kumquat"
"""Stands in all that is written in the threads that will be deleted."""

AGAIN, ASKED = f"again-{WORD}", f"asked-{WORD}"
"""A thread that is made again, and one whose turns a person has asked for."""

THREADS = ("default", f"gone-{WORD}", AGAIN, ASKED)
STOPPED = {f"{loop}_enabled": False for loop in ("reflection", "personality", "self_reply", "heartbeat")}
FINDINGS: Json = {
    "insights": [{"text": f"They grow a {WORD}.", "importance": 5, "evidence": [1]}],
    "open_questions": [{"question": f"Which {WORD}?", "message": 1}],
    "still_open": [],
}
PROPOSALS: Json = {"proposals": [{"trait": "humor", "value": 1.0, "evidence": [1]}]}
ANSWER: Json = {"verdict": "reply", "body": f"It is a {WORD}."}
DECISION = act(
    post(f"On a {WORD}", f"The {WORD} is ripe."),
    {"action": "message", "content": f"The {WORD} is ripe."},
)
LOOPS = {
    "reflection": ("findings", FINDINGS),
    "personality": ("proposals", PROPOSALS),
    "self_reply": ("answer", ANSWER),
    "heartbeat": ("decision", DECISION),
}
"""What each loop asks a model for, and an answer that leaves something in its thread."""


@pytest.fixture
async def stopped(opened: Opener) -> AsyncGenerator[Running]:
    """The application, whose loops run when they are started."""
    async with opened(**STOPPED, concurrency=20) as running:
        yield running


async def _send(running: Running, method: str, path: str, body: Json | None = None) -> Json:
    answer = await running.http.request(method, f"/api/{path}", json=body)
    return answer.raise_for_status().json() if answer.content else {}


async def _fill(running: Running, model: ScriptedModel, thread: str) -> None:
    """Have rows in every table that has any of threads, and something new for every loop."""
    at = f"threads/{thread}"
    await _say(running, thread)
    config = {"target": "last", "model": f"model-{WORD}"}
    await _send(running, "POST", f"{at}/heartbeat/config", config)
    own = f"Look after the {WORD}.\ntasks:\n- name: {WORD}\n  interval: 1d\n  prompt: Look.\n"
    await _send(running, "PUT", f"{at}/heartbeat/instructions", {"content": own})
    await _send(running, "PATCH", f"{at}/budget", {"calls": 20})
    await _send(running, "PUT", f"{at}/journal/settings", {"posts": "always"})
    await _discuss(running, thread)
    model.says(act(post(WORD, WORD)), ask(f"Which {WORD}?"), act(post(WORD, f"{WORD} jam")))
    for approval in ("auto", "auto", "all"):
        await _send(running, "POST", f"{at}/heartbeat/config", {"approval": approval})
        await _send(running, "POST", f"{at}/heartbeat/run-now")
    await _send(running, "POST", f"{at}/heartbeat/config", {"approval": "auto"})
    model.says(FINDINGS, to="findings")
    model.says(PROPOSALS, to="proposals")
    for loop in ("reflection", "personality"):
        await _send(running, "POST", f"{at}/loops/{loop}/run-now")
    await _say(running, thread)
    (entry, *_) = (await _send(running, "GET", f"{at}/journal"))["items"]
    await _send(running, "POST", f"{at}/journal/{entry['id']}/replies", {"body": f"A {WORD}!", "author": "Ida"})


async def _say(running: Running, thread: str) -> None:
    """As much as need not wait for an interval to end."""
    texts = [f"The {WORD} grows, and it is {number} years old." for number in range(16)]
    batch = [{"role": "user", "content": text} for text in texts]
    await _send(running, "POST", f"threads/{thread}/messages", {"messages": batch})


async def _discuss(running: Running, thread: str) -> None:
    body = {"title": WORD, "content": WORD, "author": "Ida", "thread_id": thread}
    about = f"posts/{(await _send(running, 'POST', 'posts', body))['id']}"
    mine = await _send(running, "POST", f"{about}/comments", {"content": WORD, "author": "Ben"})
    yours = {"content": WORD, "author": "Cyd", "parent_id": mine["id"]}
    await _send(running, "POST", f"{about}/comments", yours)
    await _send(running, "PUT", f"{about}/votes/{WORD}", {"value": 1})


def _of_threads() -> list[Table]:
    """The tables whose rows belong to threads, or to what belongs to threads."""
    found: list[Table] = []
    for table in METADATA.sorted_tables:  # each after those that it refers to
        refers = any(key.column.table in found for key in table.foreign_keys)
        if table.name == "threads" or "thread_id" in table.columns or refers:
            found.append(table)
    return found


async def _rows(db: Database, tables: list[Table]) -> dict[str, list[Json]]:
    """The tables that are not empty, with their rows."""
    async with db.read() as session:
        found = {table.name: (await session.execute(select(table))).mappings().all() for table in tables}
    return {name: [dict(row) for row in rows] for name, rows in found.items() if rows}


def _think(model: ScriptedModel) -> list[Paused]:
    """Have turns of all loops on all threads wait for their answers."""
    thinking: list[Paused] = []
    for kind, answer in LOOPS.values():
        paused = [Paused(answer) for _ in THREADS]
        model.says(*paused, to=kind)
        thinking += paused
    return thinking


def _assert_pristine(left: dict[str, list[Json]], *thread_ids: str) -> None:
    """There are these threads alone, just made, and each like the last one, of which there was none before."""
    told = left.pop("events")
    assert {row["thread_id"] for row in told} == {None}
    assert WORD not in repr(told)
    assert set(left) == {"threads", "turns"}
    assert sorted(row.pop("id") for row in left["threads"]) == sorted(thread_ids)
    assert all(row == left["threads"][0] for row in left["threads"])
    turns = {(row.pop("thread_id"), row["loop"]): row for row in left["turns"]}
    for (_, loop), row in turns.items():
        assert row == turns[thread_ids[-1], loop]


async def _is_still(running: Running) -> bool:
    return not any(loop["turns_running"] for loop in (await running.http.get("/api/loops")).json())


async def test_a_thread_deleted_in_the_middle_of_its_turns_leaves_nothing_anywhere(
    stopped: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    tables = _of_threads()
    for thread in THREADS:
        if thread != "default":
            await _send(stopped, "POST", "threads", {"id": thread, "title": WORD})
        await _fill(stopped, model, thread)
    assert set(await _rows(stopped.db, tables)) == {table.name for table in tables}

    asked: list[httpx.Response] = []
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:

        async def ask_for_a_turn(loop: str) -> None:
            asked.append(await stopped.http.post(f"/api/threads/{ASKED}/loops/{loop}/run-now"))

        thinking = _think(model)
        for loop, each in zip(LOOPS, thinking[:: len(THREADS)], strict=True):
            group.start_soon(ask_for_a_turn, loop)
            await each.asked.wait()
            await _send(stopped, "POST", f"loops/{loop}/start")
        for each in thinking:
            await each.asked.wait()
        for thread in THREADS:
            await _send(stopped, "DELETE", f"threads/{thread}")
        for thread in (AGAIN, "fresh"):
            await _send(stopped, "POST", "threads", {"id": thread})
        for each in thinking:
            each.go_on.set()
    await eventually(lambda: _is_still(stopped))

    assert [answer.status_code for answer in asked] == [409] * len(LOOPS)
    _assert_pristine(await _rows(stopped.db, tables), "default", AGAIN, "fresh")
    shared = [table for table in METADATA.sorted_tables if table not in tables]
    assert WORD not in repr(await _rows(stopped.db, shared))


@pytest.mark.parametrize("loop", LOOPS)
@on_sqlite
async def test_a_model_is_not_asked_again_about_a_thread_that_was_deleted(
    stopped: Running, model: ScriptedModel, clock: ManualClock, loop: str
) -> None:
    """What it is asked holds what was deleted, and what it costs is no affair of the thread that comes after."""
    await _fill(stopped, model, "default")
    kind, _ = LOOPS[loop]
    asked_before = len(model.asked[kind])

    async def delete(_: object) -> str:
        await _send(stopped, "DELETE", "threads/default")
        return "Something of no use."

    model.says(delete, to=kind)
    clock.advance(HALF_HOUR)
    asked = await stopped.http.post(f"/api/threads/default/loops/{loop}/run-now")
    assert (asked.status_code, len(model.asked[kind])) == (409, asked_before + 1)
    assert (await _send(stopped, "GET", "threads/default/budget"))["thread"]["spent"]["calls"] == 0
