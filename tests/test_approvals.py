"""What waits for a person's approval, what it leaves behind until then, and what the agent is told of it."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ledger.actions import WAITS
from ledger.clock import ManualClock
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

THREAD = "/api/threads/default"
HALF_HOUR = timedelta(minutes=30)
SAME_WAITS = "Nearly the same waits for a person's approval already."


@pytest.fixture
async def asked(opened: Opener) -> AsyncGenerator[Running]:
    """The application with heartbeats only where a test asks for them."""
    async with opened(heartbeat_enabled=False) as running:
        yield running


async def _configure(running: Running, **fields: object) -> None:
    (await running.http.post(f"{THREAD}/heartbeat/config", json=fields)).raise_for_status()


async def _run_now(running: Running, loop: str = "heartbeat") -> dict[str, Any]:
    return (await running.http.post(f"{THREAD}/loops/{loop}/run-now")).raise_for_status().json()


async def _decide(running: Running, model: ScriptedModel, *actions: dict[str, object]) -> list[dict[str, Any]]:
    """Have the model decide this, and say what became of each action."""
    model.says(act(*actions))
    run = await _run_now(running)
    assert run["error"] is None
    return run["actions"]


async def _propose(running: Running, model: ScriptedModel, *actions: dict[str, object]) -> list[str]:
    """Have the model decide this, all of which waits; the approvals' ids."""
    results = await _decide(running, model, *actions)
    assert [(result["success"], result["error"]) for result in results] == [(False, WAITS)] * len(actions)
    return [result["approval_id"] for result in results]


async def _approve(running: Running, approval_id: str) -> dict[str, Any]:
    answer = await running.http.post(f"/api/approvals/{approval_id}/approve")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _reject(running: Running, approval_id: str, note: str | None = None) -> None:
    (await running.http.post(f"/api/approvals/{approval_id}/reject", json={"note": note})).raise_for_status()


async def _write(running: Running, path: str, **body: object) -> str:
    """A person writes something; its id."""
    return (await running.http.post(path, json=body)).raise_for_status().json()["id"]


async def _say(running: Running, *contents: str) -> None:
    batch = [{"role": "user", "content": content} for content in contents]
    (await running.http.post(f"{THREAD}/messages", json={"messages": batch})).raise_for_status()


async def _items(running: Running, path: str) -> list[dict[str, Any]]:
    return (await running.http.get(path)).raise_for_status().json()["items"]


async def _waiting(running: Running) -> list[dict[str, Any]]:
    return await _items(running, "/api/approvals?status=pending&limit=200")


async def _ledger(running: Running, post_id: str) -> list[Any]:
    """All that an action could change."""
    paths = [THREAD, "/api/posts", f"/api/posts/{post_id}/comments", f"/api/posts/{post_id}/votes"]
    paths += [f"{THREAD}/messages", f"{THREAD}/budget"]
    found: list[Any] = [(await running.http.get(path)).raise_for_status().json() for path in paths]
    budgets = [found[-1][whose]["spent"]["actions"] for whose in ("thread", "service")]
    return [*found[:-1], budgets]


def _comment(post_id: str, content: str = "I see.", **more: object) -> dict[str, object]:
    return {"action": "comment", "post_id": post_id, "content": content, **more}


def _vote(post_id: str, direction: str = "up") -> dict[str, object]:
    return {"action": "vote", "post_id": post_id, "direction": direction}


def _message(content: str = "A word.") -> dict[str, object]:
    return {"action": "message", "content": content}


