"""Processes that do one half of the work: `ledger serve --no-loops` and `ledger work`."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest

from ledger.app import create_app
from ledger.clock import ManualClock
from tests import provider as stub
from tests.chaos import serving
from tests.conftest import START, Opener, Running, in_a_task_of_its_own, on_sqlite, served, settings_for
from tests.provider import provider_running
from tests.scripted import NOTHING, ScriptedModel, act, post


@pytest.fixture(scope="module")
async def working(empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Running]:
    settings = settings_for(empty_sqlite, tmp_path_factory.mktemp("working"))
    app = create_app(settings, clock=ManualClock(START), role="loops")
    async with in_a_task_of_its_own(served(app, {})) as running:
        yield running


@on_sqlite
async def test_a_process_without_loops_takes_no_turn_but_those_asked_for(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(act(post()))
    async with opened(role="api") as front:
        clock.advance(timedelta(hours=1))
        await anyio.wait_all_tasks_blocked()
        assert (await front.http.get("/health/ready")).status_code == 200
        assert (await front.http.get("/api/runs")).json()["items"] == []
        ran = await front.http.post("/api/threads/default/heartbeat/run-now")
        assert ran.json()["ran_successfully"] is True
        (state, *_) = (await front.http.get("/api/loops")).json()
        assert (state["running"], state["last_pass_at"]) == (True, None)


async def test_what_one_process_starts_and_stops_the_other_runs(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(NOTHING)
    async with opened(role="api", heartbeat_enabled=False) as front:
        async with opened(role="loops", heartbeat_enabled=False) as back:
            clock.advance(timedelta(minutes=31))
            await back.heartbeat.run_once()
            assert model.requests == []
            await front.http.post("/api/heartbeat/start")
            await back.heartbeat.run_once()
            assert len(model.requests) == 1
        assert (await front.http.get("/api/runs?loop=heartbeat")).json()["items"][0]["outcome"] == "nothing"


@pytest.mark.parametrize("path", ["/api/threads", "/api/loops", "/docs", "/docs/openapi.json"])
async def test_a_process_with_loops_alone_serves_no_api(working: Running, path: str) -> None:
    answer = await working.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_process_with_loops_alone_tells_its_health(working: Running) -> None:
    assert (await working.http.get("/health/live")).json()["status"] == "live"
    for loop in working.app.state.parts.loops:
        await loop.run_once()
    assert (await working.http.get("/health/ready")).json()["status"] == "ready"


async def test_the_two_commands_share_the_work(tmp_path: Path) -> None:
    async with provider_running() as provider:
        provider.mode = stub.says(act(post()))
        variables = {
            "CRT_DATABASE_URL": "sqlite+aiosqlite:///own.db",
            "CRT_HEARTBEAT_LOOP_ENABLED": "true",
            "CRT_HEARTBEAT_LOOP_SECONDS": "1",
            "CRT_TICK_SECONDS": "0.1",
            "CRT_LLM_BASE_URL": provider.url,
            "CRT_LLM_MODEL": "small",
        }
        async with (
            serving("--no-loops", directory=tmp_path, **variables) as front,
            serving(command="work", directory=tmp_path, **variables) as back,
        ):
            await provider.asked()
            async with httpx.AsyncClient() as http:
                with anyio.fail_after(20):
                    while not (posts := (await http.get(f"{front.url}/api/posts")).json()["items"]):
                        await anyio.lowlevel.checkpoint()
                assert (await http.get(f"{back.url}/api/posts")).status_code == 404
                assert (await http.get(f"{back.url}/health/live")).status_code == 200
            for service in (front, back):
                service.process.terminate()
            assert [await front.ended(), await back.ended()] == [0, 0]
    assert posts[0]["origin"] == "agent"
    assert not any("_LOOP] Started" in line for line in front.log)
    assert sum("_LOOP] Started" in line for line in back.log) == 4
