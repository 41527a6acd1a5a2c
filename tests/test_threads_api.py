"""Threads and messages over HTTP, on both databases."""

from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy import func, select

from ledger.clock import ManualClock
from ledger.tables import METADATA
from tests.conftest import Running, on_sqlite
from tests.scripted import ScriptedModel, act, ask, post

Json = dict[str, Any]

SAID_AT = "2025-12-24T18:00:00Z"


async def _create(running: Running, thread_id: str, **fields: str) -> Json:
    answer = await running.http.post("/api/threads", json={"id": thread_id, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _send(running: Running, *messages: Json, thread: str = "default") -> httpx.Response:
    return await running.http.post(f"/api/threads/{thread}/messages", json={"messages": list(messages)})


async def _say(running: Running, *messages: Json, thread: str = "default") -> Json:
    answer = await _send(running, *messages, thread=thread)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _pages(running: Running, path: str) -> list[list[Json]]:
    """All pages of a list, by its cursors."""
    pages: list[list[Json]] = []
    cursor = ""
    while cursor is not None:
        page = (await running.http.get(path + (f"&cursor={cursor}" if cursor else ""))).json()
        pages.append(page["items"])
        cursor = page["next_cursor"]
    return pages


async def _messages(running: Running, thread: str = "default", query: str = "limit=200") -> list[Json]:
    answer = await running.http.get(f"/api/threads/{thread}/messages?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def _user(content: str, **fields: object) -> Json:
    return {"role": "user", "content": content, **fields}


def _cursor(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_a_thread_is_created_as_asked_and_found_again(running: Running) -> None:
    made = await _create(running, "trip_2026-A", title="A trip", timezone="Europe/Paris")
    assert made == {
        "id": "trip_2026-A",
        "title": "A trip",
        "timezone": "Europe/Paris",
        "created_at": "2026-01-05T12:00:00Z",
        "message_count": 0,
        "post_count": 0,
    }
    assert (await running.http.get("/api/threads/trip_2026-A")).json() == made


@on_sqlite
async def test_a_thread_without_an_id_gets_one(running: Running) -> None:
    one, two = [(await running.http.post("/api/threads", json={})).json() for _ in range(2)]
    assert one["id"] != two["id"]
    assert (await running.http.get(f"/api/threads/{one['id']}")).json() == one
    assert (one["title"], one["timezone"]) == ("", "UTC")


@pytest.mark.parametrize(
    "body",
    [
        {"id": ""},
        {"id": "a" * 65},
        {"id": "a b"},
        {"id": "a/b"},
        {"id": "a.b"},
        {"id": "a\n"},
        {"id": "tür"},
        {"id": "٣"},
        {"id": None},
        {"title": "t" * 201},
        {"title": None},
        {"title": "a\x00b"},
        {"timezone": "Mars/Olympus"},
        {"timezone": ""},
        {"timezone": "../UTC"},
        {"timezone": "Europe"},
        {"name": "x"},
        {"message_count": 3},
    ],
)
async def test_a_thread_that_breaks_a_rule_is_refused(refusing: Running, body: Json) -> None:
    assert (await refusing.http.post("/api/threads", json=body)).status_code == 422
    assert [thread["id"] for thread in (await refusing.http.get("/api/threads")).json()["items"]] == ["default"]


@on_sqlite
async def test_an_id_of_64_characters_is_fine_and_a_taken_one_is_a_conflict(running: Running) -> None:
    for thread_id in ("a" * 64, "default"):
        await running.http.post("/api/threads", json={"id": thread_id})
        assert (await running.http.post("/api/threads", json={"id": thread_id})).status_code == 409
        assert (await running.http.get(f"/api/threads/{thread_id}")).status_code == 200


async def test_of_several_who_create_a_thread_at_once_one_wins_and_the_others_conflict(running: Running) -> None:
    statuses: list[int] = []

    async def create() -> None:
        statuses.append((await running.http.post("/api/threads", json={"id": "wanted"})).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(create)
    assert sorted(statuses) == [201, 409, 409, 409, 409]


async def test_a_change_names_what_it_changes(running: Running) -> None:
    await _create(running, "t", title="Old", timezone="Asia/Tokyo")
    changed = (await running.http.patch("/api/threads/t", json={"title": "New"})).json()
    assert (changed["title"], changed["timezone"]) == ("New", "Asia/Tokyo")
    changed = (await running.http.patch("/api/threads/t", json={"timezone": "UTC"})).json()
    assert (changed["title"], changed["timezone"]) == ("New", "UTC")
    for wrong in ({"timezone": "Nowhere/Land"}, {"title": None}, {"id": "u"}, {"title": 1}):
        assert (await running.http.patch("/api/threads/t", json=wrong)).status_code == 422
    assert (await running.http.get("/api/threads/t")).json() == changed


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/threads/gone", None),
        ("PATCH", "/api/threads/gone", {"title": "x"}),
        ("DELETE", "/api/threads/gone", None),
        ("GET", "/api/threads/gone/messages", None),
        ("POST", "/api/threads/gone/messages", {"messages": [{"role": "user", "content": "Hi."}]}),
        ("GET", "/api/threads/gone/loops/heartbeat", None),
    ],
)
async def test_an_unknown_thread_is_404(refusing: Running, method: str, path: str, body: Json | None) -> None:
    assert (await refusing.http.request(method, path, json=body)).status_code == 404


async def test_pages_of_threads_hold_each_thread_once(running: Running) -> None:
    names = {"default", "B", "a", "b", "_", "-", "10", "9"}
    for name in names - {"default"}:
        await _create(running, name)
    pages = await _pages(running, "/api/threads?limit=3")
    assert [len(page) for page in pages] == [3, 3, 2]
    assert {thread["id"] for page in pages for thread in page} == names


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "%", "é", *map(_cursor, ("[]", "[1.5]", '["x", 1]', "null", "[null]", '["x"', "{}", "[true]"))],
)
async def test_a_cursor_that_no_list_gave_is_400(refusing: Running, cursor: str) -> None:
    for path in ("/api/threads", "/api/threads/default/messages", "/api/posts", "/api/runs"):
        assert (await refusing.http.get(path, params={"cursor": cursor})).status_code == 400, path


NOWHERE = [
    ("/api/threads", '["\\u0000"]'),
    ("/api/threads/default/messages", "[9223372036854775807]"),
    ("/api/threads/default/messages", "[1000000000000000000000]"),
    ("/api/posts", '[2147483648, "x"]'),
    ("/api/runs", '["2026-01-01T00:00:00", "x"]'),
    ("/api/runs", '["0001-01-01T00:00:00+14:00", "x"]'),
]


async def test_a_cursor_of_the_right_shape_never_breaks_the_server(running: Running, subtests: pytest.Subtests) -> None:
    for path, place in NOWHERE:
        with subtests.test(path=path, place=place):
            assert (await running.http.get(path, params={"cursor": _cursor(place)})).status_code in {200, 400}


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "1.5"])
async def test_a_limit_out_of_range_is_422(refusing: Running, limit: str) -> None:
    for path in ("/api/threads", "/api/threads/default/messages", "/api/posts", "/api/runs"):
        assert (await refusing.http.get(f"{path}?limit={limit}")).status_code == 422, path


