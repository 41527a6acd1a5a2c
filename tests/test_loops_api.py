"""The loops over HTTP: which there are, started and stopped, and switched or timed for one thread."""

from datetime import timedelta
from typing import Any

import pytest

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.instructions.file import File
from ledger.loops import build_loops
from ledger.settings import Settings
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel

NAMES = ["reflection", "personality", "self_reply", "heartbeat"]
DEFAULTS = {"reflection": 900, "personality": 1200, "self_reply": 1800, "heartbeat": 1800}
HALF_HOUR = timedelta(minutes=30)


async def _loops(running: Running) -> dict[str, dict[str, Any]]:
    return {loop["loop"]: loop for loop in (await running.http.get("/api/loops")).json()}


async def _say(running: Running, thread: str) -> None:
    body = {"messages": [{"role": "user", "content": "Hello."}]}
    (await running.http.post(f"/api/threads/{thread}/messages", json=body)).raise_for_status()


async def _runs(running: Running, query: str) -> list[dict[str, Any]]:
    return (await running.http.get(f"/api/runs?{query}")).json()["items"]


async def _run_all(running: Running) -> None:
    state = running.app.state
    for loop in (
        state.reflection_loop,
        state.personality_loop,
        state.journal_self_reply_loop,
        state.heartbeat_loop,
    ):
        await loop.run_once()


async def test_loops_are_built_in_their_order(settings: Settings, db: Database, clock: ManualClock) -> None:
    built = build_loops(settings, db, clock, None, File(settings.heartbeat_md, db, clock))
    assert [loop.name for loop in built] == NAMES


@on_sqlite
async def test_the_application_carries_its_loops_by_name(running: Running) -> None:
    state = running.app.state
    found = (state.reflection_loop, state.personality_loop, state.journal_self_reply_loop, state.heartbeat_loop)
    assert [loop.name for loop in found] == NAMES


