"""`Idempotency-Key`: a POST that comes again is carried out once, and answered as it was the first time."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy import func, select, text

from ledger.clock import ManualClock
from ledger.db import UNREACHABLE, Database, Session, writing_first
from ledger.errors import Conflict
from ledger.idempotency import store
from ledger.idempotency.middleware import Claim
from ledger.idempotency.store import LIFETIME, Answer
from ledger.idempotency.tables import KeptAnswerRow
from ledger.retention import Retention
from ledger.settings import Settings
from tests.conftest import START, Opener, Running, on_postgres, on_sqlite
from tests.proxy import Lost, proxy_running
from tests.scripted import Paused, ScriptedModel, act, ask, post

Json = dict[str, Any]

POST = {"author": "ann", "title": "When?", "content": "In May."}
HELLO = {"messages": [{"role": "user", "content": "Hello."}]}
RUN_NOW = "/api/threads/default/heartbeat/run-now"
CONFIG = "/api/threads/default/heartbeat/config"
HEARTBEAT_MD = "/api/heartbeat/heartbeat.md"
SECOND = timedelta(seconds=1)
LOST = timedelta(seconds=150)
"""A turn's limit and its lease's margin, as they are set by default."""


@pytest.fixture
async def idle(opened: Opener) -> AsyncGenerator[Running]:
    """The application, in which nothing happens by itself."""
    async with opened(heartbeat_enabled=False) as running:
        yield running


async def send(running: Running, path: str, body: Json | None = None, *, key: str = "k") -> httpx.Response:
    return await running.http.post(path, json=body, headers={"Idempotency-Key": key})


async def count(running: Running, path: str) -> int:
    return len((await running.http.get(f"{path}?limit=200")).raise_for_status().json()["items"])


async def keys(db: Database) -> int:
    async with db.read() as session:
        return await session.scalar(select(func.count()).select_from(KeptAnswerRow)) or 0


def is_replayed(answer: httpx.Response) -> bool:
    return answer.headers.get("idempotent-replayed") == "true"


def seen(answer: httpx.Response) -> tuple[int, bytes, str | None, str | None]:
    return answer.status_code, answer.content, answer.headers.get("etag"), answer.headers.get("content-type")


def assert_problem(answer: httpx.Response, status: int, *, retry_after: str | None = None) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.headers.get("retry-after") == retry_after


async def test_a_post_that_comes_again_is_written_once_and_answered_alike(idle: Running, clock: ManualClock) -> None:
    first = await send(idle, "/api/posts", POST)
    clock.advance(LIFETIME - SECOND)
    again = await send(idle, "/api/posts", POST)
    assert (first.status_code, is_replayed(first), is_replayed(again)) == (201, False, True)
    assert seen(again) == seen(first)
    assert again.headers["content-length"] == str(len(first.content))
    assert await count(idle, "/api/posts") == 1


@on_sqlite
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/threads", {"id": "a"}),
        ("/api/threads/default/messages", HELLO),
        (RUN_NOW, None),
        ("/api/threads/default/loops/reflection/run-now", None),
        ("/api/heartbeat/stop", None),
        ("/api/heartbeat/start", None),
        ("/api/loops/personality/stop", None),
        (CONFIG, {"every": 600}),
        (HEARTBEAT_MD, {"content": "# Say hello\n"}),
        ("/api/heartbeat/heartbeat.md/lint", {"content": "# Say hello\n"}),
    ],
)
async def test_whatever_is_posted_again_is_answered_alike_and_done_once(
    idle: Running, path: str, body: Json | None
) -> None:
    first = await send(idle, path, body)
    assert first.is_success, first.text
    before = await state(idle)
    again = await send(idle, path, body)
    assert (seen(again), is_replayed(again)) == (seen(first), True)
    assert await state(idle) == before


async def state(running: Running) -> list[object]:
    """How many rows there are of what a request may write."""
    tables = ("threads", "messages", "runs", "posts", "instructions", "events", "entries")
    async with running.db.read() as session:
        return [(await session.execute(text(f"SELECT count(*) FROM {name}"))).scalar() for name in tables]  # noqa: S608


async def test_an_etag_comes_again(idle: Running) -> None:
    first = await send(idle, HEARTBEAT_MD, {"content": "# Say hello\n"})
    assert "etag" in first.headers
    assert seen(await send(idle, HEARTBEAT_MD, {"content": "# Say hello\n"})) == seen(first)


@on_sqlite
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/posts", POST | {"title": "Where?"}),
        ("/api/threads", POST),
        ("/api/posts?", POST),
        ("/api/posts?a=b", POST),
        ("/api/posts", None),
    ],
)
async def test_a_key_stands_for_one_request(idle: Running, path: str, body: Json | None) -> None:
    await send(idle, "/api/posts", POST)
    answer = await send(idle, path, body)
    if path == "/api/posts?":
        assert is_replayed(answer)
    else:
        assert_problem(answer, 422)
    assert (await count(idle, "/api/posts"), await count(idle, "/api/threads")) == (1, 1)


async def test_other_methods_do_not_look_at_the_key(idle: Running) -> None:
    written = (await send(idle, "/api/posts", POST)).json()
    header = {"Idempotency-Key": "k"}
    path = f"/api/posts/{written['id']}"
    for title in ("One", "Two"):
        answer = await idle.http.patch(path, json={"title": title}, headers=header)
        assert (answer.json()["title"], is_replayed(answer)) == (title, False)
    assert (await idle.http.put(f"{path}/votes/bob", json={"value": 1}, headers=header)).status_code == 200
    assert (await idle.http.get(path, headers=header)).json()["score"] == 1
    assert (await idle.http.delete(path, headers=header)).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\u00e9"])
async def test_a_bad_key_is_refused(refusing: Running, key: str) -> None:
    headers = httpx.Headers({"Idempotency-Key": key}, encoding="utf-8")
    assert_problem(await refusing.http.post("/api/posts", json=POST, headers=headers), 422)


@on_sqlite
async def test_any_printable_key_will_do(idle: Running) -> None:
    for key in ("x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "a b"):
        assert is_replayed(await send(idle, "/api/posts", POST, key=key)) is False
        assert is_replayed(await send(idle, "/api/posts", POST, key=key)) is True


async def test_a_body_that_is_too_large_or_cannot_be_read_is_refused_with_a_key_too(refusing: Running) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    for body, status in ((b'"' + b"x" * (4 * 1024 * 1024) + b'"', 413), (b"{", 400), (b"\xff", 400), (b"", 422)):
        assert_problem(await refusing.http.post("/api/posts", content=body, headers=headers), status)


async def test_what_failed_does_not_keep_its_key(idle: Running) -> None:
    answer = await send(idle, "/api/posts", POST | {"thread_id": "later"})
    assert_problem(answer, 404)
    assert_problem(await send(idle, "/api/posts", POST | {"author": "ledger"}), 422)
    assert await keys(idle.db) == 0
    await idle.http.post("/api/threads", json={"id": "later"})
    answer = await send(idle, "/api/posts", POST | {"thread_id": "later"})
    assert (answer.status_code, is_replayed(answer)) == (201, False)


async def test_what_failed_after_it_had_written_does_not_keep_its_key(idle: Running, model: ScriptedModel) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    answers: list[httpx.Response] = []

    async def run_now() -> None:
        answers.append(await send(idle, RUN_NOW))

    async with anyio.create_task_group() as group:
        group.start_soon(run_now)
        await paused.asked.wait()
        assert await keys(idle.db) == 0  # it is taken when the turn is settled: who dies amid it has done nothing
        idle.app.stopping.set()
    assert_problem(answers[0], 503)
    assert await keys(idle.db) == 0


async def test_while_a_request_is_under_way_another_with_its_key_has_to_wait(
    idle: Running, model: ScriptedModel
) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    answers: list[httpx.Response] = []

    async def run_now() -> None:
        answers.append(await send(idle, RUN_NOW))

    async with anyio.create_task_group() as group:
        group.start_soon(run_now)
        await paused.asked.wait()
        assert_problem(await send(idle, RUN_NOW), 409, retry_after="1")
        assert_problem(await send(idle, "/api/heartbeat/stop"), 422)
        paused.go_on.set()
    again = await send(idle, RUN_NOW)
    assert (seen(again), is_replayed(again)) == (seen(answers[0]), True)
    assert await count(idle, "/api/runs") == await count(idle, "/api/posts") == 1


async def test_a_key_whose_answer_was_lost_says_so_and_is_free_after_a_day(idle: Running, clock: ManualClock) -> None:
    await send(idle, "/api/posts", POST)
    async with idle.db.write() as session:  # as a process leaves it that dies before it answers
        await session.execute(text("UPDATE kept_answers SET status = NULL, headers = NULL, body = NULL"))
    clock.advance(LOST - SECOND)
    assert_problem(await send(idle, "/api/posts", POST), 409, retry_after="1")
    clock.advance(SECOND)
    answer = await send(idle, "/api/posts", POST)
    assert_problem(answer, 409)
    assert "another key" in answer.json()["detail"]
    clock.advance(LIFETIME - LOST)
    assert (await send(idle, "/api/posts", POST)).status_code == 201


async def test_after_a_day_a_key_is_free(idle: Running, clock: ManualClock) -> None:
    first = await send(idle, "/api/posts", POST)
    clock.advance(LIFETIME)
    second = await send(idle, "/api/posts", POST | {"title": "Where?"})
    assert (second.status_code, is_replayed(second)) == (201, False)
    assert first.json()["id"] != second.json()["id"]
    assert is_replayed(await send(idle, "/api/posts", POST | {"title": "Where?"}))


async def test_old_keys_are_deleted(idle: Running, clock: ManualClock, settings: Settings) -> None:
    await send(idle, "/api/posts", POST, key="old")
    clock.advance(timedelta(hours=1))
    await send(idle, "/api/posts", POST, key="new")
    clock.advance(LIFETIME - timedelta(minutes=30))
    done = await Retention(settings, idle.db, clock).prune()
    assert (done["answers to keys"], await keys(idle.db)) == (1, 1)
    assert is_replayed(await send(idle, "/api/posts", POST, key="new"))


@pytest.mark.parametrize(
    ("path", "body", "effects"),
    [("/api/posts", POST, "/api/posts"), (RUN_NOW, None, "/api/runs"), ("/api/threads", {"id": "a"}, "/api/threads")],
)
async def test_of_equal_requests_at_once_exactly_one_is_carried_out(
    idle: Running, path: str, body: Json | None, effects: str
) -> None:
    before = await count(idle, effects)
    answers = await at_once(idle, path, body)
    done = [answer for answer in answers if answer.is_success]
    assert len({answer.content for answer in done}) == 1
    for refused in [answer for answer in answers if not answer.is_success]:
        assert_problem(refused, 409, retry_after="1")
    assert await count(idle, effects) == before + 1
    assert seen(await send(idle, path, body)) == seen(done[0])


async def test_equal_requests_at_once_that_write_nothing_are_all_answered(idle: Running) -> None:
    answers = await at_once(idle, "/api/heartbeat/heartbeat.md/lint", {"content": "# Say hello\n"})
    for answer in answers:
        assert answer.is_success or answer.status_code == 409, answer.text
        assert len(answer.content) == int(answer.headers.get("content-length", len(answer.content)))
    assert any(answer.is_success for answer in answers)


async def at_once(running: Running, path: str, body: Json | None, *, times: int = 8) -> list[httpx.Response]:
    answers: list[httpx.Response] = []

    async def one() -> None:
        answers.append(await send(running, path, body))

    async with anyio.create_task_group() as group:
        for _ in range(times):
            group.start_soon(one)
    return answers


async def test_of_equal_requests_to_two_processes_exactly_one_is_carried_out(opened: Opener) -> None:
    answers: list[httpx.Response] = []

    async def one(running: Running) -> None:
        answers.append(await send(running, "/api/posts", POST))

    async with opened(heartbeat_enabled=False) as first, opened(heartbeat_enabled=False) as second:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one, first)
                group.start_soon(one, second)
        assert await count(first, "/api/posts") == 1
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert is_replayed(await send(second, "/api/posts", POST))


async def test_a_request_with_a_key_of_its_own_is_carried_out_each_time(idle: Running) -> None:
    for key in "abc":
        assert not is_replayed(await send(idle, "/api/posts", POST, key=key))
    assert await count(idle, "/api/posts") == 3


async def test_the_key_is_taken_in_the_transaction_of_what_is_done(db: Database, clock: ManualClock) -> None:
    claim = Claim("k", "digest", clock)
    with writing_first(claim):
        with pytest.raises(ZeroDivisionError):
            async with db.write():
                raise ZeroDivisionError
        assert (await keys(db), claim.is_taken) == (0, False)
        async with db.write():
            pass
        assert (await keys(db), claim.is_taken) == (1, True)
        async with db.write():  # of the same request
            pass
    async with db.write():  # of nobody's
        pass
    assert await keys(db) == 1


async def test_something_is_written_first_only_inside_and_in_the_tasks_begun_there(db: Database) -> None:
    written: list[str] = []

    async def write(name: str) -> None:
        async with db.write():
            written.append(name)

    async def first(session: Session) -> None:
        await session.execute(select(1))
        written.append("first")

    with writing_first(first):
        async with anyio.create_task_group() as group:
            group.start_soon(write, "inside")
        async with db.read():
            pass
    await write("outside")
    assert written == ["first", "inside", "outside"]


async def test_an_answer_is_kept_byte_for_byte(db: Database) -> None:
    answer = Answer(201, {"content-type": "application/json", "etag": '"7"'}, bytes(range(256)))
    async with db.write() as session:
        await store.keep(session, "k", "digest", answer, now=START)
    async with db.read() as session:
        known = await store.find(session, "k", now=START)
    assert known is not None
    assert (known.answer, known.request) == (answer, "digest")


@on_postgres
async def test_a_key_that_another_transaction_holds_is_free_when_that_is_rolled_back(
    db: Database, other_db: Database
) -> None:
    held, go_on = anyio.Event(), anyio.Event()

    async def hold() -> None:
        async with other_db.write() as session, session.undone():
            await store.claim(session, "k", "one", now=START)
            held.set()
            await go_on.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await held.wait()
        group.start_soon(_release_when_waited_for, db, go_on)
        async with db.write() as session:
            await store.claim(session, "k", "two", now=START)
    assert await keys(db) == 1


async def _release_when_waited_for(db: Database, go_on: anyio.Event) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with anyio.fail_after(10):
        while True:
            async with db.read() as session:
                if (await session.execute(waiting)).scalar():
                    break
    go_on.set()


@on_postgres
async def test_while_the_database_is_away_a_request_with_a_key_gets_503_and_may_come_again(
    opened: Opener, database_url: str
) -> None:
    async with (
        proxy_running(database_url) as proxy,
        opened(heartbeat_enabled=False, database_url=proxy.url) as running,
    ):
        await proxy.refuse()
        assert_problem(await send(running, "/api/posts", POST), 503)
        await proxy.accept()
        answer = await send(running, "/api/posts", POST)
        assert (answer.status_code, is_replayed(answer)) == (201, False)


@on_postgres
async def test_when_the_database_is_lost_while_an_answer_is_kept_it_is_sent_and_the_effect_is_not_repeated(
    opened: Opener, database_url: str
) -> None:
    async with (
        proxy_running(database_url) as proxy,
        opened(heartbeat_enabled=False, database_url=proxy.url) as running,
    ):
        proxy.lose("question", b"UPDATE kept_answers", proxy.cut)
        assert (await send(running, "/api/posts", POST)).status_code == 201
        assert_problem(await send(running, "/api/posts", POST), 409, retry_after="1")
        assert await count(running, "/api/posts") == 1


@on_postgres
@pytest.mark.parametrize(("lost", "count"), [("question", 0), ("answer", 1)])
async def test_a_key_is_taken_with_what_was_done_also_when_nobody_was_told(
    database_url: str, db: Database, clock: ManualClock, lost: Lost, count: int
) -> None:
    async with proxy_running(database_url) as proxy:
        through = Database(proxy.url)
        claim = Claim("k", "digest", clock)
        with writing_first(claim), pytest.raises(UNREACHABLE):
            async with through.write():
                proxy.lose(lost, b"COMMIT", proxy.cut)
        await through.close()
    assert (await keys(db), claim.is_taken) == (count, False)


async def test_what_was_asked_and_answered_under_a_key_is_answered_once(idle: Running, model: ScriptedModel) -> None:
    model.says(ask("Which lake?"))
    await idle.http.post(RUN_NOW)
    (question,) = (await idle.http.get("/api/questions")).json()["items"]
    path = f"/api/questions/{question['id']}/answer"
    first = await send(idle, path, {"answer": "The big one."})
    again = await send(idle, path, {"answer": "The big one."})
    assert (first.status_code, seen(again)) == (200, seen(first))


async def test_a_turn_whose_key_another_request_took_meanwhile_leaves_nothing(
    idle: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(act(post()), act(post()))
    async with idle.db.write() as session:
        await store.claim(session, "k", "another request", now=clock.now())
    with writing_first(Claim("k", "this one", clock)), pytest.raises(Conflict):
        await idle.app.state.heartbeat_loop.run_for_thread("default")
    assert await count(idle, "/api/runs") == await count(idle, "/api/posts") == 0
    assert (await idle.http.post("/api/threads/default/heartbeat/run-now")).json()["ran_successfully"]
    assert await count(idle, "/api/posts") == 1
