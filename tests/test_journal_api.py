"""The journal over HTTP: entries listed and read, comments on them, and its settings."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from ledger.clock import ManualClock
from ledger.db import new_id
from ledger.journal import store
from ledger.journal.store import Draft, Pen
from ledger.journal.structs import Kind
from ledger.threads import store as threads
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import ScriptedModel

JOURNAL = "/api/threads/default/journal"
SETTINGS = f"{JOURNAL}/settings"
SWITCH = "/api/threads/default/loops/self_reply"
ALONE = {"reflection_enabled": False, "personality_enabled": False, "heartbeat_enabled": False}
HALF_HOUR = timedelta(minutes=30)


@pytest.fixture
async def alone(opened: Opener) -> AsyncGenerator[Running]:
    """The application without a model; no loop takes a turn that nobody asks for."""
    async with opened(rules=True, **ALONE, self_reply_enabled=False) as running:
        yield running


async def _write(running: Running, body: str = "They camp.", kind: Kind = "reflection", thread: str = "default") -> str:
    """Write an entry as the agent."""
    draft = Draft(kind=kind, title="On tents", body=body, evidence=["m1"], scorecard_revision=1, profile_revision=0)
    async with running.db.write() as session:
        await threads.lock_existing(session, thread)
        entry = await store.write(session, thread, draft, Pen("ledger", 0), run_id=new_id(), now=START)
    assert entry is not None
    return entry.id


async def _comment(running: Running, entry_id: str, body: str = "Really?", **fields: str) -> dict[str, Any]:
    answer = await running.http.post(f"{JOURNAL}/{entry_id}/replies", json={"body": body} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _list(running: Running, query: str = "") -> list[dict[str, Any]]:
    return (await running.http.get(f"{JOURNAL}?{query}")).raise_for_status().json()["items"]


async def _run_now(running: Running) -> dict[str, Any]:
    return (await running.http.post(f"{SWITCH}/run-now")).raise_for_status().json()


@on_sqlite
async def test_an_entry_shows_what_it_is_and_what_it_rests_on(alone: Running) -> None:
    entry_id = await _write(alone)
    found = (await alone.http.get(f"{JOURNAL}/{entry_id}")).raise_for_status().json()
    run_id = found.pop("run_id")
    assert found == {
        "id": entry_id,
        "thread_id": "default",
        "seq": 1,
        "kind": "reflection",
        "author": "ledger",
        "origin": "agent",
        "title": "On tents",
        "body": "They camp.",
        "reply_to": None,
        "root": entry_id,
        "depth": 0,
        "steps": 0,
        "evidence": ["m1"],
        "scorecard_revision": 1,
        "profile_revision": 0,
        "created_at": "2026-01-05T12:00:00Z",
    }
    assert await _list(alone) == [found | {"run_id": run_id}]


@on_sqlite
async def test_a_comment_of_a_person_is_an_entry_too(alone: Running, clock: ManualClock) -> None:
    entry_id = await _write(alone)
    clock.advance(HALF_HOUR)
    comment = await _comment(alone, entry_id, "Since when?", author="Ida")
    assert {name: comment[name] for name in ("kind", "author", "origin", "title", "body")} == {
        "kind": "comment",
        "author": "Ida",
        "origin": "person",
        "title": "",
        "body": "Since when?",
    }
    assert (comment["reply_to"], comment["root"], comment["depth"], comment["seq"]) == (entry_id, entry_id, 1, 2)
    assert (comment["run_id"], comment["created_at"]) == (None, "2026-01-05T12:30:00Z")
    assert (await alone.http.get(f"{JOURNAL}/{comment['id']}")).json() == comment
    assert (await alone.http.get(SWITCH)).json()["next_slot"] == "2026-01-05T12:30:00Z"
    below = await _comment(alone, comment["id"], "Since June.")
    assert (below["reply_to"], below["root"], below["depth"], below["author"]) == (comment["id"], entry_id, 2, "person")


@on_sqlite
async def test_the_shortest_and_the_longest_comment_are_taken_as_they_are(alone: Running) -> None:
    entry_id = await _write(alone)
    for body in ("é", "é" * 5_000):
        assert (await _comment(alone, entry_id, body, author="x" * 64))["body"] == body


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "without a body": ({}, "body"),
    "an empty body": ({"body": ""}, "body"),
    "a blank body": ({"body": " \n\t\u00a0"}, "body"),
    "a body too long": ({"body": "x" * 5_001}, "body"),
    "a body that is no text": ({"body": 7}, "body"),
    "null for a body": ({"body": None}, "body"),
    "a NUL in the body": ({"body": "a\x00b"}, "NUL"),
    "an unknown field": ({"body": "Hi.", "kind": "reflection"}, "kind"),
    "an origin": ({"body": "Hi.", "origin": "agent"}, "origin"),
    "an empty author": ({"body": "Hi.", "author": ""}, "author"),
    "a blank author": ({"body": "Hi.", "author": "  "}, "author"),
    "an author too long": ({"body": "Hi.", "author": "x" * 65}, "author"),
    "the agent as author": ({"body": "Hi.", "author": "ledger"}, "author"),
    "the agent in capitals": ({"body": "Hi.", "author": " LEDGER"}, "author"),
    "the agent in wide letters": ({"body": "Hi.", "author": "Ｌｅｄｇｅｒ"}, "author"),  # noqa: RUF001 - the test's point
    "the agent with what cannot be seen": ({"body": "Hi.", "author": "led\u200bger"}, "author"),
}


@on_sqlite
async def test_a_comment_that_cannot_be_taken_is_refused_and_leaves_nothing(
    alone: Running, subtests: pytest.Subtests
) -> None:
    entry_id = await _write(alone)
    for name, (body, named) in WRONG.items():
        with subtests.test(name):
            answer = await alone.http.post(f"{JOURNAL}/{entry_id}/replies", json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
            assert named in answer.json()["detail"]
            assert [entry["id"] for entry in await _list(alone)] == [entry_id]
    async with alone.db.read() as session:
        state = await threads.state(session, "default")
    assert state is not None
    assert state.activity == 0
    assert (await alone.http.get(SWITCH)).json()["next_slot"] is None


@on_sqlite
async def test_what_does_not_exist_cannot_be_read_or_commented_on(alone: Running) -> None:
    await alone.http.post("/api/threads", json={"id": "other"})
    entry_id, elsewhere = await _write(alone), await _write(alone, thread="other")
    for thread, entry, named in (
        ("nobody", entry_id, "'nobody'"),
        ("default", "nothing", "'nothing'"),
        ("default", elsewhere, f"'{elsewhere}'"),
        ("other", entry_id, f"'{entry_id}'"),
    ):
        path = f"/api/threads/{thread}/journal/{entry}"
        for answer in (
            await alone.http.get(path),
            await alone.http.post(f"{path}/replies", json={"body": "Hello?"}),
        ):
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
            assert named in answer.json()["detail"]
    assert [entry["id"] for entry in await _list(alone)] == [entry_id]
    async with alone.db.read() as session:
        for thread in ("default", "other"):
            state = await threads.state(session, thread)
            assert state is not None
            assert state.activity == 0


@pytest.mark.parametrize("path", ["", "/settings"])
async def test_the_journal_of_an_unknown_thread_is_unknown(refusing: Running, path: str) -> None:
    where = f"/api/threads/nobody/journal{path}"
    assert (await refusing.http.get(where)).status_code == 404
    if path:
        assert (await refusing.http.put(where, json={"posts": "never"})).status_code == 404


async def test_entries_are_listed_newest_first_page_by_page(alone: Running) -> None:
    ids = [await _write(alone, f"Entry {number}.") for number in range(5)]
    ids.append((await _comment(alone, ids[0]))["id"])
    found: list[str] = []
    query = "limit=4"
    for expected in (4, 2):
        page = (await alone.http.get(f"{JOURNAL}?{query}")).json()
        assert len(page["items"]) == expected
        assert all("replies" not in entry for entry in page["items"])
        found += [entry["id"] for entry in page["items"]]
        query = f"limit=4&cursor={page['next_cursor']}"
    assert (found, page["next_cursor"]) == (ids[::-1], None)


@on_sqlite
async def test_entries_are_listed_by_kind(alone: Running) -> None:
    reflection, personality = await _write(alone), await _write(alone, kind="personality")
    comment = (await _comment(alone, reflection))["id"]
    await _run_now(alone)
    for kind, ids in {"reflection": [reflection], "personality": [personality], "comment": [comment]}.items():
        assert [entry["id"] for entry in await _list(alone, f"kind={kind}")] == ids
    (answer,) = await _list(alone, "kind=self_reply")
    assert (answer["reply_to"], answer["author"], answer["depth"]) == (comment, "ledger", 2)
    tree = await _list(alone, "view=tree&kind=personality")
    assert [(entry["id"], entry["replies"]) for entry in tree] == [(personality, [])]


@pytest.mark.parametrize("query", ["kind=dream", "view=graph", "limit=0", "limit=201"])
async def test_a_list_of_what_does_not_exist_is_refused(refusing: Running, query: str) -> None:
    answer = await refusing.http.get(f"{JOURNAL}?{query}")
    assert (answer.status_code, query.partition("=")[0] in answer.json()["detail"]) == (422, True)


async def test_a_cursor_of_no_list_is_refused(refusing: Running) -> None:
    assert (await refusing.http.get(f"{JOURNAL}?cursor=nonsense")).status_code == 400


def _ids(tree: list[dict[str, Any]]) -> list[Any]:
    return [(entry["id"], _ids(entry["replies"])) for entry in tree]


async def test_a_tree_holds_all_answers_oldest_first_and_pages_by_its_roots(alone: Running) -> None:
    first, second, third = [await _write(alone, f"Entry {number}.") for number in range(3)]
    one = (await _comment(alone, first, "One?"))["id"]
    other = (await _comment(alone, second, "Two?"))["id"]
    below = (await _comment(alone, one, "One, too?"))["id"]
    two = (await _comment(alone, first, "Three?"))["id"]
    deep = (await _comment(alone, below, "One, again?"))["id"]
    page = (await alone.http.get(f"{JOURNAL}?view=tree&limit=2")).json()
    assert _ids(page["items"]) == [(third, []), (second, [(other, [])])]
    page = (await alone.http.get(f"{JOURNAL}?view=tree&limit=2&cursor={page['next_cursor']}")).json()
    assert _ids(page["items"]) == [(first, [(one, [(below, [(deep, [])])]), (two, [])])]
    assert page["next_cursor"] is None


async def _fill(running: Running, count: int, *, nested: bool) -> None:
    """Have so many comments on one entry, or each on the one before."""
    root = await _write(running)
    async with running.db.write() as session:
        answered = await store.get(session, "default", root)
        for number in range(count):
            comment = await store.comment(session, answered, "Ida", f"{number}", now=START)
            answered = comment if nested else answered


@on_sqlite
async def test_a_tree_shows_a_conversation_however_deep_it_is(alone: Running) -> None:
    await _fill(alone, 600, nested=True)
    answer = await alone.http.get(f"{JOURNAL}?view=tree")
    assert answer.status_code == 200
    assert [f'"body":"{number}"' in answer.text for number in range(600)] == [True] * 600


@on_sqlite
async def test_a_tree_shows_every_comment_on_an_entry_however_many_there_are(alone: Running) -> None:
    await _fill(alone, 1_001, nested=False)
    (root,) = await _list(alone, "view=tree")
    assert [entry["body"] for entry in root["replies"]] == [str(number) for number in range(1_001)]


@on_sqlite
async def test_settings_begin_with_answers_and_with_posts_of_trends(alone: Running) -> None:
    assert (await alone.http.get(SETTINGS)).json() == {"self_reply": True, "posts": "trends"}


@on_sqlite
async def test_settings_that_are_absent_stay_as_they_are(alone: Running) -> None:
    for change, expected in (
        ({"posts": "always"}, (True, "always")),
        ({"self_reply": False}, (False, "always")),
        ({}, (False, "always")),
        ({"posts": "never"}, (False, "never")),
        ({"self_reply": True, "posts": "trends"}, (True, "trends")),
    ):
        answer = await alone.http.put(SETTINGS, json=change)
        assert (answer.status_code, tuple(answer.json().values())) == (200, expected)
        assert (await alone.http.get(SETTINGS)).json() == answer.json()


@on_sqlite
async def test_settings_are_those_of_one_thread(alone: Running) -> None:
    await alone.http.post("/api/threads", json={"id": "other"})
    await alone.http.put(SETTINGS, json={"self_reply": False, "posts": "never"})
    found = (await alone.http.get("/api/threads/other/journal/settings")).json()
    assert found == {"self_reply": True, "posts": "trends"}


@pytest.mark.parametrize(
    "change",
    [
        {"self_reply": False, "posts": "sometimes"},
        {"self_reply": None},
        {"self_reply": "false"},
        {"self_reply": 0},
        {"posts": None},
        {"posts": "never", "title": "Hello"},
    ],
)
async def test_settings_that_cannot_be_are_refused_and_change_nothing(
    refusing: Running, change: dict[str, object]
) -> None:
    answer = await refusing.http.put(SETTINGS, json=change)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (await refusing.http.get(SETTINGS)).json() == {"self_reply": True, "posts": "trends"}


@on_sqlite
async def test_the_switch_of_the_settings_and_that_of_the_loop_are_one(alone: Running) -> None:
    await alone.http.patch(SWITCH, json={"enabled": False, "every": 60})
    assert (await alone.http.get(SETTINGS)).json() == {"self_reply": False, "posts": "trends"}
    await alone.http.put(SETTINGS, json={"self_reply": True})
    found = (await alone.http.get(SWITCH)).json()
    assert (found["enabled"], found["every"]) == (True, 60)
    await alone.http.put(SETTINGS, json={"self_reply": False})
    assert (await alone.http.get(SWITCH)).json()["enabled"] is False


@on_sqlite
async def test_what_people_comment_while_answers_are_off_is_answered_when_they_are_on_again(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(rules=True, **ALONE) as running:
        entry_id = await _write(running)
        await running.http.put(SETTINGS, json={"self_reply": False})
        comments = [(await _comment(running, entry_id, f"{number}?"))["id"] for number in range(2)]
        clock.advance(2 * HALF_HOUR)
        await running.app.state.journal_self_reply_loop.run_once()
        assert (await _run_now(running))["reason"] == "disabled"
        assert await _list(running, "kind=self_reply") == []
        await running.http.put(SETTINGS, json={"self_reply": True})
        await running.app.state.journal_self_reply_loop.run_once()
        answers = await _list(running, "kind=self_reply")
    assert [answer["reply_to"] for answer in answers] == comments[::-1]


async def _person_comments(running: Running, entry_id: str) -> None:
    await _comment(running, entry_id)


async def _agent_answers(running: Running, entry_id: str) -> None:
    del entry_id
    assert (await _run_now(running))["outcome"] == "acted"


@pytest.mark.parametrize(("happens", "calls"), [(_person_comments, 2), (_agent_answers, 1)])
@on_sqlite
async def test_a_comment_of_a_person_is_news_for_the_heartbeat_and_an_answer_of_the_agent_is_not(
    opened: Opener,
    model: ScriptedModel,
    clock: ManualClock,
    happens: Callable[[Running, str], Awaitable[None]],
    calls: int,
) -> None:
    async with opened(self_reply_enabled=False) as running:
        entry_id = await _write(running)
        await _comment(running, entry_id, "First?")
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        model.says({"verdict": "reply", "body": "So it is."}, to="answer")
        await happens(running, entry_id)
        clock.advance(HALF_HOUR)
        await running.heartbeat.run_once()
        runs = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert len(model.requests) == calls
    assert runs[0]["reason"] == ("decided_nothing" if calls == 2 else "nothing_new")