async def _fill(running: Running, model: ScriptedModel, thread: str) -> None:
    """Have rows of the thread in every table that has any of threads."""
    await _say(running, _user("Hello. Shall we?"), thread=thread)
    config = {"max_tokens": 400}
    (await running.http.post(f"/api/threads/{thread}/heartbeat/config", json=config)).raise_for_status()
    own = {"content": "tasks:\n- name: check\n  interval: 1d\n  prompt: Look.\n"}
    (await running.http.put(f"/api/threads/{thread}/heartbeat/instructions", json=own)).raise_for_status()
    body = {"title": "T", "content": "C", "author": "anna", "thread_id": thread}
    written = (await running.http.post("/api/posts", json=body)).json()
    comment = {"content": "Mine.", "author": "bert"}
    parent = (await running.http.post(f"/api/posts/{written['id']}/comments", json=comment)).json()
    answer = {"content": "Yours.", "author": "carla", "parent_id": parent["id"]}
    (await running.http.post(f"/api/posts/{written['id']}/comments", json=answer)).raise_for_status()
    (await running.http.put(f"/api/posts/{written['id']}/votes/dora", json={"value": 1})).raise_for_status()
    model.says(act(post(f"Of {thread}", "Some content.")))
    (await running.http.post(f"/api/threads/{thread}/heartbeat/run-now")).raise_for_status()
    model.says(ask("Which lake?"), act(post("Held", "Until somebody agrees.")))
    for config in ({"approval": "posts"}, {"approval": "all"}):
        (await running.http.post(f"/api/threads/{thread}/heartbeat/config", json=config)).raise_for_status()
        (await running.http.post(f"/api/threads/{thread}/heartbeat/run-now")).raise_for_status()
    (await running.http.patch(f"/api/threads/{thread}/budget", json={"calls": 20})).raise_for_status()
    (
        await running.http.put(f"/api/threads/{thread}/journal/settings", json={"self_reply": False, "posts": "never"})
    ).raise_for_status()
    model.says(
        {"insights": [], "open_questions": [{"question": "Shall we?", "message": 1}], "still_open": []}, to="findings"
    )
    for loop in ("reflection", "personality"):
        (await running.http.post(f"/api/threads/{thread}/loops/{loop}/run-now")).raise_for_status()
    entry = (await running.http.get(f"/api/threads/{thread}/journal")).json()["items"][0]
    said = f"/api/threads/{thread}/journal/{entry['id']}/replies"
    (await running.http.post(said, json={"body": "Indeed.", "author": "anna"})).raise_for_status()


