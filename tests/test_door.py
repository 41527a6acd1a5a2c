"""The door: what every request passes, and how refusals look."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs

from ledger.app import create_app
from ledger.clock import ManualClock
from tests.conftest import START, Opener, Running, in_a_task_of_its_own, served, settings_for

TOKEN = "a long random value"  # noqa: S105 - of this test's own server
PANEL = "https://panel.example"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One engine: the door does not ask the database."""
    return sqlite_url


@pytest.fixture(scope="module")
async def guarded(empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Running]:
    """The application with a token and one origin that may call it; the client sends neither by itself."""
    settings = settings_for(empty_sqlite, tmp_path_factory.mktemp("guarded"))
    guarded = structs.replace(settings, api_token=TOKEN, cors_origins=(PANEL,))
    async with in_a_task_of_its_own(served(create_app(guarded, clock=ManualClock(START)), {})) as app:
        yield app


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _check_problem(answer: httpx.Response, status: int, title: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["title"]) == (status, title)
    assert (problem["instance"], problem["request_id"]) == (answer.request.url.path, answer.headers["x-request-id"])
    assert problem["detail"]
    assert set(problem) <= {"type", "title", "status", "detail", "instance", "request_id"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _bearer("wrong"),
        _bearer(TOKEN + "x"),
        _bearer(TOKEN[:-1]),
        _bearer(""),
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Token {TOKEN}"},
    ],
)
@pytest.mark.parametrize("path", ["/api/threads", "/health/ready", "/docs/nowhere", "/nowhere", "/health/live/"])
async def test_without_the_right_token_nothing_is_answered(
    guarded: Running, path: str, headers: dict[str, str]
) -> None:
    answer = await guarded.http.get(path, headers=headers)
    _check_problem(answer, 401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_right_token_opens(guarded: Running, scheme: str) -> None:
    for path in ("/api/threads", "/docs/openapi.json"):
        assert (await guarded.http.get(path, headers={"Authorization": f"{scheme} {TOKEN}"})).status_code == 200


async def test_the_docs_page_can_be_opened_in_a_browser_that_has_no_token_yet(guarded: Running) -> None:
    for path in ("/docs", "/docs/openapi.json"):
        answer = await guarded.http.get(path)
        assert answer.status_code == 200
        assert TOKEN not in answer.text


async def test_whether_it_lives_is_told_to_everybody(guarded: Running) -> None:
    assert (await guarded.http.get("/health/live")).json()["status"] == "live"
    assert (await guarded.http.head("/health/live")).status_code == 200


async def test_a_host_of_this_server_is_served_on_any_port(opened: Opener) -> None:
    hosts = ("127.0.0.1", "127.0.0.1:8000", "localhost", "LocalHost:1", "[::1]", "[::1]:8000")
    async with opened(allowed_hosts=("Ledger.example",)) as running:
        for host in (*hosts, "ledger.example", "Ledger.Example:80"):
            assert (await running.http.get("/api/threads", headers={"Host": host})).status_code == 200, host


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::2]:8000",
        "10.0.0.1",
    ],
)
async def test_a_name_that_is_not_this_servers_is_misdirected(refusing: Running, host: str) -> None:
    for path in ("/api/threads", "/health/live"):
        answer = await refusing.http.get(path, headers={"Host": host})
        _check_problem(answer, 421, "Misdirected Request")
        assert "CRT_ALLOWED_HOSTS" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/json, text/plain",
    ],
)
async def test_a_body_that_does_not_say_it_is_json_is_refused(refusing: Running, content_type: str) -> None:
    for path in ("/api/threads", "/api/heartbeat/start"):
        answer = await refusing.http.post(path, content=b'{"id": "t"}', headers={"Content-Type": content_type})
        _check_problem(answer, 415, "Unsupported Media Type")
    assert (await refusing.http.get("/api/threads/t")).status_code == 404


async def test_a_body_that_says_it_is_json_is_read(running: Running) -> None:
    for thread, kind in enumerate(("application/json", "Application/JSON; charset=utf-8", "application/a+json")):
        content = b'{"id": "t%d"}' % thread
        answer = await running.http.post("/api/threads", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["id"]) == (201, f"t{thread}"), kind


