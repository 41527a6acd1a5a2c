"""What the client sends, and where to: whatever names hold, an address stays the one that was meant."""

from datetime import UTC, datetime

import httpx2
import pytest

from ledger import Invalid, LedgerClient, LedgerError, NotFound, Unreachable, __version__
from tests.conftest import START
from tests.leaping import LeapingClock, Script
from tests.test_client_retries import answer


@pytest.fixture
def clock() -> LeapingClock:
    return LeapingClock(START)


async def test_a_name_in_an_address_stays_one_name(clock: LeapingClock) -> None:
    script = Script(clock, answer(404))
    async with script.client() as client:
        with pytest.raises(NotFound):
            await client.get_post("a/b?c=d#é%2F.. ")
        assert script.requests[0].url.raw_path == b"/api/posts/a%2Fb%3Fc%3Dd%23%C3%A9%252F..%20"
        for name in ("", ".", ".."):
            with pytest.raises(Invalid, match="cannot be a name"):
                await client.delete_thread(name)
    assert len(script.requests) == 1


async def test_moments_switches_and_lists_are_written_as_the_server_reads_them(clock: LeapingClock) -> None:
    page = httpx2.Response(200, json={"items": [], "next_cursor": None})
    script = Script(clock, page, page)
    async with script.client() as client:
        await client.list_runs(since=datetime(2026, 1, 5, tzinfo=UTC), loop="heartbeat")
        await client.list_messages("camping", newest_first=True)
    runs, messages = [dict(request.url.params) for request in script.requests]
    assert runs == {"since": "2026-01-05T00:00:00+00:00", "loop": "heartbeat", "limit": "50"}
    assert messages == {"limit": "50", "newest_first": "true"}


async def test_a_server_may_stand_below_a_path() -> None:
    seen: list[httpx2.Request] = []

    def note(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"status": "live"})

    for base_url in ("http://127.0.0.1/a/b", "http://127.0.0.1/a/b/"):
        async with LedgerClient(base_url, transport=httpx2.MockTransport(note)) as client:
            await client.is_live()
    assert {str(request.url) for request in seen} == {"http://127.0.0.1/a/b/health/live"}
    assert {request.headers["User-Agent"] for request in seen} == {f"ledger/{__version__}"}


@pytest.mark.parametrize("base_url", ["", "127.0.0.1:8000", "localhost:8000", "ftp://ledger", "http://", "http://a:b"])
def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(Invalid, match="no address of a server"):
        LedgerClient(base_url)


@pytest.mark.parametrize("text", ["", "a\nb", "é"])
async def test_what_no_header_can_hold_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="printable"):
        await LedgerClient("http://127.0.0.1:9").create_thread(idempotency_key=text)
    with pytest.raises(Invalid, match="printable"):
        LedgerClient("http://127.0.0.1:9", token=text or "\0")


async def test_a_port_that_nobody_listens_on_is_unreachable() -> None:
    async with LedgerClient("http://127.0.0.1:9", retries=0) as client:
        with pytest.raises(Unreachable, match=r"GET http://127\.0\.0\.1:9/health/live: no connection") as raised:
            await client.is_live()
    assert isinstance(raised.value, LedgerError)
    assert not raised.value.was_sent
