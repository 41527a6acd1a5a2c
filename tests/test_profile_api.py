"""The profile over HTTP: seen, looked back on, set right and taken back."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, get_args

import pytest

from ledger.clock import ManualClock
from ledger.insights.structs import TraitName
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel

PATH = "/api/threads/default/profile"
SHORT = "Thank you, that is enough."
LONG = "I would like to know when the library opens on Thursday, and whether I may bring my own lunch. " * 4
BY_HAND = dict.fromkeys(("reflection_enabled", "self_reply_enabled", "heartbeat_enabled", "personality_enabled"), False)
NO_WORDS = {"verbosity": None, "emoji": None, "format": None, "tone": None}


@pytest.fixture
async def by_hand(opened: Opener) -> AsyncGenerator[Running]:
    """Personality without a model, taking only the turns that are asked for."""
    async with opened(rules=True, **BY_HAND) as running:
        yield running


async def _say(running: Running, *said: str, thread: str = "default") -> None:
    batch = [{"role": "user", "content": content} for content in said]
    (await running.http.post(f"/api/threads/{thread}/messages", json={"messages": batch})).raise_for_status()


async def _learn(running: Running, *said: str, thread: str = "default") -> None:
    if said:
        await _say(running, *said, thread=thread)
    (await running.http.post(f"/api/threads/{thread}/loops/personality/run-now")).raise_for_status()


async def _profile(running: Running) -> dict[str, Any]:
    return (await running.http.get(PATH)).raise_for_status().json()


async def _history(running: Running) -> list[dict[str, Any]]:
    return (await running.http.get(f"{PATH}/history?limit=200")).raise_for_status().json()["items"]


async def _pin(running: Running, **pins: float | None) -> dict[str, Any]:
    return (await running.http.patch(PATH, json={"pin": pins})).raise_for_status().json()


async def _revert(running: Running, revision: int) -> dict[str, Any]:
    return (await running.http.post(f"{PATH}/revert", json={"revision": revision})).raise_for_status().json()


@on_sqlite
async def test_a_thread_of_which_nothing_is_known_has_an_empty_profile(by_hand: Running) -> None:
    found = await _profile(by_hand)
    assert (found["thread_id"], found["revision"], found["traits"], found["words"]) == ("default", 0, {}, NO_WORDS)
    assert await _history(by_hand) == []


async def test_the_history_holds_every_revision_the_newest_first_in_pages(by_hand: Running) -> None:
    for _ in range(5):
        await _learn(by_hand, SHORT)
    whole = await _history(by_hand)
    assert [each["revision"] for each in whole] == [5, 4, 3, 2, 1]
    assert whole[0] == await _profile(by_hand)
    assert [each["traits"]["verbosity"]["evidence_count"] for each in whole] == [5, 4, 3, 2, 1]
    paged: list[dict[str, Any]] = []
    cursor, sizes = "", list[int]()
    while cursor is not None:
        page = (await by_hand.http.get(f"{PATH}/history?limit=2{cursor and '&cursor='}{cursor}")).json()
        paged += page["items"]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
    assert (paged, sizes) == (whole, [2, 2, 1])


@on_sqlite
async def test_every_learned_revision_names_the_run_it_came_from(by_hand: Running) -> None:
    await _learn(by_hand, SHORT)
    found = await _profile(by_hand)
    run = (await by_hand.http.get(f"/api/runs/{found['run_id']}")).json()
    assert (run["loop"], run["outcome"], found["decided_by"]) == ("personality", "acted", run["decided_by"])
    assert found["created_at"] == run["finished_at"]


@on_sqlite
async def test_a_pinned_trait_stands_as_it_was_set_until_the_pin_is_taken_away(by_hand: Running) -> None:
    await _learn(by_hand, *[SHORT] * 15)
    pinned = await _pin(by_hand, verbosity=0.9, humor=0.5)
    assert pinned == await _profile(by_hand)
    assert (pinned["revision"], pinned["run_id"], pinned["decided_by"]) == (2, None, None)
    assert pinned["words"]["verbosity"] == "verbose"
    await _learn(by_hand, *[SHORT] * 15)
    after = await _profile(by_hand)
    assert {name: after["traits"][name] for name in ("verbosity", "humor")} == {
        name: pinned["traits"][name] for name in ("verbosity", "humor")
    }
    assert after["traits"]["emoji"]["evidence_count"] == 30

    freed = await _pin(by_hand, verbosity=None)
    assert [freed["traits"][name]["pinned"] for name in ("verbosity", "humor")] == [False, True]
    assert freed["traits"]["verbosity"]["value"] == 0.9
    await _learn(by_hand, *[SHORT] * 15)
    after = await _profile(by_hand)
    assert after["traits"]["verbosity"]["value"] < 0.6
    assert after["traits"]["verbosity"]["evidence_count"] == 30  # while it was pinned nothing counted
    assert after["traits"]["humor"] == pinned["traits"]["humor"]


@on_sqlite
async def test_a_pin_is_meant_as_it_stands_though_nothing_has_been_learned(by_hand: Running) -> None:
    found = await _pin(by_hand, verbosity=0.1, emoji=0, structure=1)
    assert (found["revision"], found["words"]) == (
        1,
        {"verbosity": "concise", "emoji": "off", "format": "structured", "tone": None},
    )


@on_sqlite
async def test_what_a_person_pins_is_no_entry_of_the_journal(by_hand: Running) -> None:
    await _learn(by_hand, SHORT)
    await _pin(by_hand, verbosity=0.1)
    await _learn(by_hand, SHORT)
    assert (await by_hand.http.get("/api/threads/default/journal")).json()["items"] == []


@on_sqlite
async def test_a_pin_that_changes_nothing_is_no_revision(by_hand: Running) -> None:
    await _learn(by_hand, SHORT)
    await _pin(by_hand, humor=0.3)
    before = await _history(by_hand)
    same: list[dict[str, float | None]] = [{"humor": 0.3}, {"pace": None}, {"humor": 0.3, "pace": None}]
    for pins in same:
        assert await _pin(by_hand, **pins) == before[0]
        assert await _history(by_hand) == before


@on_sqlite
async def test_a_turn_that_may_change_nothing_makes_no_revision_and_counts_as_read(by_hand: Running) -> None:
    pinned = await _pin(by_hand, **dict.fromkeys(get_args(TraitName), 0.5))
    for outcome, reason in (("nothing", "decided_nothing"), ("skipped", "nothing_new")):
        if outcome == "nothing":
            await _say(by_hand, SHORT)
        run = (await by_hand.http.post("/api/threads/default/loops/personality/run-now")).json()
        assert (run["outcome"], run["reason"]) == (outcome, reason)
    assert await _history(by_hand) == [pinned]


BAD_PINS: list[tuple[object, str]] = [
    ({"pin": {"charm": 0.5}}, "charm"),
    ({"pin": {"humor": 1.5}}, "pin"),
    ({"pin": {"humor": -0.1}}, "pin"),
    ({"pin": {"humor": "0.5"}}, "pin"),
    ({"pin": {"humor": True}}, "pin"),
    ({"pin": {"verbosity": 0.2, "humor": 1.5}}, "pin"),
    ({"pin": {}}, "pin"),
    ({"pin": None}, "pin"),
    ({"pin": {"humor": 0.5}, "unpin": ["pace"]}, "unpin"),
    ({}, "pin"),
]


@on_sqlite
async def test_a_pin_that_cannot_be_is_refused_and_nothing_of_it_is_written(
    by_hand: Running, subtests: pytest.Subtests
) -> None:
    await _pin(by_hand, formality=0.5)
    for body, named in BAD_PINS:
        with subtests.test(body=body):
            answer = await by_hand.http.patch(PATH, json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
            assert named in answer.json()["detail"]
            assert [each["revision"] for each in await _history(by_hand)] == [1]


async def test_a_revert_brings_values_words_and_pins_back_as_they_were(by_hand: Running, clock: ManualClock) -> None:
    await _learn(by_hand, *[SHORT] * 15)
    wanted = await _pin(by_hand, humor=0.2)
    await _learn(by_hand, *[LONG] * 40)
    await _pin(by_hand, humor=None, pace=0.9)
    changed = await _profile(by_hand)
    assert changed["words"] != wanted["words"]
    clock.advance(timedelta(hours=1))
    reverted = await _revert(by_hand, 2)
    assert reverted == await _profile(by_hand)
    assert (reverted["traits"], reverted["words"]) == (wanted["traits"], wanted["words"])
    assert (reverted["revision"], reverted["reverted_to"], reverted["run_id"]) == (5, 2, None)
    assert reverted["created_at"] == "2026-01-05T13:00:00Z"
    assert (await _history(by_hand))[1] == changed  # and nothing is lost
    assert (await _revert(by_hand, 4))["traits"] == changed["traits"]
    assert (await _pin(by_hand, humor=0.7))["reverted_to"] is None


@on_sqlite
async def test_learning_goes_on_from_where_a_person_went_back_to(by_hand: Running) -> None:
    """What was read before is not read again, though what it had taught is gone."""
    await _learn(by_hand, *[SHORT] * 15)
    await _learn(by_hand, *[LONG] * 40)
    reverted = await _revert(by_hand, 1)
    await _learn(by_hand)
    assert await _profile(by_hand) == reverted
    await _learn(by_hand, SHORT)
    after = await _profile(by_hand)
    assert (after["revision"], after["reverted_to"]) == (4, None)
    assert after["traits"]["verbosity"]["evidence_count"] == 16
    assert after["words"]["verbosity"] == "concise"


@on_sqlite
async def test_a_revision_that_never_was_is_404_and_named(by_hand: Running) -> None:
    await _learn(by_hand, SHORT)
    for revision in (2, 99, 2**31 - 1):
        answer = await by_hand.http.post(f"{PATH}/revert", json={"revision": revision})
        assert answer.status_code == 404
        assert f"no revision {revision}" in answer.json()["detail"]
    assert len(await _history(by_hand)) == 1


BAD_REVERTS: list[dict[str, object]] = [
    {"revision": 0},
    {"revision": "1"},
    {"revision": 2**31},
    {"revision": None},
    {"revision": 1, "why": ""},
    {},
]


@on_sqlite
async def test_a_revert_that_cannot_be_is_refused(by_hand: Running, subtests: pytest.Subtests) -> None:
    await _learn(by_hand, SHORT)
    for body in BAD_REVERTS:
        with subtests.test(body=body):
            answer = await by_hand.http.post(f"{PATH}/revert", json=body)
            assert answer.status_code == 422
            assert ("why" if "why" in body else "revision") in answer.json()["detail"]
            assert len(await _history(by_hand)) == 1


async def test_a_revision_of_another_thread_is_none_of_this(by_hand: Running) -> None:
    await by_hand.http.post("/api/threads", json={"id": "other"})
    await _learn(by_hand, SHORT, thread="other")
    assert (await by_hand.http.post(f"{PATH}/revert", json={"revision": 1})).status_code == 404
    assert await _history(by_hand) == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "profile", None),
        ("GET", "profile/history", None),
        ("PATCH", "profile", {"pin": {"humor": 0.5}}),
        ("POST", "profile/revert", {"revision": 1}),
    ],
)
async def test_a_thread_that_does_not_exist_is_404(
    refusing: Running, method: str, path: str, body: dict[str, object] | None
) -> None:
    answer = await refusing.http.request(method, f"/api/threads/nobody/{path}", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "'nobody'" in answer.json()["detail"]


async def test_what_was_learned_and_pinned_outlives_a_restart(opened: Opener, model: ScriptedModel) -> None:
    async with opened(**BY_HAND) as running:
        await _learn(running, *[SHORT] * 15)
        await _pin(running, humor=0.4)
        before = await _history(running)
    async with opened(**BY_HAND) as running:
        assert await _history(running) == before
        await _learn(running)
        assert (await _history(running), len(model.asked["proposals"])) == (before, 1)
