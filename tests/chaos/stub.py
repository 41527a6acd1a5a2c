"""A provider that answers thousands of calls a second, each after the same time, with a post of its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec

from tests.scripted import act, post


class Stub:
    """Counts the calls it gets."""

    def __init__(self, latency: timedelta) -> None:
        self.latency = latency.total_seconds()
        self.calls = 0
        self.url = ""

    def answer(self) -> bytes:
        self.calls += 1
        decision = msgspec.json.encode(act(post(f"Call {self.calls}"), summary=f"Call {self.calls}.")).decode()
        choice = {"index": 0, "message": {"role": "assistant", "content": decision}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}
        body = msgspec.json.encode({"id": "1", "model": "stub", "choices": [choice], "usage": usage})
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class _Connection(asyncio.Protocol):
    """HTTP as one client speaks it: one request at a time, with its length in its head, on a connection that stays."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self._received.clear()
            asyncio.get_running_loop().call_later(self._stub.latency, self._answer)

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._stub.answer())


@asynccontextmanager
async def stub_running(latency: timedelta) -> AsyncGenerator[Stub]:
    stub = Stub(latency)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(stub), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    stub.url = f"http://{host}:{port}/v1"
    async with server:
        yield stub
