"""Personality with a model: what it may propose, what happens meanwhile, and when it is not asked at all."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import msgspec
import pytest

from ledger.clock import ManualClock
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import ModelError, Paused, ScriptedModel, useless

INTERVAL = timedelta(seconds=1200)
PROFILE = "/api/threads/default/profile"
LOOP = "/api/threads/default/loops/personality"
TEXT = "We walked along the river until the rain came and then we went home."
NONE: dict[str, object] = {"proposals": []}
Meanwhile = Callable[[], Awaitable[object]]


@pytest.fixture
async def alone(opened: Opener) -> AsyncGenerator[Running]:
    """Personality with the scripted model, and no other loop."""
    async with opened(reflection_enabled=False, self_reply_enabled=False, heartbeat_enabled=False) as running:
        yield running


def _proposal(trait: str, value: object, *evidence: int) -> dict[str, object]:
    return {"trait": trait, "value": value, "evidence": list(evidence)}


def _proposes(*proposals: dict[str, object]) -> dict[str, object]:
    return {"proposals": list(proposals)}


async def _say(running: Running, *names: str, role: str = "user", content: str = TEXT) -> None:
    batch = [{"id": name, "role": role, "content": content} for name in names]
    (await running.http.post("/api/threads/default/messages", json={"messages": batch})).raise_for_status()


async def _run_now(running: Running) -> dict[str, Any]:
    return (await running.http.post(f"{LOOP}/run-now")).raise_for_status().json()


async def _profile(running: Running) -> dict[str, Any]:
    return (await running.http.get(PROFILE)).raise_for_status().json()


async def _trait(running: Running, name: str) -> dict[str, Any]:
    return (await _profile(running))["traits"][name]


async def _pin(running: Running, **pins: float | None) -> dict[str, Any]:
    return (await running.http.patch(PROFILE, json={"pin": pins})).raise_for_status().json()


async def _revert(running: Running, revision: int) -> None:
    (await running.http.post(f"{PROFILE}/revert", json={"revision": revision})).raise_for_status()


async def _turn_during_which(
    running: Running, model: ScriptedModel, answer: dict[str, object], happen: Meanwhile
) -> None:
    """Take what is due, and have something happen while the model thinks."""
    paused = Paused(answer)
    model.says(paused, to="proposals")
    async with anyio.create_task_group() as group:
        group.start_soon(running.app.state.personality_loop.run_once)
        await paused.asked.wait()
        await happen()
        paused.go_on.set()


@on_sqlite
async def test_a_proposal_moves_a_number_one_step_and_never_to_what_the_model_says(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    values: list[float] = []
    for number in (1, 2, 3):
        clock.advance(timedelta(seconds=1))
        model.says(_proposes(_proposal("humor", 1.0, number), _proposal("formality", 0.0, number)), to="proposals")
        await _say(alone, f"m{number}")
        run = await _run_now(alone)
        assert (run["outcome"], run["decided_by"], run["decision"]["rejected"]) == ("acted", "model", [])
        profile = await _profile(alone)
        values.append(profile["traits"]["humor"]["value"])
        assert profile["traits"]["formality"]["value"] == pytest.approx(1 - values[-1])
    assert values == pytest.approx([0.6, 0.7, 0.8])
    humor = await _trait(alone, "humor")
    assert (humor["evidence"], humor["evidence_count"]) == (["m3", "m2", "m1"], 3)


@on_sqlite
async def test_a_proposal_nearer_than_a_step_is_reached_and_not_passed(alone: Running, model: ScriptedModel) -> None:
    model.says(_proposes(_proposal("humor", 0.53, 1)), to="proposals")
    await _say(alone, "m1")
    await _run_now(alone)
    assert (await _trait(alone, "humor"))["value"] == pytest.approx(0.53)


@pytest.mark.parametrize("name", ["humor", "verbosity"])
@on_sqlite
async def test_traits_without_a_proposal_are_measured(alone: Running, model: ScriptedModel, name: str) -> None:
    model.says(_proposes(_proposal(name, 1.0, 1)), to="proposals")
    await _say(alone, "m1")
    await _run_now(alone)
    values = {trait: found["value"] for trait, found in (await _profile(alone))["traits"].items()}
    assert values.pop(name) == 0.6
    assert 0.15 < values.get("verbosity", 0.3) < 0.4
    assert values.get("humor", 0) == 0


@on_sqlite
async def test_of_messages_of_one_moment_the_later_is_the_newer_however_they_are_cited(
    alone: Running, model: ScriptedModel
) -> None:
    names = [f"m{number}" for number in range(1, 15)]
    for said in (names[:12], names[12:]):
        cited = [names.index(name) + 1 for name in said]
        model.says(_proposes(_proposal("humor", 0.5, *cited)), to="proposals")
        await _say(alone, *said, content="Yes.")
        await _run_now(alone)
        humor = await _trait(alone, "humor")
        newest = names[: names.index(said[-1]) + 1][::-1]
        assert (humor["evidence"], humor["evidence_count"]) == (newest[:10], len(newest))


BAD = {
    "no evidence": _proposal("humor", 0.9),
    "an unknown id": _proposal("humor", 0.9, 99),
    "an unknown id among others": _proposal("humor", 0.9, 4, 99),
    "the application's": _proposal("humor", 0.9, 3),
    "the application's among others": _proposal("humor", 0.9, 4, 3),
    "the system's": _proposal("humor", 0.9, 2),
    "read before": _proposal("humor", 0.9, 1),
    "read before, among others": _proposal("humor", 0.9, 4, 1),
    "proposed already": _proposal("formality", 0.0, 4),
    "above": _proposal("humor", 1.01, 4),
    "below": _proposal("humor", -0.01, 4),
}


@on_sqlite
async def test_what_has_no_evidence_of_new_messages_of_the_person_is_rejected_and_the_rest_kept(
    alone: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for name, bad in BAD.items():
        with subtests.test(name):
            (await alone.http.delete("/api/threads/default")).raise_for_status()
            await _say(alone, "old")
            await _run_now(alone)
            clock.advance(timedelta(seconds=1))
            await _say(alone, "rule", role="system")
            await _say(alone, "answer", role="assistant")
            await _say(alone, "new")
            before = (await _profile(alone))["traits"]

            good = _proposal("formality", 1.0, 4)
            model.says(_proposes(good, bad), to="proposals")
            run = await _run_now(alone)
            (why,) = run["decision"]["rejected"]
            assert why.startswith(f"{bad['trait']}: ")
            assert run["decision"]["proposals"] == [good, bad]
            after = (await _profile(alone))["traits"]
            assert (before["humor"]["value"], after["humor"]["value"]) == (0, 0)
            assert after["formality"]["value"] == pytest.approx(before["formality"]["value"] + 0.1)
            assert after["formality"]["evidence"] == ["new", "old"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ModelError("The provider answered 500: oops"), "provider_failed"),
        ("I would say: humor!", "answer_invalid"),
        ('{"proposals": [{"trait": "charm", "value": 0.5, "evidence": [1]}]}', "answer_invalid"),
        ('{"proposals": [{"trait": "humor", "value": "high", "evidence": [1]}]}', "answer_invalid"),
    ],
    ids=["error", "prose", "unknown trait", "no number"],
)
@on_sqlite
async def test_a_model_that_fails_leaves_nothing_and_later_everything_is_learned_once(
    alone: Running, model: ScriptedModel, clock: ManualClock, broken: str | Exception, reason: str
) -> None:
    model.says(*useless(broken, reason) * 2, _proposes(_proposal("humor", 1.0, 2)), to="proposals")
    await _say(alone, "m1", "m2")
    clock.advance(INTERVAL)
    for attempt in (1, 2):
        await alone.app.state.personality_loop.run_once()
        assert (await _profile(alone))["revision"] == 0
        assert (await alone.http.get("/api/threads/default/journal")).json()["items"] == []
        turn = (await alone.http.get(LOOP)).json()
        assert (turn["next_slot"], turn["attempt"]) == ("2026-01-05T12:20:00Z", attempt)
        assert turn["next_due_at"] > f"{clock.now():%FT%TZ}"
        clock.advance(timedelta(minutes=2))
    await alone.app.state.personality_loop.run_once()
    clock.advance(INTERVAL)
    await alone.app.state.personality_loop.run_once()

    runs = (await alone.http.get("/api/runs?loop=personality")).json()["items"][::-1]
    assert [(run["outcome"], run["reason"]) for run in runs] == [("failed", reason)] * 2 + [("acted", None)]
    traits = (await _profile(alone))["traits"]
    assert (traits["humor"]["value"], traits["humor"]["evidence_count"]) == (0.6, 1)
    assert (traits["verbosity"]["evidence_count"], traits["verbosity"]["evidence"]) == (2, ["m2", "m1"])


async def test_a_pin_made_during_a_turn_wins(alone: Running, model: ScriptedModel, clock: ManualClock) -> None:
    await _say(alone, "m1")
    clock.advance(INTERVAL)
    answer = _proposes(_proposal("humor", 1.0, 1), _proposal("formality", 1.0, 1))
    await _turn_during_which(alone, model, answer, lambda: _pin(alone, humor=0.1, verbosity=0.9))
    profile = await _profile(alone)
    traits = profile["traits"]
    assert profile["revision"] == 2
    assert [traits[name]["value"] for name in ("humor", "verbosity", "formality")] == [0.1, 0.9, 0.6]
    assert [traits[name]["pinned"] for name in ("humor", "verbosity", "formality")] == [True, True, False]


async def test_a_pin_taken_away_during_a_turn_is_no_pin(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _pin(alone, humor=0.3)
    await _say(alone, "m1")
    clock.advance(INTERVAL)
    await _turn_during_which(alone, model, _proposes(_proposal("humor", 1.0, 1)), lambda: _pin(alone, humor=None))
    humor = await _trait(alone, "humor")
    assert (humor["value"], humor["pinned"]) == (pytest.approx(0.4), False)


async def test_a_revert_made_during_a_turn_wins(alone: Running, model: ScriptedModel, clock: ManualClock) -> None:
    """The steps of the turn are taken from where the person went back to."""
    await _pin(alone, humor=0.2, pace=0.7)
    await _pin(alone, humor=None)
    await _pin(alone, humor=0.9, pace=0.1)
    await _pin(alone, humor=None)
    await _say(alone, "m1")
    clock.advance(INTERVAL)
    answer = _proposes(_proposal("humor", 1.0, 1), _proposal("pace", 1.0, 1))
    await _turn_during_which(alone, model, answer, lambda: _revert(alone, 2))
    history = (await alone.http.get(f"{PROFILE}/history")).json()["items"]
    assert [(each["revision"], each["reverted_to"]) for each in history[:2]] == [(6, None), (5, 2)]
    traits = history[0]["traits"]
    assert (traits["humor"]["value"], traits["pace"]["value"]) == (pytest.approx(0.3), 0.7)


async def test_what_a_person_says_during_a_turn_is_learned_by_the_next(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _say(alone, "m1")
    clock.advance(INTERVAL)
    await _turn_during_which(alone, model, NONE, lambda: _say(alone, "m2"))
    assert (await _trait(alone, "verbosity"))["evidence"] == ["m1"]
    clock.advance(INTERVAL)
    await alone.app.state.personality_loop.run_once()
    verbosity = await _trait(alone, "verbosity")
    assert (verbosity["evidence"], verbosity["evidence_count"]) == (["m2", "m1"], 2)


@on_sqlite
async def test_a_hundred_turns_without_a_new_message_cost_nothing_and_change_nothing(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _say(alone, *[f"m{number}" for number in range(15)], content="Thank you, that is enough.")
    clock.advance(INTERVAL)
    await alone.app.state.personality_loop.run_once()
    before = (
        (await alone.http.get(f"{PROFILE}/history")).text,
        (await alone.http.get("/api/threads/default/journal")).text,
    )
    assert (len(model.asked["proposals"]), (await _profile(alone))["revision"]) == (1, 1)
    for _ in range(50):
        clock.advance(INTERVAL)
        await alone.app.state.personality_loop.run_once()
        run = await _run_now(alone)
        assert (run["outcome"], run["reason"]) == ("skipped", "nothing_new")
    after = (
        (await alone.http.get(f"{PROFILE}/history")).text,
        (await alone.http.get("/api/threads/default/journal")).text,
    )
    assert (len(model.asked["proposals"]), after) == (1, before)


@pytest.mark.parametrize("thread", ["default", "other"])
async def test_a_thread_that_is_deleted_during_a_turn_gets_nothing_of_it(
    alone: Running, model: ScriptedModel, clock: ManualClock, thread: str
) -> None:
    await alone.http.post("/api/threads", json={"id": "other"})
    path = f"/api/threads/{thread}"
    batch = [{"id": f"m{number}", "role": "user", "content": "Thank you, that is enough."} for number in range(15)]
    await alone.http.post(f"{path}/messages", json={"messages": batch})
    clock.advance(INTERVAL)

    async def delete() -> None:
        (await alone.http.delete(path)).raise_for_status()
        await alone.http.post("/api/threads", json={"id": "other"})  # the same name, another thread

    await _turn_during_which(alone, model, _proposes(_proposal("humor", 1.0, 1)), delete)
    assert (await alone.http.get(f"{path}/profile")).json()["revision"] == 0
    for found in (f"{path}/profile/history", f"{path}/journal", f"{path}/messages", f"/api/runs?thread_id={thread}"):
        assert (await alone.http.get(found)).json()["items"] == []


@on_sqlite
async def test_the_model_is_shown_what_is_known_what_was_read_and_what_is_new(
    alone: Running, model: ScriptedModel
) -> None:
    await _pin(alone, humor=0.25)
    await _say(alone, "old")
    await _run_now(alone)
    await _say(alone, "rule", role="system")
    await _say(alone, "answer", role="assistant")
    await _say(alone, "new")
    asked = await alone.http.post(f"{LOOP}/run-now", json={"prompt": "Look at my jokes."})
    request = model.asked["proposals"][-1]
    data = msgspec.json.decode(request.messages[-1].content)
    assert [(each["number"], each["role"]) for each in data["earlier"]] == [(1, "user")]
    assert [(each["number"], each["role"]) for each in data["new"]] == [(3, "assistant"), (4, "user")]
    assert (data["traits_so_far"]["humor"], data["asked"]) == (0.25, "Look at my jokes.")
    assert (request.schema_name, request.model) == ("proposals", "scripted")
    run = asked.json()
    assert (run["prompt"][-1]["content"], run["prompt_tokens"]) == (request.messages[-1].content, 100)
    assert run["seen_seq"] == 4


@on_sqlite
async def test_an_entry_of_a_model_does_not_claim_to_be_counted(alone: Running) -> None:
    await _say(alone, *[f"m{number}" for number in range(15)], content="Thank you, that is enough.")
    await _run_now(alone)
    (entry,) = (await alone.http.get("/api/threads/default/journal?kind=personality")).json()["items"]
    assert "No model is configured" not in entry["body"]
    assert (await _profile(alone))["decided_by"] == "model"
    assert entry["created_at"] == f"{START:%FT%TZ}"
