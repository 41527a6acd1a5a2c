"""Simulated heartbeats: the real engine on a copy, and nothing real is touched."""

from argparse import Namespace
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import select

from ledger import commands
from ledger.clock import ManualClock
from ledger.db import Database
from ledger.errors import Invalid, NotFound
from ledger.settings import Settings
from ledger.simulate import Request, Simulation, simulate
from ledger.tables import METADATA
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

HALF_HOUR = timedelta(minutes=30)
TASKS = "tasks:\n- name: mail\n  interval: 4h\n  prompt: Look.\n- name: brief\n  at: 09:00\n  prompt: Sum up.\n"


async def say(running: Running, thread: str, *contents: str) -> None:
    body = {"messages": [{"role": "user", "content": content} for content in contents]}
    (await running.http.post(f"/api/threads/{thread}/messages", json=body)).raise_for_status()


async def instruct(running: Running, content: str) -> None:
    (await running.http.post("/api/heartbeat/heartbeat.md", json={"content": content})).raise_for_status()


@asynccontextmanager
async def threads(opened: Opener, *names: str) -> AsyncGenerator[Running]:
    async with opened() as running:
        for name in names:
            (await running.http.post("/api/threads", json={"id": name})).raise_for_status()
        yield running


@pytest.fixture
async def source(settings: Settings) -> AsyncGenerator[Database]:
    database = Database(settings.database_url)
    yield database
    await database.close()


async def rows(database: Database) -> dict[str, list[Any]]:
    async with database.read() as session:
        return {
            table.name: [tuple(row) for row in await session.execute(select(table).order_by(*table.primary_key))]
            for table in METADATA.sorted_tables
        }


def outcomes(simulation: Simulation, thread: str) -> list[tuple[str, int]]:
    runs = [beat.run for beat in simulation.beats if beat.run.thread_id == thread]
    return [(run.reason or run.outcome, run.slots) for run in runs]


@on_sqlite
async def test_quiet_half_hours_after_a_decision_cost_no_call_and_are_one_row(
    opened: Opener, settings: Settings, source: Database, clock: ManualClock, model: ScriptedModel
) -> None:
    async with threads(opened, "camp") as running:
        await instruct(running, "- Look after the camp.")
        await say(running, "camp", "Hello.")
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
    simulation = await simulate(settings, source, clock, Request(days=4, thread_ids=["camp"]))
    assert outcomes(simulation, "camp") == [("nothing_new", 4 * 48)]
    totals = simulation.totals["camp"]
    assert (totals.calls, totals.slots, totals.prompt_tokens) == (0, 4 * 48, 0)
    assert len(model.requests) == 2  # of both threads, before the simulation


async def test_nothing_real_is_written_or_called(
    opened: Opener, settings: Settings, source: Database, clock: ManualClock, model: ScriptedModel
) -> None:
    async with threads(opened, "camp", "lake") as running:
        await instruct(running, TASKS)
        await say(running, "camp", *(f"Message {number} about the camp." for number in range(12)))
        body = {"thread_id": "camp", "author": "ann", "title": "When?", "content": "@ledger when do we go?"}
        parent = (await running.http.post("/api/posts", json=body)).json()["id"]
        first = {"content": "Yes, when?", "author": "bert"}
        comment = (await running.http.post(f"/api/posts/{parent}/comments", json=first)).json()["id"]
        answer = {"content": "In May.", "author": "ann", "parent_id": comment}
        (await running.http.post(f"/api/posts/{parent}/comments", json=answer)).raise_for_status()
        model.says(act(post("Plans", "For May.")))
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        await say(running, "camp", *(f"More {number} about the lake." for number in range(12)))
    before, asked = await rows(source), len(model.requests)
    simulation = await simulate(settings, source, clock, Request(days=2, thread_ids=[]))
    assert await rows(source) == before
    assert len(model.requests) == asked
    assert set(simulation.totals) == {"camp", "default", "lake"}
    assert "acted" in dict(outcomes(simulation, "camp"))


async def test_tasks_run_at_their_slots_and_their_calls_are_counted(
    opened: Opener, settings: Settings, source: Database, clock: ManualClock
) -> None:
    async with threads(opened, "camp") as running:
        await instruct(running, TASKS)
    simulation = await simulate(settings, source, clock, Request(days=1, thread_ids=["camp"]))
    shown = [
        ((beat.run.first_slot or clock.now()).strftime("%H:%M"), [task.name for task in beat.run.tasks])
        for beat in simulation.beats
        if beat.run.tasks
    ]
    assert shown == [
        ("12:30", ["mail"]),
        ("16:30", ["mail"]),
        ("20:30", ["mail"]),
        ("00:30", ["mail"]),
        ("04:30", ["mail"]),
        ("08:30", ["mail"]),
        ("09:00", ["brief"]),
    ]
    totals = simulation.totals["camp"]
    assert (totals.calls, totals.slots) == (7, 48)
    assert totals.outcomes == {"decided_nothing": 7, "no_task_due": 41}
    assert totals.prompt_tokens == sum(beat.prompt_tokens or 0 for beat in simulation.beats) > 7 * 300
    assert totals.max_completion_tokens == 7 * 500


@on_sqlite
async def test_many_days_are_shared_out_among_processes_and_put_together(
    opened: Opener, settings: Settings, source: Database, clock: ManualClock
) -> None:
    async with threads(opened, "camp", "lake") as running:
        await instruct(running, TASKS)
    asked = Request(days=0.5, thread_ids=["lake", "camp"])
    alone = await simulate(settings, source, clock, asked, processes=1)
    shared = await simulate(settings, source, clock, asked, processes=2)
    assert list(shared.totals) == ["lake", "camp"]
    assert shared.totals == alone.totals
    assert [structs.replace(beat.run, id="") for beat in shared.beats] == [
        structs.replace(beat.run, id="") for beat in alone.beats
    ]


async def test_other_instructions_can_be_tried_out(
    opened: Opener, settings: Settings, source: Database, clock: ManualClock
) -> None:
    async with threads(opened) as running:
        await instruct(running, "# Nothing to do\n")
    asked = Request(days=0.5, thread_ids=["default"])
    assert outcomes(await simulate(settings, source, clock, asked), "default") == [("instructions_empty", 24)]
    tried = Request(days=0.5, thread_ids=["default"], instructions=TASKS)
    assert len((await simulate(settings, source, clock, tried)).beats) == 6
    with pytest.raises(Invalid, match="NUL"):
        await simulate(settings, source, clock, Request(days=1, thread_ids=[], instructions="\x00"))


async def test_the_command_prints_the_table_and_the_sum(
    opened: Opener, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with threads(opened, "camp") as running:
        config = {"enabled": False}
        (await running.http.post("/api/threads/camp/heartbeat/config", json=config)).raise_for_status()
    (tmp_path / "try.md").write_text(TASKS)
    arguments = Namespace(days=0.25, thread=["default", "camp"], instructions=str(tmp_path / "try.md"))
    await commands.simulated(settings, arguments)
    printed = capsys.readouterr().out
    for words in ("default", "mail", "no_task_due", "The heartbeat of camp is switched off", "nothing was written"):
        assert words in printed
    with pytest.raises(NotFound, match="no thread 'nobody'"):
        await commands.simulated(settings, Namespace(days=1, thread=["nobody"], instructions=None))
    with pytest.raises(Invalid, match="cannot be read"):
        await commands.simulated(settings, Namespace(days=1, thread=[], instructions=str(tmp_path / "none.md")))
