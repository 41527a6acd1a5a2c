"""Heartbeats on a provider that fails: recorded, nothing applied, put back, and settled once it is well again."""

import json
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from ledger.clock import ManualClock
from ledger.tokens import count_tokens
from tests import provider as stub
from tests.conftest import Opener, Running, on_sqlite
from tests.provider import Mode, Provider, error, http, provider_running, says
from tests.scripted import NOTHING, act, post

HALF_HOUR = timedelta(minutes=30)
TURN = timedelta(seconds=120)

KEY = "sk-quite-secret"
TOO_LONG = error(400, "This model's maximum context length is 4097 tokens. Please reduce the length of the messages.")
FINAL: dict[str, tuple[Mode, str]] = {
    "400": (error(400, "`messages` is wrong."), "answered 400"),
    "401": (error(401, f"Incorrect API key provided: {KEY}."), "Incorrect API key provided: …"),
    "403": (error(403, "Not in your country."), "answered 403"),
    "404": (error(404, "No such model."), "answered 404"),
}
FAILURES: dict[str, tuple[Mode, str, str]] = {
    "408": (error(408, "You were too slow."), "provider_failed", "answered 408"),
    "409": (error(409, "Not now."), "provider_failed", "answered 409"),
    "429": (error(429, "Slow down."), "provider_failed", "answered 429"),
    "429 with Retry-After": (error(429, "Wait.", headers="retry-after: 5\r\n"), "provider_failed", "answered 429"),
    "500": (error(500, "Oh no."), "provider_failed", "answered 500"),
    "500 with a NUL": (http(500, b"a\x00b"), "provider_failed", "answered 500"),
    "reset": (stub.reset, "provider_failed", "could not be reached"),
    "cut": (stub.cut, "provider_failed", "could not be reached"),
    "HTML": (http(200, "<html>Sign in</html>", kind="text/html"), "provider_failed", "not a chat completion"),
    "half JSON": (http(200, '{"choices": [{"mess'), "provider_failed", "not a chat completion"),
    "without choices": (http(200, '{"id": "1"}'), "provider_failed", "`choices`"),
    "wrong types": (http(200, '{"choices": 7}'), "provider_failed", "Expected `array`"),
    "a plain string": (http(200, '"Hello."'), "provider_failed", "Expected `object`"),
    "refusal": (says(None, refusal="I will not."), "provider_failed", "refused: I will not"),
    "content null": (says(None), "answer_invalid", "answer is empty"),
    "prose": (says("I think I will post something."), "answer_invalid", "not a decision"),
    "prose with a NUL": (says("I\x00think."), "answer_invalid", "not a decision"),
    "a megabyte of prose": (says("word " * 200_000), "answer_invalid", "not a decision"),
    "half an emoji": (says('{"summary": "\\ud83d"}'), "answer_invalid", "not a decision"),
    "half a decision": (says('{"verdict": "act", "actions": [{"action": "po'), "answer_invalid", "not a decision"),
    "an unknown action": (says(act({"action": "explode"})), "answer_invalid", "'explode'"),
    "one unknown action of two": (says(act(post(), {"action": "explode"})), "answer_invalid", "'explode'"),
    "an action of a wrong type": (says(act(post() | {"content": 7})), "answer_invalid", "Expected `str`"),
    "too many actions": (says(act(*[post(str(n)) for n in range(4)])), "answer_invalid", "4 actions are too many"),
    "a verdict without an action": (says(NOTHING | {"verdict": "act"}), "answer_invalid", "there is no action"),
}
ENDLESS = {"hang": stub.hang, "drip headers": stub.drip_headers, "drip body": stub.drip_body}


@pytest.fixture
async def provider() -> AsyncGenerator[Provider]:
    async with provider_running() as found:
        yield found


@pytest.fixture
async def served(opened: Opener, provider: Provider) -> AsyncGenerator[Running]:
    """The application with its own client of the provider."""
    quiet = {"reflection_enabled": False, "personality_enabled": False}  # they would ask it, too
    async with opened(rules=True, llm_base_url=provider.url, llm_api_key=KEY, llm_model="small", **quiet) as running:
        yield running


