"""Approvals over the API: listed, approved once, rejected once, expired, and checked again when they are approved."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest

from ledger.clock import ManualClock
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

THREAD = "/api/threads/default"
LIFETIME = timedelta(days=7)
MOMENT = timedelta(microseconds=1)


@pytest.fixture
async def asked(opened: Opener) -> AsyncGenerator[Running]:
    """The application with heartbeats only where a test asks for them, whose every action waits."""
    async with opened(heartbeat_enabled=False) as running:
        await _configure(running, approval="all", target="last")
        yield running


async def _configure(running: Running, thread: str = "default", **fields: object) -> None:
    (await running.http.post(f"/api/threads/{thread}/heartbeat/config", json=fields)).raise_for_status()


async def _decide(
    running: Running, model: ScriptedModel, *actions: dict[str, object], thread: str = "default"
) -> list[dict[str, Any]]:
    model.says(act(*actions))
    run = (await running.http.post(f"/api/threads/{thread}/loops/heartbeat/run-now")).json()
    assert run["error"] is None
    return run["actions"]


async def _propose(
    running: Running, model: ScriptedModel, *actions: dict[str, object], thread: str = "default"
) -> list[str]:
    """Have the model decide this, all of which waits; the approvals' ids."""
    ids = [result["approval_id"] for result in await _decide(running, model, *actions, thread=thread)]
    assert None not in ids
    return ids


async def _act_at_once(running: Running, model: ScriptedModel, *actions: dict[str, object]) -> None:
    await _configure(running, approval="auto")
    assert all(result["success"] for result in await _decide(running, model, *actions))
    await _configure(running, approval="all")


async def _approve(running: Running, approval_id: str) -> httpx.Response:
    return await running.http.post(f"/api/approvals/{approval_id}/approve")


async def _reject(running: Running, approval_id: str, note: str | None = None) -> httpx.Response:
    return await running.http.post(f"/api/approvals/{approval_id}/reject", json={"note": note})


async def _get(running: Running, path: str) -> Any:  # noqa: ANN401 - JSON
    return (await running.http.get(path)).raise_for_status().json()


async def _status(running: Running, approval_id: str) -> str:
    return (await _get(running, f"/api/approvals/{approval_id}"))["status"]


async def _write(running: Running, path: str, **body: object) -> str:
    """A person writes something; its id."""
    return (await running.http.post(path, json=body)).raise_for_status().json()["id"]


async def _by_agent(running: Running) -> list[str]:
    """The texts of the agent's posts in all threads."""
    return [each["content"] for each in (await _get(running, "/api/posts"))["items"] if each["origin"] == "agent"]


def _comment(post_id: str, content: str = "I see.", **more: object) -> dict[str, object]:
    return {"action": "comment", "post_id": post_id, "content": content, **more}


def _vote(post_id: str, direction: str = "up") -> dict[str, object]:
    return {"action": "vote", "post_id": post_id, "direction": direction}


def _numbered(number: int) -> dict[str, object]:
    return post(f"Title {number}", f"Text {number}.")


