"""The client follows events: each once and in order, over every connection that is lost."""

from contextlib import aclosing
from datetime import timedelta
from itertools import pairwise

import httpx2
import msgspec
import pytest

from ledger import Event, LedgerError, LoopEvent, Malformed, NotFound, StartedEvent, Unauthorized, Unreachable
from ledger.stream.structs import Alive, Started
from ledger.turns.structs import LoopSwitch
from tests.conftest import START
from tests.leaping import LeapingClock, Part, Parts, Script
from tests.test_client_retries import answer, lost, refused

SILENCE = timedelta(seconds=46)
OPENING = b"retry: 2000\nid: 0-0\n\n"


@pytest.fixture
def clock() -> LeapingClock:
    return LeapingClock(START)


def event(number: int) -> Event:
    return LoopEvent(id=f"0-{number}", at=START, data=LoopSwitch("heartbeat", running=True))


def sent(number: int) -> bytes:
    return b"id: 0-%d\nevent: loop\ndata: %s\n\n" % (number, msgspec.json.encode(event(number)))


def stream(clock: LeapingClock, *parts: Part) -> httpx2.Response:
    return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Parts(clock, *parts))


async def _follow(script: Script, count: int, after: str | None = None) -> list[Event]:
    """As many events as that, and then no more."""
    found: list[Event] = []
    async with script.client() as client, aclosing(client.events(after=after)) as events:
        async for each in events:
            found.append(each)
            if len(found) == count:
                break
    assert script.is_over
    return found


def _positions(script: Script) -> list[str | None]:
    return [request.headers.get("Last-Event-ID") for request in script.requests]


async def test_events_come_as_the_structs_of_their_kinds(clock: LeapingClock) -> None:
    hint = StartedEvent(at=START, thread_id="camping", data=Started("abc", "heartbeat"))
    body = b": ping\n\n" + sent(1) + b"event: started\ndata: %s\n\n" % msgspec.json.encode(hint) + sent(2)
    script = Script(clock, stream(clock, OPENING, body))
    assert await _follow(script, 3) == [event(1), hint, event(2)]
    assert script.requests[0].headers["Accept"] == "text/event-stream"


async def test_what_is_wanted_is_asked_for(clock: LeapingClock) -> None:
    script = Script(clock, stream(clock, sent(8)))
    async with script.client() as client:
        events = client.events(thread_id="camping", kinds=["run", "loop"], after="0-7")
        assert await anext(events) == event(8)
        await events.aclose()
    (request,) = script.requests
    assert list(request.url.params.multi_items()) == [("thread_id", "camping"), ("kinds", "run"), ("kinds", "loop")]
    assert _positions(script) == ["0-7"]


async def test_wherever_a_stream_breaks_off_nothing_is_missed_and_nothing_comes_twice(clock: LeapingClock) -> None:
    whole = OPENING + sent(1) + sent(2) + sent(3)
    ends = [len(whole) - len(sent(3)), len(whole) - len(sent(3)) - len(sent(2))]
    for place in range(len(whole)):
        read = 2 if place >= ends[0] else 1 if place >= ends[1] else 0
        rest = b"".join(sent(number) for number in range(read + 1, 4))
        script = Script(clock, stream(clock, whole[:place], lost()), stream(clock, rest))
        assert await _follow(script, 3) == [event(1), event(2), event(3)]
        assert _positions(script)[1] in ({None, "0-0"} if read == 0 else {f"0-{read}"})


@pytest.mark.parametrize("end", [None, lost(), SILENCE, httpx2.ReadError("reset")])
async def test_a_stream_that_ends_breaks_or_falls_silent_is_followed_on(
    clock: LeapingClock, end: timedelta | Exception | None
) -> None:
    first = stream(clock, sent(1)) if end is None else stream(clock, sent(1), end)
    script = Script(clock, first, stream(clock, sent(2)))
    assert await _follow(script, 2) == [event(1), event(2)]
    assert _positions(script) == [None, "0-1"]


