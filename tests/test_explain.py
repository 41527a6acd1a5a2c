"""Why the next heartbeat will act or not, as the API and the command say it."""

from argparse import Namespace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger import commands
from ledger.clock import ManualClock
from ledger.errors import NotFound
from ledger.schema import SchemaError
from ledger.settings import Settings
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel

Json = dict[str, Any]

HALF_HOUR = timedelta(minutes=30)
THREAD = "/api/threads/default"
TASKS = "tasks:\n- name: mail\n  interval: 1h\n  prompt: Look.\n- name: brief\n  at: 09:00\n  prompt: Sum up.\n"


async def explain(running: Running) -> Json:
    answer = await running.http.get(f"{THREAD}/heartbeat/explain")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def configure(running: Running, **fields: object) -> None:
    (await running.http.post(f"{THREAD}/heartbeat/config", json=fields)).raise_for_status()


async def instruct(running: Running, content: str) -> None:
    (await running.http.post("/api/heartbeat/heartbeat.md", json={"content": content})).raise_for_status()


async def say(running: Running, *contents: str) -> None:
    body = {"messages": [{"role": "user", "content": content} for content in contents]}
    (await running.http.post(f"{THREAD}/messages", json=body)).raise_for_status()


async def beat(running: Running, clock: ManualClock, by: timedelta = HALF_HOUR) -> None:
    clock.advance(by)
    await running.heartbeat.run_once()


def closed(found: Json) -> list[str]:
    return [gate["gate"] for gate in found["gates"] if not gate["open"]]


async def test_the_next_ten_slots_are_told_in_utc_and_by_the_clocks_of_the_thread(running: Running) -> None:
    await configure(running, every=3_600, active_hours_start="13:30", active_hours_end=16, timezone="Europe/Paris")
    found = await explain(running)
    slots = [(slot["utc"], slot["local"]) for slot in found["slots"]]
    assert slots[:4] == [
        ("2026-01-05T13:00:00Z", "Mon 2026-01-05 14:00"),
        ("2026-01-05T14:00:00Z", "Mon 2026-01-05 15:00"),
        ("2026-01-06T13:00:00Z", "Tue 2026-01-06 14:00"),
        ("2026-01-06T14:00:00Z", "Tue 2026-01-06 15:00"),
    ]
    assert len(slots) == 10
    assert (found["next_slot"], found["is_due"], found["timezone"]) == (slots[0][0], False, "Europe/Paris")
    assert closed(found) == ["outside_hours"]
    assert "from 13:30 to 16:00 (Europe/Paris), where it is 13:00 now" in found["gates"][1]["why"]


@on_sqlite
async def test_what_is_new_since_the_last_decision_is_named(running: Running, clock: ManualClock) -> None:
    assert (await explain(running))["changes"] == ["No decision has been made here yet."]
    await beat(running, clock)
    found = await explain(running)
    assert (found["changes"], closed(found), found["reason"]) == ([], ["nothing_new"], "nothing_new")
    assert found["would_decide"] is False
    await say(running, "One.", "Two.")
    await configure(running, max_tokens=400)
    await instruct(running, "- Work")
    found = await explain(running)
    assert found["changes"] == [
        "People or applications wrote or voted 1 times, 2 of them messages.",
        "The configuration was changed.",
        "The instructions were changed: version 1 after 0.",
    ]
    assert (closed(found), found["would_decide"], found["instructions_version"]) == ([], True, 1)


@on_sqlite
async def test_tasks_are_told_with_what_comes_of_them_at_each_slot(running: Running, clock: ManualClock) -> None:
    await instruct(running, TASKS)
    await beat(running, clock)
    found = await explain(running)
    mail, brief = found["tasks"]
    assert (mail["schedule"], mail["next_slot"], mail["last_outcome"]) == (
        "every 1h",
        "2026-01-05T13:30:00Z",
        "not_reported",
    )
    assert (brief["next_slot"], brief["last_ran_at"], brief["is_due"]) == ("2026-01-06T09:00:00Z", None, False)
    assert [slot["tasks"] for slot in found["slots"][:4]] == [[], ["mail"], [], ["mail"]]
    assert closed(found) == ["no_task_due", "nothing_new"]
    assert "mail is the next, from Mon 2026-01-05 13:30 on" in found["gates"][3]["why"]


@on_sqlite
async def test_it_is_said_when_there_is_no_heartbeat_at_all(running: Running) -> None:
    await configure(running, enabled=False)
    found = await explain(running)
    assert (found["summary"], found["slots"]) == ("The heartbeat of this thread is switched off.", [])
    assert closed(found)[0] == "disabled"
    await configure(running, enabled=True, active_hours_start=4, active_hours_end=4)
    found = await explain(running)
    assert ("never open" in found["summary"], found["slots"], len(found["problems"])) == (True, [], 1)
    await running.heartbeat.stop()
    found = await explain(running)
    assert (found["running"], found["summary"][:30]) == (False, "The heartbeat loop does not ru")


@on_sqlite
async def test_the_cost_is_the_call_that_would_be_made(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened() as running:
        await instruct(running, "- Work")
        await say(running, "Hello there, this is a message of a dozen words or so.")
        before = (await explain(running))["cost"]
        await instruct(running, "- Work\n" + "and more of it\n" * 400)
        after = (await explain(running))["cost"]
        assert (before["decided_by"], before["model"], before["calls"]) == ("model", "scripted", 1)
        assert 1_000 < after["prompt_tokens"] - before["prompt_tokens"] < 2_000
        await beat(running, clock)
        assert (await explain(running))["cost"]["calls"] == 0
        assert len(model.requests) == 1
    async with opened(rules=True) as running:
        await say(running, "Another.")
        cost = (await explain(running))["cost"]
        assert (cost["decided_by"], cost["model"], cost["calls"]) == ("rules", None, 0)


@on_sqlite
async def test_explaining_changes_nothing(running: Running, clock: ManualClock) -> None:
    await instruct(running, TASKS)
    found = await explain(running)
    assert await explain(running) == found
    assert found["slots"][0]["tasks"] == ["mail"]
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    (run,) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert [task["name"] for task in run["tasks"]] == ["mail"]


async def test_an_unknown_thread_is_not_explained(refusing: Running) -> None:
    answer = await refusing.http.get("/api/threads/nobody/heartbeat/explain")
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no thread 'nobody'.")


async def test_the_command_prints_gates_tasks_and_slots(
    opened: Opener, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened() as running:
        await instruct(running, TASKS)
        await configure(running, every=60)
    await commands.explain(settings, Namespace(thread="default"))
    printed = capsys.readouterr().out
    for words in ("default: ", "outside_hours", "every 1h", "brief", "UTC", "Cost now: 0 calls", "mail"):
        assert words in printed
    with pytest.raises(NotFound, match="no thread 'nobody'"):
        await commands.explain(settings, Namespace(thread="nobody"))


async def test_the_command_makes_no_database(tmp_path: Path) -> None:
    nowhere = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/none.db")
    with pytest.raises(SchemaError, match="There is no database"):
        await commands.explain(nowhere, Namespace(thread="default"))
    assert not (tmp_path / "none.db").exists()
