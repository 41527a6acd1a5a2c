"""A decision as one value: what it may be, what a model is told whose answer is none, and what is said in threads."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ledger.actions import MAX_QUESTION, Decision
from ledger.answers import AnswerInvalid, read_answer
from ledger.clock import ManualClock
from ledger.heartbeat.model import SCHEMA
from ledger.heartbeat.token import without_token
from ledger.loops.asking import ASKED_AGAIN
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import NOTHING, ScriptedModel, act, ask, post

Json = dict[str, Any]

HALF_HOUR, DAY = timedelta(minutes=30), timedelta(hours=24)
CONFIG = "/api/threads/default/heartbeat/config"
MESSAGES = "/api/threads/default/messages"


def message(content: str = "Hello.") -> Json:
    return {"action": "message", "content": content}


def comment(post_id: str, content: str = "I see.") -> Json:
    return {"action": "comment", "post_id": post_id, "content": content}


def read(decision: object) -> Decision:
    return read_answer(msgspec.json.encode(decision).decode(), Decision, "a decision")


GOOD: list[Json] = [
    NOTHING,
    NOTHING | {"question": ""},
    NOTHING | {"next_check": 0},
    NOTHING | {"next_check": -5},
    NOTHING | {"next_check": 10**30},
    NOTHING | {"tasks": [{"name": "mail", "report": "Nothing came."}]},
    act(post()) | {"next_check": 600},
    act(message(), post(), message("More.")),
    ask("Which lake?") | {"tasks": [{"name": "mail", "report": "Nothing came."}]},
    ask("?" * MAX_QUESTION),
    {name: value for name, value in NOTHING.items() if name not in ("tasks", "question", "next_check")},
]

INCONSISTENT: dict[str, tuple[Json, str]] = {
    "an act without actions": (act(), "the verdict is act, but there is no action"),
    "four actions": (act(*[post()] * 4), "4 actions are too many: at most 3"),
    "actions with nothing": (act(post()) | {"verdict": "nothing"}, "the verdict is nothing, but there are actions"),
    "actions with a question": (
        act(post()) | ask("Which lake?") | {"actions": [post()]},
        "the verdict is needs_person, but there are actions",
    ),
    "no question": (ask("") | {"question": None}, "the verdict is needs_person, but there is no question"),
    "an empty question": (ask(""), "the verdict is needs_person, but there is no question"),
    "a blank question": (ask(" \n"), "the verdict is needs_person, but there is no question"),
    "a question of NUL": (ask("\x00 "), "the verdict is needs_person, but there is no question"),
    "a question with act": (act(post()) | {"question": "Which?"}, "the verdict is act, but there is a question"),
    "a question with nothing": (NOTHING | {"question": "Which?"}, "the verdict is nothing, but there is a question"),
    "a long question": (ask("?" * 2_001), "the question has 2,001 characters: at most 2,000"),
    "half a second": (NOTHING | {"next_check": 0.5}, "Expected `int | null`, got `float` - at `$.next_check`"),
    "a word for seconds": (NOTHING | {"next_check": "600"}, "Expected `int | null`, got `str` - at `$.next_check`"),
    "true for seconds": (NOTHING | {"next_check": True}, "Expected `int | null`, got `bool` - at `$.next_check`"),
    "a list of questions": (ask("") | {"question": ["Which?"]}, "Expected `str | null`, got `array` - at `$.question`"),
    "an unknown verdict": (NOTHING | {"verdict": "wait"}, "Invalid enum value 'wait' - at `$.verdict`"),
    "a message without words": (act({"action": "message"}), "missing required field `content` - at `$.actions[0]`"),
}


def test_what_a_decision_may_be(subtests: pytest.Subtests) -> None:
    for decision in GOOD:
        with subtests.test(str(decision)[:120]):
            assert read(decision) == msgspec.convert(decision, Decision)


def test_a_decision_that_contradicts_itself_is_refused_with_a_sentence(subtests: pytest.Subtests) -> None:
    for name, (decision, sentence) in INCONSISTENT.items():
        with (
            subtests.test(name),
            pytest.raises(AnswerInvalid, match=r"The model's answer is not a decision") as refused,
        ):
            read(decision)
        assert sentence in str(refused.value)


def test_a_blank_question_is_none_whatever_the_verdict(subtests: pytest.Subtests) -> None:
    for decision in (NOTHING, act(post())):
        for blank in ("", " ", "\n", "\x00"):
            with subtests.test(verdict=decision["verdict"], question=repr(blank)):
                assert not read(decision | {"question": blank}).question


def test_the_token_is_taken_off_what_is_said_and_asked(subtests: pytest.Subtests) -> None:
    with subtests.test("message"):
        (action,) = without_token(read(act(message("HEARTBEAT_OK\n\nThe mail is here.")))).actions
        assert action.text == "The mail is here."
    with subtests.test("question"):
        assert without_token(read(ask("HEARTBEAT_OK Which lake?"))).question == "Which lake?"


STRICT = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "$ref", "$defs"}


def test_the_schema_is_one_that_structured_outputs_take() -> None:
    assert SCHEMA["type"] == "object"
    assert "anyOf" not in SCHEMA
    assert set(SCHEMA["required"]) == set(NOTHING)
    nodes = [SCHEMA]
    while nodes:
        node = nodes.pop()
        assert node.keys() <= STRICT | {"description"}
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in SCHEMA["$defs"]
        if node.get("type") == "object":
            assert node["required"] == list(node["properties"])
            assert node["additionalProperties"] is False
        nodes += [*node.get("properties", {}).values(), *node.get("$defs", {}).values(), *node.get("anyOf", [])]
        nodes += [node["items"]] if "items" in node else []
    assert {option["type"] for option in SCHEMA["properties"]["next_check"]["anyOf"]} == {"integer", "null"}
    assert SCHEMA["properties"]["verdict"]["enum"] == ["act", "needs_person", "nothing"]
    assert len(SCHEMA["properties"]["actions"]["items"]["anyOf"]) == 4


@pytest.fixture
async def asked(opened: Opener) -> AsyncGenerator[Running]:
    """The application with heartbeats only where a test asks for them."""
    async with opened(heartbeat_enabled=False) as running:
        yield running


async def _decide(running: Running, model: ScriptedModel, *actions: Json, thread: str = "default") -> list[Json]:
    """Have the model decide this, and say what became of each action."""
    model.says(act(*actions))
    answer = (await running.http.post(f"/api/threads/{thread}/heartbeat/run-now")).json()
    assert answer["ran_successfully"], answer["error"]
    return answer["actions"]


async def _run(running: Running) -> Json:
    """The newest heartbeat, whole."""
    (listed, *_) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    return (await running.http.get(f"/api/runs/{listed['id']}")).json()


async def _said(running: Running) -> list[str]:
    return [found["content"] for found in (await running.http.get(MESSAGES)).json()["items"]]


async def _configure(running: Running, **fields: object) -> None:
    (await running.http.post(CONFIG, json=fields)).raise_for_status()


@on_sqlite
async def test_a_contradiction_is_told_to_the_model_once_and_then_fails_the_run(
    running: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    for name in ("an act without actions", "actions with a question", "no question", "half a second"):
        with subtests.test(name):
            wrong, sentence = INCONSISTENT[name]
            await running.http.delete("/api/threads/default")
            before = len(model.requests)
            said = msgspec.json.encode(wrong).decode()
            model.says(wrong, wrong)
            answer = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
            assert (answer["ran_successfully"], answer["actions"]) == (False, [])
            assert sentence in answer["error"]
            first, second = model.requests[before:]
            assert second.messages[:2] == first.messages
            assert [part.role for part in second.messages[2:]] == ["assistant", "user"]
            assert second.messages[2].content == said
            assert sentence in second.messages[3].content
            run = await _run(running)
            assert (run["outcome"], run["reason"], run["decision"]) == ("failed", "answer_invalid", None)
            assert run["raw_answer"] == f"{said}{ASKED_AGAIN}{said}"
    assert await _said(running) == []
    assert (await running.http.get("/api/questions")).json()["items"] == []


@on_sqlite
async def test_a_contradiction_that_is_mended_is_none(running: Running, model: ScriptedModel) -> None:
    model.says(ask("Which?") | {"verdict": "nothing"}, ask("Which?"))
    answer = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
    assert answer["ran_successfully"]
    run = await _run(running)
    assert (run["reason"], run["decision"]["question"], len(model.requests)) == ("needs_person", "Which?", 2)
    assert ASKED_AGAIN in run["raw_answer"]
    assert run["prompt_tokens"] == 200


async def test_a_huge_moment_is_kept_as_it_was_said(running: Running, model: ScriptedModel, clock: ManualClock) -> None:
    model.says(NOTHING | {"next_check": 10**30})
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    run = await _run(running)
    assert (run["outcome"], run["decision"]["next_check"]) == ("nothing", 10**30)


@on_sqlite
async def test_a_blank_question_stands_in_the_way_of_nothing(running: Running, model: ScriptedModel) -> None:
    model.says(act(post("Plans")) | {"question": " "}, NOTHING | {"question": "\n"})
    for _ in range(2):
        await running.http.post("/api/threads/default/heartbeat/run-now")
    found = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert {run["outcome"] for run in found} == {"acted", "nothing"}
    assert (await running.http.get("/api/questions")).json()["items"] == []


async def test_a_message_is_said_in_the_thread_by_the_agent(running: Running, model: ScriptedModel) -> None:
    await _configure(running, target="last")
    (result,) = await _decide(running, model, message("Good morning <b>🎉</b>\n "))
    (found,) = (await running.http.get(MESSAGES)).json()["items"]
    run = await _run(running)
    assert (result["action"], result["success"], result["message_id"]) == ("message", True, found["id"])
    assert (found["role"], found["origin"], found["run_id"]) == ("assistant", "agent", run["id"])
    assert found["content"] == "Good morning <b>🎉</b>\n "
    assert (run["outcome"], run["actions"]) == ("acted", [result])
    assert (await running.http.get("/api/posts")).json()["items"] == []
    assert msgspec.json.decode(model.requests[-1].messages[1].content)["data"]["may_speak"] is True


async def test_where_the_agent_may_not_speak_a_message_is_refused(running: Running, model: ScriptedModel) -> None:
    (result,) = await _decide(running, model, message())
    assert (result["success"], result["message_id"]) == (False, None)
    assert result["error"] == "The agent says nothing in this thread: its configuration has `target: none`."
    run = await _run(running)
    assert (run["outcome"], run["reason"]) == ("refused", "all_refused")
    assert await _said(running) == []
    assert '"may_speak":false' in model.requests[-1].messages[1].content


@on_sqlite
async def test_beside_a_message_nothing_else_is_repeated_in_the_thread(
    running: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    both = (post("Title", "Text."), message("Only this."))
    for name, actions, expected in (
        ("without", both[:1], ["Title\n\nText."]),
        ("before", both[::-1], ["Only this."]),
        ("after", both, ["Only this."]),
        ("refused", (both[0], message("")), []),
    ):
        with subtests.test(name):
            await running.http.delete("/api/threads/default")
            await _configure(running, target="last")
            found = await running.http.post("/api/posts", json={"title": "Hi", "content": "There."})
            answered = comment(found.json()["id"], "An answer.")
            results = await _decide(running, model, *actions, answered)
            assert [result["success"] for result in results].count(False) == (1 if name == "refused" else 0)
            assert await _said(running) == (expected if len(actions) > 1 else [*expected, "An answer."])
            assert len((await running.http.get("/api/posts")).json()["items"]) == 2


async def test_what_was_said_in_the_thread_within_a_day_is_refused(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(asked, target="last")
    repeated = "It says nearly the same as something the agent wrote in this thread in the last 24 hours."
    results = await _decide(asked, model, message("The mail is here."), message("the MAIL, is here!"))
    assert [result["error"] for result in results] == [None, repeated]
    clock.advance(DAY - timedelta(microseconds=1))
    (result,) = await _decide(asked, model, message("The mail is here."))
    assert result["error"] == repeated
    await asked.http.post("/api/threads", json={"id": "other"})
    await asked.http.post("/api/threads/other/heartbeat/config", json={"target": "last"})
    (result,) = await _decide(asked, model, message("The mail is here."), thread="other")
    assert result["success"]
    clock.advance(timedelta(microseconds=1))
    (result,) = await _decide(asked, model, message("The mail is here."))
    assert result["success"]


@on_sqlite
async def test_what_a_person_said_may_be_said_by_the_agent(running: Running, model: ScriptedModel) -> None:
    await _configure(running, target="last")
    await running.http.post(MESSAGES, json={"messages": [{"role": "assistant", "content": "The mail is here."}]})
    (result,) = await _decide(running, model, message("The mail is here."))
    assert result["success"]


BOUNDS: list[tuple[str, str | None]] = [
    ("c", None),
    ("c" * 5_000, None),
    ("c" * 5_001, "The content has 5,001 characters; at most 5,000 are allowed."),
    ("", "The content is empty."),
    (" \n", "The content is empty."),
    ("a\x00b", "The content holds a NUL character."),
]


@on_sqlite
async def test_a_message_keeps_its_bounds_or_is_refused(
    running: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    await _configure(running, target="last")
    for content, error in BOUNDS:
        with subtests.test(content[:10], error=error):
            (result,) = await _decide(running, model, message(content))
            assert result["error"] == error
    assert [len(said) for said in await _said(running)] == [1, 5_000]


@on_sqlite
async def test_a_dry_run_says_nothing(running: Running, model: ScriptedModel) -> None:
    await _configure(running, target="last", dry_run=True)
    results = await _decide(running, model, message(), message(), post())
    assert [(result["success"], result["dry_run"]) for result in results] == [(True, True), (False, True), (True, True)]
    assert [result["message_id"] for result in results] == [None] * 3
    assert await _said(running) == []


@on_sqlite
async def test_what_the_agent_says_is_no_news_and_nothing_is_learned_from_it(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(running, target="last")
    model.says(act(message("We love camping, camping and camping. Which lake shall we take for our camping?")))
    for _ in range(3):
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
    found = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert [(run["outcome"], run["slots"]) for run in found] == [("skipped", 2), ("acted", 1)]
    assert len(model.requests) == 1
    for loop in ("reflection", "personality"):
        turn = (await running.http.get(f"/api/threads/default/loops/{loop}")).json()
        assert turn["next_due_at"] is None
        assert (await running.http.get(f"/api/runs?loop={loop}")).json()["items"] == []
    answer = await running.http.post("/api/threads/default/loops/reflection/run-now")
    assert answer.status_code == 200
    scorecard = (await running.http.get("/api/threads/default/scorecard")).json()
    assert (scorecard["topics"], scorecard["open_questions"]) == ([], [])


@on_sqlite
async def test_a_message_of_the_agent_drops_no_decision_of_its_own(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(running, target="last")
    model.says(act(message("One."), message("Two."), post()))
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert (await _run(running))["outcome"] == "acted"
    assert await _said(running) == ["One.", "Two."]
    shown = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
    assert shown["ran_successfully"]
    data = msgspec.json.decode(model.requests[-1].messages[1].content)["data"]
    assert [(said["origin"], said["content"]) for said in data["messages"]] == [("agent", "One."), ("agent", "Two.")]
    assert (data["new_messages"], data["undigested"]) == (0, 0)
