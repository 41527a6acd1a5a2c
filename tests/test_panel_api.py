"""The nine endpoints an existing panel calls: paths, methods, names, epoch seconds, always 200."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from ledger.clock import ManualClock
from ledger.llm import ChatRequest
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import NOTHING, ModelError, Paused, ScriptedModel, act, post

Json = dict[str, Any]

HALF_HOUR = timedelta(minutes=30)
NOON = START.timestamp()
CONFIG = "/api/threads/default/heartbeat/config"
RUN_NOW = "/api/threads/default/heartbeat/run-now"
HISTORY = "/api/threads/default/heartbeat/history"
HEARTBEAT_MD = "/api/heartbeat/heartbeat.md"
DEFAULTS: Json = {
    "enabled": True,
    "every": 1800,
    "target": "none",
    "active_hours_start": None,
    "active_hours_end": None,
    "timezone": "UTC",
    "model": None,
    "max_tokens": 500,
    "temperature": 0.7,
    "dry_run": False,
    "approval": "auto",
}
OTHERS: Json = {
    "enabled": False,
    "every": 60,
    "target": "last",
    "active_hours_start": 22,
    "active_hours_end": 6,
    "timezone": "Asia/Tokyo",
    "model": "other",
    "max_tokens": 10,
    "temperature": 2.0,
    "dry_run": True,
    "approval": "posts",
}


async def _get(running: Running, path: str) -> Json:
    answer = await running.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _set(running: Running, path: str, body: Json | None = None) -> Json:
    """A POST as the panel sends it: without a body it has no content type either."""
    answer = await running.http.post(path) if body is None else await running.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_loop_is_started_and_stopped_and_tells_so(opened: Opener) -> None:
    async with opened(heartbeat_enabled=False, heartbeat_seconds=900) as running:
        status = "/api/heartbeat/status"
        assert await _get(running, status) == {"enabled": False, "running": False, "interval_seconds": 900}
        for verb, state in (("start", True), ("start", True), ("stop", False), ("stop", False)):
            done = await _set(running, f"/api/heartbeat/{verb}")
            assert (set(done), done["ok"]) == ({"ok", "message"}, True)
            assert (await _get(running, status))["running"] is state


@on_sqlite
async def test_a_config_that_nobody_set_has_its_defaults(running: Running) -> None:
    shown = await _get(running, CONFIG)
    assert {name: shown["config"][name] for name in DEFAULTS} == DEFAULTS
    assert (shown["thread_id"], shown["last_run"], shown["last_summary"]) == ("default", None, None)


async def test_a_partial_change_changes_only_what_it_names(running: Running) -> None:
    expected = dict(DEFAULTS)
    for name, value in OTHERS.items():
        expected[name] = value
        assert (await _set(running, CONFIG, {name: value}))["config"] == expected
    assert (await _set(running, CONFIG, {}))["config"] == OTHERS
    assert (await _get(running, CONFIG))["config"] == OTHERS


@on_sqlite
async def test_null_clears_what_was_set(running: Running, subtests: pytest.Subtests) -> None:
    for name, default in DEFAULTS.items():
        with subtests.test(name):
            await _set(running, CONFIG, OTHERS)
            assert (await _set(running, CONFIG, {name: None}))["config"] == OTHERS | {name: default}
            assert (await _set(running, CONFIG, dict.fromkeys(DEFAULTS)))["config"] == DEFAULTS


@on_sqlite
async def test_every_seconds_is_read_as_every(running: Running) -> None:
    assert (await _set(running, CONFIG, {"every_seconds": 120}))["config"]["every"] == 120
    assert (await _set(running, CONFIG, {"every": 90, "every_seconds": 90}))["config"]["every"] == 90
    body = {"every": 90, "every_seconds": 120, "max_tokens": 77}
    assert (await running.http.post(CONFIG, json=body)).status_code == 422
    assert (await _get(running, CONFIG))["config"] == DEFAULTS | {"every": 90}
    assert (await _set(running, CONFIG, {"every_seconds": None}))["config"] == DEFAULTS


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("enabled", ["yes", 1]),
        ("every", [59, 604_801, 60.5, "60", -1, 0, True]),
        ("every_seconds", [59, 604_801]),
        ("target", ["first", "", "None", 0, False]),
        ("active_hours_start", [-1, 24, 1.5, "8", "24:00"]),
        ("active_hours_end", [-1, 24, "24:01", "8.00", "25:00"]),
        ("timezone", ["Mars/Olympus", "", "UTC+1", 0]),
        ("model", ["", "m" * 201, 4]),
        ("max_tokens", [9, 32_001, 10.5, "500"]),
        ("temperature", [-0.1, 2.1, "0.5", False]),
        ("dry_run", ["true", 0]),
        ("approval", ["none", True, ""]),
        ("colour", ["red"]),
        ("last_run", [None]),
    ],
)
async def test_what_is_out_of_bounds_is_refused_and_nothing_changes(
    refusing: Running, name: str, values: list[object]
) -> None:
    for value in values:
        answer = await refusing.http.post(CONFIG, json={"max_tokens": 77, name: value})
        assert answer.status_code == 422, value
        assert name in answer.json()["detail"] or name == "timezone"
    assert (await _get(refusing, CONFIG))["config"] == DEFAULTS


@on_sqlite
async def test_the_bounds_themselves_are_fine(running: Running) -> None:
    bounds: dict[str, list[object]] = {
        "every": [60, 604_800],
        "active_hours_start": [0, 23, "08:30"],
        "active_hours_end": [1, 23, "17:45", "24:00"],
        "max_tokens": [10, 32_000],
        "temperature": [0, 2, 0.5],
        "model": ["m" * 200],
    }
    for name, values in bounds.items():
        for value in values:
            assert (await _set(running, CONFIG, {name: value}))["config"] == DEFAULTS | {name: value}
        assert (await _set(running, CONFIG, {name: None}))["config"] == DEFAULTS


@on_sqlite
async def test_hours_that_never_open_are_reported(running: Running) -> None:
    for start, end in ((0, 0), (8, 8), (None, 0)):
        hours = {"active_hours_start": start, "active_hours_end": end}
        shown = await _set(running, CONFIG, hours)
        assert shown["config"] == DEFAULTS | hours
        (problem,) = shown["problems"]
        assert "never open" in problem
        assert (await _get(running, CONFIG))["problems"] == [problem]
        assert (await _set(running, CONFIG, dict.fromkeys(hours)))["problems"] == []


@on_sqlite
async def test_hours_that_open_are_no_problem(running: Running) -> None:
    for start, end in ((None, None), (8, None), (0, None), (None, 8), (22, 6), (0, 1)):
        hours = {"active_hours_start": start, "active_hours_end": end}
        assert (await _set(running, CONFIG, hours))["problems"] == [], hours


async def test_run_now_tells_what_was_done(running: Running, model: ScriptedModel, clock: ManualClock) -> None:
    async def slowly(_: ChatRequest) -> str:
        clock.advance(timedelta(seconds=2))
        return msgspec.json.encode(act(post("Plans", "Go camping."), summary="Noted the plan.")).decode()

    model.says(slowly)
    ran = await _set(running, RUN_NOW)
    (written,) = (await _get(running, "/api/posts"))["items"]
    action = {"action": "post", "success": True, "post_id": written["id"], "comment_id": None, "title": "Plans"}
    action |= {"direction": None, "dry_run": False, "error": None, "message_id": None, "approval_id": None}
    assert ran == {
        "thread_id": "default",
        "ran_successfully": True,
        "timestamp": NOON + 2,
        "decision_summary": "Noted the plan.",
        "actions": [action],
        "execution_time_seconds": 2.0,
        "error": None,
    }
    activity = {"timestamp": NOON + 2, "summary": "Noted the plan.", "actions": [action], "success": True}
    assert await _get(running, HISTORY) == {"activities": [activity], "total_runs": 1}
    shown = await _get(running, CONFIG)
    assert (shown["last_run"], shown["last_summary"]) == (NOON + 2, "Noted the plan.")


@on_sqlite
async def test_run_now_runs_while_the_loop_is_stopped(running: Running, model: ScriptedModel) -> None:
    await _set(running, "/api/heartbeat/stop")
    assert (await _set(running, RUN_NOW))["ran_successfully"] is True
    assert len(model.requests) == 1


@pytest.mark.parametrize("answer", [ModelError("The provider is down."), "not JSON", '{"verdict": "dance"}'])
@on_sqlite
async def test_a_failed_run_now_is_200_and_says_why(
    running: Running, model: ScriptedModel, answer: str | Exception
) -> None:
    model.says(answer, answer)
    ran = await _set(running, RUN_NOW)
    assert (ran["ran_successfully"], ran["actions"], ran["timestamp"]) == (False, [], NOON)
    assert ran["error"]
    if isinstance(answer, ModelError):
        assert "The provider is down." in ran["error"]
    (activity,) = (await _get(running, HISTORY))["activities"]
    assert (activity["success"], activity["summary"]) == (False, ran["error"])
    assert (await _get(running, CONFIG))["last_summary"] == ran["error"]
    assert (await _get(running, "/api/posts"))["items"] == []


@on_sqlite
async def test_run_now_of_a_heartbeat_that_is_off_did_not_run(running: Running, model: ScriptedModel) -> None:
    await _set(running, CONFIG, {"enabled": False})
    ran = await _set(running, RUN_NOW)
    assert ran["ran_successfully"] is False
    assert "switched off" in ran["error"]
    assert model.requests == []


async def test_run_now_is_a_conflict_while_one_is_under_way(running: Running, model: ScriptedModel) -> None:
    paused = Paused(NOTHING)
    model.says(paused)
    first: list[Json] = []
    second: list[int] = []

    async def run() -> None:
        first.append(await _set(running, RUN_NOW))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await paused.asked.wait()
        second.append((await running.http.post(RUN_NOW)).status_code)
        paused.go_on.set()
    assert second == [409]
    assert first[0]["ran_successfully"] is True
    assert (await running.http.post(RUN_NOW)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "config"), ("POST", "config"), ("POST", "run-now"), ("GET", "history?limit=3")]
)
async def test_an_unknown_thread_is_404(refusing: Running, method: str, path: str) -> None:
    body = {"every": 60} if path == "config" and method == "POST" else None
    answer = await refusing.http.request(method, f"/api/threads/gone/heartbeat/{path}", json=body)
    assert answer.status_code == 404


async def test_history_counts_decisions_and_failures_but_not_skips(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _set(running, HEARTBEAT_MD, {"content": "# Nothing"})
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert await _get(running, HISTORY) == {"activities": [], "total_runs": 0}
    assert (await _get(running, CONFIG))["last_run"] is None

    await _set(running, HEARTBEAT_MD, {"content": "- Work"})
    model.says(ModelError("Down."), NOTHING, act({"action": "vote", "post_id": "x", "direction": "up"}, summary="Try."))
    for _ in range(3):
        clock.advance(timedelta(seconds=1))
        await _set(running, RUN_NOW)
    told = await _get(running, HISTORY)
    assert told["total_runs"] == 3
    shown = [(activity["summary"], activity["success"]) for activity in told["activities"]]
    assert shown == [
        ("No action passed its checks: There is no post 'x' in this thread.", True),
        ("Nothing to do.", True),
        ("Down.", False),
    ]
    assert [activity["timestamp"] - NOON for activity in told["activities"]] == [1803, 1802, 1801]
    assert told["activities"][0]["actions"][0]["direction"] == "up"
    short = await _get(running, f"{HISTORY}?limit=1")
    assert (short["activities"], short["total_runs"]) == (told["activities"][:1], 3)
    runs = (await _get(running, "/api/runs?loop=heartbeat"))["items"]
    assert [run["outcome"] for run in runs] == ["refused", "nothing", "failed", "skipped"]


async def test_saving_the_same_config_again_is_nothing_new(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _set(running, CONFIG, {"max_tokens": 400})
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert len(model.requests) == 1
    for body in ({}, {"max_tokens": 400}, {"timezone": None}):
        await _set(running, CONFIG, body)
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert len(model.requests) == 1


async def test_heartbeat_md_is_saved_and_read(running: Running, tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "HEARTBEAT.md"
    empty: Json = {"content": "", "last_modified": None, "path": str(path), "version": 0, "problems": []}
    assert await _get(running, HEARTBEAT_MD) == empty
    clock.advance(timedelta(seconds=5))
    content = "# Work\n\n- Größe prüfen 🦞\r\n"
    saved = await _set(running, HEARTBEAT_MD, {"content": content})
    assert saved == {"content": content, "last_modified": NOON + 5, "path": str(path), "version": 1, "problems": []}
    assert path.read_bytes() == content.encode()
    clock.advance(timedelta(seconds=5))
    assert await _set(running, HEARTBEAT_MD, {"content": content}) == saved
    assert await _get(running, HEARTBEAT_MD) == saved


@on_sqlite
async def test_odd_content_is_saved_with_problems_and_refused_when_strict(
    running: Running, subtests: pytest.Subtests
) -> None:
    for content in ("", "# Only a heading", "- Work\n<!-- never closed", "<!--"):
        with subtests.test(content):
            await _set(running, HEARTBEAT_MD, {"content": "- Before"})
            answer = await running.http.post(f"{HEARTBEAT_MD}?strict=true", json={"content": content})
            assert answer.status_code == 422
            assert (await _get(running, HEARTBEAT_MD))["content"] == "- Before"
            saved = await _set(running, HEARTBEAT_MD, {"content": content})
            assert saved["content"] == content
            assert [set(problem) for problem in saved["problems"]] == [{"line", "severity", "message", "fix"}]
            assert (await _get(running, HEARTBEAT_MD))["problems"] == saved["problems"]


@on_sqlite
async def test_good_content_passes_when_strict(running: Running) -> None:
    assert (await _set(running, f"{HEARTBEAT_MD}?strict=true", {"content": "- Work"}))["problems"] == []


UNKEPT: list[tuple[Json, int]] = [
    ({"content": "x" * 65_537}, 413),
    ({"content": "é" * 32_769}, 413),
    ({"content": "a\x00b"}, 422),
    ({"content": None}, 422),
    ({"content": "x", "path": "/etc/passwd"}, 422),
    ({}, 422),
]


@on_sqlite
async def test_instructions_that_cannot_be_kept_leave_the_old_ones(running: Running, subtests: pytest.Subtests) -> None:
    await _set(running, HEARTBEAT_MD, {"content": "- Before"})
    for body, status in UNKEPT:
        with subtests.test(body=str(body)[:40]):
            assert (await running.http.post(HEARTBEAT_MD, json=body)).status_code == status
            assert (await _get(running, HEARTBEAT_MD))["content"] == "- Before"
    assert len((await _set(running, HEARTBEAT_MD, {"content": "x" * 65_536}))["content"]) == 65_536