async def test_approvals_are_listed_by_thread_and_by_how_they_stand(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await asked.http.post("/api/threads", json={"id": "other"})
    await _configure(asked, "other", approval="all")
    (expired,) = await _propose(asked, model, _numbered(0))
    clock.advance(LIFETIME - timedelta(hours=1))
    ids = [expired]
    for number, thread in enumerate(("default", "other", "default", "other"), start=1):
        clock.advance(timedelta(minutes=15))
        ids += await _propose(asked, model, _numbered(number), thread=thread)
    assert (await _reject(asked, ids[1], "No.")).status_code == 200
    assert (await _approve(asked, ids[2])).status_code == 200
    for query, numbers in {
        "": [4, 3, 2, 1, 0],
        "thread_id=default": [3, 1, 0],
        "thread_id=other&status=pending": [4],
        "thread_id=nowhere": [],
        "status=pending": [4, 3],
        "status=approved": [2],
        "status=rejected": [1],
        "status=expired": [0],
    }.items():
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await _get(asked, f"/api/approvals?limit=2&{query}" + (f"&cursor={cursor}" if cursor else ""))
            found += [each["id"] for each in page["items"]]
            cursor = page["next_cursor"]
        assert found == [ids[number] for number in numbers], query


async def test_what_is_proposed_at_once_is_paged_without_gaps_or_repeats(asked: Running, model: ScriptedModel) -> None:
    ids = {approval_id for n in range(3) for approval_id in await _propose(asked, model, *map(_numbered, (n, n + 10)))}
    first = await _get(asked, "/api/approvals?limit=4")
    second = await _get(asked, f"/api/approvals?limit=4&cursor={first['next_cursor']}")
    found = [each["id"] for each in (*first["items"], *second["items"])]
    assert (len(found), set(found), second["next_cursor"]) == (6, ids, None)


@on_sqlite
async def test_requests_that_make_no_sense_are_refused(
    asked: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    (approval_id,) = await _propose(asked, model, post())
    path = f"/api/approvals/{approval_id}"
    cases: list[tuple[str, str, bytes | None, int]] = [
        ("GET", "/api/approvals?status=open", None, 422),
        ("GET", "/api/approvals?limit=0", None, 422),
        ("GET", "/api/approvals?limit=201", None, 422),
        ("GET", "/api/approvals?cursor=x", None, 400),
        ("GET", "/api/approvals/nowhere", None, 404),
        ("POST", "/api/approvals/nowhere/approve", None, 404),
        ("POST", "/api/approvals/nowhere/reject", None, 404),
        ("GET", f"{path}/approve", None, 405),
        ("POST", f"{path}/approve", b'{"note": "x"}', 422),
        ("POST", f"{path}/reject", b'{"note": ""}', 422),
        ("POST", f"{path}/reject", b'{"note": " \\n\\t"}', 422),
        ("POST", f"{path}/reject", b'{"note": "' + b"n" * 2_001 + b'"}', 422),
        ("POST", f"{path}/reject", b'{"note": 7}', 422),
        ("POST", f"{path}/reject", b'{"note": "a\\u0000b"}', 422),
        ("POST", f"{path}/reject", b'{"note": "\\ud800"}', 400),
        ("POST", f"{path}/reject", b'{"why": "No."}', 422),
        ("POST", f"{path}/reject", b'"No."', 422),
        ("POST", f"{path}/reject", b"{", 400),
    ]
    for method, address, body, status in cases:
        with subtests.test(method=method, address=address, body=(body or b"")[:30]):
            headers = {"Content-Type": "application/json"} if body else {}
            answer = await asked.http.request(method, address, content=body, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert answer.json()["detail"]
    assert await _status(asked, approval_id) == "pending"


@on_sqlite
async def test_a_note_may_be_left_out(asked: Running, model: ScriptedModel, subtests: pytest.Subtests) -> None:
    bodies = {b"": None, b"null": None, b"{}": None, b'{"note": null}': None, b'{"note": " N\xc3\xb6 "}': " Nö "}
    bodies |= {b'{"note": "' + b"n" * 2_000 + b'"}': "n" * 2_000}
    for body, note in bodies.items():
        with subtests.test(body=body[:30]):
            (approval_id,) = await _propose(asked, model, post())
            headers = {"Content-Type": "application/json"} if body else {}
            answer = await asked.http.post(f"/api/approvals/{approval_id}/reject", content=body, headers=headers)
            found = answer.json()
            assert (answer.status_code, found["status"], found["note"], found["result"]) == (
                200,
                "rejected",
                note,
                None,
            )
            assert found == await _get(asked, f"/api/approvals/{approval_id}")
    assert await _by_agent(asked) == []


async def test_an_action_is_closed_once(asked: Running, model: ScriptedModel, clock: ManualClock) -> None:
    approved, rejected, expired = await _propose(asked, model, *map(_numbered, range(3)))
    assert (await _approve(asked, approved)).status_code == 200
    assert (await _reject(asked, rejected)).status_code == 200
    clock.advance(LIFETIME)
    for approval_id, status, why in (
        (approved, "approved", "The action was approved already."),
        (rejected, "rejected", "The action was rejected already."),
        (expired, "expired", "The action expired at 2026-01-12 12:00 UTC."),
    ):
        before = await _get(asked, f"/api/approvals/{approval_id}")
        for answer in (await _approve(asked, approval_id), await _reject(asked, approval_id, "Too late.")):
            assert (answer.status_code, answer.json()["detail"]) == (409, why)
        assert (await _get(asked, f"/api/approvals/{approval_id}"), before["status"]) == (before, status)
    assert await _by_agent(asked) == ["Text 0."]


@on_sqlite
async def test_an_action_waits_for_seven_days_less_a_moment(
    asked: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    in_time, too_late = await _propose(asked, model, *map(_numbered, range(2)))
    clock.advance(LIFETIME - MOMENT)
    assert (await _approve(asked, in_time)).status_code == 200
    assert await _status(asked, too_late) == "pending"
    clock.advance(MOMENT)
    assert await _status(asked, too_late) == "expired"
    assert (await _approve(asked, too_late)).status_code == 409
    assert await _by_agent(asked) == ["Text 0."]


async def test_an_action_is_checked_again_when_it_is_approved(
    asked: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    parent = await _write(asked, f"/api/posts/{target}/comments", content="Really?")
    gone = await _write(asked, "/api/posts", title="Soon", content="Gone.")
    commented, replied, voted = await _propose(
        asked, model, _comment(target, "One."), _comment(target, "Two.", parent_id=parent), _vote(target)
    )
    on_gone, vote_on_gone = await _propose(asked, model, _comment(gone, "Three."), _vote(gone))
    posted, said = await _propose(asked, model, post(), {"action": "message", "content": "Word for word."})
    await asked.http.delete(f"/api/posts/{gone}")
    await asked.http.delete(f"/api/comments/{parent}")
    await _act_at_once(asked, model, _comment(target, "Before it."), _vote(target), post("a TITLE", "some content"))
    await _act_at_once(asked, model, {"action": "message", "content": "Word, for word!"})
    paths = [THREAD, "/api/posts", f"/api/posts/{target}/comments", f"{THREAD}/messages", f"{THREAD}/budget"]
    before = [await _get(asked, path) for path in paths]
    for approval_id, why in {
        commented: "The agent has answered this already.",
        replied: f"There is no comment {parent!r} on the post {target!r}.",
        voted: "The agent has voted up on this post already.",
        on_gone: f"There is no post {gone!r} in this thread.",
        vote_on_gone: f"There is no post {gone!r} in this thread.",
        posted: "It says nearly the same as something the agent wrote on this board in the last 24 hours.",
        said: "It says nearly the same as something the agent wrote in this thread in the last 24 hours.",
    }.items():
        with subtests.test(why):
            answer = await _approve(asked, approval_id)
            assert (answer.status_code, answer.json()["detail"]) == (409, f"The action cannot be applied now: {why}")
            assert await _status(asked, approval_id) == "pending"
    assert [await _get(asked, path) for path in paths] == before
    clock.advance(timedelta(hours=24))
    for approval_id in (posted, said):
        assert (await _approve(asked, approval_id)).status_code == 200
    assert (await _reject(asked, commented)).status_code == 200


@on_sqlite
async def test_what_was_proposed_without_a_voice_is_not_said_once_there_is_one(
    asked: Running, model: ScriptedModel
) -> None:
    await _configure(asked, target="none")
    (quiet,) = await _propose(asked, model, post())
    await _configure(asked, target="last")
    post_and_word = await _propose(
        asked, model, post("Other", "Words."), {"action": "message", "content": "See the ledger."}
    )
    for approval_id in (quiet, *post_and_word):
        assert (await _approve(asked, approval_id)).status_code == 200
    said = (await _get(asked, f"{THREAD}/messages"))["items"]
    assert [message["content"] for message in said] == ["See the ledger."]
    assert len((await _get(asked, "/api/posts"))["items"]) == 2


async def test_actions_of_one_decision_are_approved_in_any_order_beside_what_was_applied(
    asked: Running, model: ScriptedModel
) -> None:
    await _configure(asked, approval="posts")
    target = await _write(asked, "/api/posts", title="Hi", content="There.")
    parent = await _write(asked, f"/api/posts/{target}/comments", content="Really?")
    posts = await _propose(asked, model, post("One", "First."), post("Two", "Second."), post("Three", "Third."))
    mixed = (_vote(target), _comment(target, "To you."), _comment(target, "And you.", parent_id=parent))
    voted, *comments = await _decide(asked, model, *mixed)
    assert (voted["success"], [result["success"] for result in comments]) == (True, [False, False])
    listed = [(each["ordinal"], each["id"]) for each in (await _get(asked, "/api/approvals?status=pending"))["items"]]
    assert set(listed) == {*enumerate(posts), *enumerate([result["approval_id"] for result in comments], start=1)}
    for approval_id in (posts[2], comments[1]["approval_id"], posts[1], comments[0]["approval_id"], posts[0]):
        assert (await _approve(asked, approval_id)).status_code == 200
    assert {found["title"] for found in (await _get(asked, "/api/posts"))["items"]} == {"Hi", "One", "Two", "Three"}
    assert len((await _get(asked, f"/api/posts/{target}/comments"))["items"]) == 3
    assert (await asked.http.get(f"/api/posts/{target}")).json()["score"] == 1


@on_sqlite
async def test_an_approval_does_not_mind_that_the_thread_has_moved_on(asked: Running, model: ScriptedModel) -> None:
    (approval_id,) = await _propose(asked, model, post("Title", "Text."))
    await asked.http.post(f"{THREAD}/messages", json={"messages": [{"role": "user", "content": "Hello."}]})
    await _configure(asked, enabled=False, dry_run=True)
    assert (await _approve(asked, approval_id)).status_code == 200
    said = (await _get(asked, f"{THREAD}/messages"))["items"]
    assert [message["content"] for message in said] == ["Hello.", "Title\n\nText."]


async def test_of_many_approvals_of_one_action_at_once_one_counts(opened: Opener, model: ScriptedModel) -> None:
    async with opened(heartbeat_enabled=False) as one, opened(heartbeat_enabled=False) as other:
        await _configure(one, approval="all", target="last")
        target = await _write(one, "/api/posts", title="Hi", content="There.")
        proposed = await _propose(one, model, post(), _comment(target, "An answer."), _vote(target))
        answers: dict[str, list[int]] = {approval_id: [] for approval_id in proposed}

        async def approve(running: Running, approval_id: str) -> None:
            answers[approval_id].append((await _approve(running, approval_id)).status_code)

        async with anyio.create_task_group() as group:
            for approval_id in proposed:
                for running in (one, other) * 3:
                    group.start_soon(approve, running, approval_id)
        assert [sorted(found) for found in answers.values()] == [[200] + [409] * 5] * 3
        assert await _by_agent(one) == ["Some content."]
        found = await _get(one, f"/api/posts/{target}")
        assert (found["score"], found["comment_count"]) == (1, 1)
        assert len((await _get(one, f"{THREAD}/messages"))["items"]) == 2
        budget = await _get(one, f"{THREAD}/budget")
        assert [budget[whose]["spent"]["actions"] for whose in ("thread", "service")] == [3, 3]


async def test_an_action_approved_and_rejected_at_once_is_one_of_them(opened: Opener, model: ScriptedModel) -> None:
    async with opened(heartbeat_enabled=False) as one, opened(heartbeat_enabled=False) as other:
        await _configure(one, approval="all")
        proposed = [*await _propose(one, model, *map(_numbered, range(3)))]
        answers: dict[str, dict[str, int]] = {approval_id: {} for approval_id in proposed}

        async def close(approval_id: str, status: str) -> None:
            close_it = _approve(one, approval_id) if status == "approved" else _reject(other, approval_id, "No.")
            answers[approval_id][status] = (await close_it).status_code

        async with anyio.create_task_group() as group:
            for number, approval_id in enumerate(proposed):
                for status in ("approved", "rejected") if number % 2 else ("rejected", "approved"):
                    group.start_soon(close, approval_id, status)
        for approval_id, found in answers.items():
            (status,) = [status for status, code in found.items() if code == 200]
            assert sorted(found.values()) == [200, 409]
            assert await _status(one, approval_id) == status
        assert len(await _by_agent(one)) == [found["approved"] for found in answers.values()].count(200)


@pytest.mark.parametrize("thread", ["default", "other"])
async def test_the_approvals_of_a_deleted_thread_are_gone(opened: Opener, model: ScriptedModel, thread: str) -> None:
    async with opened(heartbeat_enabled=False) as one, opened(heartbeat_enabled=False) as other:
        await one.http.post("/api/threads", json={"id": "other"})
        await _configure(one, thread, approval="all", target="last")
        proposed = await _propose(one, model, *map(_numbered, range(3)), thread=thread)
        answers: list[int] = []

        async def approve(approval_id: str) -> None:
            answers.append((await _approve(other, approval_id)).status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(approve, proposed[0])
            group.start_soon(one.http.delete, f"/api/threads/{thread}")
            group.start_soon(approve, proposed[1])
        assert set(answers) <= {200, 404}
        for approval_id in proposed:
            assert (await one.http.get(f"/api/approvals/{approval_id}")).status_code == 404
            assert (await _approve(one, approval_id)).status_code == 404
            assert (await _reject(one, approval_id, "No.")).status_code == 404
        assert (await _get(one, "/api/approvals"))["items"] == []
        assert await _by_agent(one) == []


@on_sqlite
async def test_an_approval_obeys_the_budget_of_actions_and_works_the_next_day(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(heartbeat_enabled=False, thread_actions_per_day=1) as running:
        await _configure(running, approval="all")
        first, second, third = await _propose(running, model, *map(_numbered, range(3)))
        spent = (await _get(running, f"{THREAD}/budget"))["thread"]["spent"]
        assert (spent["actions"], (await _approve(running, first)).status_code) == (0, 200)
        answer = await _approve(running, second)
        assert answer.status_code == 409
        assert "The thread has used 1 of 1 actions today; more from " in answer.json()["detail"]
        assert await _status(running, second) == "pending"
        await running.http.patch(f"{THREAD}/budget", json={"actions": 0})
        assert "no actions: its limit is 0 a day" in (await _approve(running, second)).json()["detail"]
        await running.http.patch(f"{THREAD}/budget", json={"actions": 2})
        assert (await _approve(running, second)).status_code == 200
        assert (await _approve(running, third)).status_code == 409
        clock.advance(timedelta(hours=12))
        assert (await _approve(running, third)).status_code == 200
        assert (await _get(running, f"{THREAD}/budget"))["thread"]["spent"]["actions"] == 1
        assert sorted(await _by_agent(running)) == ["Text 0.", "Text 1.", "Text 2."]


async def test_approvals_on_several_threads_at_once_keep_within_the_budget_of_the_service(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    limits = {"service_actions_per_day": 2, "heartbeat_enabled": False}
    async with opened(**limits) as one, opened(**limits) as other:
        names = ["default", "a", "b", "c"]
        proposed: list[str] = []
        for name in names:
            await one.http.post("/api/threads", json={"id": name})
            await _configure(one, name, approval="all")
            proposed += await _propose(one, model, post(), thread=name)
        answers: dict[str, httpx.Response] = {}

        async def approve(running: Running, approval_id: str) -> None:
            answers[approval_id] = await _approve(running, approval_id)

        async with anyio.create_task_group() as group:
            for number, approval_id in enumerate(proposed):
                group.start_soon(approve, (one, other)[number % 2], approval_id)
        assert sorted(answer.status_code for answer in answers.values()) == [200, 200, 409, 409]
        left = [approval_id for approval_id, answer in answers.items() if answer.status_code == 409]
        assert all("The service has used 2 of 2 actions" in answers[each].json()["detail"] for each in left)
        assert (await _get(one, "/api/budget"))["spent"]["actions"] == 2
        assert len(await _by_agent(one)) == 2
        clock.advance(timedelta(hours=12))
        assert [(await _approve(one, each)).status_code for each in left] == [200, 200]
