"""A heartbeat from the clock to the record, on both databases."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from ledger.clock import ManualClock
from ledger.llm import ChatRequest, ModelError
from ledger.loops.asking import ASKED_AGAIN
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import NOTHING, Paused, ScriptedModel, act, post
from tests.toy import eventually

HALF_HOUR = timedelta(minutes=30)
CONFIG = "/api/threads/default/heartbeat/config"


async def _say(running: Running, content: str, thread: str = "default") -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post(f"/api/threads/{thread}/messages", json=body)).raise_for_status()


async def _configure(running: Running, **fields: object) -> None:
    (await running.http.post(CONFIG, json=fields)).raise_for_status()


async def _runs(running: Running, thread: str = "default") -> list[dict[str, Any]]:
    """The heartbeats of a thread, the one started first first."""
    found = await running.http.get(f"/api/runs?loop=heartbeat&limit=200&thread_id={thread}")
    return found.json()["items"][::-1]


async def _titles(running: Running) -> list[str]:
    return [found["title"] for found in (await running.http.get("/api/posts")).json()["items"]]


async def _heartbeat_with(running: Running, paused: Paused, *meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Take what is due, and have something happen while the model thinks."""
    async with anyio.create_task_group() as group:
        group.start_soon(running.heartbeat.run_once)
        await paused.asked.wait()
        for happen in meanwhile:
            await happen()
        paused.go_on.set()


async def test_a_heartbeat_posts_when_its_slot_has_come(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(act(post("Plans", "They want to go camping.")))
    await _say(running, "Let us go camping.")
    await running.heartbeat.run_once()
    assert model.requests == []

    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()

    posts = (await running.http.get("/api/posts")).json()["items"]
    assert [(found["title"], found["author"], found["origin"]) for found in posts] == [("Plans", "ledger", "agent")]
    (run,) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert (run["outcome"], run["decided_by"], run["slots"]) == ("acted", "model", 1)
    assert run["actions"][0]["post_id"] == posts[0]["id"]


async def test_a_person_who_writes_during_a_turn_makes_it_start_over(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post("Stale", "Decided too early.")))
    model.says(paused, act(post("Fresh", "Decided on all of it.")))
    await _say(running, "One.")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(running.heartbeat.run_once)
        await paused.asked.wait()
        await _say(running, "Two.")
        paused.go_on.set()

    posts = (await running.http.get("/api/posts")).json()["items"]
    assert [found["title"] for found in posts] == ["Fresh"]
    runs = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert sorted((run["outcome"], run["reason"], run["slots"]) for run in runs) == [
        ("acted", None, 1),
        ("skipped", "moved_on", 0),
    ]


async def test_a_restart_does_not_reset_the_phase(opened: Opener, clock: ManualClock) -> None:
    async with opened() as running:
        await _say(running, "Hello.")
    for _ in range(6):
        clock.advance(HALF_HOUR / 2)
        async with opened() as running:
            await running.heartbeat.run_once()
            await _say(running, "Still here.")
    async with opened() as running:
        runs = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert [run["slots"] for run in runs] == [1, 1, 1]


async def test_a_thread_that_moves_on_time_and_again_is_left_until_its_next_slot(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    stale = [Paused(act(post(f"Stale {number}"))) for number in range(3)]
    model.says(*stale, act(post("Fresh")))
    await _say(running, "Zero.")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(running.heartbeat.run_once)
        for paused in stale:
            await paused.asked.wait()
            await _say(running, "More.")
            paused.go_on.set()
    assert sorted((run["reason"], run["slots"]) for run in await _runs(running)) == [
        ("moved_on", 0),
        ("moved_on", 0),
        ("moved_on", 1),
    ]

    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert await _titles(running) == ["Fresh"]
    assert (await _runs(running))[-1]["slots"] == 1


async def test_what_an_application_says_during_a_turn_drops_nothing_and_is_news_for_the_next(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post("Kept")))
    model.says(paused)
    body = {"messages": [{"role": "assistant", "content": "By the way."}]}
    await _say(running, "Hello.")
    clock.advance(HALF_HOUR)
    await _heartbeat_with(running, paused, lambda: running.http.post("/api/threads/default/messages", json=body))
    assert await _titles(running) == ["Kept"]

    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert [run["outcome"] for run in await _runs(running)] == ["acted", "nothing"]


