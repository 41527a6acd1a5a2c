"""How many tokens a heartbeat shows a model: bounded, whatever people write, and the same beginning every time."""

import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ledger.approvals import store as approvals
from ledger.approvals.structs import LIFETIME, Approval
from ledger.clock import ManualClock
from ledger.db import Session, new_id
from ledger.heartbeat import gather as gathering
from ledger.insights import scorecards
from ledger.insights.structs import Insight, OpenQuestion, Scorecard, Topic, Trend
from ledger.journal import store as journal
from ledger.journal.store import Draft, Pen
from ledger.questions import store as questions
from ledger.threads import store as threads
from ledger.tokens import count_tokens, json_tokens
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import NOTHING, ScriptedModel

THREAD = "/api/threads/default"
HALF_HOUR = timedelta(minutes=30)
QUIET = {"reflection_enabled": False, "personality_enabled": False, "self_reply_enabled": False}
AGENT = "海" * 64
"""The longest name that an agent can have."""

NASTY = {
    "words": "word ",
    "Chinese": "海",
    "emoji": "👩‍👧🐙",
    "quotes and backslashes": '"\\',
    "control characters": "\x01",
}
ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
async def alone(opened: Opener) -> AsyncGenerator[Running]:
    """Heartbeats with a scripted model, and no other loop."""
    async with opened(**QUIET, agent_name=AGENT) as running:
        yield running


def _long(mark: str, size: int) -> str:
    return (mark * size)[:size]


async def _write(running: Running, path: str, **body: object) -> str:
    answer = await running.http.post(path, json=body)
    return answer.raise_for_status().json()["id"]


async def _say(running: Running, *texts: str) -> None:
    for start in range(0, len(texts), 1_000):
        batch = [{"role": "assistant", "content": text} for text in texts[start : start + 1_000]]
        (await running.http.post(f"{THREAD}/messages", json={"messages": batch})).raise_for_status()


async def _fill(running: Running, mark: str, count: int) -> None:
    """A thread of so many messages in which everything is as long as it may be, and there is more than is read."""
    text, author = _long(mark, 5_000 - len(AGENT) - 2), _long(mark, 63) + "!"
    (await running.http.patch(THREAD, json={"title": _long(mark, 200)})).raise_for_status()
    await _say(running, *[_long(mark, 300)] * (count - 10), *[text] * 10)
    for number in range(6):
        heading = _long(f"{number}{mark}", 200)
        post = {"title": heading, "content": f"@{AGENT} {text}", "author": author, "board": "b" * 64}
        found = await _write(running, "/api/posts", **post)
        parent = await _write(running, f"/api/posts/{found}/comments", content=text, author=author)
        answer = {"content": f"@{AGENT} {text}", "author": author, "parent_id": parent}
        await _write(running, f"/api/posts/{found}/comments", **answer)
    async with running.db.write() as session:
        await threads.lock_existing(session, "default")
        await scorecards.add(session, _scorecard(mark, 1))
        for number in range(6):
            draft = Draft(
                kind="reflection",
                title=_long(f"{number}{mark}", 200),
                body=text,
                evidence=[],
                scorecard_revision=1,
                profile_revision=0,
            )
            await journal.write(session, "default", draft, Pen(author, 0), run_id=new_id(), now=START)
            await _ask_and_propose(session, mark, number)


async def _ask_and_propose(session: Session, mark: str, number: int) -> None:
    """One question and one action that wait for a person, and one of each that was closed with many words."""
    for state in ("open", "closed"):
        run_id, asked = new_id(), _long(f"{state} {number}{mark}", 2_000)
        await questions.ask(session, "default", asked, run_id=run_id, now=START)
        approval = Approval(
            id=new_id(),
            thread_id="default",
            run_id=run_id,
            ordinal=0,
            action={"action": "comment", "post_id": new_id(), "content": _long(mark, 5_000), "parent_id": new_id()},
            speaks=False,
            status="pending",
            proposed_at=START,
            expires_at=START + LIFETIME,
            closed_at=None,
            note=None,
            result=None,
        )
        await approvals.add(session, approval)
    await approvals.reject(session, approval.id, _long(mark, 2_000), now=START)
    newest = await questions.newest(session, "default", "open", 20)
    closing = next(question for question in newest if question.question == asked)
    await questions.answer(session, closing.id, _long(mark, 5_000), now=START)