async def test_the_policy_says_which_actions_wait_and_what_waits_leaves_the_ledger_as_it_was(
    asked: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    texts = {"post", "comment", "message"}
    expected: dict[str, set[str]] = {"auto": set(), "posts": texts, "all": texts | {"vote"}}
    for policy, held in expected.items():
        with subtests.test(policy=policy):
            (await asked.http.delete(THREAD)).raise_for_status()
            await _configure(asked, approval=policy, target="last")
            target = await _write(asked, "/api/posts", title="Hi", content="There.")
            before = await _ledger(asked, target)
            results = await _decide(asked, model, post(), _comment(target), _vote(target))
            results += await _decide(asked, model, _message())
            for result in results:
                waits = result["action"] in held
                assert (result["success"], result["error"]) == (not waits, WAITS if waits else None)
                assert (result["approval_id"] is not None) is waits
            assert (await _ledger(asked, target) == before) is (policy == "all")
            assert {approval["action"]["action"] for approval in await _waiting(asked)} == held


@on_sqlite
async def test_the_policy_is_automatic_by_default_and_only_known_ones_are_taken(asked: Running) -> None:
    path = f"{THREAD}/heartbeat/config"
    assert (await asked.http.get(path)).json()["config"]["approval"] == "auto"
    await _configure(asked, approval="all")
    await _configure(asked, temperature=1)
    assert (await asked.http.get(path)).json()["config"]["approval"] == "all"
    for wrong in ("none", "", "ALL", True):
        assert (await asked.http.post(path, json={"approval": wrong})).status_code == 422
    await _configure(asked, approval=None)
    assert (await asked.http.get(path)).json()["config"]["approval"] == "auto"


async def test_an_approval_holds_the_action_as_it_was_proposed(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(asked, approval="posts")
    (approval_id,) = await _propose(asked, model, post("Tea < Coffee", "Hot.", "drinks"))
    (run,) = await _items(asked, "/api/runs")
    approval = (await asked.http.get(f"/api/approvals/{approval_id}")).json()
    assert approval == {
        "id": approval_id,
        "thread_id": "default",
        "run_id": run["id"],
        "ordinal": 0,
        "action": post("Tea < Coffee", "Hot.", "drinks"),
        "speaks": False,
        "status": "pending",
        "proposed_at": f"{clock.now():%FT%TZ}",
        "expires_at": f"{clock.now() + timedelta(days=7):%FT%TZ}",
        "closed_at": None,
        "note": None,
        "result": None,
    }
    (result,) = run["actions"]
    assert (result["title"], result["post_id"], result["approval_id"]) == ("Tea < Coffee", None, approval_id)
    assert await _waiting(asked) == [approval]


@on_sqlite
async def test_a_run_waits_if_nothing_else_was_applied(
    asked: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    await _configure(asked, approval="posts")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    cases: list[tuple[tuple[dict[str, object], ...], tuple[str, str | None]]] = [
        ((post("One", "First."),), ("waiting", "needs_approval")),
        ((post("Two", "Second."), post(board="NO")), ("waiting", "needs_approval")),
        ((post(board="NO"), post("Three", "Third."), _vote("nowhere")), ("waiting", "needs_approval")),
        ((post("Four", "Fourth."), _vote(target)), ("acted", None)),
        ((post(board="NO"), _vote("nowhere")), ("refused", "all_refused")),
    ]
    for actions, expected in cases:
        with subtests.test(str(actions)[:80]):
            model.says(act(*actions))
            run = await _run_now(asked)
            assert (run["outcome"], run["reason"]) == expected
    assert len(await _waiting(asked)) == 4


@on_sqlite
async def test_what_would_be_refused_never_waits(
    asked: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    other = await _write(asked, "/api/posts", title="Gone", content="Soon.")
    await asked.http.delete(f"/api/posts/{other}")
    own, _, _ = await _decide(asked, model, post(), _comment(target), _vote(target))
    await _configure(asked, approval="all")
    refused: list[tuple[dict[str, object], str]] = [
        (_comment("nowhere"), "There is no post 'nowhere' in this thread."),
        (_comment(other), "There is no post"),
        (_comment(target, "Else.", parent_id="nowhere"), "There is no comment 'nowhere'"),
        (_comment(target, "Something else."), "The agent has answered this already."),
        (_comment(own["post_id"]), "does not comment on its own"),
        (_vote(own["post_id"]), "does not vote on its own"),
        (_vote(target), "The agent has voted up on this post already."),
        (_comment(target, ""), "The content is empty."),
        (_comment(target, "c" * 5_001), "The content has 5,001 characters"),
        (_message(), "The agent says nothing in this thread"),
        (post(), "It says nearly the same as something the agent wrote on this board"),
        (post(title=""), "The title is empty."),
        (post("t" * 201), "The title has 201 characters"),
        (post(content="a\x00b"), "The content holds a NUL character."),
        (post(board="General"), "is not a board"),
    ]
    for action, error in refused:
        with subtests.test(action=str(action)[:80]):
            (result,) = await _decide(asked, model, action)
            assert error in result["error"]
            assert (result["success"], result["approval_id"]) == (False, None)
    await _configure(asked, target="last", approval="auto")
    await _decide(asked, model, _message("Word for word."))
    await _configure(asked, approval="posts")
    (result,) = await _decide(asked, model, _message("Word for word!"))
    assert "wrote in this thread" in result["error"]
    assert await _items(asked, "/api/approvals") == []


@on_sqlite
async def test_nearly_the_same_does_not_wait_twice_but_may_be_proposed_again_after_a_rejection(
    asked: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    await _configure(asked, approval="all", target="last")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    parent = await _write(asked, f"/api/posts/{target}/comments", content="Really?")
    cases: list[tuple[dict[str, object], dict[str, object]]] = [
        (post("A title", "Some content."), post("a TITLE", "some content!")),
        (_message("Good morning to you."), _message("Good morning to you")),
        (_comment(target, "One."), _comment(target, "Something else entirely.")),
        (_comment(target, "Two.", parent_id=parent), _comment(target, "Nothing alike.", parent_id=parent)),
        (_vote(target), _vote(target, "down")),
    ]
    for first, again in cases:
        with subtests.test(str(first)):
            (waiting,) = await _propose(asked, model, first)
            for action in (first, again):
                (result,) = await _decide(asked, model, action)
                assert (result["success"], result["approval_id"], result["error"]) == (False, None, SAME_WAITS)
            await _reject(asked, waiting)
            await _propose(asked, model, again)
    assert len(await _waiting(asked)) == len(cases)


@on_sqlite
async def test_actions_of_one_decision_do_not_wait_beside_their_like(asked: Running, model: ScriptedModel) -> None:
    await _configure(asked, approval="all")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    for actions in ((post(), post()), (_comment(target), _comment(target, "Else.")), (_vote(target), _vote(target))):
        results = await _decide(asked, model, *actions)
        assert [result["error"] for result in results] == [WAITS, SAME_WAITS]
    await _propose(asked, model, post("Another title", "And another text."))


@on_sqlite
async def test_an_approved_action_appears_as_of_the_run_that_proposed_it(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(asked, approval="all", target="last")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    proposed = await _propose(asked, model, post("Title", "Text."), _comment(target, "An answer."), _vote(target))
    proposed += await _propose(asked, model, _message("By the way."))
    await _configure(asked, target="none")
    clock.advance(HALF_HOUR)
    approvals = [await _approve(asked, approval_id) for approval_id in proposed]
    run_id, said_by = approvals[0]["run_id"], approvals[-1]["run_id"]
    assert {run_id, said_by} == {run["id"] for run in await _items(asked, "/api/runs")}

    written, _ = await _items(asked, "/api/posts")
    (comment,) = await _items(asked, f"/api/posts/{target}/comments")
    (vote,) = await _items(asked, f"/api/posts/{target}/votes")
    now = f"{clock.now():%FT%TZ}"
    for found, text in ((written, "Text."), (comment, "An answer.")):
        assert (found["content"], found["author"], found["origin"]) == (text, "ledger", "agent")
        assert (found["run_id"], found["created_at"]) == (run_id, now)
    assert (vote["voter"], vote["value"], vote["voted_at"]) == ("ledger", 1, now)
    said = await _items(asked, f"{THREAD}/messages")
    assert [(message["content"], message["origin"], message["run_id"]) for message in said] == [
        ("Title\n\nText.", "agent", run_id),
        ("An answer.", "agent", run_id),
        ("By the way.", "agent", said_by),
    ]
    results = [approval["result"] for approval in approvals]
    ids = (results[0]["post_id"], results[1]["comment_id"], results[2]["post_id"], results[3]["message_id"])
    assert ids == (written["id"], comment["id"], target, said[-1]["id"])
    assert {(each["status"], each["closed_at"], each["result"]["success"]) for each in approvals} == {
        ("approved", now, True)
    }
    for approval in approvals:
        assert (await asked.http.get(f"/api/approvals/{approval['id']}")).json() == approval
    assert (await asked.http.get(f"/api/posts/{target}")).json()["comment_count"] == 1


@on_sqlite
async def test_in_a_dry_run_nothing_waits(asked: Running, model: ScriptedModel) -> None:
    await _configure(asked, approval="all", dry_run=True, target="last")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    for _ in range(2):
        results = await _decide(asked, model, post(), _comment(target), _vote(target))
        assert [(result["error"], result["approval_id"], result["dry_run"]) for result in results] == [
            (WAITS, None, True)
        ] * 3
    assert await _items(asked, "/api/approvals") == []


async def _proposals(running: Running, model: ScriptedModel) -> list[dict[str, Any]]:
    """What the model is told of its proposals when it is asked again."""
    await _run_now(running)
    return msgspec.json.decode(model.requests[-1].messages[1].content)["data"]["own_proposals"]


@on_sqlite
async def test_the_next_prompt_says_what_waits_and_what_was_rejected_why(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(asked, approval="all")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    (voted,) = await _propose(asked, model, _vote(target))
    clock.advance(HALF_HOUR)
    (commented,) = await _propose(asked, model, _comment(target, "word " * 900))
    clock.advance(HALF_HOUR)
    (posted,) = await _propose(asked, model, post("Title", "Text."))
    found = await _proposals(asked, model)
    assert [(each["action"], each["post_id"], each["status"]) for each in found] == [
        ("post", None, "pending"),
        ("comment", target, "pending"),
        ("vote", target, "pending"),
    ]
    assert (found[0]["text"], found[2]["text"]) == ("Title\nText.", "")
    assert (found[1]["text"][:10], found[1]["text"][-1], len(found[1]["text"]) <= 1_000) == ("word word ", "…", True)

    await _reject(asked, commented)
    clock.advance(HALF_HOUR)
    await _reject(asked, posted, "Not about “tea”, please 🫖.")
    await _approve(asked, voted)
    found = await _proposals(asked, model)
    assert [(each["action"], each["status"], each["note"]) for each in found] == [
        ("post", "rejected", "Not about “tea”, please 🫖."),
        ("comment", "rejected", None),
    ]


@on_sqlite
async def test_the_next_prompt_does_not_say_that_what_expired_waits(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _configure(asked, approval="posts")
    await _propose(asked, model, post())
    clock.advance(timedelta(days=7))
    assert await _proposals(asked, model) == []
    await _propose(asked, model, post())


@on_sqlite
async def test_the_next_prompt_holds_a_note_however_long_ago_the_action_was_proposed(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    """A note is news, so the heartbeat that it wakes must be able to read it."""
    await _configure(asked, approval="posts")
    proposed: list[str] = []
    for number in range(6):
        proposed += await _propose(asked, model, post(f"Title {number}", f"Text {number} of {number * 'many '}"))
        clock.advance(HALF_HOUR)
    for approval_id in proposed[1:]:
        await _reject(asked, approval_id)
    clock.advance(HALF_HOUR)
    await _reject(asked, proposed[0], "Never about this.")
    assert "Never about this." in [each["note"] for each in await _proposals(asked, model)]


@on_sqlite
async def test_a_rejection_is_news_if_it_has_a_note(running: Running, model: ScriptedModel, clock: ManualClock) -> None:
    await _configure(running, approval="posts")
    model.says(act(post("One", "First."), post("Two", "Second."), post("Three", "Third.")))
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    noted, silent, approved = [each["id"] for each in await _waiting(running)]
    for close, requests in (
        (_reject(running, silent), 1),
        (_approve(running, approved), 1),
        (_reject(running, noted, "Shorter."), 2),
    ):
        await close
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        assert len(model.requests) == requests
    assert (await _items(running, "/api/runs?loop=heartbeat"))[0]["outcome"] == "nothing"


@on_sqlite
async def test_what_rules_decide_waits_likewise_and_answers_once_it_is_approved(opened: Opener) -> None:
    async with opened(rules=True, heartbeat_enabled=False) as running:
        await _configure(running, approval="posts")
        target = await _write(running, "/api/posts", title="Hi", content="@ledger are you there?")
        for outcome in ("waiting", "nothing"):
            run = await _run_now(running)
            assert (run["decided_by"], run["outcome"]) == ("rules", outcome)
        (approval,) = await _waiting(running)
        assert approval["action"]["post_id"] == target
        await _approve(running, approval["id"])
        (answer,) = await _items(running, f"/api/posts/{target}/comments")
        assert (answer["origin"], answer["content"]) == ("agent", approval["action"]["content"])
        assert (await _run_now(running))["outcome"] == "nothing"


@on_sqlite
async def test_rules_have_digests_wait_of_different_messages(opened: Opener) -> None:
    async with opened(rules=True, heartbeat_enabled=False) as running:
        await _configure(running, approval="posts")
        await _say(running, *(f"Word{n} about topic{n} near place{n}." for n in range(10)))
        for number in range(3):
            await _run_now(running)
            await _say(running, *(f"More{number} of thing{n} with whatever{number}." for n in range(10)))
        titles = [each["action"]["title"] for each in await _waiting(running)]
        assert titles == ["Digest: 10 new messages up to 2026-01-05"] * 3


@on_sqlite
async def test_rules_come_to_every_mention_though_three_answers_wait(opened: Opener) -> None:
    async with opened(rules=True, heartbeat_enabled=False) as running:
        await _configure(running, approval="posts")
        asked = [
            await _write(
                running, "/api/posts", title=f"Post {n}", content=f"@ledger where is thing{n}?", author=f"a{n}"
            )
            for n in range(4)
        ]
        for _ in range(2):
            await _run_now(running)
        assert {each["action"]["post_id"] for each in await _waiting(running)} == set(asked)


@on_sqlite
@pytest.mark.parametrize("policy", ["auto", "posts"])
async def test_reflections_wait_like_all_posts(opened: Opener, policy: str) -> None:
    async with opened(rules=True, heartbeat_enabled=False) as running:
        await _configure(running, approval=policy, target="last")
        await running.http.put(f"{THREAD}/journal/settings", json={"posts": "always"})
        await _say(running, *["My accordion is short, thanks."] * 5)
        run = await _run_now(running, "reflection")
        assert run["outcome"] == "acted"
        written = [found["board"] for found in await _items(running, "/api/posts")]
        waiting = await _waiting(running)
        if policy == "auto":
            assert (written, waiting) == (["reflections"], [])
            return
        (approval,) = waiting
        assert (written, approval["run_id"], approval["speaks"]) == ([], run["id"], False)
        await _approve(running, approval["id"])
        (found,) = await _items(running, "/api/posts")
        assert (found["board"], found["run_id"]) == ("reflections", run["id"])


async def test_texts_of_all_kinds_are_kept_exactly(
    asked: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    await _configure(asked, approval="posts", target="last")
    texts = ["🎉👩‍👩‍👧 \U0001f1eb", '\'; DROP TABLE "posts" -- \\', "日本語 \u202e abc", " \n\ttab\r\n", "x\u2028\x01"]
    texts += ["word " * 1_000, "🎉" * 5_000, "\\u0000"]
    for number, text in enumerate(texts):
        with subtests.test(text[:20]):
            clock.advance(HALF_HOUR)
            (approval_id,) = await _propose(asked, model, post(f"Number {number}", text))
            approval = await _approve(asked, approval_id)
            assert approval["action"]["content"] == text
            assert (await _items(asked, "/api/posts"))[0]["content"] == text
            said = (await _items(asked, f"{THREAD}/messages"))[-1]
            assert said["content"] == f"Number {number}\n\n{text}"


async def test_a_nul_anywhere_in_an_answer_is_refused_with_a_sentence(
    asked: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    await _configure(asked, approval="all", target="last")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    actions = {
        "title": post("a\x00b"),
        "content": post(content="a\x00b"),
        "board": post(board="a\x00b"),
        "comment": _comment(target, "a\x00b"),
        "message": _message("a\x00b"),
        "comment's post": _comment("a\x00b"),
        "comment's parent": _comment(target, parent_id="a\x00b"),
        "vote's post": _vote("a\x00b"),
    }
    for where, action in actions.items():
        with subtests.test(where):
            (result,) = await _decide(asked, model, action)
            assert (result["success"], result["approval_id"]) == (False, None)
            assert result["error"]
    assert await _waiting(asked) == []