async def _rows_of(running: Running, thread: str) -> dict[str, int]:
    """How many rows every table has of a thread."""
    tables = [table for table in METADATA.sorted_tables if "thread_id" in table.columns]
    async with running.db.read() as session:
        counts = {
            table.name: await session.scalar(
                select(func.count()).select_from(table).where(table.columns["thread_id"] == thread)
            )
            for table in tables
        }
    return {name: count or 0 for name, count in counts.items()}


FILLED = {
    "approvals": 1,
    "comments": 2,
    "entries": 2,
    "events": 18,
    "heartbeat_configs": 1,
    "heartbeat_tasks": 1,
    "journal_settings": 1,
    "messages": 1,
    "posts": 2,
    "profiles": 1,
    "questions": 1,
    "runs": 5,
    "scorecards": 1,
    "tallies": 1,
    "thread_instructions": 1,
    "thread_limits": 1,
    "thread_spending": 1,
    "turns": 4,
    "votes": 1,
}


async def test_deleting_a_thread_takes_all_that_is_its_own_and_nothing_else(
    running: Running, model: ScriptedModel
) -> None:
    await _create(running, "other")
    await _create(running, "t")
    await _fill(running, model, "other")
    await _fill(running, model, "t")
    assert await _rows_of(running, "t") == FILLED

    assert (await running.http.delete("/api/threads/t")).status_code == 204

    assert await _rows_of(running, "t") == dict.fromkeys(FILLED, 0)
    assert await _rows_of(running, "other") == FILLED
    assert (await running.http.get("/api/threads/t")).status_code == 404
    assert (await running.http.delete("/api/threads/t")).status_code == 404
    assert {found["thread_id"] for found in (await running.http.get("/api/posts")).json()["items"]} == {"other"}


