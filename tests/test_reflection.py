"""Reflection without a model: when it is due, what it reads, and the scorecards, entries and posts it leaves."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.clock import ManualClock
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
MESSAGES = "/api/threads/default/messages"
LOOP = "/api/threads/default/loops/reflection"
SETTINGS = "/api/threads/default/journal/settings"
NEVER_NEWS = [("system", "Always mention the zeppelin."), ("tool", "The zeppelin is in hangar 4. Is it ready?")]


def tokens(count: int, role: str = "user") -> dict[str, object]:
    """A message of so many tokens."""
    return {"role": role, "content": "mast " * (4 * count // 5) + "x" * (4 * count - 5 * (4 * count // 5))}


async def _send(running: Running, *messages: dict[str, object]) -> list[dict[str, Any]]:
    answer = await running.http.post(MESSAGES, json={"messages": messages})
    answer.raise_for_status()
    return answer.json()["messages"]


async def _say(running: Running, *contents: str, role: str = "user", **more: object) -> list[dict[str, Any]]:
    return await _send(running, *({"role": role, "content": content} | more for content in contents))


async def _get(running: Running, path: str) -> Any:  # noqa: ANN401 - JSON
    answer = await running.http.get(path)
    answer.raise_for_status()
    return answer.json()


async def _scorecard(running: Running) -> dict[str, Any]:
    return await _get(running, "/api/threads/default/scorecard")


async def _runs(running: Running) -> list[dict[str, Any]]:
    """The reflections on the thread `default`, the first first."""
    found = await _get(running, "/api/runs?loop=reflection&thread_id=default&limit=200")
    return [await _get(running, f"/api/runs/{run['id']}") for run in found["items"][::-1]]


async def _entries(running: Running) -> list[dict[str, Any]]:
    return (await _get(running, "/api/threads/default/journal?kind=reflection&limit=200"))["items"]


async def _posts(running: Running) -> list[dict[str, Any]]:
    return (await _get(running, "/api/posts?board=reflections"))["items"]


async def _slot(running: Running) -> datetime | None:
    slot = (await _get(running, LOOP))["next_slot"]
    return slot and datetime.fromisoformat(slot)


async def _stop(running: Running) -> None:
    await running.http.post("/api/loops/reflection/stop")


async def _run_now(running: Running) -> dict[str, Any]:
    return (await running.http.post(f"{LOOP}/run-now")).raise_for_status().json()


async def _reflect(running: Running, clock: ManualClock, after: timedelta = QUARTER) -> None:
    clock.advance(after)
    await running.reflection.run_once()


@on_sqlite
@pytest.mark.parametrize(("count", "wait"), [(511, QUARTER), (512, timedelta()), (2_000, timedelta())])
async def test_512_new_tokens_need_not_wait_for_the_interval_to_end(
    opened: Opener, clock: ManualClock, count: int, wait: timedelta
) -> None:
    async with opened(rules=True) as running:
        await _stop(running)
        await _send(running, tokens(count - 100), tokens(100, "assistant"))
        assert await _slot(running) == clock.now() + wait


@on_sqlite
async def test_a_reflection_is_due_one_interval_after_the_oldest_news_was_received_whenever_it_was_said(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(rules=True) as running:
        await _say(running, "We sail at dawn.", created_at="2020-03-01T08:00:00Z")
        await _reflect(running, clock, QUARTER - timedelta(seconds=1))
        assert await _runs(running) == []
        await _say(running, "Bring the charts.")
        await _reflect(running, clock, timedelta(seconds=1))
        (run,) = await _runs(running)
        assert (run["outcome"], run["decided_by"], run["seen_seq"], run["slots"]) == ("acted", "rules", 2, 1)
        assert datetime.fromisoformat(run["first_slot"]) == START + QUARTER
        assert await _slot(running) is None


@on_sqlite
async def test_a_thread_is_reflected_on_at_most_once_a_minute(opened: Opener, clock: ManualClock) -> None:
    async with opened(rules=True) as running:
        for _ in range(3):
            await _send(running, tokens(600))
            await running.reflection.run_once()
            clock.advance(MINUTE / 3)
        assert [run["seen_seq"] for run in await _runs(running)] == [1]
        assert await _slot(running) == START + MINUTE
        await running.reflection.run_once()
        assert [run["seen_seq"] for run in await _runs(running)] == [1, 3]


@on_sqlite
async def test_a_turn_reads_at_most_4000_tokens_and_the_rest_is_due_a_minute_later(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(rules=True) as running:
        await _send(running, *(tokens(count) for count in (1_500, 2_500, 100, 3_900, 300)))
        await running.reflection.run_once()
        for read, window in ((2, 2), (4, 4), (5, 5)):
            scorecard, run = await _scorecard(running), (await _runs(running))[-1]
            assert (run["seen_seq"], scorecard["last_seq"], scorecard["messages"]) == (read, read, window)
            assert await _slot(running) == (clock.now() + MINUTE if read < 5 else None)
            await _reflect(running, clock, MINUTE - timedelta(seconds=1))
            assert (await _runs(running))[-1] == run
            await _reflect(running, clock, timedelta(seconds=1))
        assert len(await _runs(running)) == 3


@on_sqlite
async def test_an_idle_thread_has_no_turn_no_run_and_no_entry(opened: Opener, clock: ManualClock) -> None:
    async with opened(rules=True) as running:
        await _say(running, "We sail at dawn.", "The boat is ready to sail.")
        await _reflect(running, clock)
        before = await _runs(running), await _entries(running), await _scorecard(running)
        for _ in range(10):
            await _reflect(running, clock, DAY)
        assert (await _runs(running), await _entries(running), await _scorecard(running)) == before
        found = await _get(running, LOOP)
        assert (found["next_slot"], found["next_due_at"]) == (None, None)


@on_sqlite
@pytest.mark.parametrize(("role", "content"), NEVER_NEWS)
async def test_what_systems_and_tools_say_is_neither_news_nor_read(
    opened: Opener, clock: ManualClock, role: str, content: str
) -> None:
    async with opened(rules=True) as running:
        await _say(running, *[content] * 90, role=role)
        assert await _slot(running) is None
        await _reflect(running, clock, DAY)
        assert await _runs(running) == []
        assert (await _run_now(running))["reason"] == "nothing_new"

        (first, second) = await _say(running, "The boat needs paint.", "I paint the boat on Sunday.")
        await _say(running, *[content] * 90, role=role)
        assert await _slot(running) == clock.now() + QUARTER
        await _reflect(running, clock)
        scorecard = await _scorecard(running)
        assert (scorecard["messages"], scorecard["first_seq"], scorecard["last_seq"]) == (2, 91, 92)
        assert (scorecard["open_questions"], await _slot(running)) == ([], None)
        assert "zeppelin" not in str((scorecard, await _entries(running)))
        assert _cited(scorecard) == {first["id"], second["id"]}

        await _say(running, "Good night.")  # and a tail that never counts is no rest that is due at once
        assert await _slot(running) == clock.now() + QUARTER


def _cited(scorecard: dict[str, Any]) -> set[str]:
    listed = ("topics", "rising", "fading", "insights")
    evidence = {each for name in listed for found in scorecard[name] for each in found["evidence"]}
    return evidence | {question["message_id"] for question in scorecard["open_questions"]}


@on_sqlite
async def test_what_the_agent_says_is_neither_news_nor_read(
    opened: Opener, clock: ManualClock, model: ScriptedModel
) -> None:
    model.says(act(post("A zeppelin", "The zeppelin, the zeppelin! Who flies the zeppelin? " * 60)))
    async with opened() as running:
        await running.http.post("/api/threads/default/heartbeat/config", json={"target": "last"})
        await _say(running, "The boat needs paint.", "I paint the boat on Sunday.")
        await _reflect(running, clock)
        await _reflect(running, clock)
        await running.heartbeat.run_once()
        assert [found["origin"] for found in (await _get(running, MESSAGES))["items"]] == ["person", "person", "agent"]
        assert await _slot(running) is None
        assert (await _run_now(running))["reason"] == "nothing_new"

        await _say(running, "Blue paint for the boat.")
        assert await _slot(running) == clock.now() + QUARTER
        await _reflect(running, clock)
        scorecard = await _scorecard(running)
        assert (scorecard["revision"], scorecard["messages"], scorecard["last_seq"]) == (2, 3, 4)
        assert [request.messages[1].content.count("zeppelin") for request in model.asked["findings"]] == [0, 0]
        assert "zeppelin" not in str((scorecard, await _entries(running)))


async def test_a_scorecard_has_a_revision_for_each_reflection_that_changed_it(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(rules=True) as running:
        empty = await _scorecard(running)
        assert (empty["revision"], empty["created_at"], empty["topics"], empty["importance"]) == (0, None, [], 0)
        history = "/api/threads/default/scorecard/history"
        assert await _get(running, history) == {"items": [], "next_cursor": None}

        said = await _say(running, "The boat needs paint.", "Who has time to paint the boat?")
        for content in ("The boat has a new sail.", "That sail was torn.", "We sew the sail."):
            await _reflect(running, clock)
            said += await _say(running, content)
        await _reflect(running, clock)

        current = await _scorecard(running)
        assert (current["revision"], current["messages"], current["decided_by"]) == (4, 5, "rules")
        assert {topic["topic"] for topic in current["topics"]} >= {"boat", "sail"}
        assert [asked["question"] for asked in current["open_questions"]] == ["Who has time to paint the boat?"]
        assert current["open_questions"][0]["message_id"] == said[1]["id"]
        assert 1 <= current["importance"] <= 10

        pages, cursor = list[dict[str, Any]](), ""
        while not pages or cursor:
            page = await _get(running, f"{history}?limit=3{cursor}")
            pages += page["items"]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert [each["revision"] for each in pages] == [4, 3, 2, 1]
        assert pages[0] == current
        assert [each["run_id"] for each in pages[::-1]] == [run["id"] for run in await _runs(running)]
        ids = {message["id"] for message in said}
        assert all(_cited(each) and _cited(each) <= ids for each in pages)


@pytest.mark.parametrize("path", ["scorecard", "scorecard/history"])
async def test_a_thread_that_does_not_exist_has_no_scorecard(refusing: Running, path: str) -> None:
    answer = await refusing.http.get(f"/api/threads/nobody/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "'nobody'" in answer.json()["detail"]


def _spoken(about: str, days_ago: int) -> list[dict[str, object]]:
    """35 messages on as many things about one."""
    return [
        {
            "role": ("user", "assistant")[number % 2],
            "content": f"Number {number}: the {about} again.",
            "created_at": (START - timedelta(days=days_ago, minutes=number)).isoformat(),
        }
        for number in range(35)
    ]


@on_sqlite
async def test_a_topic_of_the_last_30_days_rises_and_one_of_before_fades(opened: Opener, clock: ManualClock) -> None:
    async with opened(rules=True) as running:
        said = await _send(running, *_spoken("pottery", 70), *_spoken("regatta", 3))
        await _reflect(running, clock)
        scorecard = await _scorecard(running)
    (rising,), (fading,) = scorecard["rising"], scorecard["fading"]
    assert ((rising["topic"], rising["recent"], rising["earlier"]), rising["z"] > 1.96) == (("regatta", 1, 0), True)
    assert ((fading["topic"], fading["recent"], fading["earlier"]), fading["z"] < -1.96) == (("pottery", 0, 1), True)
    by_id = {message["id"]: message["content"] for message in said}
    assert all("regatta" in by_id[each] for each in rising["evidence"])
    assert all("pottery" in by_id[each] for each in fading["evidence"])
    assert [each["evidence"] for each in scorecard["insights"]] == [rising["evidence"], fading["evidence"]]


@on_sqlite
@pytest.mark.parametrize("days", [(3, 3), (70, 70), (20, 3)])
async def test_nothing_rises_or_fades_while_all_was_said_in_the_same_month(
    opened: Opener, clock: ManualClock, days: tuple[int, int]
) -> None:
    async with opened(rules=True) as running:
        await _send(running, *_spoken("pottery", days[0]), *_spoken("regatta", days[1]))
        await _reflect(running, clock)
        scorecard = await _scorecard(running)
        assert (scorecard["rising"], scorecard["fading"], scorecard["revision"]) == ([], [], 1)


@on_sqlite
@pytest.mark.parametrize(
    ("posts", "expected"),
    [("never", []), (None, [False, True, False]), ("trends", [False, True, False]), ("always", [True] * 3)],
)
async def test_entries_are_posted_as_the_thread_wants(
    opened: Opener, clock: ManualClock, posts: str | None, expected: list[bool]
) -> None:
    async with opened(rules=True) as running:
        if posts:
            (await running.http.put(SETTINGS, json={"posts": posts})).raise_for_status()
        assert (await _get(running, SETTINGS))["posts"] == (posts or "trends")
        for batch in (_spoken("pottery", 70), _spoken("regatta", 3)):
            await _send(running, *batch)
            await _reflect(running, clock)
        await _say(running, *["Our lighthouse has a keeper."] * 2)
        await _reflect(running, clock)

        entries, found = (await _entries(running))[::-1], await _posts(running)
        assert [entry["scorecard_revision"] for entry in entries] == [1, 2, 3]
        wanted = [entry for entry, is_posted in zip(entries, expected, strict=False) if is_posted]
        assert sorted((each["title"], each["content"]) for each in found) == sorted(
            (entry["title"], entry["body"]) for entry in wanted
        )
        assert {(each["origin"], each["author"], each["thread_id"]) for each in found} <= {
            ("agent", "ledger", "default")
        }


@on_sqlite
async def test_a_change_is_written_down_once_and_no_change_is_not(opened: Opener, clock: ManualClock) -> None:
    async with opened(rules=True, personality_enabled=False) as running:
        said = await _say(running, *["The boat needs paint."] * 3)
        await _reflect(running, clock)
        (entry,) = await _entries(running)
        assert (entry["kind"], entry["origin"], entry["author"]) == ("reflection", "agent", "ledger")
        assert set(entry["evidence"]) <= {message["id"] for message in said}
        assert entry["evidence"]

        for _ in range(5):
            await _say(running, "The boat needs paint.")
            await _reflect(running, clock)
        assert await _entries(running) == [entry]
        assert (await _scorecard(running))["topics"][0]["count"] == 8
        assert {run["outcome"] for run in await _runs(running)} == {"acted"}

        await _say(running, "Hm.")
        await _reflect(running, clock)
        before = await _scorecard(running)
        await _say(running, "Hm.")
        await _reflect(running, clock)
        run = (await _runs(running))[-1]
        assert (run["outcome"], run["reason"], run["slots"]) == ("nothing", "decided_nothing", 1)
        assert await _scorecard(running) == before

        for topic in ("lighthouse", "orchard", "volcano"):
            await _say(running, *[f"The {topic} is old."] * 30)
            await _reflect(running, clock)
        bodies = [found["body"] for found in await _entries(running)]
        assert len(set(bodies)) == len(bodies) == 4
