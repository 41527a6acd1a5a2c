"""The client beside real processes: the chat application plays its conversation, and a restart loses nothing."""

import shutil
import sys
from contextlib import aclosing
from pathlib import Path

import anyio
import msgspec
import pytest

from ledger import EventStream, LedgerClient, NewMessage, PostEvent
from tests.chaos import serving

EXAMPLES = Path(__file__).parents[1] / "examples"
CHAT, TOUR = EXAMPLES / "chat.py", EXAMPLES / "tour.py"


@pytest.fixture
def url(tmp_path: Path, empty_sqlite: Path) -> str:
    return f"sqlite+aiosqlite:///{shutil.copyfile(empty_sqlite, tmp_path / 'own.db')}"


async def test_the_chat_application_plays_its_conversation_and_shows_what_the_agent_does(
    tmp_path: Path, url: str
) -> None:
    async with serving(directory=tmp_path, CRT_DATABASE_URL=url) as service:
        with anyio.fail_after(50):
            done = await anyio.run_process([sys.executable, str(CHAT), "--url", service.url, "--demo"], check=False)
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "* reflection acted: The talk has come to camping" in shown
    assert "* heartbeat acted: Answered 1 mention." in shown
    assert "\nledger: @you" in shown
    assert "5 words, noted. So far it is about camping" in shown


async def test_the_tour_goes_on_where_it_was_and_does_nothing_twice(tmp_path: Path, url: str) -> None:
    said = [NewMessage("user" if n % 2 else "assistant", f"We go camping by lake {n}.") for n in range(150)]
    (tmp_path / "talk.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, said)))
    async with serving(directory=tmp_path, CRT_DATABASE_URL=url) as service, LedgerClient(service.url) as client:
        tour = [sys.executable, str(TOUR), "talk.jsonl", "--url", service.url]
        for _ in range(2):
            with anyio.fail_after(50):
                done = await anyio.run_process(tour, cwd=tmp_path, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
            assert b"seen: the same, in order" in done.stdout
        (thread,) = [each async for each in client.threads() if each.id != "default"]
        assert thread.message_count == 150
        asked = [run.loop async for run in client.runs(thread_id=thread.id) if run.trigger == "run_now"]
        assert asked == ["heartbeat", "personality", "reflection"]


async def test_the_chat_application_says_what_is_missing() -> None:
    done = await anyio.run_process([sys.executable, str(CHAT), "--url", "http://127.0.0.1:9"], check=False)
    assert done.returncode == 1
    assert b"make run" in done.stderr
    assert b"Traceback" not in done.stderr


async def test_over_a_restart_events_go_on_and_what_was_called_meanwhile_happens_once(tmp_path: Path, url: str) -> None:
    async with serving(directory=tmp_path, CRT_DATABASE_URL=url) as first:
        port = first.url.rpartition(":")[2]
        client = LedgerClient(first.url, retries=10)
        events = client.events(kinds=["post"], after="0-0")
        assert [await _written(client, "One"), await _title(events)] == ["One", "One"]
        first.process.kill()
        await first.ended()
    async with aclosing(events), client, anyio.create_task_group() as group:
        group.start_soon(_written, client, "Two")
        async with serving("--port", port, directory=tmp_path, CRT_DATABASE_URL=url):
            with anyio.fail_after(30):
                assert await _title(events) == "Two"
                await _written(client, "Three")
                assert await _title(events) == "Three"
            assert [post.title async for post in client.posts()] == ["Three", "Two", "One"]


async def _written(client: LedgerClient, title: str) -> str:
    return (await client.write_post(title=title, content="Some content.")).title


async def _title(events: EventStream) -> str:
    event = await anext(events)
    assert isinstance(event, PostEvent)
    return event.data.title
