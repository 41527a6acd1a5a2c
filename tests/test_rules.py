"""Heartbeats where no model is configured: rules answer who called, and sum up when enough is new."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.actions import CommentAction, PostAction
from ledger.actions.checks import check_board, check_content, check_title
from ledger.clock import ManualClock
from ledger.heartbeat.context import Context, Learned
from ledger.heartbeat.rules import ARCHIVE, DIGEST_AT, decide
from ledger.mind.texts import nearest
from ledger.posts.structs import Mention
from ledger.threads.structs import Message
from tests.conftest import START, Opener, Running, on_sqlite

HALF_HOUR = timedelta(minutes=30)
FACTS = ("The ferry leaves at nine.", "Ada likes oranges.", "The tent is in the cellar.")


@pytest.fixture
async def ruled(opened: Opener) -> AsyncGenerator[Running]:
    async with opened(rules=True) as running:
        yield running


async def _say(running: Running, *contents: str) -> None:
    body = {"messages": [{"role": "user", "content": content} for content in contents]}
    (await running.http.post("/api/threads/default/messages", json=body)).raise_for_status()


async def _write(running: Running, path: str, **body: object) -> str:
    answer = await running.http.post(path, json=body)
    answer.raise_for_status()
    return answer.json()["id"]


async def _items(running: Running, path: str) -> list[dict[str, Any]]:
    return (await running.http.get(path)).json()["items"]


async def _beat(running: Running, clock: ManualClock, times: int = 1) -> None:
    for _ in range(times):
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()


async def _runs(running: Running) -> list[dict[str, Any]]:
    return (await _items(running, "/api/runs?loop=heartbeat"))[::-1]


async def _answers(running: Running, post_id: str) -> list[dict[str, Any]]:
    found = await _items(running, f"/api/posts/{post_id}/comments")
    return [comment for comment in found if comment["origin"] == "agent"]


async def test_a_mention_in_a_post_is_answered_once_with_what_the_thread_says(
    ruled: Running, clock: ManualClock
) -> None:
    await _say(ruled, *FACTS)
    asked = await _write(ruled, "/api/posts", title="Ferry", content="@Ledger when does the ferry leave?", author="ben")
    await _beat(ruled, clock, 2)
    await _say(ruled, "Something new.")
    await _beat(ruled, clock)
    (answer,) = await _answers(ruled, asked)
    assert (answer["author"], answer["parent_id"]) == ("ledger", None)
    assert answer["content"].startswith("@ben ")
    assert "The ferry leaves at nine." in answer["content"]
    assert [(run["outcome"], run["reason"]) for run in await _runs(ruled)] == [
        ("acted", None),
        ("skipped", "nothing_new"),
        ("nothing", "decided_nothing"),
    ]


@on_sqlite
async def test_a_mention_in_a_comment_is_answered_once_under_that_comment(ruled: Running, clock: ManualClock) -> None:
    await _say(ruled, *FACTS)
    target = await _write(ruled, "/api/posts", title="Camping", content="In June.")
    asked = await _write(ruled, f"/api/posts/{target}/comments", content="Where is the tent, @ledger?", author="cyd")
    await _beat(ruled, clock, 2)
    (answer,) = await _answers(ruled, target)
    assert answer["parent_id"] == asked
    assert "The tent is in the cellar." in answer["content"]


@on_sqlite
async def test_what_only_looks_like_a_mention_is_not_answered(ruled: Running, clock: ManualClock) -> None:
    for content in ("mail me at ledger@example.org", "`@ledger`", "@ledgers, all of you", "ledger"):
        asked = await _write(ruled, "/api/posts", title="Hm", content=content)
        await _beat(ruled, clock)
        assert await _answers(ruled, asked) == [], content
    assert [run["outcome"] for run in await _runs(ruled)] == ["nothing"] * 4


@on_sqlite
async def test_more_mentions_than_fit_into_a_turn_are_answered_over_several(ruled: Running, clock: ManualClock) -> None:
    questions = ["ferry leave", "Ada likes", "tent cellar", "oranges nine", "cellar Ada"]
    await _say(ruled, *FACTS)
    asked = [await _write(ruled, "/api/posts", title=text, content=f"@ledger {text}?") for text in questions]
    await _beat(ruled, clock, 3)
    assert [len(await _answers(ruled, post)) for post in asked] == [1] * 5
    assert [(run["outcome"], len(run["actions"])) for run in await _runs(ruled)] == [
        ("acted", 3),
        ("acted", 2),
        ("skipped", 0),
    ]


@on_sqlite
async def test_messages_that_call_the_agent_are_answered_each_also_when_they_are_many(
    ruled: Running, clock: ManualClock
) -> None:
    questions = ["ferry leave", "Ada likes", "tent cellar", "oranges nine", "cellar Ada"]
    await _say(ruled, *FACTS, *(f"@ledger {text}?" for text in questions))
    await _beat(ruled, clock, 3)
    titles = {found["title"] for found in await _items(ruled, "/api/posts?board=general")}
    assert titles == {f"Answer to message {4 + n}: @ledger {text}?" for n, text in enumerate(questions)}


@on_sqlite
async def test_people_who_ask_the_same_are_all_answered(ruled: Running, clock: ManualClock) -> None:
    await _say(ruled, *FACTS)
    content = "@ledger what is the capital of Peru?"
    asked = [await _write(ruled, "/api/posts", title="Q", content=content, author=name) for name in ("ben", "cyd")]
    await _beat(ruled, clock, 3)
    assert [len(await _answers(ruled, post)) for post in asked] == [1, 1]


async def test_enough_new_messages_make_a_digest_and_none_is_counted_twice(ruled: Running, clock: ManualClock) -> None:
    await _say(ruled, *(f"Camping in week {number} with boats." for number in range(DIGEST_AT - 1)))
    await _beat(ruled, clock)
    assert await _items(ruled, "/api/posts") == []

    await _say(ruled, "Shall we go?")
    await _beat(ruled, clock, 2)
    (digest,) = await _items(ruled, "/api/posts?board=digest")
    assert digest["title"] == "Digest: 10 new messages up to 2026-01-05"
    assert "They are messages 1 to 10: 10 by user." in digest["content"]
    assert "“Shall we go?”" in digest["content"].partition("Still without an answer:")[2]

    await _say(ruled, *(f"Cooking day {number} needs salt." for number in range(DIGEST_AT - 1)))
    await _beat(ruled, clock)
    await _say(ruled, "And pepper.")
    await _beat(ruled, clock)
    newest, _ = await _items(ruled, "/api/posts?board=digest")
    assert "They are messages 11 to 20: 10 by user." in newest["content"]


async def test_a_digest_is_of_what_people_said_also_behind_more_than_are_read_at_once(
    ruled: Running, clock: ManualClock
) -> None:
    await _say(ruled, *(f"Camping in week {number} with boats." for number in range(DIGEST_AT)))
    called = {"messages": [{"role": "tool", "content": f"Called {number}."} for number in range(ARCHIVE)]}
    (await ruled.http.post("/api/threads/default/messages", json=called)).raise_for_status()
    await _beat(ruled, clock)
    (digest,) = await _items(ruled, "/api/posts?board=digest")
    assert "They are messages 1 to 10: 10 by user." in digest["content"]


@on_sqlite
async def test_a_digest_that_did_not_fit_comes_later(ruled: Running, clock: ManualClock) -> None:
    await _say(ruled, *FACTS, *(f"Word {number}." for number in range(DIGEST_AT)))
    for text in ("ferry leave", "Ada likes", "tent cellar"):
        await _write(ruled, "/api/posts", title=text, content=f"@ledger {text}?")
    await _beat(ruled, clock, 2)
    assert [len(run["actions"]) for run in await _runs(ruled)] == [3, 1]
    assert len(await _items(ruled, "/api/posts?board=digest")) == 1


@on_sqlite
async def test_all_that_rules_decide_says_so(
    opened: Opener, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(rules=True) as ruled:
        await _say(ruled, "@ledger hello?")
        await _beat(ruled, clock)
        await _say(ruled, "Thanks.")
        await _beat(ruled, clock)
        found = await _runs(ruled)
        assert [(run["outcome"], run["decided_by"], run["model"]) for run in found] == [
            ("acted", "rules", None),
            ("nothing", "rules", None),
        ]
        for run in found:
            assert (await ruled.http.get(f"/api/runs/{run['id']}")).json()["decided_by"] == "rules"
        (post,) = await _items(ruled, "/api/posts")
    assert "decisions by rules" in caplog.text
    assert "No model is configured" in post["content"]


@on_sqlite
async def test_text_without_spaces_or_letters_is_quoted_and_found(ruled: Running, clock: ManualClock) -> None:
    await _say(ruled, "渡轮九点开", "🎉🎉🎉", "帐篷在地下室", "👩\u200d👩\u200d👧 \u200fمرحبا")  # noqa: RUF001 - Arabic is the point
    asked = await _write(ruled, "/api/posts", title="渡轮", content="请问@ledger渡轮几点开\uff1f")
    smiling = await _write(ruled, "/api/posts", title="🙂", content="@ledger 🙂", author="ben")
    await _beat(ruled, clock)
    (answer,) = await _answers(ruled, asked)
    assert "渡轮九点开" in answer["content"]
    (answer,) = await _answers(ruled, smiling)
    assert "shares a word with your question" in answer["content"]


def _message(seq: int, content: str, *, person: bool = True) -> Message:
    role, origin = ("user", "person") if person else ("assistant", "app")
    return Message(f"m{seq}", seq, role, origin, content, START, START)  # pyright: ignore[reportArgumentType] - a pair that belongs together


def _context(mentions: list[str], undigested: int) -> Context:
    return Context(
        agent="ledger",
        thread_title="",
        mentions=[Mention("p", None, "", text, "ben", START) for text in mentions],
        last_seq=30,
        new_messages=undigested,
        messages=[],
        posts=[],
        comments=[],
        own_runs=[],
        undigested=undigested,
        learned=Learned([], [], [], [], []),
        journal=[],
    )


words = st.sampled_from(["@ledger", "tent", "渡轮", "🎉", "?", "\uff1f", "\n", "a" * 700, "tent tent", "…", "مرحبا؟"])
texts = st.lists(words, min_size=1, max_size=8).map(" ".join)
histories = st.lists(st.tuples(texts, st.booleans()), max_size=30)


@given(histories, st.lists(texts, max_size=5), st.integers(0, 30))
def test_the_same_context_gives_the_same_decision_and_all_of_it_could_be_applied(
    history: list[tuple[str, bool]], mentions: list[str], watermark: int
) -> None:
    archive = [_message(seq, text, person=person) for seq, (text, person) in enumerate(history, start=1)]
    context = _context(mentions, len(archive))
    ruling = decide(context, archive, watermark=watermark)
    assert ruling == decide(context, archive, watermark=watermark)
    assert (ruling.decision.verdict == "act") == bool(ruling.decision.actions)
    for action in ruling.decision.actions:
        check_content(action.content if isinstance(action, (CommentAction, PostAction)) else "")
        if isinstance(action, PostAction):
            check_title(action.title)
            check_board(action.board)


def test_the_nearest_message_is_the_one_that_shares_the_rarest_word() -> None:
    said = [
        _message(1, "the boat is the boat"),
        _message(2, "the tent is dry"),
        _message(3, "the boat is here"),
        _message(4, "nothing to see"),
    ]
    assert [message.seq for message in nearest("where is the tent", said, 2)] == [2, 1]
    assert nearest("🙂", said, 3) == []
