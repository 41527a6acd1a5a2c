"""What is known of a thread, as applications put it before their model, and as the heartbeat reads it."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.clock import ManualClock
from ledger.insights import profiles, scorecards
from ledger.insights.structs import (
    TRAITS,
    Insight,
    OpenQuestion,
    Profile,
    Scorecard,
    Topic,
    Trait,
    TraitName,
    Trend,
    Words,
)
from ledger.journal import store as journal
from ledger.journal.store import Draft, Pen
from ledger.posts import store as posts
from ledger.posts.structs import Post
from ledger.tokens import count_tokens
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

BY_HAND = dict.fromkeys(("reflection_enabled", "self_reply_enabled", "personality_enabled"), False)
PARTS = ("profile", "topics", "open_questions", "insights", "posts")


@pytest.fixture
async def by_hand(opened: Opener) -> AsyncGenerator[Running]:
    """Everything with the scripted model; only heartbeats come by themselves."""
    async with opened(**BY_HAND) as running:
        yield running


def _path(thread: str = "default", **query: object) -> str:
    return f"/api/threads/{thread}/context?{'&'.join(f'{name}={value}' for name, value in query.items())}"


async def _context(running: Running, thread: str = "default", **query: object) -> dict[str, Any]:
    return (await running.http.get(_path(thread, **query))).raise_for_status().json()


async def _text(running: Running, thread: str = "default", **query: object) -> str:
    return (await running.http.get(_path(thread, format="text", **query))).raise_for_status().text


async def _run_now(running: Running, loop: str, thread: str = "default") -> dict[str, Any]:
    answer = await running.http.post(f"/api/threads/{thread}/loops/{loop}/run-now")
    return answer.raise_for_status().json()


async def _learn(running: Running, model: ScriptedModel, about: str, thread: str = "default") -> None:
    """Have a thread with a profile, topics, a question, an insight, a post of the agent and one of a person."""
    said = [f"My {about} is short, thanks. That is all for now." for _ in range(15)]
    batch = [{"id": f"m{number}", "role": "user", "content": content} for number, content in enumerate(said)]
    (await running.http.post(f"/api/threads/{thread}/messages", json={"messages": batch})).raise_for_status()
    insight = {"text": f"They care for their {about}.", "importance": 6, "evidence": [1]}
    question = {"question": f"Who mends a {about}?", "message": 2}
    model.says({"insights": [insight], "open_questions": [question], "still_open": []}, to="findings")
    await _run_now(running, "reflection", thread)
    await _run_now(running, "personality", thread)
    model.says(act(post(f"Mending a {about}", "Some places do it.")))
    await _run_now(running, "heartbeat", thread)
    await running.http.post("/api/posts", json={"title": "By a person", "content": "Mine.", "thread_id": thread})


@on_sqlite
async def test_a_context_says_how_to_write_and_what_is_known(by_hand: Running, model: ScriptedModel) -> None:
    await _learn(by_hand, model, "accordion")
    found = await _context(by_hand)
    profile = (await by_hand.http.get("/api/threads/default/profile")).json()
    assert (found["thread_id"], found["max_tokens"], profile["words"]["verbosity"]) == ("default", 800, "concise")
    assert found["profile"][0] == "Keep answers concise."
    assert len(found["profile"]) >= 4
    assert "accordion" in " ".join(found["topics"])
    assert found["open_questions"] == ["user: Who mends a accordion?"]
    assert found["insights"] == ["They care for their accordion."]
    assert found["posts"] == ["Mending a accordion: Some places do it."]


@on_sqlite
async def test_the_text_holds_the_same_and_its_tokens_are_counted(by_hand: Running, model: ScriptedModel) -> None:
    await _learn(by_hand, model, "accordion")
    found, answer = await _context(by_hand), await by_hand.http.get(_path(format="text"))
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line[2:] for line in answer.text.splitlines() if line.startswith("- ")]
    assert lines == [line for part in PARTS for line in found[part]]
    assert found["tokens"] == count_tokens(answer.text) > 0


@on_sqlite
async def test_of_a_thread_of_which_nothing_is_known_nothing_is_said(by_hand: Running) -> None:
    found = await _context(by_hand)
    assert ([found[part] for part in PARTS], found["tokens"], await _text(by_hand)) == ([[]] * 5, 0, "")


@on_sqlite
async def test_a_small_budget_holds_the_profile_first(by_hand: Running, model: ScriptedModel) -> None:
    await _learn(by_hand, model, "accordion")
    whole, small = await _context(by_hand, max_tokens=32_000), await _context(by_hand, max_tokens=50)
    assert small["tokens"] <= 50 < whole["tokens"]
    assert small["profile"] == whole["profile"][: len(small["profile"])] != []
    assert small["posts"] == []


@on_sqlite
async def test_it_is_the_same_to_the_letter_while_nothing_changes(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(heartbeat_enabled=False) as running:
        for loop in ("reflection", "personality", "self_reply"):
            await running.http.post(f"/api/loops/{loop}/stop")
        await _learn(running, model, "accordion")
        before = [(await running.http.get(_path(max_tokens=300, format=kind))).content for kind in ("json", "text")]
        clock.advance(timedelta(days=400))
        for loop in ("reflection", "personality"):
            await _run_now(running, loop)
        for kind, found in zip(("json", "text"), before, strict=True):
            assert (await running.http.get(_path(max_tokens=300, format=kind))).content == found
    async with opened(heartbeat_enabled=False) as running:
        for kind, found in zip(("json", "text"), before, strict=True):
            assert (await running.http.get(_path(max_tokens=300, format=kind))).content == found


async def test_threads_never_mix(by_hand: Running, model: ScriptedModel) -> None:
    await by_hand.http.post("/api/threads", json={"id": "other"})
    await by_hand.http.post("/api/threads", json={"id": "empty"})
    await _learn(by_hand, model, "accordion")
    await _learn(by_hand, model, "telescope", "other")
    await by_hand.http.patch("/api/threads/other/profile", json={"pin": {"verbosity": 0.9}})
    first, second = await _text(by_hand), await _text(by_hand, "other")
    assert ("telescope" in first, "accordion" in second) == (False, False)
    assert first.count("accordion") == second.count("telescope") >= 4
    assert ("Keep answers concise." in first, "Keep answers concise." in second) == (True, False)
    assert await _text(by_hand, "empty") == ""


@on_sqlite
async def test_a_post_that_was_removed_does_not_appear(by_hand: Running, model: ScriptedModel) -> None:
    await _learn(by_hand, model, "accordion")
    found = (await by_hand.http.get("/api/posts?thread_id=default")).json()["items"]
    (own,) = [each for each in found if each["origin"] == "agent"]
    (await by_hand.http.delete(f"/api/posts/{own['id']}")).raise_for_status()
    assert (await _context(by_hand))["posts"] == []
    assert "Recent notes" not in await _text(by_hand)


@pytest.mark.parametrize("query", ["49", "0", "-1", "32001", "abc", "50.5"])
async def test_a_budget_that_cannot_be_is_refused(refusing: Running, query: str) -> None:
    answer = await refusing.http.get(_path(max_tokens=query))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "max_tokens" in answer.json()["detail"]


async def test_the_smallest_and_the_largest_budget_are_taken(refusing: Running) -> None:
    for budget in (50, 32_000):
        assert (await _context(refusing, max_tokens=budget))["max_tokens"] == budget


async def test_another_format_is_refused_and_an_unknown_thread_not_found(refusing: Running) -> None:
    answer = await refusing.http.get(_path(format="xml"))
    assert (answer.status_code, "format" in answer.json()["detail"]) == (422, True)
    for kind in ("json", "text"):
        missing = await refusing.http.get(_path("nobody", format=kind))
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
        assert "'nobody'" in missing.json()["detail"]


texts = (
    st.text(max_size=400) | st.text(alphabet="拍照很好看。谢谢\n", max_size=300) | st.text("🎻👩‍👩‍👧😂 ?", max_size=200)
)
traits = st.builds(Trait, value=st.floats(0, 1), confidence=st.floats(0, 1), pinned=st.booleans())
words = st.builds(
    Words,
    verbosity=st.sampled_from([None, "concise", "verbose"]),
    emoji=st.sampled_from([None, "on", "off"]),
    format=st.sampled_from([None, "freeform"]),
    tone=st.none() | st.just("formal and serious"),
)
learned = st.builds(
    Scorecard,
    thread_id=st.just("default"),
    revision=st.just(0),
    created_at=st.just(START),
    run_id=st.just("r"),
    topics=st.lists(st.builds(Topic, texts.filter(bool), st.just(2), st.just([])), max_size=8),
    open_questions=st.lists(st.builds(OpenQuestion, texts, st.just("user"), st.just(START), st.just("m")), max_size=10),
    insights=st.lists(st.builds(Insight, texts, st.just(5), st.just([])), max_size=5),
)


@on_sqlite
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.integers(50, 2000),
    learned,
    st.dictionaries(st.sampled_from(TRAITS), traits),
    words,
    st.lists(st.tuples(texts, texts), max_size=2),
)
async def test_the_budget_holds_whatever_is_known(
    by_hand: Running,
    budget: int,
    scorecard: Scorecard,
    traits: dict[TraitName, Trait],
    words: Words,
    own: list[tuple[str, str]],
) -> None:
    """What one example leaves the next one covers: only the newest is read."""
    async with by_hand.db.write() as session:
        revision = (await scorecards.current(session, "default")).revision + 1
        await scorecards.add(session, msgspec.structs.replace(scorecard, revision=revision))
        profile = Profile(thread_id="default", revision=revision, created_at=START, traits=traits, words=words)
        await profiles.add(session, profile)
        for number, (title, content) in enumerate(own):
            await posts.add(session, _own_post(f"{revision}-{number}", title, content, revision))
    found, text = await _context(by_hand, max_tokens=budget), await _text(by_hand, max_tokens=budget)
    assert found["tokens"] == count_tokens(text) <= budget
    shown = [f"- {line}" for part in PARTS for line in found[part]]
    assert sum(text.count(line) > 0 for line in shown) == len(shown)


def _own_post(post_id: str, title: str, content: str, age: int) -> Post:
    return Post(
        id=post_id,
        thread_id="default",
        board="general",
        title=title,
        content=content,
        author="ledger",
        origin="agent",
        run_id=post_id,
        score=0,
        hot=0.0,
        comment_count=0,
        created_at=START + timedelta(seconds=age),
        edited_at=None,
        removed_at=None,
        mentions_agent=False,
    )


async def test_a_heartbeat_reads_what_was_learned_and_what_was_written(
    by_hand: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _learn(by_hand, model, "accordion")
    clock.advance(timedelta(minutes=30))
    await by_hand.heartbeat.run_once()
    listed = (await by_hand.http.get("/api/runs?loop=heartbeat")).json()["items"][0]
    run = (await by_hand.http.get(f"/api/runs/{listed['id']}")).json()
    known, entries = run["context"]["learned"], run["context"]["journal"]
    scorecard = (await by_hand.http.get("/api/threads/default/scorecard")).json()
    assert known["topics"] == [topic["topic"] for topic in scorecard["topics"]] != []
    assert known["open_questions"] == ["Who mends a accordion?"]
    assert known["insights"] == ["They care for their accordion."]
    assert known["profile"] == (await _context(by_hand))["profile"]
    assert known["trends"] == []
    written = (await by_hand.http.get("/api/threads/default/journal")).json()["items"][::-1]
    assert [(entry["kind"], entry["title"]) for entry in entries] == [
        (entry["kind"], entry["title"]) for entry in written
    ]
    assert {entry["kind"] for entry in entries} == {"reflection", "personality"}
    asked = msgspec.json.decode(model.requests[-1].messages[-1].content)["data"]
    assert (asked["learned"], asked["journal"]) == (known, entries)


@on_sqlite
async def test_what_a_heartbeat_reads_of_it_is_bounded(by_hand: Running, model: ScriptedModel) -> None:
    await by_hand.http.post("/api/threads/default/messages", json={"messages": [{"role": "user", "content": "Hi."}]})
    trend = Trend("accordion", 0.5, 0.1, 3.0, [])
    full = Scorecard(
        thread_id="default",
        revision=1,
        created_at=START,
        run_id="r",
        topics=[Topic("word " * 24, 9, [])] * 8,
        rising=[trend] * 5,
        fading=[trend] * 5,
        open_questions=[OpenQuestion("w" * 500, "user", START, "m")] * 10,
        insights=[Insight("w" * 500, 5, [])] * 5,
    )
    async with by_hand.db.write() as session:
        await scorecards.add(session, full)
        for number in range(20):
            draft = Draft(
                kind="reflection",
                title=f"Entry {number}",
                body=f"{number} " + "deep " * 990,
                evidence=[],
                scorecard_revision=1,
                profile_revision=0,
            )
            await journal.write(session, "default", draft, Pen("ledger", 0), run_id=f"r{number}", now=START)
    run = await _run_now(by_hand, "heartbeat")
    assert [entry["title"] for entry in run["context"]["journal"]] == [f"Entry {number}" for number in range(16, 20)]
    assert all(len(entry["body"]) <= 400 for entry in run["context"]["journal"])
    assert len(run["context"]["learned"]["trends"]) == 10
    assert len(model.requests[-1].messages[-1].content) < 8_000


@on_sqlite
async def test_what_the_agent_learned_and_wrote_opens_no_gate(
    by_hand: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    path = "/api/threads/default"
    await by_hand.http.put(f"{path}/journal/settings", json={"posts": "always"})
    batch = [{"id": f"m{n}", "role": "user", "content": "My accordion is short, thanks."} for n in range(15)]
    await by_hand.http.post(f"{path}/messages", json={"messages": batch})
    await by_hand.http.post(f"{path}/heartbeat/config", json={"target": "last"})
    model.says(act(post("A note", "Some words.")))
    clock.advance(timedelta(minutes=30))
    await by_hand.heartbeat.run_once()
    for loop in ("reflection", "personality"):
        assert (await _run_now(by_hand, loop))["outcome"] == "acted"
    await _run_now(by_hand, "self_reply")
    boards = [found["board"] for found in (await by_hand.http.get("/api/posts")).json()["items"]]
    assert sorted(boards) == ["general", "reflections"]
    kinds = {entry["kind"] for entry in (await by_hand.http.get(f"{path}/journal")).json()["items"]}
    assert kinds >= {"reflection", "personality"}

    clock.advance(timedelta(minutes=30))
    await by_hand.heartbeat.run_once()
    run = (await by_hand.http.get("/api/runs?loop=heartbeat")).json()["items"][0]
    assert (run["outcome"], run["reason"], len(model.requests)) == ("skipped", "nothing_new", 1)
