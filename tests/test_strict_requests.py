"""What an operation does not take is refused, with what it takes."""

from typing import Any, get_args

import pytest

from ledger.choices import with_choices
from ledger.stream.structs import Kind
from ledger.threads.structs import NewMessages
from ledger.turns.structs import ThreadLoopChange
from tests.conftest import Running

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/api/questions?treadid=x", "`treadid`…thread_id, status, limit, cursor."),
        ("/api/posts?limit=1&Limit=2", "`Limit`…sort, board, thread_id, limit, cursor."),
        ("/api/threads/default?limit=1", "`limit`…none."),
        ("/health/live?x=1", "`x`…none."),
    ],
)
async def test_an_unknown_query_parameter_is_refused(refusing: Running, path: str, detail: str) -> None:
    answer = await refusing.http.get(path)
    assert answer.status_code == 422
    assert answer.json()["detail"] == detail.replace("…", " is not a parameter of this operation: it takes ")


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("/api/approvals?status=null", "`status` is 'null': write a value, or leave the parameter out."),
        ("/api/runs?until=NULL", "`until` is 'NULL': write a value, or leave the parameter out."),
        ("/api/runs?since=1767225600", "`since` is '1767225600': write a value, or leave the parameter out."),
        ("/api/runs?loop=heartbeat&loop=reflection", "`loop` is given 2 times: give it once."),
    ],
)
async def test_a_query_that_does_not_say_what_it_seems_to_is_refused(
    refusing: Running, query: str, detail: str
) -> None:
    answer = await refusing.http.get(query)
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


@pytest.mark.parametrize(
    "query", ["/api/threads?limit=1", "/api/runs?thread_id=null", "/api/runs?since=2026-03-01T10:00:00Z"]
)
async def test_a_query_that_says_what_it_seems_to_is_taken(refusing: Running, query: str) -> None:
    assert (await refusing.http.get(query)).status_code == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/comments/x", "DELETE, GET, OPTIONS, PATCH"),
        ("/api/posts", "GET, OPTIONS, POST"),
        ("/health/live", "GET, OPTIONS"),
    ],
)
async def test_options_are_all_methods_of_a_path(refusing: Running, path: str, methods: str) -> None:
    answer = await refusing.http.options(path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, methods, b"")


async def test_an_empty_name_is_the_name_of_no_thread(refusing: Running) -> None:
    answer = await refusing.http.post("/api/heartbeat/heartbeat.md/lint?thread_id=", json={"content": "- Read"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no thread ''.")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_the_voter_of_a_vote_has_a_name_of_64_characters_at_most(refusing: Running, method: str) -> None:
    body = {"value": 1} if method == "PUT" else None
    answer = await refusing.http.request(method, f"/api/posts/x/votes/{'a' * 65}", json=body)
    assert answer.status_code == 422


async def test_an_unknown_query_parameter_is_refused_before_anything_is_written(refusing: Running) -> None:
    answer = await refusing.http.post("/api/threads?dry_run=true", json={"title": "Camping"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        (
            "POST",
            "/api/threads/default/messages",
            {"messages": [{"role": "usr", "content": "Hello"}]},
            "Invalid enum value 'usr' - at `$.messages[0].role`: write assistant, system, tool or user.",
        ),
        (
            "POST",
            "/api/threads/default/heartbeat/config",
            {"approval": "some"},
            "Invalid enum value 'some' - at `$.approval`: write all, auto or posts.",
        ),
        ("PUT", "/api/posts/x/votes/ann", {"value": 2}, "Invalid enum value 2 - at `$.value`: write -1 or 1."),
        (
            "GET",
            "/api/events?kinds=runs",
            None,
            f"kinds: Invalid enum value 'runs': write {', '.join(sorted(get_args(Kind))[:-1])} or vote",
        ),
        ("GET", "/api/posts?sort=old", None, "sort: Invalid enum value 'old': write hot, new or top"),
        (
            "GET",
            "/api/threads/default/loops/pulse",
            None,
            "loop: Invalid enum value 'pulse': write heartbeat, personality, reflection or self_reply",
        ),
    ],
)
async def test_a_word_that_is_none_of_several_is_answered_with_them(
    refusing: Running, method: str, path: str, body: Json | None, detail: str
) -> None:
    answer = await refusing.http.request(method, path, json=body)
    assert answer.status_code in (404, 422)
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize(
    "message", ["Expected `int`, got `str` - at `$.every`", "Invalid enum value 'x' - at `$.nowhere`", "Invalid"]
)
def test_any_other_message_stays_as_it_is(message: str) -> None:
    assert with_choices(message, ThreadLoopChange) == message
    assert with_choices(message, NewMessages) == message
