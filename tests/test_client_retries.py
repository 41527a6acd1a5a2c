"""What the client tries again and what not, how long it waits, and what it makes of answers that are none."""

from datetime import timedelta
from email.utils import format_datetime

import httpx2
import msgspec
import pytest

from ledger import (
    Conflict,
    Health,
    LedgerError,
    NotFound,
    Stale,
    Unavailable,
    Unreachable,
)
from ledger.errors import Problem
from tests.conftest import START
from tests.leaping import LeapingClock, Script, Step

LIVE = httpx2.Response(200, json={"status": "live"})
DONE = httpx2.Response(200, json={"ok": True, "message": "It runs."})
THREAD = httpx2.Response(
    200,
    json={
        "id": "camping",
        "title": "",
        "timezone": "UTC",
        "created_at": "2026-01-05T12:00:00Z",
        "message_count": 0,
        "post_count": 0,
    },
)
OWN = httpx2.Response(
    200,
    json={
        "thread_id": "camping",
        "mode": "extend",
        "content": "",
        "version": 1,
        "saved_at": "2026-01-05T12:00:00Z",
        "problems": [],
    },
)
TOO_LONG = timedelta(seconds=31)


@pytest.fixture
def clock() -> LeapingClock:
    return LeapingClock(START)


def refused() -> Exception:
    return httpx2.ConnectError("All connection attempts failed")


def lost() -> Exception:
    return httpx2.RemoteProtocolError("Server disconnected without sending a response.")


def answer(status: int, detail: str = "Not now.", **headers: str) -> httpx2.Response:
    problem = Problem("Wrong", status, detail, request_id="abc")
    content_type = {"Content-Type": "application/problem+json"}
    return httpx2.Response(status, content=msgspec.json.encode(problem), headers=content_type | headers)


@pytest.mark.parametrize("failure", [refused(), lost(), TOO_LONG, *map(answer, (429, 502, 503, 504))])
async def test_what_only_reads_or_is_known_again_is_tried_again_after_what_passes(
    clock: LeapingClock, failure: Step
) -> None:
    script = Script(clock, failure, LIVE, failure, DONE, failure, OWN)
    async with script.client() as client:
        assert await client.is_live() == Health("live")
        assert (await client.start_heartbeat()).ok
        assert (await client.set_thread_instructions("camping", content="")).version == 1
    assert script.is_over


@pytest.mark.parametrize("failure", [refused(), answer(429)])
async def test_what_changes_something_is_tried_again_when_nothing_was_done(clock: LeapingClock, failure: Step) -> None:
    script = Script(clock, failure, THREAD, failure, httpx2.Response(204), failure, OWN)
    async with script.client() as client:
        assert (await client.change_thread("camping", title="")).id == "camping"
        await client.delete_thread("camping")
        assert (await client.set_thread_instructions("camping", content="", if_match=3)).version == 1
    assert script.is_over


@pytest.mark.parametrize("failure", [lost(), TOO_LONG, answer(502), answer(504)])
async def test_what_changes_something_is_not_tried_again_when_it_may_be_done(
    clock: LeapingClock, failure: Step
) -> None:
    script = Script(clock, failure, failure, failure)
    async with script.client() as client:
        with pytest.raises(LedgerError):
            await client.change_thread("camping", title="")
        with pytest.raises(LedgerError):
            await client.delete_thread("camping")
        with pytest.raises(LedgerError):  # its second try would find the version of its first
            await client.set_thread_instructions("camping", content="", if_match=3)
    assert script.is_over
    assert clock.waits == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "Malformed"), (401, "Unauthorized"), (404, "NotFound"), (409, "Conflict"), (422, "Invalid"), (507, "Full")],
)
async def test_what_does_not_pass_is_raised_at_once(clock: LeapingClock, status: int, kind: str) -> None:
    script = Script(clock, answer(status), answer(status))
    async with script.client() as client:
        for call in (client.is_live(), client.start_heartbeat()):
            with pytest.raises(LedgerError, match=r"Not now\.") as raised:
                await call
            assert (type(raised.value).__name__, raised.value.status) == (kind, status)
            assert raised.value.request_id == "abc"
    assert clock.waits == []


