"""What a heartbeat may do to the ledger: post, comment, vote, and what is refused."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.actions.checks import SIMILARITY
from ledger.clock import ManualClock
from ledger.mind.texts import similarity, words
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import NOTHING, ScriptedModel, act, post

CONFIG = "/api/threads/default/heartbeat/config"
DAY = timedelta(hours=24)


@pytest.fixture
async def asked(opened: Opener) -> AsyncGenerator[Running]:
    """The application with heartbeats only where a test asks for them."""
    async with opened(heartbeat_enabled=False) as running:
        yield running


async def _decide(running: Running, model: ScriptedModel, *actions: dict[str, object]) -> list[dict[str, Any]]:
    """Have the model decide this, and say what became of each action."""
    model.says(act(*actions))
    answer = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
    assert answer["ran_successfully"], answer["error"]
    return answer["actions"]


async def _refusal(running: Running, model: ScriptedModel, action: dict[str, object]) -> str:
    (result,) = await _decide(running, model, action)
    assert not result["success"]
    return result["error"]


async def _write(running: Running, path: str, **body: object) -> str:
    """A person writes something; its id."""
    answer = await running.http.post(path, json=body)
    answer.raise_for_status()
    return answer.json()["id"]


async def _items(running: Running, path: str) -> list[dict[str, Any]]:
    return (await running.http.get(path)).json()["items"]


def _comment(post_id: str, content: str = "I see.", **more: object) -> dict[str, object]:
    return {"action": "comment", "post_id": post_id, "content": content, **more}


def _vote(post_id: str, direction: str = "up") -> dict[str, object]:
    return {"action": "vote", "post_id": post_id, "direction": direction}


async def test_a_post_is_stored_as_given_under_the_name_of_the_agent(asked: Running, model: ScriptedModel) -> None:
    content = "<script>alert(1)</script> & **bold**  \n 🎉 "
    (result,) = await _decide(asked, model, post("Tea < Coffee", content, "drinks"))
    (found,) = await _items(asked, "/api/posts")
    (run,) = await _items(asked, "/api/runs")
    assert (found["board"], found["title"], found["content"]) == ("drinks", "Tea < Coffee", content)
    assert (found["author"], found["origin"], found["run_id"]) == ("ledger", "agent", run["id"])
    assert (result["post_id"], result["title"], result["success"]) == (found["id"], "Tea < Coffee", True)
    assert (run["outcome"], run["actions"]) == ("acted", [result])


async def test_a_comment_answers_a_post_or_a_comment(asked: Running, model: ScriptedModel) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    parent = await _write(asked, f"/api/posts/{target}/comments", content="Really?")
    results = await _decide(
        asked, model, _comment(target, "To the post."), _comment(target, "And to you.", parent_id=parent)
    )
    found = [c for c in await _items(asked, f"/api/posts/{target}/comments") if c["id"] != parent]
    assert {(c["content"], c["parent_id"], c["author"], c["origin"]) for c in found} == {
        ("To the post.", None, "ledger", "agent"),
        ("And to you.", parent, "ledger", "agent"),
    }
    assert {c["id"] for c in found} == {result["comment_id"] for result in results}
    assert (await asked.http.get(f"/api/posts/{target}")).json()["comment_count"] == 3


async def test_a_vote_counts_and_may_be_changed_but_not_repeated(asked: Running, model: ScriptedModel) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    (result,) = await _decide(asked, model, _vote(target))
    assert (result["direction"], result["title"]) == ("up", "Hi")
    assert await _refusal(asked, model, _vote(target)) == "The agent has voted up on this post already."
    await _decide(asked, model, _vote(target, "down"))
    assert (await asked.http.get(f"/api/posts/{target}")).json()["score"] == -1
    (vote,) = await _items(asked, f"/api/posts/{target}/votes")
    assert (vote["voter"], vote["value"]) == ("ledger", -1)


@on_sqlite
async def test_nothing_is_a_decision_that_writes_nothing(asked: Running, model: ScriptedModel) -> None:
    model.says(NOTHING)
    answer = (await asked.http.post("/api/threads/default/heartbeat/run-now")).json()
    assert (answer["ran_successfully"], answer["decision_summary"]) == (True, "Nothing to do.")
    (run,) = await _items(asked, "/api/runs")
    assert (run["outcome"], run["reason"]) == ("nothing", "decided_nothing")


BOUNDS: list[tuple[dict[str, object], str | None]] = [
    (post(title="t" * 200, content="c" * 5_000, board="b" * 64), None),
    (post(title="t", content="c", board="a-b_9"), None),
    (post(title="t" * 201), "The title has 201 characters; at most 200 are allowed."),
    (post(title=""), "The title is empty."),
    (post(title=" \n"), "The title is empty."),
    (post(content="c" * 5_001), "The content has 5,001 characters; at most 5,000 are allowed."),
    (post(content="\t"), "The content is empty."),
    (post(content="a\x00b"), "The content holds a NUL character."),
    (post(board="b" * 65), "is not a board"),
    (post(board=""), "is not a board"),
    (post(board="General"), "is not a board"),
    (post(board="a b"), "is not a board"),
    (post(board="general\n"), "is not a board"),
    (_comment("nowhere"), "There is no post 'nowhere' in this thread."),
    (_comment("nowhere", "c" * 5_001), "The content has 5,001 characters"),
    (_vote("nowhere"), "There is no post 'nowhere' in this thread."),
]


@on_sqlite
async def test_an_action_keeps_its_bounds_or_is_refused_with_a_sentence(
    asked: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    for action, error in BOUNDS:
        with subtests.test(action=str(action)[:80], error=error):
            (await asked.http.delete("/api/threads/default")).raise_for_status()
            (result,) = await _decide(asked, model, action)
            assert result["success"] == (error is None)
            assert (error or "") in (result["error"] or "")
            assert len(await _items(asked, "/api/posts")) == int(error is None)


@on_sqlite
async def test_posts_of_other_threads_are_out_of_reach(asked: Running, model: ScriptedModel) -> None:
    await asked.http.post("/api/threads", json={"id": "other"})
    target = await _write(asked, "/api/posts", title="Private", content="Ours.", thread_id="other")
    for action in (_comment(target), _vote(target)):
        assert await _refusal(asked, model, action) == f"There is no post {target!r} in this thread."


async def test_what_was_removed_is_out_of_reach(asked: Running, model: ScriptedModel) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    parent = await _write(asked, f"/api/posts/{target}/comments", content="Really?")
    await asked.http.delete(f"/api/comments/{parent}")
    assert "There is no comment" in await _refusal(asked, model, _comment(target, parent_id=parent))
    await asked.http.delete(f"/api/posts/{target}")
    for action in (_comment(target), _vote(target)):
        assert "There is no post" in await _refusal(asked, model, action)


@on_sqlite
async def test_a_parent_must_be_a_comment_on_the_same_post(asked: Running, model: ScriptedModel) -> None:
    one = await _write(asked, "/api/posts", title="One", content="First.")
    other = await _write(asked, "/api/posts", title="Other", content="Second.")
    parent = await _write(asked, f"/api/posts/{one}/comments", content="Really?")
    assert "There is no comment" in await _refusal(asked, model, _comment(other, parent_id=parent))


@on_sqlite
async def test_the_agent_does_not_talk_to_itself(asked: Running, model: ScriptedModel) -> None:
    (own,) = await _decide(asked, model, post())
    assert "does not comment on its own" in await _refusal(asked, model, _comment(own["post_id"]))
    assert "does not vote on its own" in await _refusal(asked, model, _vote(own["post_id"]))

    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    (answer,) = await _decide(asked, model, _comment(target))
    again = _comment(target, "One more thought of mine.", parent_id=answer["comment_id"])
    assert "does not comment on its own" in await _refusal(asked, model, again)


async def test_a_person_is_answered_once(asked: Running, model: ScriptedModel) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    await _decide(asked, model, _comment(target))
    refusal = await _refusal(asked, model, _comment(target, "Something else entirely."))
    assert refusal == "The agent has answered this already."
    (answer,) = await _items(asked, f"/api/posts/{target}/comments")
    await asked.http.delete(f"/api/comments/{answer['id']}")
    assert await _refusal(asked, model, _comment(target, "A third, new thing.")) == refusal


def _text(first: int, last: int) -> str:
    return " ".join(f"w{number}" for number in range(first, last))


async def test_what_was_nearly_said_within_a_day_is_refused(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _decide(asked, model, post("w0", _text(1, 95)))
    for title, content, shared, distinct in (("w5", _text(6, 100), 90, 100), ("w0", _text(1, 90), 90, 95)):
        assert similarity(words(f"{title} {content}"), words(_text(0, 95))) == pytest.approx(shared / distinct)
        assert "It says nearly the same" in await _refusal(asked, model, post(title, content))
    clock.advance(DAY - timedelta(microseconds=1))
    assert "It says nearly the same" in await _refusal(asked, model, post("w0", _text(1, 95)))
    clock.advance(timedelta(microseconds=1))
    (result,) = await _decide(asked, model, post("w0", _text(1, 95)))
    assert result["success"]


@on_sqlite
async def test_what_is_just_different_enough_passes(asked: Running, model: ScriptedModel) -> None:
    await _decide(asked, model, post("w0", _text(1, 94)))
    assert SIMILARITY > 89 / 99
    (result,) = await _decide(asked, model, post("w5", _text(6, 99)))
    assert result["success"]


async def test_the_same_may_be_said_on_another_board_and_in_another_thread(
    asked: Running, model: ScriptedModel
) -> None:
    await _decide(asked, model, post(board="one"))
    (result,) = await _decide(asked, model, post(board="two"))
    assert result["success"]
    await asked.http.post("/api/threads", json={"id": "other"})
    model.says(act(post(board="one")))
    answer = (await asked.http.post("/api/threads/other/heartbeat/run-now")).json()
    assert [result["success"] for result in answer["actions"]] == [True]


async def test_a_comment_that_nearly_repeats_another_one_on_its_board_is_refused(
    asked: Running, model: ScriptedModel
) -> None:
    one = await _write(asked, "/api/posts", title="One", content="First.")
    other = await _write(asked, "/api/posts", title="Other", content="Second.")
    elsewhere = await _write(asked, "/api/posts", title="Third", content="Far.", board="far")
    await _decide(asked, model, _comment(one, "Good idea, I think!"))
    assert "It says nearly the same" in await _refusal(asked, model, _comment(other, "Good idea I THINK"))
    (result,) = await _decide(asked, model, _comment(elsewhere, "Good idea, I think!"))
    assert result["success"]


@on_sqlite
async def test_what_passes_is_applied_beside_what_is_refused(asked: Running, model: ScriptedModel) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    results = await _decide(asked, model, post(board="NO"), _vote(target), _comment("nowhere"))
    assert [result["success"] for result in results] == [False, True, False]
    (run,) = await _items(asked, "/api/runs")
    assert (run["outcome"], run["reason"], run["actions"]) == ("acted", None, results)


@on_sqlite
async def test_when_all_is_refused_the_run_says_so(asked: Running, model: ScriptedModel) -> None:
    results = await _decide(asked, model, post(board="NO"), _comment("nowhere"))
    (run,) = await _items(asked, "/api/runs")
    assert (run["outcome"], run["reason"], run["actions"]) == ("refused", "all_refused", results)
    assert await _items(asked, "/api/posts") == []


@on_sqlite
async def test_actions_of_one_decision_do_not_repeat_one_another(asked: Running, model: ScriptedModel) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    assert [r["success"] for r in await _decide(asked, model, post(), post(), _vote(target))] == [True, False, True]
    assert [r["success"] for r in await _decide(asked, model, _comment(target), _comment(target, "Again."))] == [
        True,
        False,
    ]


async def test_a_dry_run_writes_nothing_but_its_record(asked: Running, model: ScriptedModel) -> None:
    await asked.http.post(CONFIG, json={"dry_run": True, "target": "last"})
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    results = await _decide(asked, model, post(), _comment(target), _vote(target))
    assert [(r["success"], r["dry_run"]) for r in results] == [(True, True)] * 3
    assert [r["comment_id"] for r in results] == [None] * 3
    (run,) = await _items(asked, "/api/runs")
    assert (run["outcome"], run["dry_run"]) == ("acted", True)
    (found,) = await _items(asked, "/api/posts")
    assert (found["id"], found["score"], found["comment_count"]) == (target, 0, 0)
    assert await _items(asked, "/api/threads/default/messages") == []


@on_sqlite
async def test_a_dry_run_says_of_each_action_what_would_have_become_of_it(asked: Running, model: ScriptedModel) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    decisions = [
        (post(), post(), post(board="NO")),
        (_comment(target), _comment(target, "Again."), _vote("nowhere")),
        (_vote(target), _vote(target), _vote(target, "down")),
    ]
    for actions in decisions:
        await asked.http.post(CONFIG, json={"dry_run": True})
        tried = await _decide(asked, model, *actions)
        await asked.http.post(CONFIG, json={"dry_run": False})
        done = await _decide(asked, model, *actions)
        assert [(r["success"], r["error"]) for r in tried] == [(r["success"], r["error"]) for r in done]


async def test_with_the_target_last_the_agent_also_says_it_in_the_thread(asked: Running, model: ScriptedModel) -> None:
    await asked.http.post(CONFIG, json={"target": "last"})
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    await _decide(asked, model, post("Title", "Text."), _comment(target, "An answer."), _vote(target))
    (run,) = await _items(asked, "/api/runs")
    said = await _items(asked, "/api/threads/default/messages")
    assert [(m["content"], m["role"], m["origin"], m["run_id"]) for m in said] == [
        ("Title\n\nText.", "assistant", "agent", run["id"]),
        ("An answer.", "assistant", "agent", run["id"]),
    ]


@on_sqlite
async def test_what_the_agent_says_is_no_news_to_itself(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened() as running:
        await running.http.post(CONFIG, json={"target": "last"})
        target = await _write(running, "/api/posts", title="Hi", content="There.")
        model.says(act(post(), _comment(target), _vote(target)))
        for _ in range(3):
            clock.advance(timedelta(minutes=30))
            await running.heartbeat.run_once()
        runs = await _items(running, "/api/runs?loop=heartbeat")
        assert [(run["outcome"], run["reason"], run["slots"]) for run in runs] == [
            ("skipped", "nothing_new", 2),
            ("acted", None, 1),
        ]
        assert len(model.requests) == 1
        await running.reflection.run_once()
        assert await _items(running, "/api/runs?loop=reflection") == []


texts = st.lists(st.sampled_from(["a", "b", "c", "日", "é", "!"]), max_size=8).map(" ".join)


@given(texts, texts)
def test_similarity_is_symmetric_and_one_exactly_for_the_same_words(one: str, other: str) -> None:
    left, right = words(one), words(other)
    assert similarity(left, right) == similarity(right, left)
    assert 0 <= similarity(left, right) <= 1
    assert (similarity(left, right) == 1) == (left == right)
