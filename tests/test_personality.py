"""Personality by measuring: what counts as evidence, when a turn is due, and what it leaves."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest

from ledger.clock import ManualClock
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

INTERVAL = timedelta(seconds=1200)
MINUTE = timedelta(minutes=1)
TRAITS = ["verbosity", "formality", "emoji", "structure", "humor", "seriousness", "questions", "pace"]
ALONE = {"reflection_enabled": False, "self_reply_enabled": False, "heartbeat_enabled": False}

PLAIN = "I would like to know when the library opens on Thursday, and whether I may bring my own lunch."
SHORT = "Thank you, that is enough."
LOUD = "haha 😂😂 lol!!! omg sooo good\n\n- one thing\n- another thing\n- a third thing??"


@pytest.fixture
async def alone(opened: Opener) -> AsyncGenerator[Running]:
    """Personality without a model, and no other loop."""
    async with opened(rules=True, **ALONE) as running:
        yield running


@pytest.fixture
async def by_hand(opened: Opener) -> AsyncGenerator[Running]:
    """Personality without a model, taking only the turns that are asked for."""
    async with opened(rules=True, **ALONE, personality_enabled=False) as running:
        yield running


async def _say(running: Running, *said: dict[str, Any] | str, thread: str = "default", after: int = 0) -> None:
    """Messages of the person, or whole messages, ten seconds apart and named m1, m2, …"""
    batch: list[dict[str, Any]] = []
    for number, each in enumerate(said, start=after + 1):
        message = {"role": "user", "content": each} if isinstance(each, str) else each
        moment = START + number * timedelta(seconds=10)
        batch.append({"id": f"m{number}", "created_at": moment.isoformat()} | message)
    path = f"/api/threads/{thread}/messages"
    for begin in range(0, len(batch), 1000):
        (await running.http.post(path, json={"messages": batch[begin : begin + 1000]})).raise_for_status()


async def _run_now(running: Running, thread: str = "default") -> dict[str, Any]:
    answer = await running.http.post(f"/api/threads/{thread}/loops/personality/run-now")
    return answer.raise_for_status().json()


async def _profile(running: Running, thread: str = "default") -> dict[str, Any]:
    return (await running.http.get(f"/api/threads/{thread}/profile")).raise_for_status().json()


async def _entries(running: Running) -> list[dict[str, Any]]:
    return (await running.http.get("/api/threads/default/journal?kind=personality")).json()["items"]


async def _runs(running: Running) -> list[dict[str, Any]]:
    return (await running.http.get("/api/runs?loop=personality&limit=200")).json()["items"][::-1]


async def _due(running: Running) -> str | None:
    return (await running.http.get("/api/threads/default/loops/personality")).json()["next_slot"]


def _as(role: str, content: str = LOUD) -> dict[str, Any]:
    return {"role": role, "content": content}


@on_sqlite
async def test_every_trait_is_a_number_with_its_evidence(by_hand: Running) -> None:
    await _say(by_hand, *[PLAIN, _as("assistant", "At nine.")] * 12, PLAIN)
    await _run_now(by_hand)
    profile = await _profile(by_hand)
    stored = (await by_hand.http.get("/api/threads/default/messages?limit=200")).json()["items"]
    own = [message["id"] for message in stored if message["origin"] == "person"][::-1]
    assert list(profile["traits"]) == TRAITS
    for name, trait in profile["traits"].items():
        assert 0 <= trait["value"] <= 1
        assert 0 < trait["confidence"] < 1
        assert trait["trend"] in {"strengthening", "stable", "weakening", "stale"}
        counted = 12 if name == "pace" else 13  # the first message answers nothing
        assert (name, trait["evidence_count"], trait["evidence"]) == (name, counted, own[:10])
    assert (profile["revision"], profile["decided_by"]) == (1, "rules")
    assert profile["words"]["verbosity"] == "balanced"
    assert (profile["words"]["emoji"], profile["words"]["format"]) == ("off", "freeform")
    assert profile["words"]["tone"] == "serious"


@pytest.mark.parametrize("role", ["assistant", "system", "tool"])
@on_sqlite
async def test_what_an_application_writes_teaches_nothing(by_hand: Running, role: str) -> None:
    """Whatever stands between, the person's own messages make the same profile."""
    for thread, between in (("plain", []), ("noisy", [_as(role)])):
        await by_hand.http.post("/api/threads", json={"id": thread})
        said = [message for _ in range(12) for message in ({"role": "user", "content": PLAIN}, *between)]
        named = [message | {"id": f"m{number}"} for number, message in enumerate(said)]
        await _say(by_hand, *named, thread=thread)
        await _run_now(by_hand, thread)
    plain, noisy = (await _profile(by_hand, "plain"))["traits"], (await _profile(by_hand, "noisy"))["traits"]
    # An answer that comes later lasts longer: only the application's answers make it one.
    assert ("pace" in noisy) == (role == "assistant")
    assert all(found["evidence_count"] == 12 for name, found in noisy.items() if name != "pace")
    for name, found in plain.items():
        assert (noisy[name]["value"], noisy[name]["confidence"]) == (found["value"], found["confidence"])