async def test_after_its_retries_the_last_failure_is_raised(clock: LeapingClock) -> None:
    script = Script(clock, lost(), answer(503), refused(), answer(503, "Still not."))
    async with script.client() as client:
        with pytest.raises(Unavailable, match="Still not"):
            await client.is_live()
    assert len(script.requests) == 4
    script = Script(clock, answer(503))
    async with script.client(retries=0) as client:
        with pytest.raises(Unavailable):
            await client.is_live()


async def test_pauses_double_and_no_two_clients_wait_alike(clock: LeapingClock) -> None:
    for _ in range(2):
        script = Script(clock, *[lost()] * 9)
        async with script.client(retries=8) as client:
            with pytest.raises(Unreachable):
                await client.is_live()
    first, second = clock.waits[:8], clock.waits[8:]
    expected = [0.5, 1, 2, 4, 8, 8, 8, 8]
    for waits in (first, second):
        assert all(least <= wait <= 1.5 * least for least, wait in zip(expected, waits, strict=True))
    assert first != second


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0.1),
        ("3600", 60),
        (format_datetime(START + timedelta(seconds=9), usegmt=True), 9),
        (format_datetime(START + timedelta(days=1), usegmt=True), 60),
        (format_datetime(START - timedelta(days=1), usegmt=True), 0.1),
        ("Monday, 05-Jan-26 12:00:04 GMT", 4),
    ],
)
async def test_the_server_says_how_long_to_wait(clock: LeapingClock, header: str, seconds: float) -> None:
    async with Script(clock, answer(503, **{"Retry-After": header}), LIVE).client() as client:
        await client.is_live()
    assert clock.waits == [seconds]


@pytest.mark.parametrize("header", ["soon", "-1", "1.5", "", "Mon, 99 Foo 2026"])
async def test_what_nobody_understands_is_waited_for_as_if_nothing_was_said(clock: LeapingClock, header: str) -> None:
    async with Script(clock, answer(503, **{"Retry-After": header}), LIVE).client() as client:
        await client.is_live()
    assert 0.5 <= clock.waits[0] <= 0.75


async def test_a_post_has_one_key_for_all_its_tries_and_another_for_every_call(clock: LeapingClock) -> None:
    script = Script(clock, lost(), DONE, DONE, DONE, LIVE)
    async with script.client() as client:
        await client.start_heartbeat()
        await client.start_heartbeat()
        await client.start_heartbeat(idempotency_key="mine")
        await client.is_live()
    first, again, second, mine, read = [request.headers.get("Idempotency-Key") for request in script.requests]
    assert first == again != second
    assert (mine, read) == ("mine", None)


async def test_a_post_waits_for_its_first_try_to_end(clock: LeapingClock) -> None:
    busy = answer(409, **{"Retry-After": "10"})
    script = Script(clock, lost(), *[busy] * 10, DONE)
    async with script.client(timeout=120) as client:
        assert (await client.start_heartbeat()).ok
    assert clock.waits[1:] == [10] * 10
    assert script.is_over


async def test_a_post_whose_key_was_used_before_waits_as_well(clock: LeapingClock) -> None:
    script = Script(clock, answer(409, **{"Retry-After": "1"}), DONE)
    async with script.client() as client:
        assert (await client.start_heartbeat(idempotency_key="mine")).ok


async def test_a_post_does_not_wait_for_ever(clock: LeapingClock) -> None:
    script = Script(clock, lost(), *[answer(409, **{"Retry-After": "10"})] * 9)
    async with script.client(timeout=60) as client:
        with pytest.raises(Conflict):
            await client.start_heartbeat()
    assert sum(clock.waits[1:]) == 60


