"""The event stream: what is told, to whom, and from where on; nothing is missed, and nothing comes twice."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import timedelta

import anyio
import pytest
from msgspec import Struct

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.events import store as events
from ledger.events.store import Position
from ledger.stream.reader import PATIENCE
from ledger.stream.tail import KEPT, PAGE, Tail
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from tests.conftest import Opener, Running, on_postgres, on_sqlite
from tests.listener import Json, listening
from tests.proxy import proxy_running
from tests.scripted import Paused, ScriptedModel, act, post

TICK = timedelta(seconds=5)
POST = {"author": "ann", "title": "When?", "content": "In May."}


class Numbered(Struct, frozen=True):
    number: int


@pytest.fixture
async def idle(opened: Opener) -> AsyncGenerator[Running]:
    """The application, in which nothing happens by itself."""
    async with opened(heartbeat_enabled=False) as running:
        yield running


async def tell(db: Database, clock: ManualClock, *numbers: int, kind: str = "vote", thread: str | None = None) -> None:
    async with db.write() as session:
        for number in numbers:
            await events.tell(session, kind, Numbered(number), thread_id=thread, at=clock.now())


async def forget_all(db: Database, clock: ManualClock) -> None:
    """As retention does once they are old."""
    async with db.write() as session:
        await events.forget(session, before=clock.now() + timedelta(days=1), limit=100_000)


async def have_thread(db: Database, clock: ManualClock, thread: str) -> None:
    async with db.write() as session:
        await threads.create(session, NewThread(thread), now=clock.now())


async def write(running: Running, path: str, body: Json) -> Json:
    return (await running.http.post(path, json=body)).raise_for_status().json()


def numbers(found: list[Json]) -> list[int]:
    return [event["data"]["number"] for event in found]


async def test_a_stream_says_what_it_is_and_begins_with_where_it_stands(idle: Running, clock: ManualClock) -> None:
    async with listening(idle, clock) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        (opening,) = stream.frames
        assert (opening.retry, opening.event, opening.data) == (1_000, None, None)
        assert opening.id is not None


async def test_what_happens_is_told_as_it_happens_and_what_was_before_is_not(idle: Running, clock: ManualClock) -> None:
    await write(idle, "/api/posts", POST)
    async with listening(idle, clock) as stream:
        written = await write(idle, "/api/posts", POST | {"title": "Where?"})
        event = await stream.next()
        assert event == {
            "kind": "post",
            "id": event["id"],
            "at": f"{clock.now():%FT%TZ}",
            "thread_id": "default",
            "data": written,
        } | {"at": event["at"]}
        (frame,) = [frame for frame in stream.frames if frame.data]
        assert (frame.id, frame.event) == (event["id"], "post")


async def test_it_goes_on_without_gap_or_repeat_from_wherever_it_was_cut(idle: Running, clock: ManualClock) -> None:
    async with listening(idle, clock) as stream:
        start = stream.last_id
    for n in range(1, 9, 2):
        await tell(idle.db, clock, n, n + 1)
    async with listening(idle, clock, last_event_id=start) as stream:
        history = await stream.take(8)
        assert numbers(history) == [*range(1, 9)]
        for cut, event in enumerate(history, start=1):
            async with listening(idle, clock, last_event_id=event["id"]) as again:  # from what the process holds
                assert await again.take(8 - cut) == history[cut:]
    for cut, event in enumerate(history, start=1):
        async with listening(idle, clock, f"after={event['id']}") as again:  # from the database
            await tell(idle.db, clock, 8 + cut)
            assert numbers(await again.take(8)) == [*range(cut + 1, cut + 9)]


async def test_it_goes_on_over_a_restart(opened: Opener, clock: ManualClock) -> None:
    async with opened(heartbeat_enabled=False) as running, listening(running, clock) as stream:
        await tell(running.db, clock, 1, 2)
        first, _ = await stream.take(2)
    async with opened(heartbeat_enabled=False) as running:
        await tell(running.db, clock, 3)
        async with listening(running, clock, last_event_id=first["id"]) as stream:
            await tell(running.db, clock, 4)
            assert numbers(await stream.take(3)) == [2, 3, 4]


async def test_a_header_goes_before_a_parameter(idle: Running, clock: ManualClock) -> None:
    async with listening(idle, clock) as stream:
        await tell(idle.db, clock, 1, 2, 3)
        first, second, _ = await stream.take(3)
    async with listening(idle, clock, f"after={first['id']}", last_event_id=second["id"]) as stream:
        assert numbers([await stream.next()]) == [3]


async def test_0_0_begins_at_the_oldest_that_is_kept(idle: Running, clock: ManualClock) -> None:
    await tell(idle.db, clock, 1, 2)
    async with listening(idle, clock, "after=0-0") as stream:
        assert numbers(await stream.take(2)) == [1, 2]


@on_postgres
async def test_another_process_is_told_by_a_hint(opened: Opener, clock: ManualClock) -> None:
    async with (
        opened(heartbeat_enabled=False, tick_seconds=3_600.0) as one,
        opened(heartbeat_enabled=False, tick_seconds=3_600.0) as other,
        listening(other, clock) as stream,
    ):
        await tell(one.db, clock, 1)
        assert numbers([await stream.next()]) == [1]


@on_sqlite
async def test_another_process_notices_within_a_tick(opened: Opener, clock: ManualClock) -> None:
    async with (
        opened(heartbeat_enabled=False) as one,
        opened(heartbeat_enabled=False) as other,
        listening(other, clock) as stream,
    ):
        await tell(one.db, clock, 1)
        clock.advance(TICK)
        assert numbers([await stream.next()]) == [1]


async def test_two_processes_give_the_same_events_the_same_ids(opened: Opener, clock: ManualClock) -> None:
    async with opened(heartbeat_enabled=False) as one, opened(heartbeat_enabled=False) as other:
        async with listening(one, clock) as stream, listening(other, clock) as mirror:
            for n in range(1, 7):
                await tell((one, other)[n % 2].db, clock, n)
            clock.advance(TICK)
            assert await stream.take(6) == await mirror.take(6)
        async with listening(other, clock, last_event_id=stream.events[2]["id"]) as moved:
            assert await moved.take(3) == stream.events[3:]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", [1, 2, 3, 4]),
        ("thread_id=a", [1, 3]),
        ("kinds=vote", [1, 2]),
        ("kinds=post&kinds=vote", [1, 2, 3]),
        ("thread_id=a&kinds=post", [3]),
    ],
)
async def test_one_gets_what_one_asks_for(idle: Running, clock: ManualClock, query: str, wanted: list[int]) -> None:
    for thread in ("a", "b"):
        await have_thread(idle.db, clock, thread)
    told = (("vote", "a"), ("vote", "b"), ("post", "a"), ("provider", None))
    async with listening(idle, clock, query) as live:
        for number, (kind, thread) in enumerate(told, start=1):
            await tell(idle.db, clock, number, kind=kind, thread=thread)
        assert numbers(await live.take(len(wanted))) == wanted
        async with listening(idle, clock, query, last_event_id=live.frames[0].id) as again:
            assert numbers(await again.take(len(wanted))) == wanted
    async with listening(idle, clock, query, last_event_id=live.frames[0].id) as again:
        assert numbers(await again.take(len(wanted))) == wanted


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/events?thread_id=nobody", 404),
        ("/api/events?after=12", 400),
        ("/api/events?after=a-b", 400),
        ("/api/events?after=-1-2", 400),
        ("/api/events?after=1-99999999999999999999", 400),
        ("/api/events?kinds=gossip", 422),
        ("/api/events?kind=run", 422),
        ("/api/loops/stream?thread_id=nobody", 404),
        ("/api/loops/stream?interval_seconds=0", 422),
        ("/api/loops/stream?interval_seconds=nan", 422),
        ("/api/loops/stream?interval_seconds=3600", 422),
    ],
)
async def test_what_nobody_can_be_told_is_refused(refusing: Running, path: str, status: int) -> None:
    answer = await refusing.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_a_bad_id_and_a_bad_kind_are_told_what_is_right(refusing: Running) -> None:
    answer = await refusing.http.get("/api/events", headers={"Last-Event-ID": "yesterday"})
    assert (answer.status_code, "'yesterday' is no event's id" in answer.json()["detail"]) == (400, True)
    detail = (await refusing.http.get("/api/events?kinds=gossip")).json()["detail"]
    assert "gossip" in detail
    assert "scorecard" in detail


async def test_a_ping_comes_after_15_seconds_and_moves_the_id_past_what_was_not_wanted(
    idle: Running, clock: ManualClock
) -> None:
    async with listening(idle, clock, "kinds=run") as stream, listening(idle, clock) as everything:
        await tell(idle.db, clock, 1)
        told = await everything.next()
        clock.advance(timedelta(seconds=14))
        assert len(stream.frames) == 1
        clock.advance(timedelta(seconds=1))
        await stream.until(lambda: len(stream.frames) == 2)
        assert (stream.frames[1].comment, stream.frames[1].data) == ("ping", None)
        await forget_all(idle.db, clock)
        ping = stream.last_id
        assert ping == told["id"]
    async with listening(idle, clock, last_event_id=ping) as stream:
        await tell(idle.db, clock, 2)
        assert numbers([await stream.next()]) == [2]


async def test_who_comes_with_an_id_that_was_pruned_is_reset_and_gets_all_that_is_kept(
    idle: Running, clock: ManualClock
) -> None:
    await tell(idle.db, clock, 1, 2)
    async with listening(idle, clock, "after=0-0") as stream:
        first, last = await stream.take(2)
    await forget_all(idle.db, clock)
    await tell(idle.db, clock, 3)
    for begin in ("0-0", first["id"]):
        async with listening(idle, clock, "kinds=vote", last_event_id=begin) as stream:
            reset, event = await stream.take(2)
            assert (reset["kind"], reset["id"], reset["thread_id"]) == ("reset", last["id"], None)
            assert numbers([event]) == [3]
    async with listening(idle, clock, last_event_id=last["id"]) as stream:
        assert numbers([await stream.next()]) == [3]


@pytest.mark.parametrize("others", [0, 1])
async def test_who_comes_with_an_id_that_is_still_to_come_is_reset(
    idle: Running, clock: ManualClock, others: int
) -> None:
    await tell(idle.db, clock, 1, 2)
    async with AsyncExitStack() as stack:
        for _ in range(others):
            other = await stack.enter_async_context(listening(idle, clock, "after=0-0"))
            await other.until(lambda: idle.app.state.parts.tail.start is not None)
        stream = await stack.enter_async_context(listening(idle, clock, last_event_id="999999999999-5"))
        await tell(idle.db, clock, 3)
        reset, *kept = await stream.take(4)
        assert (reset["kind"], numbers(kept)) == ("reset", [1, 2, 3])


async def test_who_falls_behind_while_events_are_pruned_is_reset(idle: Running, clock: ManualClock) -> None:
    async with listening(idle, clock) as fast, listening(idle, clock) as slow:
        await tell(idle.db, clock, 0)
        await slow.next()
        slow.stand_still()
        for begin in range(1, 2 * KEPT + 200, 100):
            await tell(idle.db, clock, *range(begin, begin + 100))
            await fast.take(100)
        await forget_all(idle.db, clock)
        await tell(idle.db, clock, 9_999)
        slow.go_on()
        await slow.until(lambda: slow.events[-1].get("data") == {"number": 9_999})
        kinds = [event["kind"] for event in slow.events]
        assert kinds.count("reset") == 1
        at = kinds.index("reset")
        assert numbers(slow.events[:at]) == [*range(at)]
        assert numbers(slow.events[at + 1 :]) == [9_999]


async def test_who_falls_behind_catches_up_and_misses_nothing(idle: Running, clock: ManualClock) -> None:
    async with listening(idle, clock) as fast, listening(idle, clock) as slow:
        slow.stand_still()
        for begin in range(0, 2 * KEPT + 300, 100):
            await tell(idle.db, clock, *range(begin, begin + 100))
            await fast.take(100)
        tail: Tail = idle.app.state.parts.tail
        assert tail.start is not None
        held, position = 0, tail.start
        while items := tail.behind(position):
            assert len(items) <= PAGE
            held, position = held + len(items), items[-1].position or position
        assert KEPT <= held <= 2 * KEPT  # whoever stands still
        slow.go_on()
        count = 2 * KEPT + 300
        assert numbers(await slow.take(count)) == [*range(count)]
        await tell(idle.db, clock, count)
        assert numbers([await slow.next()]) == [count]


async def test_many_readers_are_all_told(idle: Running, clock: ManualClock) -> None:
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening(idle, clock)) for _ in range(20)]
        for number in range(10):
            await tell(idle.db, clock, number)
        for stream in streams:
            assert numbers(await stream.take(10)) == [*range(10)]


async def test_a_turn_that_begins_is_told_live_and_not_kept(
    idle: Running, clock: ManualClock, model: ScriptedModel
) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    async with listening(idle, clock) as stream, anyio.create_task_group() as group:
        group.start_soon(idle.http.post, "/api/threads/default/heartbeat/run-now")
        started = await stream.next()
        assert (started["kind"], started["id"], started["thread_id"]) == ("started", None, "default")
        assert started["data"]["loop"] == "heartbeat"
        assert stream.frames[-1].id is None
        paused.go_on.set()
        written, run = await stream.take(2)
        assert (written["kind"], run["kind"]) == ("post", "run")
        assert run["data"]["id"] == started["data"]["run_id"]
    async with listening(idle, clock, "kinds=run&kinds=post", last_event_id=stream.frames[0].id) as again:
        assert [event["kind"] for event in await again.take(2)] == ["post", "run"]
    async with idle.db.read() as session:
        assert {event.kind for event in await events.after(session, Position(0, 0), limit=100)} == {"run", "post"}


async def test_a_turn_that_begins_is_told_to_whom_came_after_others(
    idle: Running, clock: ManualClock, model: ScriptedModel
) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    async with listening(idle, clock) as first:
        await tell(idle.db, clock, 1)
        await first.next()
        await write(idle, "/api/threads", {"id": "a"})  # which is not told
        async with listening(idle, clock) as second, anyio.create_task_group() as group:
            group.start_soon(idle.http.post, "/api/threads/default/heartbeat/run-now")
            assert [(await each.next())["kind"] for each in (first, second)] == ["started", "started"]
            paused.go_on.set()


@on_postgres
async def test_a_turn_that_begins_elsewhere_is_told_live(
    opened: Opener, clock: ManualClock, model: ScriptedModel
) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    async with (
        opened(heartbeat_enabled=False) as one,
        opened(heartbeat_enabled=False) as other,
        listening(other, clock, "kinds=started") as stream,
        anyio.create_task_group() as group,
    ):
        group.start_soon(one.http.post, "/api/threads/default/heartbeat/run-now")
        assert (await stream.next())["kind"] == "started"
        paused.go_on.set()


async def test_a_post_that_was_removed_is_not_to_be_read_any_more_by_who_comes_again(
    idle: Running, clock: ManualClock
) -> None:
    async with listening(idle, clock) as stream:
        written = await write(idle, "/api/posts", POST | {"title": "A secret", "content": "The safe is open."})
        await stream.next()
        (await idle.http.delete(f"/api/posts/{written['id']}")).raise_for_status()
        await stream.next()
        async with listening(idle, clock, last_event_id=stream.frames[0].id) as again:
            found = await again.take(2)
            assert [event["data"]["content"] for event in found] == ["", ""]


async def test_events_of_a_thread_that_was_deleted_are_not_told_any_more(idle: Running, clock: ManualClock) -> None:
    await have_thread(idle.db, clock, "a")
    async with listening(idle, clock) as stream:
        await write(idle, "/api/posts", POST | {"thread_id": "a"})
        await stream.next()
        (await idle.http.delete("/api/threads/a")).raise_for_status()
        async with listening(idle, clock, last_event_id=stream.frames[0].id) as again:
            await tell(idle.db, clock, 1)
            assert numbers([await again.next()]) == [1]


async def test_a_reader_that_takes_nothing_is_cut_off_after_a_while(idle: Running, clock: ManualClock) -> None:
    async with listening(idle, clock) as slow, listening(idle, clock) as idler:
        slow.stand_still()
        await tell(idle.db, clock, 1)
        await idler.next()
        clock.advance(PATIENCE - TICK)
        await tell(idle.db, clock, 2)
        await idler.next()
        assert not slow.is_cut_off
        clock.advance(2 * TICK)
        await slow.until(lambda: slow.is_cut_off)
        assert not idler.is_cut_off


@pytest.mark.parametrize("takes", [True, False])
async def test_when_the_last_reader_has_hung_up_nothing_is_kept(idle: Running, clock: ManualClock, takes: bool) -> None:
    tail: Tail = idle.app.state.parts.tail
    async with listening(idle, clock) as stream:
        await tell(idle.db, clock, 1)
        await stream.next()
        if not takes:
            stream.stand_still()
            await tell(idle.db, clock, 2)
            begun_at = clock.now()
            await stream.until(lambda: clock.now() > begun_at + TICK)
        stream.close()
        await stream.ended()
        await stream.until(lambda: tail.start is None)


async def test_a_stream_ends_when_the_service_stops(opened: Opener, clock: ManualClock) -> None:
    async with opened(heartbeat_enabled=False) as running:
        async with (
            listening(running, clock) as first,
            listening(running, clock, "kinds=run") as second,
            listening(running, clock, path="/api/loops/stream") as panel,
        ):
            running.app.stopping.set()
            for stream in (first, second, panel):
                await stream.ended()
        async with listening(running, clock) as late:
            await late.ended()
            assert late.status == 200


@pytest.mark.parametrize("path", ["/api/events", "/api/loops/stream"])
async def test_the_head_of_a_stream_can_be_asked_for(idle: Running, clock: ManualClock, path: str) -> None:
    begun_at = clock.now()
    async with listening(idle, clock, path=path, method="HEAD") as stream:
        await stream.ended()
        assert clock.now() < begun_at + timedelta(seconds=1)
        assert (stream.status, stream.body) == (200, b"")
        assert stream.headers["content-type"].startswith("text/event-stream")


@on_postgres
async def test_who_is_behind_when_the_database_is_lost_has_to_come_again(
    opened: Opener, clock: ManualClock, database_url: str
) -> None:
    async with (
        proxy_running(database_url) as proxy,
        opened(heartbeat_enabled=False, database_url=proxy.url) as running,
    ):
        await tell(running.db, clock, *range(2 * PAGE))
        async with listening(running, clock, "after=0-0") as stream:
            await stream.next()
            stream.stand_still()
            await proxy.refuse()
            stream.go_on()
            await stream.ended()
            seen = numbers(stream.events)
            assert PAGE <= len(seen) < 2 * PAGE
        await proxy.accept()
        async with listening(running, clock, last_event_id=stream.last_id) as stream:
            assert seen + numbers(await stream.take(2 * PAGE - len(seen))) == [*range(2 * PAGE)]


@on_postgres
async def test_who_keeps_up_hears_on_when_the_database_is_back(
    opened: Opener, clock: ManualClock, database_url: str, db: Database
) -> None:
    async with (
        proxy_running(database_url) as proxy,
        opened(heartbeat_enabled=False, database_url=proxy.url) as running,
        listening(running, clock) as stream,
    ):
        for number in (0, 1):
            await tell(running.db, clock, number)
            await stream.next()
        await proxy.refuse()
        await tell(db, clock, 2)
        clock.advance(timedelta(seconds=15))
        await stream.until(lambda: stream.frames[-1].comment == "ping")
        await proxy.accept()
        await tell(db, clock, 3)
        clock.advance(TICK)
        assert numbers(await stream.take(2)) == [2, 3]


async def test_a_panel_is_told_where_a_thread_stands_and_then_every_change(
    idle: Running, clock: ManualClock, model: ScriptedModel
) -> None:
    async def pin(warmth: float) -> Json:
        answer = await idle.http.patch("/api/threads/default/profile", json={"pin": {"formality": warmth}})
        return answer.raise_for_status().json()

    await idle.http.post("/api/threads/default/heartbeat/run-now")
    profile = await pin(0.5)
    async with listening(idle, clock, "interval_seconds=60", path="/api/loops/stream") as stream:
        state, known = await stream.take(2)
        assert (state["type"], state["thread_id"]) == ("heartbeat_state", "default")
        assert state["state"]["last_summary"] == "Nothing to do."
        assert state["state"]["last_actions"] == []
        assert known == {"type": "personality_profile", "thread_id": "default", "profile": profile}
        assert (await pin(0.9))["revision"] == (await stream.next())["profile"]["revision"]
        model.says(act(post(title="Hello"), summary="Said hello."))
        done = await write(idle, "/api/threads/default/heartbeat/run-now", {})
        told = await stream.next()
        assert (told["type"], told["state"]["last_summary"]) == ("heartbeat_state", "Said hello.")
        assert told["state"]["last_run"] == done["timestamp"]
        assert [action["title"] for action in told["state"]["last_actions"]] == ["Hello"]
        assert {frame.id for frame in stream.frames} == {frame.event for frame in stream.frames} == {None}


async def test_a_panel_is_told_of_scorecards_and_not_of_other_threads(idle: Running, clock: ManualClock) -> None:
    await have_thread(idle.db, clock, "a")
    async with listening(idle, clock, "thread_id=a&interval_seconds=60", path="/api/loops/stream") as stream:
        for thread in ("default", "a"):
            said = {"role": "user", "content": "The garden needs compost, and the compost needs worms."}
            (await idle.http.post(f"/api/threads/{thread}/messages", json={"messages": [said]})).raise_for_status()
            (await idle.http.post(f"/api/threads/{thread}/loops/reflection/run-now")).raise_for_status()
        told = await stream.next()
        while told["type"] == "heartbeat":
            told = await stream.next()
        assert (told["type"], told["thread_id"], told["scorecard"]["revision"]) == ("reflection_scorecard", "a", 1)


@pytest.mark.parametrize(("query", "interval"), [("", 2.5), ("interval_seconds=0.5", 0.5)])
async def test_a_panel_is_told_that_the_stream_lives(
    idle: Running, clock: ManualClock, query: str, interval: float
) -> None:
    begun = clock.now()
    async with listening(idle, clock, query, path="/api/loops/stream") as stream:
        first, second = await stream.take(2)
    assert (first["type"], first["thread_id"]) == ("heartbeat", "default")
    assert first["ts"] >= begun.timestamp() + interval
    assert second["ts"] >= first["ts"] + interval


async def test_a_panel_is_told_that_the_stream_lives_also_while_there_is_nothing_else_for_it(
    idle: Running, clock: ManualClock
) -> None:
    async with listening(idle, clock, "kinds=run") as other, listening(idle, clock, path="/api/loops/stream") as stream:
        for _ in range(5):
            (await idle.http.post("/api/threads/default/loops/reflection/run-now")).raise_for_status()
            await other.next()
            clock.advance(timedelta(seconds=2))
        assert len(stream.events) >= 2  # at 4 and at 8 s
