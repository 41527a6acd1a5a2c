"""A model's answer, read however it is wrapped, and never read as something that it only quotes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.actions import Decision
from ledger.answers import AnswerInvalid, read_answer
from ledger.clock import ManualClock
from ledger.heartbeat.model import meant
from ledger.loops.asking import ASKED_AGAIN
from tests.conftest import Running, on_sqlite
from tests.scripted import NOTHING, ScriptedModel, act, post

PLAIN = msgspec.json.encode(NOTHING).decode()
PRETTY = msgspec.json.format(PLAIN, indent=2)
ACTING = msgspec.json.encode(act(post("Braces", 'In {braces}, a "quote", a comma, ] and </think>.'))).decode()


def read(text: str) -> Decision:
    return read_answer(text, Decision, "a decision")


@pytest.mark.parametrize(
    "wrapped",
    [
        "{}",
        "  \n{}\n",
        "```json\n{}\n```",
        "```\n{}\n```\n",
        "Here is my decision:\n\n{}\n\nLet me know.",
        "Here is my decision:\n```json\n{}\n```\nLet me know.",
        "<think>They ask {{something}}.</think>\n{}",
        "<thinking>Hm.</thinking>{}",
        "they ask something, so</think>{}",
        "I looked at {{this}} and {{that}}. {}",
        "{}\n\n{}",
    ],
)
@pytest.mark.parametrize("answer", [PLAIN, PRETTY, ACTING])
def test_a_decision_is_found_in_whatever_is_put_around_it(wrapped: str, answer: str) -> None:
    assert read(wrapped.replace("{}", answer).replace("{{", "{").replace("}}", "}")) == msgspec.json.decode(
        answer, type=Decision
    )


def test_a_comma_too_many_is_left_out_but_not_one_inside_a_text() -> None:
    text = '{"verdict": "nothing", "reasoning": "a, ] b,}", "summary": "", "actions": [], "tasks": [],}'
    assert read(text).reasoning == "a, ] b,}"


def test_two_different_decisions_are_none() -> None:
    quoted = msgspec.json.encode(act(post("Bait", "Somebody wants this posted."))).decode()
    with pytest.raises(AnswerInvalid, match="2 different values"):
        read(f"A post says: {quoted}\n\nI decide: {PLAIN}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("<think>All of it.</think>", "is empty"),
        ("I will post something.", "is not a decision"),
        ('{"verdict": "nothing"}', "missing required field `reasoning`"),
        (f"Well: {PLAIN.replace('nothing', 'never', 1)}", "Invalid enum value 'never'"),
        ("{" * 5_000, "is not a decision"),
        ("[" * 100_000, "is not a decision"),
        ('{"a":' * 20_000, "is not a decision"),
    ],
)
def test_what_is_no_decision_is_refused_with_the_nearest_reason(text: str, said: str) -> None:
    with pytest.raises(AnswerInvalid, match=said):
        read(text)


@given(st.text())
def test_any_other_text_is_refused_in_order(text: str) -> None:
    with pytest.raises(AnswerInvalid):
        read(text)


async def _run(running: Running) -> dict[str, Any]:
    ran = await running.http.post("/api/threads/default/loops/heartbeat/run-now")
    return (await running.http.get(f"/api/runs/{ran.json()['id']}")).json()


@on_sqlite
async def test_a_useless_answer_is_told_to_the_model_once_with_what_is_wrong(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    del clock
    model.says("I would rather not.", act(post("Plans", "For May.")))
    run = await _run(running)
    assert (run["outcome"], run["raw_answer"].split(ASKED_AGAIN)[0]) == ("acted", "I would rather not.")
    assert (run["prompt_tokens"], run["completion_tokens"], run["latency_seconds"]) == (200, 40, 2)
    asked, again = model.requests
    assert again.messages[:2] == asked.messages
    assert [message.role for message in again.messages] == ["system", "user", "assistant", "user"]
    assert again.messages[2].content == "I would rather not."
    assert "not a decision" in again.messages[3].content


@on_sqlite
async def test_a_second_useless_answer_fails_the_turn_with_both_kept(running: Running, model: ScriptedModel) -> None:
    model.says("No.", "x" * 20_000)
    run = await _run(running)
    assert (run["outcome"], run["reason"], len(model.requests)) == ("failed", "answer_invalid", 2)
    assert run["raw_answer"] == f"No.{ASKED_AGAIN}{'x' * 20_000}"
    assert (await running.http.get("/api/posts")).json()["items"] == []


@pytest.mark.parametrize(
    ("answer", "verdict", "actions"),
    [
        (post("Plans", "For May."), "act", [post("Plans", "For May.")]),
        ({"action": "vote", "post_id": "p", "direction": "up"}, "act", None),
        ({"action": "nothing"}, "nothing", []),
    ],
)
def test_a_single_action_is_a_decision_of_one(
    answer: dict[str, object], verdict: str, actions: list[dict[str, object]] | None
) -> None:
    text = msgspec.json.encode(answer).decode()
    for wrapped in (text, f"```json\n{text}\n```", f"<think>Well.</think> {text}"):
        decision = meant(wrapped)
        assert decision is not None
        assert decision.verdict == verdict
        assert msgspec.to_builtins(decision.actions) == ([answer] if actions is None else actions)


@pytest.mark.parametrize(
    "text",
    [
        msgspec.json.encode(act(post("One"), post("Two"))).decode()[:-40],
        f"I could post {msgspec.json.encode(post()).decode()} but will not.",
        '{"action": "explode"}',
        "Nothing.",
    ],
)
def test_an_action_in_the_middle_of_something_else_is_no_decision(text: str) -> None:
    assert meant(text) is None


def test_a_single_action_that_ends_with_the_token_is_still_the_action() -> None:
    action = msgspec.json.encode(post("Letters", "Three came. HEARTBEAT_OK")).decode()
    for answer in (action, f"HEARTBEAT_OK\n{action}", f"{action}\n\nHEARTBEAT_OK"):
        decision = meant(answer)
        assert decision is not None
        assert len(decision.actions) == 1
    assert meant('{"verdict": "act", "actions": [{"action": "post", "content": "Three came. HEARTBEAT_OK"}]') is None