@on_sqlite
async def test_a_failed_call_is_recorded_and_the_slot_stays_owed(
    served: Running, provider: Provider, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for name, (mode, reason, sentence) in FAILURES.items():
        with subtests.test(name):
            provider.mode = mode
            provider.requests.clear()
            (await served.http.delete("/api/threads/default")).raise_for_status()
            await _say(served)
            clock.advance(HALF_HOUR)
            slot = clock.now()
            await served.heartbeat.run_once()

            calls = 2 if reason == "answer_invalid" else 1  # a useless answer is told to the model once
            await _assert_failed(served, provider, clock, slot, reason, sentence, calls)
            await _assert_settled_when_well(served, provider, clock, slot, calls)


@on_sqlite
async def test_a_failure_that_no_second_try_mends_ends_the_slot(
    served: Running, provider: Provider, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for name, (mode, sentence) in FINAL.items():
        with subtests.test(name):
            provider.mode = mode
            provider.requests.clear()
            (await served.http.delete("/api/threads/default")).raise_for_status()
            await _say(served)
            clock.advance(HALF_HOUR)
            slot = clock.now()
            await served.heartbeat.run_once()
            assert len(provider.requests) == 1
            (run,) = await _runs(served)
            assert (run["outcome"], run["reason"], run["slots"]) == ("failed", "provider_failed", 1)
            assert sentence in run["error"]
            assert KEY not in run["error"]
            turn = await _turn(served)
            assert (_moment(turn["next_due_at"]), turn["attempt"]) == (slot + HALF_HOUR, 0)

            provider.mode = says(act(post("Plans", f"They want to go camping, {name}.")))
            clock.advance(HALF_HOUR)
            await served.heartbeat.run_once()
            assert [run["outcome"] for run in await _runs(served)] == ["acted", "failed"]


@on_sqlite
async def test_a_prompt_that_is_too_long_is_sent_once_more_with_half_of_its_data(
    served: Running, provider: Provider, clock: ManualClock
) -> None:
    answers = [TOO_LONG, says(NOTHING)]

    async def in_order(stream: SocketStream, request: dict[str, Any]) -> None:
        await answers.pop(0)(stream, request)

    provider.mode = in_order
    for number in range(20):
        await _say(served, f"{number}: " + "We went camping by the lake. " * 30)
    clock.advance(HALF_HOUR)
    await served.heartbeat.run_once()
    (run,) = await _runs(served)
    assert (run["outcome"], run["prompt_tokens"]) == ("nothing", 100)
    (_, whole), (_, half) = ([message["content"] for message in sent["messages"]] for sent in provider.requests)
    assert count_tokens(half) <= count_tokens(whole) / 2
    before, after = (json.loads(text)["data"]["messages"] for text in (whole, half))
    assert [message["seq"] for message in after] == [message["seq"] for message in before]
    assert all(
        one["content"].startswith(other["content"].rstrip("…")) for one, other in zip(before, after, strict=True)
    )


@on_sqlite
async def test_a_prompt_that_is_too_long_even_then_ends_the_slot(
    served: Running, provider: Provider, clock: ManualClock
) -> None:
    provider.mode = TOO_LONG
    await _say(served)
    clock.advance(HALF_HOUR)
    await served.heartbeat.run_once()
    (run,) = await _runs(served)
    assert (run["outcome"], run["reason"], run["slots"]) == ("failed", "provider_failed", 1)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("mode", ENDLESS.values(), ids=ENDLESS)
@on_sqlite
async def test_a_call_without_an_end_is_given_up_when_the_turn_ends(
    served: Running, provider: Provider, clock: ManualClock, mode: Mode
) -> None:
    provider.mode = mode
    await _say(served)
    clock.advance(HALF_HOUR)
    slot = clock.now()
    async with anyio.create_task_group() as group:
        group.start_soon(served.heartbeat.run_once)
        await provider.asked()
        clock.advance(TURN)

    await _assert_failed(served, provider, clock, slot, "timeout", "did not end within 120 s")
    await _assert_settled_when_well(served, provider, clock, slot)


@on_sqlite
async def test_a_provider_that_is_down_fails_the_turn_and_not_the_loop(opened: Opener, clock: ManualClock) -> None:
    async with stub.nobody_listening() as address, opened(rules=True, llm_base_url=address) as running:
        await _say(running)
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        (run,) = await _runs(running)
        assert (run["outcome"], run["reason"]) == ("failed", "provider_failed")
        assert "could not be reached" in run["error"]
        assert _moment((await _turn(running))["next_due_at"]) > clock.now()


@on_sqlite
async def test_a_thread_whose_provider_keeps_failing_is_tried_less_and_less_often(
    served: Running, provider: Provider, clock: ManualClock
) -> None:
    provider.mode = error(500, "Oh no.")
    await _say(served)
    clock.advance(HALF_HOUR)
    waits: list[float] = []
    for _ in range(9):
        await served.heartbeat.run_once()
        due = _moment((await _turn(served))["next_due_at"])
        waits.append((due - clock.now()).total_seconds())
        clock.advance(due - clock.now())
    for wait, expected in zip(waits[:4], [30, 60, 120, 240], strict=True):
        assert 0.8 * expected <= wait <= 1.2 * expected
    assert waits[4:] == [30, 60, 120, 240, 300]  # the model is paused now, and the thread sends the probes
    assert sorted(run["attempt"] for run in await _runs(served)) == list(range(9))


@on_sqlite
async def test_a_thread_that_backs_off_does_not_hold_up_another(
    served: Running, provider: Provider, clock: ManualClock
) -> None:
    (await served.http.post("/api/threads", json={"id": "other"})).raise_for_status()
    await _say(served)

    async def fails_for_camping(stream: SocketStream, request: dict[str, Any]) -> None:
        camping = "camping" in request["messages"][1]["content"]
        await (error(500, "Oh no.") if camping else says(NOTHING))(stream, request)

    provider.mode = fails_for_camping
    clock.advance(HALF_HOUR)
    await served.heartbeat.run_once()
    assert [run["outcome"] for run in await _runs(served)] == ["failed"]
    assert [run["outcome"] for run in await _runs(served, "other")] == ["nothing"]


@on_sqlite
async def test_a_person_who_asks_by_hand_reads_what_went_wrong(served: Running, provider: Provider) -> None:
    provider.mode = error(401, "Incorrect API key.")
    before = await _turn(served)
    answer = await served.http.post("/api/threads/default/heartbeat/run-now")
    assert answer.status_code == 200
    assert answer.json()["ran_successfully"] is False
    assert "answered 401" in answer.json()["error"]
    assert await _turn(served) == before

    history = (await served.http.get("/api/threads/default/heartbeat/history")).json()
    assert [activity["success"] for activity in history["activities"]] == [False]
    assert "answered 401" in history["activities"][0]["summary"]


async def _assert_failed(
    running: Running, provider: Provider, clock: ManualClock, slot: datetime, reason: str, sentence: str, calls: int = 1
) -> None:
    assert len(provider.requests) == calls
    (run,) = await _runs(running)
    assert (run["outcome"], run["reason"], run["slots"], run["actions"]) == ("failed", reason, 0, [])
    assert sentence in run["error"]
    assert len(run["error"]) < 800
    assert (await running.http.get(f"/api/runs/{run['id']}")).json()["prompt"][1]["role"] == "user"
    assert (await running.http.get("/api/posts")).json()["items"] == []
    turn = await _turn(running)
    assert (_moment(turn["next_slot"]), turn["attempt"]) == (slot, 1)
    assert clock.now() < _moment(turn["next_due_at"]) <= clock.now() + timedelta(seconds=36)


async def _assert_settled_when_well(
    running: Running, provider: Provider, clock: ManualClock, slot: datetime, calls: int = 1
) -> None:
    provider.mode = says(act(post("Plans", "They want to go camping.")))
    clock.advance(_moment((await _turn(running))["next_due_at"]) - clock.now())
    await provider.asked(calls + 1)  # by the loop itself, which lives
    await running.heartbeat.run_once()
    settled, _ = await _runs(running)
    assert (settled["outcome"], settled["slots"], settled["attempt"]) == ("acted", 1, 1)
    assert _moment(settled["first_slot"]) == slot
    turn = await _turn(running)
    assert (_moment(turn["next_slot"]), turn["attempt"]) == (slot + HALF_HOUR, 0)
    posts = (await running.http.get("/api/posts")).json()["items"]
    assert [found["title"] for found in posts] == ["Plans"]


async def _say(running: Running, content: str = "Let us go camping.") -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post("/api/threads/default/messages", json=body)).raise_for_status()


async def _runs(running: Running, thread: str = "default") -> list[dict[str, Any]]:
    """The runs of its heartbeat, newest first."""
    return (await running.http.get(f"/api/runs?loop=heartbeat&thread_id={thread}")).json()["items"]


async def _turn(running: Running) -> dict[str, Any]:
    return (await running.http.get("/api/threads/default/loops/heartbeat")).json()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("600", 600),
        ("90.5", 90.5),
        ("Mon, 05 Jan 2026 12:40:00 GMT", 600),  # ten minutes after the slot
        ("9999999", 86_400),
    ],
)
@on_sqlite
async def test_a_provider_that_asks_to_be_left_alone_is_left_alone_for_so_long(
    served: Running, provider: Provider, clock: ManualClock, header: str, seconds: float
) -> None:
    provider.mode = error(429, "Slow down.", headers=f"retry-after: {header}\r\n")
    await _say(served)
    clock.advance(HALF_HOUR)
    await served.heartbeat.run_once()
    due = _moment((await _turn(served))["next_due_at"])
    assert (due - clock.now()).total_seconds() == seconds


@pytest.mark.parametrize("header", ["5", "-7", "soon", "Mon, 05 Jan 2026 12:00:00 GMT", "", "1e400"])
@on_sqlite
async def test_what_it_asks_in_vain_changes_nothing(
    served: Running, provider: Provider, clock: ManualClock, header: str
) -> None:
    provider.mode = error(503, "Away.", headers=f"retry-after: {header}\r\n")
    await _say(served)
    clock.advance(HALF_HOUR)
    await served.heartbeat.run_once()
    wait = _moment((await _turn(served))["next_due_at"]) - clock.now()
    assert timedelta(seconds=24) <= wait <= timedelta(seconds=36)