async def _chunks(size: int) -> AsyncIterator[bytes]:
    yield b'{"title": "'
    for _ in range(size // 65_536):
        yield b"x" * 65_536
    yield b'"}'


async def test_a_body_sent_in_pieces_needs_its_content_type_too(running: Running) -> None:
    answer = await running.http.post("/api/threads", content=_chunks(0))
    _check_problem(answer, 415, "Unsupported Media Type")
    assert (await running.http.post("/api/threads", content=_chunks(0), headers=JSON)).status_code == 201


async def test_no_body_needs_no_content_type(running: Running) -> None:
    for path in ("heartbeat/start", "heartbeat/stop", "threads/default/heartbeat/run-now"):
        for headers in ({}, {"Content-Type": "text/plain"}):
            assert (await running.http.post(f"/api/{path}", headers=headers)).status_code == 200, (path, headers)


async def test_a_body_over_4_mib_is_too_large(running: Running) -> None:
    empty = b'{"title": ""}'
    limit = 4 * 1024 * 1024
    for content in (b" " * (limit + 1 - len(empty)) + empty, _chunks(limit + 65_536)):
        _check_problem(await running.http.post("/api/threads", content=content, headers=JSON), 413, "Content Too Large")
    content = b" " * (limit - len(empty)) + empty
    assert (await running.http.post("/api/threads", content=content, headers=JSON)).status_code == 201


async def test_a_preflight_needs_no_token_and_allows_what_the_panel_sends(guarded: Running) -> None:
    headers = {
        "Origin": PANEL,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await guarded.http.options("/api/threads/default/heartbeat/config", headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PANEL
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
    assert {"authorization", "content-type"} <= set(allowed)


async def test_what_only_looks_like_a_preflight_needs_the_token(guarded: Running) -> None:
    assert (await guarded.http.options("/api/threads", headers={"Origin": PANEL})).status_code == 401
    headers = {"Origin": PANEL, "Access-Control-Request-Method": "POST"}
    assert (await guarded.http.get("/api/threads", headers=headers)).status_code == 401


async def test_a_page_of_a_strange_origin_is_given_nothing(guarded: Running) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [
        await guarded.http.options("/api/threads", headers=headers),
        await guarded.http.get("/api/threads", headers=headers | _bearer(TOKEN)),
        await guarded.http.get("/api/threads", headers=headers),
    ]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [None] * 3


async def test_a_page_can_read_why_it_was_refused(guarded: Running) -> None:
    origin, right = {"Origin": PANEL}, {"Origin": PANEL} | _bearer(TOKEN)
    answers = [
        await guarded.http.get("/api/threads", headers=right),
        await guarded.http.get("/api/threads", headers=origin),
        await guarded.http.get("/api/threads", headers=right | {"Host": "evil.example"}),
        await guarded.http.post("/api/threads", headers=right, content="{}"),
        await guarded.http.get("/api/threads/gone", headers=right),
        await guarded.http.get("/nowhere", headers=right),
        await guarded.http.put("/api/threads", headers=right),
        await guarded.http.post("/api/threads", headers=right, json={"name": 1}),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 421, 415, 404, 404, 405, 422]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [PANEL] * 8


async def test_without_origins_no_page_is_let_in(refusing: Running) -> None:
    headers = {"Origin": PANEL, "Access-Control-Request-Method": "POST"}
    for answer in (
        await refusing.http.options("/api/threads", headers=headers),
        await refusing.http.get("/api/threads", headers=headers),
        await refusing.http.get("/api/threads", headers=headers | {"Host": "evil.example"}),
    ):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/api/threads", "/api/posts?limit=1", "/health/live", "/api/threads/gone", "/nowhere"]
)
async def test_head_answers_as_get_does_without_the_body(refusing: Running, path: str) -> None:
    head, get = await refusing.http.head(path), await refusing.http.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_every_answer_has_a_request_id_of_its_own(guarded: Running) -> None:
    answers = [
        await guarded.http.get("/health/live"),
        await guarded.http.get("/api/threads"),
        await guarded.http.get("/nowhere", headers=_bearer(TOKEN)),
        await guarded.http.get("/health/live", headers={"X-Request-Id": "mine", "Host": "evil.example"}),
    ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 4


class StoppedClock(ManualClock):
    """A clock that breaks when told to."""

    broken = False

    def now(self) -> datetime:
        if self.broken:
            raise RuntimeError("the secret inside")
        return super().now()


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(START)


async def test_an_error_nobody_foresaw_is_a_problem_that_tells_nothing(
    running: Running, clock: StoppedClock, errors_logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    errors_logged.append("POST /api/threads failed")
    clock.broken = True
    answer = await running.http.post("/api/threads", json={})
    clock.broken = False
    _check_problem(answer, 500, "Internal Server Error")
    assert "secret" not in answer.text
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info is not None


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "title"),
    [
        ("POST", "/api/threads", b"{", 400, "Bad Request"),
        ("POST", "/api/threads", b"\xff", 400, "Bad Request"),
        ("GET", "/api/threads?cursor=x", b"", 400, "Bad Request"),
        ("GET", "/api/threads/a%00b", b"", 400, "Bad Request"),
        ("GET", "/api/threads?limit=5&x=%00", b"", 400, "Bad Request"),
        ("GET", "/nowhere", b"", 404, "Not Found"),
        ("GET", "/api/threads/gone", b"", 404, "Not Found"),
        ("PUT", "/api/threads", b"", 405, "Method Not Allowed"),
        ("POST", "/api/threads", b'{"id": "default"}', 409, "Conflict"),
        ("POST", "/api/threads", b"[]", 422, "Unprocessable Content"),
        ("POST", "/api/threads", b'{"id": 1}', 422, "Unprocessable Content"),
        ("GET", "/api/threads?limit=0", b"", 422, "Unprocessable Content"),
        ("GET", "/api/runs?since=yesterday", b"", 422, "Unprocessable Content"),
    ],
)
async def test_every_refusal_is_a_problem_document(
    refusing: Running, method: str, path: str, body: bytes, status: int, title: str
) -> None:
    answer = await refusing.http.request(method, path, content=body, headers=JSON if body else {})
    _check_problem(answer, status, title)


async def test_a_405_says_what_is_allowed(refusing: Running) -> None:
    allowed = (await refusing.http.put("/api/threads")).headers["allow"].replace(" ", "").split(",")
    assert {"GET", "POST"} <= set(allowed)
    assert "PUT" not in allowed


async def test_a_missing_body_is_refused_in_words(refusing: Running) -> None:
    answer = await refusing.http.post("/api/threads")
    assert answer.status_code in {400, 422}
    assert "body" in answer.json()["detail"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://panel.example.evil"]
)
async def test_a_page_of_another_origin_changes_nothing(guarded: Running, origin: str) -> None:
    answer = await guarded.http.post("/api/loops/reflection/stop", headers={"Origin": origin} | _bearer(TOKEN))
    assert answer.status_code == 403
    (reflection, *_) = (await guarded.http.get("/api/loops", headers=_bearer(TOKEN))).json()
    assert reflection["running"] is True


@pytest.mark.parametrize("origin", [PANEL, "http://127.0.0.1:8000"])
async def test_the_panel_and_the_servers_own_pages_may_change_things(guarded: Running, origin: str) -> None:
    answer = await guarded.http.post("/api/loops/reflection/start", headers={"Origin": origin} | _bearer(TOKEN))
    assert answer.status_code == 200


async def test_an_operation_without_a_body_takes_an_empty_one_and_no_fields(running: Running) -> None:
    path = "/api/threads/default/heartbeat/run-now"
    for body in (b"", b"{}", b"null"):
        answer = await running.http.post(path, content=body, headers=JSON if body else {})
        assert answer.status_code == 200, body
    answer = await running.http.post(path, json={"dry_run": True})
    assert answer.status_code == 422
    assert "dry_run" in answer.json()["detail"]