def _scorecard(mark: str, revision: int) -> Scorecard:
    long = _long(f"{revision}{mark}", 500)
    trend = Trend(long, 0.5, 0.25, 3.0, [])
    return Scorecard(
        thread_id="default",
        revision=revision,
        created_at=START,
        run_id=new_id(),
        topics=[Topic(long, 2, [])] * 8,
        rising=[trend] * 5,
        fading=[trend] * 5,
        open_questions=[OpenQuestion(long, "user", START, "m")] * 10,
        insights=[Insight(long, 5, [])] * 5,
    )


async def _beat(running: Running) -> None:
    answer = (await running.http.post(f"{THREAD}/heartbeat/run-now")).raise_for_status().json()
    assert answer["ran_successfully"], answer["error"]


def _data(model: ScriptedModel) -> dict[str, Any]:
    """What the last heartbeat showed the model."""
    return msgspec.json.decode(model.requests[-1].messages[1].content)["data"]


@on_sqlite
async def test_a_prompt_is_bounded_in_tokens_whatever_people_write(
    alone: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    cases = [*((name, 10) for name in NASTY), ("Chinese", 2_000)]
    for name, count in cases:
        with subtests.test(name, messages=count):
            (await alone.http.delete(THREAD)).raise_for_status()
            await _fill(alone, NASTY[name], count)
            model.says(*[NOTHING | {"summary": _long(NASTY[name], 500)}] * 5)
            for _ in range(6):
                await _beat(alone)
            data = _data(model)
            assert 0.7 * gathering.TOKENS <= json_tokens(data) <= gathering.TOKENS
            assert count_tokens(model.requests[-1].messages[1].content) <= gathering.TOKENS + 20
            _assert_parts_are_within_their_allowances(data)
            _assert_something_of_all(data)
            _assert_ids_are_whole(data)


def _assert_parts_are_within_their_allowances(data: dict[str, Any]) -> None:
    """And all of them, with what stands around them, are within the bound."""
    allowed = {
        "messages": gathering.MESSAGES.tokens,
        "posts": gathering.POSTS.tokens,
        "comments": gathering.COMMENTS.tokens,
        "mentions": gathering.MENTIONS.tokens,
        "own_runs": gathering.RUNS.tokens,
        "own_questions": sum(each.tokens for each in gathering.QUESTIONS_BY_STATUS.values()),
        "own_proposals": sum(each.tokens for each in gathering.PROPOSALS_BY_STATUS.values()),
        "journal": gathering.ENTRIES.tokens,
        "learned": gathering.TOPICS + gathering.TRENDS + gathering.QUESTIONS + gathering.INSIGHTS + gathering.PROFILE,
    }
    around = json_tokens(data | dict.fromkeys(allowed, 0))
    assert all(json_tokens(data[part]) <= most for part, most in allowed.items())
    assert around + sum(allowed.values()) <= gathering.TOKENS


def _assert_something_of_all(data: dict[str, Any]) -> None:
    parts = ("messages", "posts", "comments", "own_runs", "journal")
    assert all(data[part] for part in parts)
    assert all(data["learned"][part] for part in ("topics", "trends", "open_questions", "insights"))
    assert len(data["mentions"]) >= 4
    assert {question["status"] for question in data["own_questions"]} == {"open", "answered"}
    assert {proposal["status"] for proposal in data["own_proposals"]} == {"pending", "rejected"}
    assert all(proposal["note"] for proposal in data["own_proposals"] if proposal["status"] == "rejected")
    texts = [item[field] for part in parts for item in data[part] for field in ("content", "body") if field in item]
    assert all(text.endswith("…") and 4 < json_tokens(text) <= gathering.TEXT for text in texts)


def _assert_ids_are_whole(data: dict[str, Any]) -> None:
    items = [*data["posts"], *data["comments"], *data["mentions"]]
    ids = [item[field] for item in items for field in ("id", "post_id", "comment_id", "parent_id") if item.get(field)]
    assert len(ids) >= 7
    assert all(ID.fullmatch(each) for each in ids)


@on_sqlite
async def test_what_is_shown_of_much_is_the_newest_in_its_order_and_of_mentions_the_oldest(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    for number in range(12):
        text = f"{number} " + "long " * 900
        await _say(alone, text)
        found = await _write(alone, "/api/posts", title=f"{number}", content=text)
        await _write(alone, f"/api/posts/{found}/comments", content=f"{number} @{AGENT} {text}")
        clock.advance(timedelta(seconds=1))
    await _beat(alone)
    data = _data(model)
    shown = {part: [int(item["content"].split()[0]) for item in data[part]] for part in ("messages", "comments")}
    assert shown["messages"] == list(range(12 - len(shown["messages"]), 12))
    assert shown["comments"] == list(range(12 - len(shown["comments"]), 12))
    posts = [int(item["title"]) for item in data["posts"]]
    assert posts == list(range(11, 11 - len(posts), -1))
    mentions = [int(item["post_title"]) for item in data["mentions"]]
    assert mentions == list(range(len(mentions)))
    assert [len(each) for each in (shown["messages"], shown["comments"], posts, mentions)] == [7, 2, 4, 6]


@on_sqlite
async def test_what_people_mostly_write_is_shown_whole(alone: Running, model: ScriptedModel) -> None:
    texts = [f"{number}: shall we take the early ferry, or the one at nine with the dog?" for number in range(20)]
    await _say(alone, *texts)
    for number in range(10):
        found = await _write(alone, "/api/posts", title=f"Ferry {number}", content=texts[number])
        await _write(alone, f"/api/posts/{found}/comments", content=texts[number])
    await _beat(alone)
    data = _data(model)
    assert [message["content"] for message in data["messages"]] == texts
    assert {post["content"] for post in data["posts"]} == {comment["content"] for comment in data["comments"]}
    assert {post["content"] for post in data["posts"]} == set(texts[:10])


@on_sqlite
async def test_rules_answer_every_mention_though_few_fit_at_once(opened: Opener, clock: ManualClock) -> None:
    async with opened(**QUIET, rules=True) as running:
        text, author = _long("\x01", 4_900), "\x01" * 63 + "!"
        found = [
            await _write(running, "/api/posts", title="\x01" * 200, content=f"@ledger {text}", author=author)
            for _ in range(10)
        ]
        for _ in range(5):
            clock.advance(HALF_HOUR)
            await running.heartbeat.run_once()
        posts = (await running.http.get("/api/posts")).json()["items"]
        assert {post["id"]: post["comment_count"] for post in posts} == dict.fromkeys(found, 1)


@on_sqlite
async def test_the_prompt_for_an_answer_in_the_journal_is_bounded_likewise(
    alone: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    for name in ("words", "Chinese", "control characters"):
        mark = NASTY[name]
        with subtests.test(name):
            (await alone.http.delete(THREAD)).raise_for_status()
            await _fill(alone, mark, 10)
            async with alone.db.write() as session:
                await scorecards.add(session, _scorecard(mark, 2))
            entry = (await alone.http.get(f"{THREAD}/journal")).json()["items"][0]["id"]
            for _ in range(6):
                reply = {"body": _long(mark, 5_000), "author": _long(mark, 63) + "!"}
                entry = await _write(alone, f"{THREAD}/journal/{entry}/replies", **reply)
            for _ in range(6):  # the oldest is answered first, and the last has the longest way to the root
                model.says({"verdict": "reply", "body": _long(mark, 5_000)}, to="answer")
                (await alone.http.post(f"{THREAD}/loops/self_reply/run-now", json={})).raise_for_status()
            assert count_tokens(model.asked["answer"][-1].messages[1].content) <= 8_000


@on_sqlite
async def test_prompts_of_two_heartbeats_begin_alike(alone: Running, model: ScriptedModel, clock: ManualClock) -> None:
    steering = "Look after the garden.\n\ntasks:\n- name: water\n  interval: 1h\n  prompt: Say whether to water.\n"
    (await alone.http.post("/api/heartbeat/heartbeat.md", json={"content": steering})).raise_for_status()
    await _say(alone, "It rained.")
    await _beat(alone)  # in which the task is due
    for text in ("It rained again.", "And now the sun shines."):
        await _say(alone, text)
        await _write(alone, "/api/posts", title=text, content=text)
        clock.advance(timedelta(minutes=1))
        await _beat(alone)
    due, first, second = (request.messages[0].content for request in model.requests)
    assert first == second
    assert [request.schema for request in model.requests] == [model.requests[0].schema] * 3
    assert due != first
    assert due.split("Tasks due now:")[0] == first.split("No task is due now.")[0]