async def test_what_the_agent_says_in_the_thread_is_neither_evidence_nor_news_nor_answered(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(act(post("Hooray 😂", LOUD)))
    async with opened(reflection_enabled=False, self_reply_enabled=False) as running:
        for thread in ("quiet", "heard"):
            await running.http.post("/api/threads", json={"id": thread})
            await _say(running, PLAIN, thread=thread)
            await _run_now(running, thread)
        config = {"target": "last", "enabled": True}
        await running.http.post("/api/threads/heard/heartbeat/config", json=config)
        await running.http.post("/api/threads/heard/heartbeat/run-now")
        said = (await running.http.get("/api/threads/heard/messages")).json()["items"]
        assert [(message["role"], message["origin"]) for message in said][1:] == [("assistant", "agent")]

        assert (await running.http.get("/api/threads/heard/loops/personality")).json()["next_slot"] is None
        clock.advance(INTERVAL)
        assert (await _run_now(running, "heard"))["reason"] == "nothing_new"
        for thread in ("quiet", "heard"):
            await running.http.post(f"/api/threads/{thread}/messages", json={"messages": [_as("user", SHORT)]})
            await _run_now(running, thread)
        quiet, heard = await _profile(running, "quiet"), await _profile(running, "heard")
    assert heard["words"] == quiet["words"]
    assert "pace" not in heard["traits"]  # nobody answers the agent
    for name, trait in quiet["traits"].items():
        assert {**heard["traits"][name], "evidence": []} == {**trait, "evidence": []}
    assert model.asked["proposals"]
    assert not any("Hooray" in request.messages[-1].content for request in model.asked["proposals"])


@on_sqlite
async def test_a_turn_on_an_applications_messages_alone_learns_nothing_and_says_so(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(**ALONE) as running:
        await _say(running, PLAIN)
        await _run_now(running)
        before = await _profile(running)
        await _say(running, _as("assistant"), _as("assistant"), after=1)
        clock.advance(INTERVAL)
        await running.app.state.personality_loop.run_once()
        run = (await _runs(running))[-1]
        assert (run["outcome"], run["reason"], run["slots"]) == ("skipped", "nothing_new", 1)
        assert (len(model.asked["proposals"]), await _profile(running), await _due(running)) == (1, before, None)

        answer = {"role": "user", "content": SHORT}
        await _say(running, answer, after=3)
        await _run_now(running)
        pace = (await _profile(running))["traits"]["pace"]
        assert pace["evidence"] == ["m4"]  # what it answered had been read by another turn


@on_sqlite
async def test_a_turn_is_due_one_interval_after_the_oldest_news(alone: Running, clock: ManualClock) -> None:
    await _say(alone, SHORT)
    clock.advance(5 * MINUTE)
    await _say(alone, SHORT, after=1)
    assert await _due(alone) == "2026-01-05T12:20:00Z"
    clock.advance(INTERVAL - 5 * MINUTE - timedelta(seconds=1))
    await alone.app.state.personality_loop.run_once()
    assert await _runs(alone) == []
    clock.advance(timedelta(seconds=1))
    await alone.app.state.personality_loop.run_once()
    assert [run["outcome"] for run in await _runs(alone)] == ["acted"]
    assert await _due(alone) is None


@on_sqlite
async def test_512_new_tokens_do_not_wait_but_at_most_one_turn_a_minute_is_taken(
    alone: Running, clock: ManualClock
) -> None:
    state = alone.app.state
    await _say(alone, "word " * 400)  # 500 tokens
    assert await _due(alone) == "2026-01-05T12:20:00Z"
    await _say(alone, "word " * 10, after=1)
    await state.personality_loop.run_once()
    assert len(await _runs(alone)) == 1

    clock.advance(timedelta(seconds=20))
    await _say(alone, "word " * 800, after=2)
    await state.personality_loop.run_once()
    assert (len(await _runs(alone)), await _due(alone)) == (1, "2026-01-05T12:01:00Z")
    clock.advance(timedelta(seconds=40))
    await state.personality_loop.run_once()
    assert len(await _runs(alone)) == 2


@on_sqlite
async def test_a_long_history_is_learned_in_several_turns_and_every_message_once(
    alone: Running, clock: ManualClock
) -> None:
    await _say(alone, *[f"{PLAIN} This is number {number}." for number in range(700)])
    for _ in range(12):
        await alone.app.state.personality_loop.run_once()
        clock.advance(MINUTE)
    runs = await _runs(alone)
    assert 3 < len(runs) < 12
    profile = await _profile(alone)
    assert profile["revision"] == len(runs)
    assert profile["traits"]["verbosity"]["evidence_count"] == 700
    assert profile["traits"]["verbosity"]["evidence"] == [f"m{number}" for number in range(700, 690, -1)]
    assert await _due(alone) is None


@on_sqlite
async def test_an_entry_is_written_when_a_word_changes_and_only_then(by_hand: Running) -> None:
    await _say(by_hand, SHORT)
    first = await _run_now(by_hand)
    assert (first["outcome"], await _entries(by_hand)) == ("acted", [])  # too little evidence for a word
    assert set((await _profile(by_hand))["words"].values()) == {None}

    await _say(by_hand, *[SHORT] * 15, after=1)
    await _run_now(by_hand)
    profile, (entry,) = await _profile(by_hand), await _entries(by_hand)
    assert profile["words"]["verbosity"] == "concise"
    assert (entry["kind"], entry["origin"], entry["profile_revision"]) == ("personality", "agent", 2)
    assert "Their length: concise." in entry["body"]
    assert 0 < len(entry["evidence"]) <= 10
    assert set(entry["evidence"]) <= {f"m{number}" for number in range(1, 17)}
    assert entry["run_id"] == profile["run_id"]

    await _say(by_hand, SHORT, after=16)
    await _run_now(by_hand)
    after = await _profile(by_hand)
    assert (after["revision"], after["words"], len(await _entries(by_hand))) == (3, profile["words"], 1)

    await _say(by_hand, *[PLAIN * 4] * 40, after=17)
    await _run_now(by_hand)
    newest = (await _entries(by_hand))[0]
    assert (len(await _entries(by_hand)), (await _profile(by_hand))["words"]["verbosity"]) == (2, "verbose")
    assert "Their length: verbose, no longer concise." in newest["body"]


@on_sqlite
async def test_a_trait_grows_stale_by_what_is_said_and_not_by_the_clock(by_hand: Running, clock: ManualClock) -> None:
    await _say(by_hand, *[LOUD] * 12)
    await _run_now(by_hand)
    before = await _profile(by_hand)
    clock.advance(timedelta(days=400))
    await _run_now(by_hand)
    assert await _profile(by_hand) == before
    late = (START + timedelta(days=100)).isoformat()
    await _say(by_hand, {"role": "user", "content": "Yes.", "created_at": late}, after=12)
    await _run_now(by_hand)
    traits = (await _profile(by_hand))["traits"]
    assert (traits["structure"]["trend"], traits["formality"]["trend"]) == ("stale", "stale")
    assert traits["verbosity"]["trend"] != "stale"