async def test_the_default_thread_is_emptied_and_stays(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await running.http.patch("/api/threads/default", json={"title": "Mine", "timezone": "Asia/Tokyo"})
    await _fill(running, model, "default")
    clock.advance(timedelta(minutes=10))
    assert (await running.http.delete("/api/threads/default")).status_code == 204
    assert await _rows_of(running, "default") == dict.fromkeys(FILLED, 0) | {"turns": 4}
    assert (await running.http.get("/api/threads/default")).json() == {
        "id": "default",
        "title": "",
        "timezone": "UTC",
        "created_at": "2026-01-05T12:10:00Z",
        "message_count": 0,
        "post_count": 0,
    }
    turn = (await running.http.get("/api/threads/default/loops/heartbeat")).json()
    assert turn["next_slot"] == "2026-01-05T12:40:00Z"
    assert (await _say(running, _user("Anew.")))["last_seq"] == 1


async def test_a_thousand_messages_fit_in_one_request_and_sent_again_change_nothing(running: Running) -> None:
    batch = [_user(f"Number {number}.", created_at=SAID_AT) for number in range(1000)]
    first = await _say(running, *batch)
    assert (first["added"], first["duplicates"], first["last_seq"]) == (1000, 0, 1000)
    assert [message["seq"] for message in first["messages"]] == list(range(1, 1001))
    before = (await running.http.get("/api/threads/default")).json()
    again = await _say(running, *batch)
    assert (again["added"], again["duplicates"], again["last_seq"], again["messages"]) == (0, 1000, 1000, [])
    assert (await running.http.get("/api/threads/default")).json() == before


@on_sqlite
async def test_a_thousand_and_one_messages_are_refused_whole(running: Running) -> None:
    assert (await _send(running, *[_user("Hi.")] * 1001)).status_code == 422
    assert (await _send(running)).status_code == 422
    assert await _messages(running) == []


async def test_two_honest_yes_stay_two_also_when_sent_again(running: Running) -> None:
    yes = _user("yes", created_at=SAID_AT)
    assert (await _say(running, yes, yes))["added"] == 2
    assert (await _say(running, yes, yes))["added"] == 0
    assert (await _say(running, yes, yes, yes))["added"] == 1
    assert [message["content"] for message in await _messages(running)] == ["yes"] * 3


async def test_what_differs_in_role_moment_or_content_is_another_message(running: Running) -> None:
    same_moment = _user("yes", created_at="2025-12-24T19:00:00+01:00")
    others = [
        {"role": "assistant", "content": "yes", "created_at": SAID_AT},
        _user("yes", created_at="2025-12-24T18:00:00.000001Z"),
        _user("Yes", created_at=SAID_AT),
    ]
    await _say(running, _user("yes", created_at=SAID_AT))
    told = await _say(running, same_moment, *others)
    assert (told["added"], told["duplicates"]) == (3, 1)


async def test_a_message_without_a_moment_is_always_new(running: Running) -> None:
    assert [(await _say(running, _user("yes"), _user("yes")))["added"] for _ in range(2)] == [2, 2]
    assert {message["created_at"] for message in await _messages(running)} == {"2026-01-05T12:00:00Z"}


async def test_a_message_with_the_id_of_another_is_a_duplicate(running: Running) -> None:
    await _create(running, "other")
    told = await _say(running, _user("One.", id="m:1"), _user("Two.", id="m:1"), _user("Three.", id="m.2"))
    assert (told["added"], told["duplicates"]) == (2, 1)
    assert (await _say(running, _user("Four.", id="m:1")))["added"] == 0
    assert (await _say(running, _user("Elsewhere.", id="m:1"), thread="other"))["added"] == 1
    assert [(kept["id"], kept["content"]) for kept in await _messages(running)] == [("m:1", "One."), ("m.2", "Three.")]


async def test_seq_counts_in_the_order_of_arrival_whatever_the_moments_say(
    running: Running, clock: ManualClock
) -> None:
    await _say(running, _user("Late.", created_at="2026-01-01T00:00:00Z"))
    clock.advance(timedelta(minutes=1))
    await _say(running, _user("Early.", created_at="2025-01-01T02:00:00+02:00"), _user("Now."))
    found = await _messages(running)
    assert [(message["seq"], message["content"]) for message in found] == [(1, "Late."), (2, "Early."), (3, "Now.")]
    assert [message["created_at"] for message in found] == [
        "2026-01-01T00:00:00Z",
        "2025-01-01T00:00:00Z",
        "2026-01-05T12:01:00Z",
    ]
    assert [message["received_at"][14:16] for message in found] == ["00", "01", "01"]


async def test_batches_sent_at_once_never_share_a_seq(running: Running) -> None:
    async with anyio.create_task_group() as group:
        for name in "abcd":
            messages = [_user(f"{name}{number}") for number in range(25)]
            group.start_soon(lambda batch=messages: _say(running, *batch))
    found = await _messages(running)
    assert [message["seq"] for message in found] == list(range(1, 101))
    batches = ["".join(message["content"][0] for message in found[start : start + 25]) for start in range(0, 100, 25)]
    assert sorted(batches) == ["a" * 25, "b" * 25, "c" * 25, "d" * 25]
    assert (await running.http.get("/api/threads/default")).json()["message_count"] == 100


@on_sqlite
async def test_the_origin_follows_from_the_role_and_cannot_be_set(running: Running) -> None:
    roles = ("user", "assistant", "system", "tool")
    await _say(running, *({"role": role, "content": "Hi."} for role in roles))
    found = await _messages(running)
    assert [(message["role"], message["origin"]) for message in found] == [
        ("user", "person"),
        ("assistant", "app"),
        ("system", "app"),
        ("tool", "app"),
    ]
    for field in ({"origin": "agent"}, {"run_id": "r"}, {"seq": 9}, {"received_at": SAID_AT}):
        assert (await _send(running, _user("Hi.", **field))).status_code == 422
    assert len(await _messages(running)) == 4


async def test_the_agent_speaks_as_itself_in_its_place(running: Running, model: ScriptedModel) -> None:
    await _say(running, _user("Hello."))
    await running.http.post("/api/threads/default/heartbeat/config", json={"target": "last"})
    model.says(act(post("News", "Something new.")))
    await running.http.post("/api/threads/default/heartbeat/run-now")
    told = await _say(running, _user("Thanks."))
    assert told["last_seq"] == 3
    said = (await _messages(running))[1]
    (run,) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert (said["seq"], said["role"], said["origin"], said["run_id"]) == (2, "assistant", "agent", run["id"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"created_at": "2025-12-24T18:00:00"},
        {"created_at": "0001-01-01T00:00:00+14:00"},
        {"created_at": "9999-12-31T23:59:59-14:00"},
        {"created_at": "2025-02-30T00:00:00Z"},
        {"created_at": "yesterday"},
        {"created_at": 1_700_000_000},
        {"content": ""},
        {"content": 7},
        {"content": None},
        {"content": "a\x00b"},
        {"role": "agent"},
        {"role": "User"},
        {"id": ""},
        {"id": "a" * 129},
        {"id": "a b"},
        {"mood": "good"},
    ],
)
async def test_one_bad_message_refuses_the_whole_batch(refusing: Running, wrong: Json) -> None:
    assert (await _send(refusing, _user("Good."), _user("Bad.") | wrong, _user("Good."))).status_code == 422
    assert await _messages(refusing) == []
    assert (await refusing.http.get("/api/threads/default")).json()["message_count"] == 0