async def test_a_stream_that_pings_is_not_silent(clock: LeapingClock) -> None:
    quiet: list[Part] = [timedelta(seconds=44), b": ping\n\n"] * 50
    script = Script(clock, stream(clock, *quiet, sent(1)))
    assert await _follow(script, 1) == [event(1)]


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_server_that_is_away_is_waited_for(clock: LeapingClock, status: int) -> None:
    away = [refused(), answer(status), SILENCE, lost()] * 3
    script = Script(clock, *away, stream(clock, sent(1)), *away, stream(clock, sent(2)))
    assert await _follow(script, 2) == [event(1), event(2)]
    for one, other in pairwise(clock.waits[:12]):
        assert other > one * 0.6
    assert 5 <= clock.waits[11] <= 7.5
    assert clock.waits[12] <= 1.5  # what came between counts as success


async def test_it_waits_as_long_as_the_server_asks(clock: LeapingClock) -> None:
    script = Script(
        clock,
        answer(503, **{"Retry-After": "7"}),
        stream(clock, b"retry: 100\n\n"),
        stream(clock, b"retry: 40000\n\n"),
        stream(clock, sent(1)),
    )
    assert await _follow(script, 1) == [event(1)]
    assert clock.waits[0] == 7
    assert 0.1 <= clock.waits[1] <= 0.15
    assert 40 <= clock.waits[2] <= 60


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Malformed), (401, Unauthorized), (404, NotFound), (500, LedgerError)]
)
async def test_other_refusals_are_raised(clock: LeapingClock, status: int, kind: type[LedgerError]) -> None:
    async with Script(clock, answer(status, "No.")).client() as client:
        with pytest.raises(kind, match=r"No\."):
            await anext(client.events())
    assert clock.waits == []


async def test_an_answer_that_is_no_stream_is_raised(clock: LeapingClock) -> None:
    async with Script(clock, httpx2.Response(200, html="<h1>Log in</h1>")).client() as client:
        with pytest.raises(LedgerError, match=r"200 OK \(text/html\), and not by Ledger"):
            await anext(client.events())


async def test_what_only_newer_servers_tell_is_passed_over_and_not_asked_for_again(clock: LeapingClock) -> None:
    news = b'id: 0-2\nevent: weather\ndata: {"kind": "weather", "mood": []}\n\n'
    script = Script(clock, stream(clock, sent(1), news, lost()), stream(clock, sent(3)))
    assert await _follow(script, 2) == [event(1), event(3)]
    assert _positions(script) == [None, "0-2"]


async def test_a_position_without_data_is_kept(clock: LeapingClock) -> None:
    script = Script(clock, stream(clock, b"id: 5-0\n\n"), stream(clock, b": ping\nid: 6-0\n\n"), stream(clock, sent(1)))
    assert await _follow(script, 1) == [event(1)]
    assert _positions(script) == [None, "5-0", "6-0"]


async def test_what_is_no_event_is_raised(clock: LeapingClock) -> None:
    async with Script(clock, stream(clock, b"event: loop\ndata: {\n\n")).client() as client:
        with pytest.raises(LedgerError, match="no event"):
            await anext(client.events())


async def test_an_event_with_words_that_are_not_known_yet_is_passed_over(clock: LeapingClock) -> None:
    newer = sent(1).replace(b"heartbeat", b"dreaming")
    async with Script(clock, stream(clock, newer + sent(2))).client() as client:
        assert await anext(client.events()) == event(2)


async def test_the_messages_of_loops_come_until_the_connection_is_lost(clock: LeapingClock) -> None:
    alive = b'data: {"type":"heartbeat","thread_id":"camping","ts":1.5}\n\n'
    script = Script(clock, stream(clock, alive[:20], alive[20:] + alive))
    async with script.client() as client:
        messages = client.loop_messages(thread_id="camping", interval_seconds=0.5)
        assert [await anext(messages), await anext(messages)] == [Alive("camping", 1.5)] * 2
        with pytest.raises(Unreachable):
            await anext(messages)
    assert script.requests[0].url.query == b"thread_id=camping&interval_seconds=0.5"
