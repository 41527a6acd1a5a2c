"""The event stream of a real process: told to stop while it is open, and killed."""

import shutil
import signal
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from msgspec import Struct

from ledger.clock import SystemClock
from ledger.db import Database
from ledger.events import store as events
from tests.chaos import Service, serving
from tests.conftest import START

Json = dict[str, Any]

PATIENCE_SECONDS = 20
MANY = 150
POST = {"author": "ann", "title": "When?", "content": "In May."}


class Long(Struct, frozen=True):
    text: str


@pytest.fixture
def variables(tmp_path: Path, empty_sqlite: Path) -> dict[str, str]:
    path = shutil.copyfile(empty_sqlite, tmp_path / "own.db")
    return {"CRT_DATABASE_URL": f"sqlite+aiosqlite:///{path}"}


class Follower:
    """A reader over HTTP, which keeps the events and ids it was given."""

    def __init__(self, last_id: str = "") -> None:
        self._arrived = anyio.Event()
        self.events: list[Json] = []
        self.last_id = last_id

    async def follow(self, service: Service) -> None:
        """From where it was, until the other end is gone."""
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_SECONDS) as http:
            with suppress(httpx.RemoteProtocolError):  # it was killed
                async with http.stream("GET", "/api/events?kinds=post", headers=headers) as answer:
                    async for line in answer.aiter_lines():
                        self._read(line)

    async def until(self, count: int) -> None:
        """Wait for so many events, and for the place it begins at."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(self.events) < count or not self.last_id:
                self._arrived = anyio.Event()
                await self._arrived.wait()

    def _read(self, line: str) -> None:
        name, _, value = line.partition(": ")
        if name == "id":
            self.last_id = value
        elif name == "data":
            self.events.append(msgspec.json.decode(value))
        self._arrived.set()


async def write(service: Service, *titles: str) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_SECONDS) as http:
        for title in titles:
            (await http.post("/api/posts", json=POST | {"title": title})).raise_for_status()


async def stopped(service: Service) -> float:
    """Tell it to stop; how many seconds it took."""
    clock = SystemClock()
    told = clock.now()
    service.process.send_signal(signal.SIGTERM)
    code = await service.ended(PATIENCE_SECONDS)
    took = (clock.now() - told).total_seconds()
    assert code == 0, service.log
    assert not [line for line in service.log if " ERROR " in line or "Traceback" in line], service.log
    return took


async def test_a_process_with_open_streams_stops_at_once(tmp_path: Path, variables: dict[str, str]) -> None:
    async with serving(directory=tmp_path, **variables) as service, anyio.create_task_group() as group:
        followers = [Follower() for _ in range(5)]
        for follower in followers:
            group.start_soon(follower.follow, service)
            await follower.until(0)
        await write(service, "One")
        for follower in followers:
            await follower.until(1)
        assert await stopped(service) < 1.5


async def test_a_process_with_a_reader_that_takes_nothing_stops_soon(tmp_path: Path, variables: dict[str, str]) -> None:
    await _tell_much(variables["CRT_DATABASE_URL"])
    async with serving(directory=tmp_path, **variables) as service:
        with closing(_silent(service)):
            follower = Follower("0-0")
            async with anyio.create_task_group() as group:
                group.start_soon(follower.follow, service)
                await follower.until(MANY)  # by when the other one has been given all that it can be
                group.cancel_scope.cancel()
            assert await stopped(service) < 1.5


async def _tell_much(url: str) -> None:
    """Far more than the system keeps for a connection that nobody reads."""
    database = Database(url)
    async with database.write() as session:
        for _ in range(MANY):
            await events.tell(session, "post", Long("x" * 100_000), thread_id=None, at=START)
    await database.close()


def _silent(service: Service) -> socket.socket:
    """A connection that asks for the stream and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    host, port = service.url.removeprefix("http://").split(":")
    connection.connect((host, int(port)))
    connection.sendall(f"GET /api/events?after=0-0 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return connection


async def test_a_reader_goes_on_where_it_was_when_the_process_was_killed(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    titles = [f"Post {n}" for n in range(20)]
    follower = Follower()
    async with serving(directory=tmp_path, **variables) as service, anyio.create_task_group() as group:
        group.start_soon(follower.follow, service)
        await follower.until(0)
        await write(service, *titles[:10])
        await follower.until(7)
        service.process.send_signal(signal.SIGKILL)
        await service.ended(PATIENCE_SECONDS)
    async with serving(directory=tmp_path, **variables) as service, anyio.create_task_group() as group:
        await write(service, *titles[10:15])
        group.start_soon(follower.follow, service)
        await write(service, *titles[15:])
        await follower.until(20)
        group.cancel_scope.cancel()
    assert [event["data"]["title"] for event in follower.events] == titles
