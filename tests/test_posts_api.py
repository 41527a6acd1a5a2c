"""Posts, comments and votes over HTTP, on both databases."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from ledger.clock import ManualClock
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

Json = dict[str, Any]


async def _post(running: Running, title: str = "Title", **fields: str) -> Json:
    body = {"title": title, "content": "Content.", "author": "anna"} | fields
    answer = await running.http.post("/api/posts", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _comment(running: Running, post_id: str, content: str = "Indeed.", **fields: str) -> Json:
    answer = await running.http.post(f"/api/posts/{post_id}/comments", json={"content": content, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _vote(running: Running, post_id: str, voter: str, value: int) -> httpx.Response:
    return await running.http.put(f"/api/posts/{post_id}/votes/{voter}", json={"value": value})


async def _get(running: Running, path: str) -> Json:
    answer = await running.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _pages(running: Running, path: str) -> list[list[Json]]:
    pages: list[list[Json]] = []
    cursor = ""
    while cursor is not None:
        page = await _get(running, path + (f"&cursor={cursor}" if cursor else ""))
        pages.append(page["items"])
        cursor = page["next_cursor"]
    return pages


async def _agents_post(running: Running, model: ScriptedModel) -> Json:
    model.says(act(post("Of the agent", "Some content.")))
    ran = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
    return await _get(running, f"/api/posts/{ran['actions'][0]['post_id']}")


async def test_a_post_is_kept_as_it_was_written(running: Running) -> None:
    text = "<b>bold</b> & `code` 日本語\n\\u0000"
    made = await _post(running, "A <title>", content=text, author="Anna B.", board="plans-1")
    assert await _get(running, f"/api/posts/{made['id']}") == made
    expected = {"title": "A <title>", "content": text, "author": "Anna B.", "board": "plans-1", "origin": "person"}
    assert {name: made[name] for name in expected} == expected
    fresh = ("thread_id", "run_id", "score", "comment_count", "edited_at", "removed_at", "mentions_agent")
    assert [made[name] for name in fresh] == ["default", None, 0, 0, None, None, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"title": " \n"},
        {"title": "t" * 201},
        {"content": "\t"},
        {"content": "c" * 5001},
        {"content": "a\x00b"},
        {"author": ""},
        {"author": " "},
        {"author": "a" * 65},
        {"board": "General"},
        {"board": ""},
        {"board": "b" * 65},
        {"thread_id": "a b"},
        {"origin": "agent"},
        {"run_id": "r"},
        {"score": 9},
    ],
)
async def test_a_post_that_breaks_a_rule_is_refused(refusing: Running, wrong: Json) -> None:
    body = {"title": "Title", "content": "Content."} | wrong
    assert (await refusing.http.post("/api/posts", json=body)).status_code == 422
    assert (await _get(refusing, "/api/posts"))["items"] == []


@on_sqlite
async def test_the_longest_post_fits(running: Running) -> None:
    made = await _post(running, "🦞" * 200, content="🦞" * 5000, author="a" * 64, board="b" * 64)
    assert len(made["content"]) == 5000


async def test_pages_hold_each_post_once_under_each_sort(running: Running, clock: ManualClock) -> None:
    scores = [0, 2, -1, 2, 0, 1, 0]
    made: list[str] = []
    for index, score in enumerate(scores):
        made.append((await _post(running, f"Number {index}"))["id"])
        for voter in range(abs(score)):
            await _vote(running, made[-1], f"v{voter}", 1 if score > 0 else -1)
        clock.advance(timedelta(seconds=index % 2))
    for sort, key in (("new", "created_at"), ("top", "score"), ("hot", "hot")):
        pages = await _pages(running, f"/api/posts?limit=3&sort={sort}")
        assert [len(page) for page in pages] == [3, 3, 1], sort
        found = [item for page in pages for item in page]
        assert {item["id"] for item in found} == set(made), sort
        assert found == sorted(found, key=lambda item: (item[key], item["id"]), reverse=True), sort


async def test_posts_are_filtered_by_board_and_by_thread(running: Running) -> None:
    await running.http.post("/api/threads", json={"id": "t"})
    await _post(running, "One", board="a")
    await _post(running, "Two", board="a", thread_id="t")
    gone = await _post(running, "Three", board="b", thread_id="t")
    await running.http.delete(f"/api/posts/{gone['id']}")
    queries = {"board=a": ["Two", "One"], "thread_id=t": ["Two"], "board=a&thread_id=default": ["One"], "board=b": []}
    for query, titles in queries.items():
        found = (await _get(running, f"/api/posts?{query}"))["items"]
        assert sorted(item["title"] for item in found) == sorted(titles), query
    assert (await running.http.get("/api/boards")).json() == [{"board": "a", "post_count": 2}]
    assert (await running.http.get("/api/posts?sort=best")).status_code == 422


async def test_comments_are_paged_oldest_first_and_make_a_tree(running: Running, clock: ManualClock) -> None:
    post_id = (await _post(running))["id"]
    made = [await _comment(running, post_id, "0")]
    for index in range(1, 5):
        clock.advance(timedelta(seconds=1))
        made.append(await _comment(running, post_id, f"{index}", parent_id=made[-1]["id"]))
    pages = await _pages(running, f"/api/posts/{post_id}/comments?limit=2")
    assert pages == [made[:2], made[2:4], made[4:]]
    assert [item["parent_id"] for item in made] == [None, *(item["id"] for item in made[:4])]
    assert (await _get(running, f"/api/posts/{post_id}"))["comment_count"] == 5


@on_sqlite
async def test_a_comment_answers_a_comment_that_stands_on_the_same_post(running: Running) -> None:
    one, two = [(await _post(running, title))["id"] for title in ("One", "Two")]
    elsewhere = (await _comment(running, one))["id"]
    removed = (await _comment(running, two))["id"]
    await running.http.delete(f"/api/comments/{removed}")
    for parent in (elsewhere, removed, "nonsense"):
        body = {"content": "Hm.", "parent_id": parent}
        assert (await running.http.post(f"/api/posts/{two}/comments", json=body)).status_code == 404
    assert (await _get(running, f"/api/posts/{two}"))["comment_count"] == 0


async def test_votes_are_cast_changed_and_taken_back(running: Running) -> None:
    post_id = (await _post(running))["id"]
    told = [(await _vote(running, post_id, *vote)).json()["score"] for vote in (("a", 1), ("b", 1), ("c", -1))]
    assert told == [1, 2, 1]
    assert (await _vote(running, post_id, "a", 1)).json()["score"] == 1
    assert (await _vote(running, post_id, "a", -1)).json()["score"] == -1
    pages = await _pages(running, f"/api/posts/{post_id}/votes?limit=2")
    assert [[(vote["voter"], vote["value"]) for vote in page] for page in pages] == [
        [("a", -1), ("b", 1)],
        [("c", -1)],
    ]
    for _ in range(2):
        taken = await running.http.delete(f"/api/posts/{post_id}/votes/a")
        assert (taken.status_code, taken.json()["score"]) == (200, 0)
    kept = await _get(running, f"/api/posts/{post_id}")
    assert (kept["score"], kept["hot"]) == (0, (await _post(running))["hot"])


@on_sqlite
async def test_a_vote_is_one_up_or_one_down(running: Running) -> None:
    path = f"/api/posts/{(await _post(running))['id']}/votes/anna"
    for body in ({"value": 0}, {"value": 2}, {"value": "1"}, {"value": None}, {}, {"value": 1, "x": 1}):
        assert (await running.http.put(path, json=body)).status_code == 422, body
    assert (await _get(running, "/api/posts"))["items"][0]["score"] == 0


@on_sqlite
async def test_a_voter_is_named_as_an_author_is(running: Running) -> None:
    post_id = (await _post(running))["id"]
    for voter in ("%20", "a" * 65, "".join(f"{number:x}" for number in range(3000))):
        assert (await _vote(running, post_id, voter, 1)).status_code == 422, voter


@on_sqlite
async def test_nobody_poses_as_the_agent(running: Running) -> None:
    post_id = (await _post(running))["id"]
    for name in ("ledger", "Ledger", "LEDGER", " ledger ", "lEdGeR\n"):
        body = {"title": "T", "content": "C", "author": name}
        assert (await running.http.post("/api/posts", json=body)).status_code == 422
        body = {"content": "C", "author": name}
        assert (await running.http.post(f"/api/posts/{post_id}/comments", json=body)).status_code == 422
        voter = name.replace(" ", "%20").replace("\n", "%0A")
        assert (await _vote(running, post_id, voter, 1)).status_code == 422
        assert (await running.http.delete(f"/api/posts/{post_id}/votes/{voter}")).status_code == 422
    kept = await _get(running, f"/api/posts/{post_id}")
    assert (kept["score"], kept["comment_count"]) == (0, 0)


@on_sqlite
async def test_the_agent_goes_by_the_name_it_was_given(opened: Opener) -> None:
    async with opened(agent_name="Straße") as running:
        body = {"title": "T", "content": "@straße and @ledger", "author": "STRASSE"}
        assert (await running.http.post("/api/posts", json=body)).status_code == 422
        made = await _post(running, content="@STRAßE?", author="ledger")
        assert made["mentions_agent"] is True
        assert (await _post(running, content="@ledger?"))["mentions_agent"] is False


async def test_what_a_person_edits_is_marked_as_edited(running: Running, clock: ManualClock) -> None:
    made = await _post(running)
    comment = await _comment(running, made["id"])
    clock.advance(timedelta(minutes=1))
    edited = (await running.http.patch(f"/api/posts/{made['id']}", json={"content": "Hey @ledger"})).json()
    changes = {"content": "Hey @ledger", "edited_at": "2026-01-05T12:01:00Z", "mentions_agent": True}
    assert edited == made | {"comment_count": 1} | changes
    assert await _get(running, f"/api/posts/{made['id']}") == edited
    edited = (await running.http.patch(f"/api/comments/{comment['id']}", json={"content": "Hey @ledger"})).json()
    assert edited == comment | changes
    assert await _get(running, f"/api/comments/{comment['id']}") == edited
    for wrong in ({"title": ""}, {"content": None}, {"author": "eve"}, {"board": "b"}):
        assert (await running.http.patch(f"/api/posts/{made['id']}", json=wrong)).status_code == 422


async def test_a_tombstone_keeps_who_wrote_it_and_what_hangs_on_it(running: Running) -> None:
    made = await _post(running, "Mine", content="Hey @ledger")
    parent = await _comment(running, made["id"], "Hey @ledger", author="bert")
    answer = await _comment(running, made["id"], parent_id=parent["id"])
    await _vote(running, made["id"], "carla", 1)
    gone = {"content": "", "removed_at": "2026-01-05T12:00:00Z", "mentions_agent": False}
    removed = await running.http.delete(f"/api/comments/{parent['id']}")
    assert (removed.status_code, removed.json()) == (200, parent | gone)
    removed = await running.http.delete(f"/api/posts/{made['id']}")
    ranked = {"score": 1, "comment_count": 1}
    assert (removed.status_code, removed.json()) == (200, made | gone | {"title": ""} | ranked)
    assert await _get(running, f"/api/posts/{made['id']}") == removed.json()
    assert (await _get(running, f"/api/posts/{made['id']}/comments"))["items"] == sorted(
        [parent | gone, answer], key=lambda item: str(item["id"])
    )
    assert (await _get(running, "/api/posts"))["items"] == []
    assert (await _get(running, "/api/threads/default"))["post_count"] == 0


async def test_a_tombstone_of_the_agent_keeps_its_run(running: Running, model: ScriptedModel) -> None:
    made = await _agents_post(running, model)
    removed = (await running.http.delete(f"/api/posts/{made['id']}")).json()
    kept = ("author", "origin", "run_id", "created_at", "thread_id", "board")
    assert [removed[name] for name in kept] == [made[name] for name in kept]
    assert (made["origin"], made["author"]) == ("agent", "ledger")
    assert (await _get(running, f"/api/runs/{made['run_id']}"))["actions"][0]["post_id"] == made["id"]


async def test_the_agents_post_edited_by_a_person_does_not_call_the_agent(
    running: Running, model: ScriptedModel
) -> None:
    made = await _agents_post(running, model)
    edited = (await running.http.patch(f"/api/posts/{made['id']}", json={"content": "Hey @ledger"})).json()
    assert (edited["origin"], edited["mentions_agent"], edited["content"]) == ("agent", False, "Hey @ledger")


CHANGES: list[tuple[str, str, Json | None]] = [
    ("PATCH", "/api/posts/{post}", {"title": "New"}),
    ("DELETE", "/api/posts/{post}", None),
    ("POST", "/api/posts/{post}/comments", {"content": "Hm."}),
    ("PUT", "/api/posts/{post}/votes/anna", {"value": 1}),
    ("DELETE", "/api/posts/{post}/votes/anna", None),
    ("PATCH", "/api/comments/{comment}", {"content": "New"}),
    ("DELETE", "/api/comments/{comment}", None),
]


@on_sqlite
async def test_what_was_removed_is_not_changed_any_more(running: Running, subtests: pytest.Subtests) -> None:
    post_id = (await _post(running))["id"]
    comment_id = (await _comment(running, post_id))["id"]
    for gone in (f"/api/comments/{comment_id}", f"/api/posts/{post_id}"):
        await running.http.delete(gone)
    before = await _get(running, f"/api/posts/{post_id}")
    for method, path, body in CHANGES:
        with subtests.test(method=method, path=path):
            address, nowhere = path.format(post=post_id, comment=comment_id), path.format(post="x", comment="x")
            assert (await running.http.request(method, address, json=body)).status_code == 409
            assert (await running.http.request(method, nowhere, json=body)).status_code == 404
            assert await _get(running, f"/api/posts/{post_id}") == before


@pytest.mark.parametrize("path", ["posts/x", "posts/x/comments", "posts/x/votes", "comments/x"])
async def test_what_never_was_is_404(refusing: Running, path: str) -> None:
    assert (await refusing.http.get(f"/api/{path}")).status_code == 404


@on_sqlite
async def test_a_post_for_an_unknown_thread_is_404(running: Running) -> None:
    body = {"title": "T", "content": "C", "thread_id": "gone"}
    assert (await running.http.post("/api/posts", json=body)).status_code == 404


@pytest.mark.parametrize("name", ["ledger\u200b", "\uff4c\uff45\uff44\uff47\uff45\uff52", "LEDGER\u2060 "])
async def test_nobody_poses_as_the_agent_by_marks_that_cannot_be_seen(refusing: Running, name: str) -> None:
    answer = await refusing.http.post("/api/posts", json={"title": "I", "content": "am not it", "author": name})
    assert answer.status_code == 422


@on_sqlite
async def test_a_change_that_changes_nothing_is_no_edit(running: Running) -> None:
    made = await _post(running, "As it is")
    for change in ({}, {"title": "As it is"}):
        answer = await running.http.patch(f"/api/posts/{made['id']}", json=change)
        assert answer.json() == made