async def test_the_first_and_the_last_moment_there_is_can_be_kept(running: Running) -> None:
    moments = ["0002-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z"]
    messages = [_user("Then.", created_at=moment) for moment in moments]
    assert [(await _say(running, *messages))["added"] for _ in range(2)] == [2, 0]
    assert [message["created_at"] for message in await _messages(running)] == moments


@pytest.mark.parametrize(
    "content",
    [rb"\ud800", rb"\udc00", rb"\ud83d!", b"\xff", b"\xed\xa0\x80", b"\n", b"\x00"],
    ids=["high surrogate", "low surrogate", "half a pair", "no utf-8", "surrogate bytes", "newline", "raw nul"],
)
async def test_text_that_is_not_json_is_400(refusing: Running, content: bytes) -> None:
    body = b'{"messages": [{"role": "user", "content": "a' + content + b'b"}]}'
    answer = await refusing.http.post(
        "/api/threads/default/messages", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    assert await _messages(refusing) == []


async def test_text_comes_back_as_it_was_given(running: Running) -> None:
    contents = ["🦞 日本語 e\u0301", r"a\u0000b", "\u2028\t\r\n", "<script>", "\ufeffx"]
    await _say(running, *map(_user, contents))
    assert [message["content"] for message in await _messages(running)] == contents


async def test_pages_of_messages_go_both_ways_without_gaps(running: Running) -> None:
    await _say(running, *(_user(f"{number}") for number in range(1, 8)))
    for newest_first, order in (("false", [[1, 2, 3], [4, 5, 6], [7]]), ("true", [[7, 6, 5], [4, 3, 2], [1]])):
        pages = await _pages(running, f"/api/threads/default/messages?limit=3&newest_first={newest_first}")
        assert [[message["seq"] for message in page] for page in pages] == order