async def test_an_interval_changed_during_a_turn_is_kept_and_counts_at_once(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post("Kept")))
    model.says(paused)
    await _say(running, "Hello.")
    clock.advance(HALF_HOUR)
    await _heartbeat_with(running, paused, lambda: _configure(running, every=600, temperature=0.1))
    assert await _titles(running) == ["Kept"]
    found = (await running.http.get("/api/threads/default/loops/heartbeat")).json()
    assert (found["every"], found["next_slot"]) == (600, "2026-01-05T12:40:00Z")

    clock.advance(HALF_HOUR / 3)
    await running.heartbeat.run_once()
    assert [(run["first_slot"], run["slots"]) for run in await _runs(running)] == [
        ("2026-01-05T12:30:00Z", 1),
        ("2026-01-05T12:40:00Z", 1),
    ]
    assert model.requests[-1].temperature == 0.1


async def test_a_thread_disabled_during_a_turn_is_not_written_to(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post("Too late")))
    model.says(paused)
    await _say(running, "Hello.")
    clock.advance(HALF_HOUR)
    await _heartbeat_with(running, paused, lambda: _configure(running, enabled=False))
    assert await _titles(running) == []
    (run,) = await _runs(running)
    assert (run["outcome"], run["reason"], run["slots"]) == ("skipped", "disabled", 1)

    clock.advance(2 * HALF_HOUR)
    await running.heartbeat.run_once()
    assert len(await _runs(running)) == 1


async def test_a_thread_deleted_during_a_turn_is_not_written_to(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await running.http.post("/api/threads", json={"id": "gone"})
    await _configure(running, enabled=False)
    paused = Paused(act(post("Too late")))
    model.says(paused)
    await _say(running, "Hello.", "gone")
    clock.advance(HALF_HOUR)
    await _heartbeat_with(running, paused, lambda: running.http.delete("/api/threads/gone"))
    assert (await _titles(running), await _runs(running, "gone")) == ([], [])
    assert running.heartbeat.lost_claims == 1


async def test_the_thread_default_emptied_during_a_turn_stays_empty(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post("Too late")))
    model.says(paused)
    await _configure(running, target="last")
    await _say(running, "Hello.")
    clock.advance(HALF_HOUR)
    await _heartbeat_with(running, paused, lambda: running.http.delete("/api/threads/default"))
    assert (await _titles(running), await _runs(running)) == ([], [])
    thread = (await running.http.get("/api/threads/default")).json()
    assert (thread["message_count"], thread["post_count"]) == (0, 0)


async def test_a_loop_stopped_during_a_turn_owes_it_until_it_is_started_again(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post("Too early")))
    model.says(paused, act(post("In time")))
    await _say(running, "Hello.")
    clock.advance(HALF_HOUR)
    await _heartbeat_with(running, paused, lambda: running.http.post("/api/heartbeat/stop"))
    assert (await _titles(running), await _runs(running)) == ([], [])

    await running.http.post("/api/heartbeat/start")
    await running.heartbeat.run_once()
    assert await _titles(running) == ["In time"]
    (run,) = await _runs(running)
    assert (run["first_slot"], run["slots"], run["attempt"]) == ("2026-01-05T12:30:00Z", 1, 0)


