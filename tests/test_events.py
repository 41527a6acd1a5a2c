"""The log of events: what is told, in which order it may be read, and how it is forgotten."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from sqlalchemy import insert, text

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.errors import Malformed
from ledger.events import store as events
from ledger.events.store import REWRITTEN, Position, Told
from ledger.events.tables import EventRow, LogRow
from ledger.providers import store as providers
from ledger.retention import Retention
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from tests.conftest import START, Opener, Running, on_postgres, on_sqlite
from tests.listener import listening
from tests.scripted import ScriptedModel, act, ask, post
from tests.talks import sitting
from tests.toy import HALF_HOUR, Process, Toy, skip

Json = dict[str, Any]
Deed = Callable[[Running, ScriptedModel], Awaitable[object]]

BEGINNING = Position(0, 0)
DAY = timedelta(days=1)
THREAD = "/api/threads/default"
CONFIG = f"{THREAD}/heartbeat/config"
POST: Json = {"author": "ann", "title": "When?", "content": "In May."}


class Numbered(Struct, frozen=True):
    number: int


async def tell(db: Database, *numbers: int, thread: str | None = None, days_ago: int = 0) -> None:
    async with db.write() as session:
        for number in numbers:
            at = START - days_ago * DAY
            await events.tell(session, "vote", Numbered(number), thread_id=thread, at=at, subject=str(number))


async def all_told(db: Database, after: Position = BEGINNING) -> list[Told]:
    async with db.read() as session:
        told = await events.after(session, after, limit=10_000)
    return [event for event in told if event.kind != REWRITTEN]


def numbers(found: list[Told]) -> list[int]:
    return [int(event.data.removeprefix('{"number":').removesuffix("}")) for event in found]


async def is_read(db: Database, count: int) -> None:
    """Wait until so many events are safe: other databases of the server may have older transactions open."""
    with anyio.fail_after(10):
        while sum(event.is_safe for event in await all_told(db)) < count:
            pass


async def have_thread(db: Database, name: str) -> None:
    async with db.write() as session:
        await threads.create(session, NewThread(name), now=START)


async def forget(db: Database, *, days: int, limit: int = 1_000) -> int:
    async with db.write() as session:
        return await events.forget(session, before=START - days * DAY, limit=limit)


async def pruned(db: Database) -> Position:
    async with db.read() as session:
        return (await events.log(session)).pruned


async def test_events_come_in_the_order_they_were_told_in_a_page_at_a_time(db: Database) -> None:
    for n in range(0, 10, 2):
        await tell(db, n, n + 1)
    await is_read(db, 10)
    found: list[Told] = []
    place = BEGINNING
    async with db.read() as session:
        while page := await events.after(session, place, limit=3):
            found += page
            place = page[-1].position
    assert numbers(found) == [*range(10)]
    assert [event.position for event in found] == sorted({event.position for event in found})
    assert {(event.kind, event.thread_id, event.at) for event in found} == {("vote", None, START)}
    async with db.read() as session:
        end = (await events.log(session)).end
    assert end >= place
    await tell(db, 10)
    assert numbers(await all_told(db, end)) == [10]


async def test_events_of_one_thread_can_be_read_alone(db: Database) -> None:
    await have_thread(db, "a")
    await tell(db, 1)
    await tell(db, 2, thread="a")
    async with db.read() as session:
        assert numbers(await events.after(session, BEGINNING, limit=10, thread_id="a")) == [2]


@on_postgres
async def test_what_is_committed_late_is_not_passed_over(db: Database, other_db: Database) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def tell_late() -> None:
        async with other_db.write() as session:
            await events.tell(session, "vote", Numbered(1), thread_id=None, at=START)
            begun.set()
            await go_on.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(tell_late)
        await begun.wait()
        await tell(db, 2)
        (early,) = await all_told(db)
        assert not early.is_safe
        async with db.read() as session:
            assert (await events.log(session)).end < early.position
        go_on.set()
    await is_read(db, 2)
    assert numbers(await all_told(db)) == [1, 2]


@on_postgres
async def test_a_reader_gets_what_is_committed_late_before_what_came_after_it(
    opened: Opener, clock: ManualClock, other_db: Database
) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def tell_late() -> None:
        async with other_db.write() as session:
            await events.tell(session, "vote", Numbered(1), thread_id=None, at=START)
            begun.set()
            await go_on.wait()

    async with (
        opened(heartbeat_enabled=False) as running,
        listening(running, clock) as stream,
        anyio.create_task_group() as group,
    ):
        group.start_soon(tell_late)
        await begun.wait()
        await tell(running.db, 2)
        async with listening(running, clock) as late:
            begun_at = clock.now()
            await late.until(lambda: clock.now() > begun_at + timedelta(seconds=1))
            assert (stream.events, late.events) == ([], [])
            go_on.set()
            for each in (stream, late):
                assert [event["data"]["number"] for event in await each.take(2)] == [1, 2]


async def test_what_is_rolled_back_or_undone_is_not_told(db: Database) -> None:
    told: list[str] = []
    db.listen(lambda: told.append("now"))
    with pytest.raises(ZeroDivisionError):
        await _tell_and_fail(db)
    assert (await all_told(db), told) == ([], [])
    async with db.write() as session:
        async with session.undone():
            await events.tell(session, "vote", Numbered(2), thread_id=None, at=START)
        await events.tell(session, "vote", Numbered(3), thread_id=None, at=START)
        assert told == []
    assert (numbers(await all_told(db)), told) == ([3], ["now"])


async def _tell_and_fail(db: Database) -> None:
    async with db.write() as session:
        await events.tell(session, "vote", Numbered(1), thread_id=None, at=START)
        raise ZeroDivisionError


async def test_a_number_is_never_given_twice(db: Database) -> None:
    await tell(db, 1, days_ago=9)
    await is_read(db, 1)
    (first,) = await all_told(db)
    await forget(db, days=1)
    await tell(db, 2)
    (second,) = await all_told(db, first.position)
    assert second.number > first.number


async def test_what_is_old_is_forgotten_and_up_to_where_is_known(db: Database) -> None:
    assert await pruned(db) == BEGINNING
    await tell(db, 1, 2, days_ago=9)
    await tell(db, 3, days_ago=2)
    await is_read(db, 3)
    found = await all_told(db)
    assert await forget(db, days=9) == 0
    assert await pruned(db) == BEGINNING
    assert await forget(db, days=8, limit=1) == 1
    assert await pruned(db) == found[0].position
    assert await forget(db, days=8) == 1
    assert (await pruned(db), numbers(await all_told(db))) == (found[1].position, [3])


async def test_two_who_forget_at_once_forget_each_event_once(db: Database, other_db: Database) -> None:
    for n in range(0, 400, 50):
        await tell(db, *range(n, n + 50), days_ago=9)
    await tell(db, 400)
    await is_read(db, 401)
    *_, last_old, _ = await all_told(db)
    done: list[int] = []

    async def forget_all(database: Database) -> None:
        while count := await forget(database, days=1, limit=30):
            done.append(count)

    async with anyio.create_task_group() as group:
        for database in (db, other_db):
            group.start_soon(forget_all, database)
    assert (sum(done), await pruned(db)) == (400, last_old.position)
    assert numbers(await all_told(db)) == [400]


async def test_retention_forgets_events_after_their_days(db: Database, clock: ManualClock, settings: Settings) -> None:
    await tell(db, *range(450), days_ago=8)
    await tell(db, 450, days_ago=6)
    done = await Retention(settings, db, clock).prune()
    assert (done["events"], numbers(await all_told(db))) == (450, [450])


async def test_events_of_a_thread_go_with_it(db: Database) -> None:
    for name in ("a", "b"):
        await have_thread(db, name)
    await tell(db, 1, thread="a")
    await tell(db, 2, thread="b")
    await tell(db, 3)
    async with db.write() as session:
        await threads.remove(session, "a", now=START)
    assert numbers(await all_told(db)) == [2, 3]


async def test_what_was_removed_shows_its_tombstone_and_nothing_else_does(db: Database) -> None:
    for name in ("a", "b"):
        await have_thread(db, name)
        await tell(db, 1, 2, 1, thread=name)
    async with db.write() as session:
        await events.blank(session, "vote", "a", "1", Numbered(0), at=START)
        await events.blank(session, "post", "b", "1", Numbered(0), at=START)
    assert numbers(await all_told(db)) == [0, 2, 0, 1, 2, 1]


async def _restore(db: Database, *rows: tuple[int, int]) -> None:
    """Have events as a dump of another server has them: (transaction, number)."""
    async with db.write() as session:
        for tx, number in rows:
            values = {"tx": tx, "number": number, "kind": "vote", "at": START, "data": f'{{"number":{number}}}'}
            await session.execute(insert(EventRow).values(values))
        await session.execute(text("SELECT setval(pg_get_serial_sequence('events', 'number'), 1000)"))


@on_postgres
async def test_events_of_a_restored_dump_are_told_before_those_that_come(db: Database) -> None:
    await _restore(db, (10**12, 11), (10**12 + 1, 12))
    async with db.write() as session:
        await session.execute(insert(LogRow).values(key=1, tx=10**11, number=10, life=0))
    await tell(db, 2_000)
    assert not any(event.is_safe for event in await all_told(db) if event.number < 1_000)
    async with db.write() as session:
        await events.adopt(session)
    assert await pruned(db) == Position(0, 0)
    await is_read(db, 3)
    assert numbers(await all_told(db)) == [11, 12, 2_000]


@on_postgres
async def test_events_of_a_restored_dump_keep_their_order(db: Database) -> None:
    """Also where the numbers of some of their transactions are still to come, and those of others are past."""
    await _restore(db, (3, 11), (10**12, 12))
    async with db.write() as session:
        await events.adopt(session)
    assert numbers(await all_told(db)) == [11, 12]
    async with db.read() as session:
        log = await events.log(session)
    assert not log.holds_on_from(Position(3, 11))  # an id of the earlier life, which says nothing in this one
    assert log.holds_on_from(Position(0, 11))


@on_postgres
async def test_events_of_this_life_are_not_adopted(db: Database) -> None:
    await tell(db, 1, 2)
    before = await all_told(db)
    async with db.write() as session:
        await events.adopt(session)
    assert [event.position for event in await all_told(db)] == [event.position for event in before]


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_a_position_is_read_as_it_is_written(tx: int, number: int) -> None:
    assert Position.read(f" {Position(tx, number)} ") == (tx, number)


@hypothesis.settings(max_examples=50)
@given(st.from_regex(r"[0-9\- a٣]{0,20}", fullmatch=True))
def test_what_is_no_position_is_refused(written: str) -> None:
    try:
        position = Position.read(written)
    except Malformed:
        return
    assert [int(part) for part in written.strip().split("-")] == [*position]


@pytest.mark.parametrize("written", ["", "1", "1-", "-1-2", "1-2-3", "1 - 2", "٣-١", "1-9999999999999999999", "0x1-2"])  # noqa: RUF001 - Arabic digits
def test_a_position_is_two_numbers(written: str) -> None:
    with pytest.raises(Malformed, match="is no event's id"):
        Position.read(written)


async def _call(running: Running, method: str, path: str, **body: object) -> Json:
    answer = await running.http.request(method, path, json=body or None)
    return answer.raise_for_status().json() if answer.content else {}


async def _write_edit_and_remove_a_post(running: Running, _: ScriptedModel) -> None:
    path = f"/api/posts/{(await _call(running, 'POST', '/api/posts', **POST))['id']}"
    await _call(running, "PATCH", path, title="Where?")
    await _call(running, "DELETE", path)


async def _comment(running: Running, _: ScriptedModel) -> None:
    written = await _call(running, "POST", "/api/posts", **POST)
    path = f"/api/posts/{written['id']}/comments"
    comment = await _call(running, "POST", path, author="bob", content="Fine.")
    await _call(running, "PATCH", f"/api/comments/{comment['id']}", content="Good.")
    await _call(running, "DELETE", f"/api/comments/{comment['id']}")


async def _vote(running: Running, _: ScriptedModel) -> None:
    path = f"/api/posts/{(await _call(running, 'POST', '/api/posts', **POST))['id']}/votes/bob"
    await _call(running, "PUT", path, value=1)
    await _call(running, "PUT", path, value=-1)
    await _call(running, "DELETE", path)


async def _decide(running: Running, model: ScriptedModel, decision: Json) -> None:
    model.says(decision)
    await _call(running, "POST", f"{THREAD}/heartbeat/run-now")


async def _act(running: Running, model: ScriptedModel) -> None:
    await _decide(running, model, act(post()))


async def _speak(running: Running, model: ScriptedModel) -> None:
    await _call(running, "POST", CONFIG, target="last")
    await _decide(running, model, act({"action": "message", "content": "Hello."}))


async def _reflect(running: Running, _: ScriptedModel) -> None:
    await _call(running, "POST", f"{THREAD}/messages", messages=sitting(0))
    await _call(running, "POST", f"{THREAD}/loops/reflection/run-now")
    (entry,) = (await _call(running, "GET", f"{THREAD}/journal"))["items"]
    await _call(running, "POST", f"{THREAD}/journal/{entry['id']}/replies", body="Really?", author="ann")


async def _pin_and_revert(running: Running, _: ScriptedModel) -> None:
    for value in (0.5, 0.9):
        await _call(running, "PATCH", f"{THREAD}/profile", pin={"formality": value})
    await _call(running, "POST", f"{THREAD}/profile/revert", revision=1)


async def _instruct(running: Running, _: ScriptedModel) -> None:
    await _call(running, "POST", "/api/heartbeat/heartbeat.md", content="# Say hello\n")
    path = f"{THREAD}/heartbeat/instructions"
    await _call(running, "PUT", path, content="Say more.", mode="extend")
    await _call(running, "DELETE", path)


async def _ask_and_answer(running: Running, model: ScriptedModel) -> None:
    for number, (verb, body) in enumerate((("answer", {"answer": "That one."}), ("dismiss", {}))):
        await _decide(running, model, ask(f"Which lake, {number}?"))
        (question,) = (await _call(running, "GET", "/api/questions?status=open"))["items"]
        await _call(running, "POST", f"/api/questions/{question['id']}/{verb}", **body)


async def _approve_and_reject(running: Running, model: ScriptedModel) -> None:
    await _call(running, "POST", CONFIG, approval="all")
    for verb, title in (("approve", "The garden in May"), ("reject", "Where the choir sings")):
        await _decide(running, model, act(post(title=title, content=f"{title}: all of it.")))
        (approval,) = (await _call(running, "GET", "/api/approvals?status=pending"))["items"]
        await _call(running, "POST", f"/api/approvals/{approval['id']}/{verb}")


async def _switch(running: Running, _: ScriptedModel) -> None:
    await _call(running, "POST", "/api/heartbeat/start")
    await _call(running, "POST", "/api/loops/reflection/stop")
    await _call(running, "POST", CONFIG, every=600)
    await _call(running, "PATCH", f"{THREAD}/loops/personality", enabled=False)


async def _lose_a_provider(running: Running, _: ScriptedModel) -> None:
    async with running.db.write() as session:
        failed = await providers.count_failure(session, "http://model", "small", "It is down.", now=START)
        probe_at = await providers.pause(session, failed, now=START, wait=timedelta())
    assert probe_at is not None
    async with running.db.write() as session:
        probe = await providers.lease_probe(session, failed, now=probe_at, until=probe_at + HALF_HOUR)
        assert probe is not None
        again = await providers.stay_paused(session, probe, "Still.", now=probe_at, wait=timedelta())
        await providers.resume(session, failed, now=again)


@pytest.fixture
async def idle(opened: Opener) -> AsyncGenerator[Running]:
    """The application, in which nothing happens by itself."""
    async with opened(heartbeat_enabled=False) as running:
        yield running


@pytest.mark.parametrize(
    ("deed", "kinds"),
    [
        (_write_edit_and_remove_a_post, ["post", "post", "post"]),
        (_comment, ["post", "comment", "comment", "comment"]),
        (_vote, ["post", "vote", "vote", "vote"]),
        (_act, ["post", "run"]),
        (_speak, ["message", "run"]),
        (_reflect, ["entry", "scorecard", "run", "entry"]),
        (_pin_and_revert, ["profile", "profile", "profile"]),
        (_instruct, ["instructions", "instructions", "instructions"]),
        (_ask_and_answer, ["question", "run", "question"] * 2),
        (_approve_and_reject, ["approval", "run", "post", "approval", "approval", "run", "approval"]),
        (_switch, ["loop", "loop", "loop", "loop"]),
        (_lose_a_provider, ["provider", "provider", "provider"]),
    ],
)
async def test_what_is_written_is_told(idle: Running, model: ScriptedModel, deed: Deed, kinds: list[str]) -> None:
    before = {event.position for event in await all_told(idle.db)}
    await deed(idle, model)
    found = [event for event in await all_told(idle.db) if event.position not in before]
    assert sorted(event.kind for event in found) == sorted(kinds)


async def _edit_to_the_same(running: Running, _: ScriptedModel) -> None:
    (written,) = (await _call(running, "GET", "/api/posts"))["items"]
    await _call(running, "PATCH", f"/api/posts/{written['id']}", title=POST["title"], content=POST["content"])


async def _edit_a_comment_to_the_same(running: Running, _: ScriptedModel) -> None:
    (written,) = (await _call(running, "GET", "/api/posts"))["items"]
    (comment,) = (await _call(running, "GET", f"/api/posts/{written['id']}/comments"))["items"]
    await _call(running, "PATCH", f"/api/comments/{comment['id']}", content=comment["content"])


async def _take_no_vote_back(running: Running, _: ScriptedModel) -> None:
    (written,) = (await _call(running, "GET", "/api/posts"))["items"]
    await _call(running, "DELETE", f"/api/posts/{written['id']}/votes/nobody")


async def _vote_the_same(running: Running, _: ScriptedModel) -> None:
    (written,) = (await _call(running, "GET", "/api/posts"))["items"]
    await _call(running, "PUT", f"/api/posts/{written['id']}/votes/bob", value=1)


async def _configure_the_same(running: Running, _: ScriptedModel) -> None:
    await _call(running, "POST", CONFIG, every=600)
    await _call(running, "POST", CONFIG, enabled=True, model="another")
    await _call(running, "PATCH", f"{THREAD}/loops/heartbeat", every=600)


async def _start_what_runs(running: Running, _: ScriptedModel) -> None:
    await _call(running, "POST", "/api/heartbeat/start")


async def _save_the_same(running: Running, _: ScriptedModel) -> None:
    await _call(running, "POST", "/api/heartbeat/heartbeat.md", content="# Say hello\n")
    await _call(running, "PUT", f"{THREAD}/heartbeat/instructions", content="Say more.", mode="extend")


async def _say(running: Running, _: ScriptedModel) -> None:
    await _call(running, "POST", f"{THREAD}/messages", messages=[{"role": "user", "content": "Hello."}])
    await _call(running, "POST", "/api/threads", id="a")
    await _call(running, "POST", "/api/heartbeat/heartbeat.md/lint", content="# Say hello\n")


@on_sqlite
@pytest.mark.parametrize(
    "deed",
    [
        _edit_to_the_same,
        _edit_a_comment_to_the_same,
        _take_no_vote_back,
        _vote_the_same,
        _configure_the_same,
        _start_what_runs,
        _save_the_same,
        _say,
    ],
)
async def test_what_changes_nothing_that_is_told_is_not_told(idle: Running, model: ScriptedModel, deed: Deed) -> None:
    written = await _call(idle, "POST", "/api/posts", **POST)
    await _call(idle, "POST", f"/api/posts/{written['id']}/comments", author="bob", content="Fine.")
    await _call(idle, "PUT", f"/api/posts/{written['id']}/votes/bob", value=1)
    await _call(idle, "POST", CONFIG, every=600)
    await _call(idle, "POST", "/api/heartbeat/start")
    await _call(idle, "POST", "/api/heartbeat/heartbeat.md", content="# Say hello\n")
    await _call(idle, "PUT", f"{THREAD}/heartbeat/instructions", content="Say more.", mode="extend")
    before = len(await all_told(idle.db))
    await deed(idle, model)
    assert [event.kind for event in (await all_told(idle.db))[before:]] == []


async def test_a_skip_is_told_when_its_reason_changes(db: Database, clock: ManualClock) -> None:
    toy = Toy()
    process = Process(db, clock, toy)
    await process.start("a")
    before = len(await all_told(db))
    for reason in ("nothing_new", "nothing_new", "nothing_new", "no_task_due", "no_task_due", "nothing_new"):
        toy.does(skip(reason))
        clock.advance(HALF_HOUR)
        await process.loop.run_once()
    told = (await all_told(db))[before:]
    reasons = [event.data.split('"reason":"')[1].split('"')[0] for event in told if event.kind == "run"]
    assert reasons == ["nothing_new", "no_task_due", "nothing_new"]
    assert [event.kind for event in told] == ["run"] * 3


@pytest.mark.parametrize("how", ["person", "agent", "approved"])
async def test_the_text_of_a_post_that_was_removed_is_only_in_the_records_of_the_turn_that_wrote_it(
    idle: Running, model: ScriptedModel, how: str
) -> None:
    if how == "person":
        await _call(idle, "POST", "/api/posts", author="ann", title="Zeppelin?", content="The zeppelin waits.")
    else:
        await _call(idle, "POST", CONFIG, approval="all" if how == "approved" else "auto")
        await _decide(idle, model, act(post(title="Zeppelin?", content="The zeppelin waits.")))
    if how == "approved":
        (approval,) = (await _call(idle, "GET", "/api/approvals"))["items"]
        await _call(idle, "POST", f"/api/approvals/{approval['id']}/approve")
    (written,) = (await _call(idle, "GET", "/api/posts"))["items"]
    await _call(idle, "PATCH", f"/api/posts/{written['id']}", content="The zeppelin has gone.")
    await _call(idle, "DELETE", f"/api/posts/{written['id']}")
    left = {event.kind for event in await all_told(idle.db) if "zeppelin" in event.data.lower()}
    assert left <= {"run", "approval"}  # which tell of it as long as they are kept


@on_sqlite
async def test_the_text_of_a_comment_that_was_removed_is_nowhere_in_the_log(
    idle: Running, model: ScriptedModel
) -> None:
    written = await _call(idle, "POST", "/api/posts", **POST)
    await _decide(idle, model, act({"action": "comment", "post_id": written["id"], "content": "The zeppelin waits."}))
    (comment,) = (await _call(idle, "GET", f"/api/posts/{written['id']}/comments"))["items"]
    await _call(idle, "DELETE", f"/api/comments/{comment['id']}")
    told = await all_told(idle.db)
    assert sum(event.kind == "comment" for event in told) == 2
    assert [event.kind for event in told if "zeppelin" in event.data.lower()] == []
