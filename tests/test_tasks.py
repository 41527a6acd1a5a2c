"""Tasks of the instructions, from their slots to the record of what became of them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from ledger.clock import ManualClock
from ledger.llm import ChatRequest, ModelError
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import NOTHING, ScriptedModel, act, post

Json = dict[str, Any]

HALF_HOUR = timedelta(minutes=30)
HEARTBEAT_MD = "/api/heartbeat/heartbeat.md"
CONFIG = "/api/threads/default/heartbeat/config"
DAY = 48
"""Heartbeats a day."""

Beat = Callable[[int], Awaitable[list[Json]]]


def task(name: str, **keys: str) -> str:
    lines = [f"- name: {name}", *(f"  {key}: {value}" for key, value in keys.items())]
    return "\n".join(lines) + ("" if "prompt" in keys else f"\n  prompt: Do {name}.") + "\n"


def reported(*names: str) -> Json:
    return NOTHING | {"tasks": [{"name": name, "report": f"{name} is done."} for name in names]}


async def follow(running: Running, *tasks: str, beside: str = "") -> None:
    content = f"{beside}\n\ntasks:\n" + "\n".join(tasks)
    (await running.http.post(HEARTBEAT_MD, json={"content": content})).raise_for_status()


async def runs(running: Running) -> list[Json]:
    """The heartbeats, the first one first."""
    return (await running.http.get("/api/runs?loop=heartbeat&limit=200")).json()["items"][::-1]


async def told(running: Running) -> list[tuple[str, str]]:
    """What became of each task that was shown, in order."""
    return [(each["name"], each["outcome"]) for run in await runs(running) for each in run["tasks"]]


async def say(running: Running, content: str) -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post("/api/threads/default/messages", json=body)).raise_for_status()


async def explained(running: Running) -> dict[str, Json]:
    found = (await running.http.get("/api/threads/default/heartbeat/explain")).json()
    return {each["name"]: each for each in found["tasks"]}


@pytest.fixture
def beat(running: Running, clock: ManualClock) -> Callable[[int], Awaitable[None]]:
    async def beats(count: int = 1) -> None:
        for _ in range(count):
            clock.advance(HALF_HOUR)
            await running.heartbeat.run_once()

    return beats


def due_in(request: ChatRequest) -> str:
    """The end of the instructions, where the tasks due stand."""
    return request.messages[0].content.rsplit("\n", 1)[1]


async def test_a_task_as_often_as_the_heartbeat_runs_48_times_a_day_however_late_the_turns(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await follow(running, task("mail", interval="30m"))
    for late in (timedelta(seconds=number * 37 % 1_700) for number in range(1, DAY + 1)):
        clock.advance(late)
        model.says(reported("mail"))
        await running.heartbeat.run_once()
        clock.advance(HALF_HOUR - late)
    await running.heartbeat.run_once()
    assert await told(running) == [("mail", "reported")] * DAY


@on_sqlite
async def test_all_tasks_due_are_shown_in_one_call_with_their_prompts(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("mail", interval="1h"), task("news", interval="90m", prompt="'Read: the news'"))
    model.says(reported("mail", "news"))
    await beat(1)
    (request,) = model.requests
    assert '{"name":"mail","prompt":"Do mail."},{"name":"news","prompt":"Read: the news"}' in due_in(request)
    (run,) = await runs(running)
    assert [(each["name"], each["report"]) for each in run["tasks"]] == [
        ("mail", "mail is done."),
        ("news", "news is done."),
    ]


@on_sqlite
async def test_slots_of_a_task_do_not_drift_where_the_heartbeat_comes_between(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("mail", interval="45m"))
    await beat(8)
    shown = [run["first_slot"][11:16] for run in await runs(running) if run["tasks"]]
    assert shown == ["12:30", "13:30", "14:00", "15:00", "15:30"]  # due at 12:30, 13:15, 14:00, 14:45, 15:30
    assert len(model.requests) == 5


@on_sqlite
async def test_with_nothing_but_tasks_heartbeats_between_them_cost_nothing(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("mail", interval="2h"))
    await beat(1)
    await say(running, "Hello.")
    await beat(3)
    assert [(run["outcome"], run["reason"], run["slots"]) for run in await runs(running)] == [
        ("nothing", "decided_nothing", 1),
        ("skipped", "no_task_due", 3),
    ]
    assert len(model.requests) == 1


@on_sqlite
async def test_work_beside_the_tasks_is_looked_at_when_something_is_new(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("mail", interval="1d"), beside="- Answer everybody.")
    await beat(2)
    await say(running, "Hello.")
    await beat(1)
    assert [run["reason"] for run in await runs(running)] == ["decided_nothing", "nothing_new", "decided_nothing"]
    assert [due_in(request) for request in model.requests][1] == "No task is due now."


@on_sqlite
async def test_a_task_that_the_model_does_not_speak_of_is_marked_and_goes_on(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("mail", interval="30m"), task("news", interval="30m"))
    model.says(reported("news", "unknown"), act(post("Mail", "One letter.")))
    await beat(2)
    assert await told(running) == [
        ("mail", "not_reported"),
        ("news", "reported"),
        ("mail", "not_reported"),
        ("news", "not_reported"),
    ]


@on_sqlite
async def test_a_failed_turn_leaves_its_tasks_due(running: Running, model: ScriptedModel, clock: ManualClock) -> None:
    await follow(running, task("mail", interval="1d"))
    model.says(ModelError("It is down."), reported("mail"))
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    clock.advance(timedelta(minutes=1))
    await running.heartbeat.run_once()
    assert [(run["outcome"], len(run["tasks"])) for run in await runs(running)] == [("failed", 0), ("nothing", 1)]


@on_sqlite
async def test_a_task_that_runs_once_runs_again_only_with_another_prompt(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("hello", interval="once"))
    await beat(3)
    await follow(running, task("other", interval="once"))
    await beat(1)
    await follow(running, task("hello", interval="once"))
    await beat(2)
    await follow(running, task("hello", interval="once", prompt="Say it again."))
    await beat(2)
    assert [name for name, _ in await told(running)] == ["hello", "other", "hello"]
    assert len(model.requests) == 3
    assert (await explained(running))["hello"]["next_slot"] is None


@on_sqlite
async def test_another_schedule_begins_anew_and_another_prompt_does_not(running: Running, beat: Beat) -> None:
    await follow(running, task("mail", interval="1d"))
    await beat(2)
    await follow(running, task("mail", interval="1d", prompt="Something else."))
    await beat(2)
    await follow(running, task("mail", interval="12h", prompt="Something else."))
    await beat(2)
    assert [run["first_slot"][11:16] for run in await runs(running) if run["tasks"]] == ["12:30", "14:30"]


@on_sqlite
async def test_a_task_with_a_time_of_day_runs_in_the_first_heartbeat_at_or_after_it(
    running: Running, beat: Beat
) -> None:
    await follow(
        running, task("brief", at="09:10", tz="Europe/Paris"), task("weekly", at="13:15", days="tue", interval="1w")
    )
    await beat(9 * DAY)
    found = {(each["name"], run["first_slot"]) for run in await runs(running) for each in run["tasks"]}
    mornings = {("brief", f"2026-01-{day:02}T08:30:00Z") for day in range(6, 15)}
    assert found == mornings | {("weekly", f"2026-01-{day:02}T13:30:00Z") for day in (6, 13)}


@on_sqlite
async def test_a_time_of_day_that_has_passed_when_it_is_written_waits_for_the_next_day(
    running: Running, beat: Beat, clock: ManualClock
) -> None:
    clock.advance(timedelta(minutes=10))
    await follow(running, task("early", at="12:05"), task("late", at="12:20"))
    clock.advance(-timedelta(minutes=10))
    await beat(2)
    assert [name for name, _ in await told(running)] == ["late"]


@on_sqlite
async def test_a_missed_task_is_caught_up_once_or_passed_over_as_it_says(opened: Opener, clock: ManualClock) -> None:
    async with opened() as running:
        await follow(running, task("once", at="15:00"), task("skip", at="15:00", catch_up="skip"))
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
    clock.advance(timedelta(hours=50))
    async with opened() as running:
        await running.heartbeat.run_once()
        assert [name for name, _ in await told(running)] == ["once"]
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        assert [name for name, _ in await told(running)] == ["once", "once", "skip"]


@on_sqlite
async def test_a_window_keeps_a_task_to_its_hours(running: Running, beat: Beat) -> None:
    await follow(
        running, task("tidy", interval="4h", window="22:00-02:00"), task("walk", interval="1d", days="sat,sun")
    )
    await beat(7 * DAY)
    found = [(each["name"], run["first_slot"][8:16]) for run in await runs(running) for each in run["tasks"]]
    assert [slot for name, slot in found if name == "walk"] == ["10T12:30", "11T12:30"]
    assert [slot for name, slot in found if name == "tidy"] == [f"{day:02}T00:30" for day in range(6, 13)]


CONDITIONS: dict[str, tuple[str, Json]] = {
    "new_messages": ("/api/threads/default/messages", {"messages": [{"role": "user", "content": "Hello."}]}),
    "new_posts": ("/api/posts", {"thread_id": "default", "author": "ann", "title": "Hi", "content": "There."}),
    "mentioned": ("/api/posts", {"thread_id": "default", "author": "ann", "title": "Hi", "content": "@ledger help"}),
}


@pytest.mark.parametrize("when", CONDITIONS)
@on_sqlite
async def test_a_task_waits_for_what_its_when_asks_for(
    running: Running, model: ScriptedModel, beat: Beat, when: str
) -> None:
    await follow(running, task("look", interval="1h", when=when))
    await beat(2)
    assert model.requests == []
    assert [run["reason"] for run in await runs(running)] == ["no_task_due"]
    path, body = CONDITIONS[when]
    (await running.http.post(path, json=body)).raise_for_status()
    await beat(1)
    assert await told(running) == [("look", "not_reported")]
    await beat(4)
    assert len(await told(running)) == (3 if when == "mentioned" else 1)  # nobody has answered the mention


@on_sqlite
async def test_what_the_agent_wrote_is_no_new_post(running: Running, model: ScriptedModel, beat: Beat) -> None:
    await follow(running, task("look", interval="30m", when="new_posts"), task("write", interval="1d"))
    model.says(act(post("Mine", "By the agent.")))
    await beat(3)
    assert await told(running) == [("write", "not_reported")]


async def test_run_now_shows_the_tasks_that_are_due_and_advances_them(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("mail", interval="1d"))
    model.says(reported("mail"))
    for _ in range(2):
        (await running.http.post("/api/threads/default/heartbeat/run-now")).raise_for_status()
    assert await told(running) == [("mail", "reported")]
    await beat(DAY - 1)
    assert await told(running) == [("mail", "reported")]
    await beat(1)
    assert len(await told(running)) == 2


@on_sqlite
async def test_rules_leave_tasks_to_a_model_and_what_runs_once_waits_for_one(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(rules=True) as running:
        await follow(running, task("hello", interval="once"), task("mail", interval="1h"))
        for _ in range(3):
            clock.advance(HALF_HOUR)
            await running.heartbeat.run_once()
        assert await told(running) == [("hello", "needs_model"), ("mail", "needs_model"), ("mail", "needs_model")]
    model.says(reported("hello"))
    async with opened() as running:
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        assert (await told(running))[3:] == [("hello", "reported")]


@on_sqlite
async def test_a_task_that_is_broken_by_an_edit_goes_on_by_its_last_good_form(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    await follow(running, task("mail", interval="1h"))
    await beat(1)
    await follow(running, task("mail", interval="soon", prompt="Another."), task("bad", interval="never"))
    await beat(2)
    assert [name for name, _ in await told(running)] == ["mail", "mail"]
    assert '"prompt":"Do mail."' in due_in(model.requests[-1])
    await follow(running, task("mail", interval="1h", prompt="Mended."))
    await beat(2)
    assert '"prompt":"Mended."' in due_in(model.requests[-1])


@on_sqlite
async def test_a_person_who_writes_meanwhile_leaves_the_tasks_due(
    running: Running, model: ScriptedModel, beat: Beat
) -> None:
    async def interrupted(_: ChatRequest) -> str:
        await say(running, "Wait.")
        return "HEARTBEAT_OK"

    await follow(running, task("mail", interval="1d"))
    model.says(interrupted, reported("mail"))
    await beat(1)
    assert sorted((run["reason"], len(run["tasks"])) for run in await runs(running)) == [
        ("decided_nothing", 1),
        ("moved_on", 0),
    ]
