"""A reader of the event stream, which calls the application itself: `httpx.ASGITransport` cannot stream."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import anyio
import msgspec
from litestar.types import HTTPScope, Message
from msgspec import Struct

from ledger.clock import ManualClock
from tests.conftest import Running

Json = dict[str, Any]

_ROUND = timedelta(milliseconds=20)
"""By how much the time goes on while nothing comes: as often as the stream looks for events that are held up."""

_ROUND_SECONDS = 0.002
_PATIENCE_SECONDS = 10
_PORTS = count(1)


class Frame(Struct, frozen=True):
    """One message of Server-Sent Events."""

    id: str | None = None
    event: str | None = None
    data: Any = None
    comment: str | None = None
    retry: int | None = None

    @staticmethod
    def read(text: str) -> "Frame":
        fields: Json = {}
        for line in text.split("\n"):
            name, _, value = line.partition(":")
            fields[name or "comment"] = value.removeprefix(" ")
        if "data" in fields:
            fields["data"] = msgspec.json.decode(fields["data"])
        if "retry" in fields:
            fields["retry"] = int(fields["retry"])
        return Frame(**fields)


class Listener:
    """What one stream has sent so far. It takes what comes, unless it is told to stand still."""

    def __init__(self, running: Running, clock: ManualClock) -> None:
        self._running = running
        self._clock = clock
        self._closed = anyio.Event()
        self._arrived = anyio.Event()
        self._takes = anyio.Event()
        self._takes.set()
        self._unread = b""
        self._taken = 0
        self.client = ("127.0.0.1", next(_PORTS))
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.frames: list[Frame] = []
        self.has_ended = False

    @property
    def events(self) -> list[Json]:
        return [frame.data for frame in self.frames if frame.data is not None]

    @property
    def is_cut_off(self) -> bool:
        return self.client in self._running.app.cut_off

    @property
    def last_id(self) -> str:
        """What a browser would send as `Last-Event-ID`."""
        return [frame.id for frame in self.frames if frame.id is not None][-1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something, while the time goes on."""
        with anyio.fail_after(_PATIENCE_SECONDS):
            while not condition():
                self._arrived = anyio.Event()
                with anyio.move_on_after(_ROUND_SECONDS) as waited:
                    await self._arrived.wait()
                if waited.cancelled_caught:
                    self._clock.advance(_ROUND)

    async def take(self, count: int = 1) -> list[Json]:
        """The next events."""
        upto = self._taken + count
        await self.until(lambda: len(self.events) >= upto or self.has_ended)
        taken, self._taken = self.events[self._taken : upto], upto
        return taken

    async def next(self) -> Json:
        (event,) = await self.take()
        return event

    async def ended(self) -> None:
        await self.until(lambda: self.has_ended)

    def stand_still(self) -> None:
        """Take nothing more, as a reader whose connection is full."""
        self._takes = anyio.Event()

    def go_on(self) -> None:
        self._takes.set()

    def close(self) -> None:
        """Hang up."""
        self._closed.set()

    async def listen(self, scope: HTTPScope) -> None:
        await self._running.app(scope, self._receive, self._send)
        self.has_ended = True
        self._arrived.set()

    async def _receive(self) -> Any:  # noqa: ANN401 - one of ASGI's messages
        await self._closed.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._takes.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            self.body += message["body"]
            *whole, self._unread = (self._unread + message["body"]).split(b"\n\n")
            self.frames += [Frame.read(each.decode()) for each in whole]
            if not message["more_body"]:
                self._closed.set()
        self._arrived.set()


@asynccontextmanager
async def listening(
    running: Running,
    clock: ManualClock,
    query: str = "",
    *,
    path: str = "/api/events",
    method: str = "GET",
    last_event_id: str | None = None,
) -> AsyncGenerator[Listener]:
    """A stream, once it has begun; hung up on at the end of the block."""
    listener = Listener(running, clock)
    headers = [(b"host", b"127.0.0.1"), *([(b"last-event-id", last_event_id.encode())] if last_event_id else [])]
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": headers,
        "client": listener.client,
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    async with anyio.create_task_group() as group:
        group.start_soon(listener.listen, scope)
        await listener.until(lambda: listener.status > 0)
        if path == "/api/events" and method == "GET":
            await listener.until(lambda: bool(listener.frames) or listener.has_ended)
        try:
            yield listener
        finally:
            listener.go_on()
            listener.close()