@on_sqlite
async def test_a_thread_that_asks_for_a_minute_is_served_every_minute_by_a_loop_of_half_hours(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(heartbeat_seconds=1800) as running:
        await running.http.post("/api/threads", json={"id": "quick"})
        await running.http.post("/api/threads/quick/heartbeat/config", json={"every": 60})
        for minute in range(1, 33):
            await _say(running, f"Minute {minute}.", "quick")
            clock.advance(timedelta(seconds=59))
            await running.heartbeat.run_once()
            assert len(await _runs(running, "quick")) == minute - 1
            clock.advance(timedelta(seconds=1))
            await eventually(lambda count=minute: _has_runs(running, "quick", count))
        found = await _runs(running, "quick")
    slots = [f"{START + minute * timedelta(seconds=60):%FT%TZ}" for minute in range(1, 33)]
    assert [(run["first_slot"], run["slots"], run["lateness_seconds"]) for run in found] == [
        (slot, 1, 0) for slot in slots
    ]
    assert {run["outcome"] for run in found} == {"nothing"}


async def _has_runs(running: Running, thread: str, count: int) -> bool:
    return len(await _runs(running, thread)) == count


GATES: dict[str, tuple[str, dict[str, object]]] = {
    "disabled": (CONFIG, {"enabled": False}),
    "instructions_empty": ("/api/heartbeat/heartbeat.md", {"content": "# Later\n\n- [ ]\n<!-- call Ada -->\n"}),
}


@on_sqlite
async def test_a_closed_gate_costs_no_model_call_and_is_the_reason_of_one_folded_run(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    path, body = GATES[reason := "instructions_empty"]
    (await running.http.post(path, json=body)).raise_for_status()
    await _say(running, "Hello.")
    for _ in range(3):
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
    (run,) = await _runs(running)
    assert (run["outcome"], run["reason"], run["slots"], run["decided_by"]) == ("skipped", reason, 3, None)
    assert model.requests == []


@on_sqlite
async def test_a_disabled_thread_has_no_heartbeat_and_no_run(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(running, enabled=False)
    await _say(running, "Hello.")
    clock.advance(3 * HALF_HOUR)
    await running.heartbeat.run_once()
    assert (await _runs(running), model.requests) == ([], [])


async def test_a_thread_where_nothing_has_changed_since_the_last_decision_costs_no_model_call(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _say(running, "Hello.")
    for _ in range(4):
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
    assert [(run["outcome"], run["reason"], run["slots"]) for run in await _runs(running)] == [
        ("nothing", "decided_nothing", 1),
        ("skipped", "nothing_new", 3),
    ]
    assert len(model.requests) == 1


async def _person_posts(running: Running) -> dict[str, Any]:
    return (await running.http.post("/api/posts", json={"title": "Hi", "content": "There."})).json()


@on_sqlite
async def test_whatever_a_person_changes_is_new(
    running: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    found = f"/api/posts/{(await _person_posts(running))['id']}"
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    http = running.http
    changes = {
        "message": lambda: http.post(
            "/api/threads/default/messages", json={"messages": [{"role": "user", "content": "?"}]}
        ),
        "post": lambda: http.post("/api/posts", json={"title": "More", "content": "Of it."}),
        "edit": lambda: http.patch(found, json={"content": "Changed."}),
        "comment": lambda: http.post(f"{found}/comments", json={"content": "Indeed."}),
        "vote": lambda: http.put(f"{found}/votes/ada", json={"value": 1}),
        "unvote": lambda: http.delete(f"{found}/votes/ada"),
        "instructions": lambda: http.post("/api/heartbeat/heartbeat.md", json={"content": "Greet everybody."}),
        "config": lambda: http.post(CONFIG, json={"max_tokens": 100}),
    }
    for number, (news, change) in enumerate(changes.items(), start=2):
        with subtests.test(news):
            (await change()).raise_for_status()
            clock.advance(HALF_HOUR)
            await running.heartbeat.run_once()
            assert [run["outcome"] for run in await _runs(running)] == ["nothing"] * number
            assert len(model.requests) == number
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert len(model.requests) == 1 + len(changes)


@on_sqlite
async def test_what_happens_in_other_threads_is_not_new(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await running.http.post("/api/threads", json={"id": "other"})
    await running.http.post("/api/threads/other/heartbeat/config", json={"enabled": False})
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    await _say(running, "Psst.", "other")
    await running.http.post("/api/posts", json={"title": "Hi", "content": "There.", "thread_id": "other"})
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert [run["reason"] for run in await _runs(running)] == ["decided_nothing", "nothing_new"]
    assert len(model.requests) == 1


@on_sqlite
async def test_run_now_passes_closed_hours_and_nothing_new(running: Running, model: ScriptedModel) -> None:
    path, body = CONFIG, {"active_hours_start": 20, "active_hours_end": 8}
    await running.http.post(path, json=body)
    for _ in range(2):
        answer = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
        assert (answer["ran_successfully"], answer["error"]) == (True, None)
    assert len(model.requests) == 2


@pytest.mark.parametrize("reason", ["disabled", "instructions_empty"])
@on_sqlite
async def test_run_now_passes_no_other_gate(running: Running, model: ScriptedModel, reason: str) -> None:
    path, body = GATES[reason]
    await running.http.post(path, json=body)
    answer = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
    assert not answer["ran_successfully"]
    assert answer["error"]
    assert [(run["outcome"], run["reason"]) for run in await _runs(running)] == [("skipped", reason)]
    assert model.requests == []


WRONG: dict[str, str | dict[str, object]] = {
    "nothing at all": "",
    "prose": "I think I should post something nice.",
    "half JSON": '{"verdict": "act", "reasoning": "It is ti',
    "an unknown action": act({"action": "delete", "post_id": "1"}),
    "a wrong type": {**NOTHING, "summary": 7},
    "a missing field": {"verdict": "nothing", "actions": []},
    "an unknown verdict": {**NOTHING, "verdict": "maybe"},
    "an unknown direction": act({"action": "vote", "post_id": "1", "direction": "sideways"}),
    "four actions": act(post("One"), post("Two"), post("Three"), post("Four")),
    "an act without actions": act(),
    "a nothing with actions": {**act(post()), "verdict": "nothing"},
    "a list": "[]",
}


@on_sqlite
async def test_an_answer_that_is_no_decision_fails_the_turn_and_writes_nothing(
    running: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for name, wrong in WRONG.items():
        with subtests.test(name):
            (await running.http.delete("/api/threads/default")).raise_for_status()
            model.says(wrong, wrong, act(post("Better")))
            await _say(running, "Hello.")
            clock.advance(HALF_HOUR)
            await running.heartbeat.run_once()
            (run,) = await _runs(running)
            assert (run["outcome"], run["reason"], run["slots"], run["actions"]) == ("failed", "answer_invalid", 0, [])
            assert run["error"].startswith("The model's answer is ")
            assert await _titles(running) == []

            clock.advance(timedelta(seconds=36))
            await running.heartbeat.run_once()
            assert await _titles(running) == ["Better"]
            assert [(run["attempt"], run["slots"]) for run in await _runs(running)] == [(0, 0), (1, 1)]


@on_sqlite
async def test_a_provider_that_fails_costs_its_own_thread_a_backoff_and_nobody_else_anything(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await running.http.post("/api/threads", json={"id": "other"})

    async def answer(request: ChatRequest) -> str:
        if "Unlucky." in request.messages[-1].content:
            raise ModelError("The provider answered 500: oops")
        return '{"verdict": "nothing", "reasoning": "", "summary": "Fine.", "actions": []}'

    model.says(answer, answer)
    await _say(running, "Unlucky.")
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    (failed,), (other,) = await _runs(running), await _runs(running, "other")
    assert (failed["outcome"], failed["reason"]) == ("failed", "provider_failed")
    assert failed["error"] == "The provider answered 500: oops"
    assert (other["outcome"], other["summary"]) == ("nothing", "Fine.")
    turn = (await running.http.get("/api/threads/default/loops/heartbeat")).json()
    assert (turn["next_slot"], turn["attempt"]) == ("2026-01-05T12:30:00Z", 1)
    waits = datetime.fromisoformat(turn["next_due_at"]) - clock.now()
    assert timedelta(seconds=24) <= waits <= timedelta(seconds=36)


@on_sqlite
async def test_the_settings_of_a_thread_reach_the_model(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(running, model="other-model", max_tokens=123, temperature=1.5)
    await running.http.post("/api/threads", json={"id": "plain"})
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    asked = sorted((request.model, request.max_tokens, request.temperature) for request in model.requests)
    assert asked == [("other-model", 123, 1.5), ("scripted", 500, 0.7)]


async def test_a_run_holds_everything_that_led_to_it(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await running.http.post("/api/heartbeat/heartbeat.md", json={"content": "Post about camping."})
    model.says(act(post("Camping", "In June."), summary="Posted about camping."))
    await _say(running, "Let us go camping.")
    clock.advance(HALF_HOUR + timedelta(seconds=90))
    await running.heartbeat.run_once()
    (listed,) = await _runs(running)
    run = (await running.http.get(f"/api/runs/{listed['id']}")).json()

    assert (run["instructions"], run["instructions_version"], run["seen_seq"]) == ("Post about camping.", 1, 1)
    assert run["context"]["messages"][0]["content"] == "Let us go camping."
    assert [part["role"] for part in run["prompt"]] == ["system", "user"]
    assert "Post about camping." in run["prompt"][0]["content"]
    assert "Let us go camping." in run["prompt"][1]["content"]
    assert '"title":"Camping"' in run["raw_answer"]
    assert run["decision"]["actions"][0]["title"] == "Camping"
    assert (run["actions"][0]["action"], run["actions"][0]["success"]) == ("post", True)
    assert (run["model"], run["prompt_tokens"], run["completion_tokens"], run["latency_seconds"]) == (
        "scripted",
        100,
        20,
        1,
    )
    assert (run["first_slot"], run["slots"], run["lateness_seconds"]) == ("2026-01-05T12:30:00Z", 1, 90)
    assert (run["outcome"], run["reason"], run["summary"]) == ("acted", None, "Posted about camping.")


@on_sqlite
async def test_a_failed_run_holds_the_answer_as_it_came(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    said = "Sure! \x00 Here you go: nothing."
    model.says(said, said)
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    (listed,) = await _runs(running)
    run = (await running.http.get(f"/api/runs/{listed['id']}")).json()
    assert (run["outcome"], run["raw_answer"], run["decision"]) == ("failed", f"{said}{ASKED_AGAIN}{said}", None)
    assert run["prompt"]