async def test_a_conflict_of_a_first_try_is_somebody_elses(clock: LeapingClock) -> None:
    script = Script(clock, answer(409, **{"Retry-After": "1"}), answer(409, **{"Retry-After": "1"}))
    async with script.client() as client:
        with pytest.raises(Conflict):
            await client.start_heartbeat()
        with pytest.raises(Conflict):
            await client.get_thread("camping")


async def test_a_run_may_take_as_long_as_a_turn(clock: LeapingClock) -> None:
    def later(request: httpx2.Request) -> httpx2.Response:
        del request
        clock.advance(timedelta(seconds=149))
        return DONE

    ran = {"thread_id": "camping", "ran_successfully": True, "timestamp": 0.0, "decision_summary": None}
    ran |= {"actions": [], "execution_time_seconds": 1.0, "error": None}
    script = Script(clock, later, lambda request: httpx2.Response(200, json=ran) if later(request) else DONE)
    async with script.client(retries=0) as client:
        with pytest.raises(Unreachable, match="within 30 s"):
            await client.start_heartbeat()
        assert (await client.run_heartbeat_now("camping")).ran_successfully


@pytest.mark.parametrize(
    ("failure", "was_sent", "said"),
    [
        (refused(), False, "no connection.*All connection attempts failed"),
        (lost(), True, "the connection broke off.*Server disconnected"),
        (TOO_LONG, True, "nothing came within 30 s"),
        (httpx2.ReadError(""), True, "the connection broke off.*ReadError"),
    ],
)
async def test_no_answer_is_told_with_what_was_asked(
    clock: LeapingClock, failure: Step, was_sent: bool, said: str
) -> None:
    async with Script(clock, failure).client(retries=0) as client:
        with pytest.raises(Unreachable, match=f"GET http://ledger.test/api/threads/camping: {said}") as raised:
            await client.get_thread("camping")
    assert raised.value.was_sent is was_sent


@pytest.mark.parametrize(
    ("given", "kind", "status", "said"),
    [
        (
            httpx2.Response(502, html="<h1>Bad</h1>"),
            LedgerError,
            502,
            r"502 Bad Gateway \(text/html\), and not by Ledger",
        ),
        (httpx2.Response(404, text="nginx"), NotFound, 404, "404 Not Found"),
        (httpx2.Response(307, headers={"Location": "https://x.test"}), LedgerError, 307, "307 Temporary Redirect"),
        (httpx2.Response(418), LedgerError, 418, "no content type"),
        (httpx2.Response(499), LedgerError, 499, "499 "),
        (httpx2.Response(412, headers={"Content-Type": "application/problem+json"}, text="{"), Stale, 412, "not by"),
    ],
)
async def test_an_answer_that_is_not_ledgers_is_told_by_its_status(
    clock: LeapingClock, given: httpx2.Response, kind: type[LedgerError], status: int, said: str
) -> None:
    async with Script(clock, given).client(retries=0) as client:
        with pytest.raises(LedgerError, match=said) as raised:
            await client.is_live()
    assert (type(raised.value), raised.value.status) == (kind, status)


@pytest.mark.parametrize(
    "given",
    [
        httpx2.Response(200, json={"status": 7}),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, html="<h1>Log in</h1>"),
        httpx2.Response(200, content=b'{"status": "\xff"}'),
        httpx2.Response(200, content=b"[" * 100_000),
        httpx2.Response(204),
    ],
)
async def test_an_answer_that_does_not_decode_says_what_it_should_have_been(
    clock: LeapingClock, given: httpx2.Response
) -> None:
    async with Script(clock, given).client() as client:
        with pytest.raises(LedgerError, match=r"The answer to GET http://ledger\.test/health/live is no Health: "):
            await client.is_live()


async def test_what_a_newer_server_says_besides_is_passed_over(clock: LeapingClock) -> None:
    async with Script(clock, httpx2.Response(200, json={"status": "live", "mood": "fine"})).client() as client:
        assert await client.is_live() == Health("live")