@on_sqlite
async def test_every_loop_says_that_it_has_started(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as running:
        await _run_all(running)
    for label in ("REFLECTION", "PERSONALITY", "JOURNAL_SELF_REPLY", "HEARTBEAT"):
        assert caplog.messages.count(f"[{label}_LOOP] Started") == 1


@on_sqlite
async def test_all_four_loops_are_listed_with_their_settings(running: Running) -> None:
    await _run_all(running)
    found = (await running.http.get("/api/loops")).json()
    assert [loop["loop"] for loop in found] == NAMES
    for loop in found:
        assert (loop["enabled"], loop["running"], loop["turns_running"]) == (True, True, 0)
        assert (loop["interval_seconds"], loop["last_pass_at"]) == (DEFAULTS[loop["loop"]], "2026-01-05T12:00:00Z")


async def test_a_loop_that_the_settings_switch_off_does_not_run_but_can_be_started(
    opened: Opener, clock: ManualClock, model: ScriptedModel
) -> None:
    async with opened(heartbeat_enabled=False) as running:
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        assert model.requests == []
        answer = (await running.http.post("/api/loops/heartbeat/start")).json()
        assert (answer["enabled"], answer["running"]) == (False, True)
        await running.heartbeat.run_once()
        assert len(model.requests) == 1


async def test_stop_and_start_outlive_a_restart(opened: Opener) -> None:
    stopped: list[str] = []
    for name in [*NAMES, ""]:
        async with opened() as running:
            found = {loop: state["running"] for loop, state in (await _loops(running)).items()}
            assert found == {loop: loop not in stopped for loop in NAMES}
            for loop in stopped:
                await running.http.post(f"/api/loops/{loop}/start")
            if name:
                answer = (await running.http.post(f"/api/loops/{name}/stop")).json()
                assert (answer["loop"], answer["enabled"], answer["running"]) == (name, True, False)
        stopped = [name]
    async with opened(**{f"{name}_enabled": False for name in NAMES}) as running:
        found = [(state["enabled"], state["running"]) for state in (await _loops(running)).values()]
        assert found == [(False, True)] * len(NAMES)


@on_sqlite
async def test_stopping_twice_is_stopping_once(running: Running) -> None:
    for _ in range(2):
        assert not (await running.http.post("/api/loops/reflection/stop")).json()["running"]


@on_sqlite
async def test_a_stopped_heartbeat_takes_no_turn(running: Running, clock: ManualClock, model: ScriptedModel) -> None:
    await running.http.post("/api/loops/heartbeat/stop")
    clock.advance(2 * HALF_HOUR)
    await running.heartbeat.run_once()
    assert (model.requests, await _runs(running, "loop=heartbeat")) == ([], [])


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"enabled": True})])
async def test_a_thread_or_loop_that_does_not_exist_is_named_in_a_problem(
    refusing: Running, method: str, body: dict[str, object] | None
) -> None:
    for path, named in (
        ("/api/threads/nobody/loops/heartbeat", "'nobody'"),
        ("/api/threads/default/loops/dreaming", "'dreaming'"),
    ):
        answer = await refusing.http.request(method, path, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert named in answer.json()["detail"]


@on_sqlite
async def test_a_thread_may_have_an_interval_of_its_own(running: Running) -> None:
    path = "/api/threads/default/loops/heartbeat"
    for every in (60, 3_601, 604_800):
        answer = await running.http.patch(path, json={"every": every})
        assert (answer.status_code, answer.json()["every"]) == (200, every)
        assert answer.json() == (await running.http.get(path)).json()
        config = (await running.http.get("/api/threads/default/heartbeat/config")).json()["config"]
        assert config["every"] == every


@pytest.mark.parametrize(
    "body", [{"every": 59}, {"every": 604_801}, {"every": "60"}, {"every": 60.5}, {"enabled": None}, {"on": True}]
)
async def test_what_cannot_be_set_is_refused_and_changes_nothing(refusing: Running, body: dict[str, object]) -> None:
    path = "/api/threads/default/loops/reflection"
    before = (await refusing.http.get(path)).json()
    answer = await refusing.http.patch(path, json=body)
    assert answer.status_code == 422
    assert next(iter(body)) in answer.json()["detail"]
    assert (await refusing.http.get(path)).json() == before


@on_sqlite
async def test_null_goes_back_to_the_default_interval_and_absence_keeps_what_is_set(running: Running) -> None:
    path = "/api/threads/default/loops/reflection"
    await running.http.patch(path, json={"every": 120})
    kept = (await running.http.patch(path, json={"enabled": False})).json()
    assert (kept["every"], kept["enabled"]) == (120, False)
    back = (await running.http.patch(path, json={"every": None})).json()
    assert (back["every"], back["enabled"]) == (900, False)


async def test_a_loop_switched_off_for_a_thread_owes_it_nothing(running: Running, clock: ManualClock) -> None:
    path = "/api/threads/default/loops/reflection"
    await _say(running, "default")
    assert (await running.http.get(path)).json()["next_slot"] == "2026-01-05T12:15:00Z"
    off = (await running.http.patch(path, json={"enabled": False})).json()
    assert (off["next_slot"], off["next_due_at"]) == (None, None)
    clock.advance(HALF_HOUR)
    await running.reflection.run_once()
    assert await _runs(running, "loop=reflection") == []
    on = (await running.http.patch(path, json={"enabled": True})).json()
    assert on["next_slot"] == "2026-01-05T12:15:00Z"


async def test_quiet_loops_serve_threads_with_news_once_and_idle_threads_never(
    running: Running, clock: ManualClock
) -> None:
    await running.http.post("/api/threads", json={"id": "idle"})
    await _say(running, "default")
    await _say(running, "default")
    for _ in range(4):
        clock.advance(HALF_HOUR)
        await _run_all(running)
    for name in NAMES[:2]:
        (run,) = await _runs(running, f"loop={name}")
        assert (run["thread_id"], run["decided_by"], run["slots"]) == ("default", "model", 1)
    assert await _runs(running, "loop=self_reply") == []
    for name in NAMES[:3]:
        for thread in ("default", "idle"):
            turn = (await running.http.get(f"/api/threads/{thread}/loops/{name}")).json()
            assert (turn["next_slot"], turn["next_due_at"]) == (None, None)


@pytest.mark.parametrize("name", NAMES[:2])
@on_sqlite
async def test_a_quiet_loop_is_due_one_interval_after_the_oldest_news(
    running: Running, clock: ManualClock, name: str
) -> None:
    await _say(running, "default")
    due = clock.now() + timedelta(seconds=DEFAULTS[name])
    clock.advance(timedelta(minutes=5))
    await _say(running, "default")
    turn = (await running.http.get(f"/api/threads/default/loops/{name}")).json()
    assert turn["next_slot"] == f"{due:%FT%TZ}"


async def test_another_default_interval_after_a_restart_counts_from_the_same_anchor(
    opened: Opener, clock: ManualClock
) -> None:
    path = "/api/threads/default/loops/heartbeat"
    async with opened() as running:
        assert (await running.http.get(path)).json()["next_slot"] == "2026-01-05T12:30:00Z"
    clock.advance(timedelta(minutes=11))
    async with opened(heartbeat_seconds=600) as running:
        found = (await running.http.get(path)).json()
        assert (found["every"], found["next_slot"]) == (600, "2026-01-05T12:20:00Z")


async def test_readiness_depends_on_loops_that_should_run_and_pass(running: Running, clock: ManualClock) -> None:
    await _run_all(running)
    assert (await running.http.get("/health/ready")).status_code == 200
    await running.http.post("/api/loops/personality/stop")
    clock.advance(HALF_HOUR)
    await _run_all(running)
    assert (await running.http.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("query", ["since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-12:00"])
async def test_moments_no_clock_shows_are_refused_in_the_filter_of_runs(refusing: Running, query: str) -> None:
    answer = await refusing.http.get(f"/api/runs?{query}")
    assert answer.status_code == 422
    assert "out of range" in answer.json()["detail"]
