"""A heartbeat from the clock to the record, on both databases."""

from datetime import timedelta

import anyio

from ledger.clock import ManualClock
from tests.conftest import Opener, Running
from tests.scripted import Paused, ScriptedModel, act, post

HALF_HOUR = timedelta(minutes=30)


async def _say(running: Running, content: str, thread: str = "default") -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post(f"/api/threads/{thread}/messages", json=body)).raise_for_status()


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
