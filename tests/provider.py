"""An OpenAI-compatible provider on a real socket, which answers every call the way a test tells it to."""

import re
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import msgspec
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from ledger.clock import SystemClock
from tests.scripted import NOTHING

Mode = Callable[[SocketStream, dict[str, Any]], Awaitable[None]]
"""Answers one call, whose body is the second argument. When it returns, the connection is closed."""

_DRIP = timedelta(milliseconds=10)
_MAX_HEADER = 65_536
_PATIENCE_SECONDS = 30


def http(status: int, body: str | bytes, *, kind: str = "application/json", headers: str = "") -> Mode:
    """A whole answer; `headers` are further lines, each with its end."""
    content = body.encode() if isinstance(body, str) else body

    async def answer(stream: ByteStream, request: dict[str, Any]) -> None:
        del request
        await stream.send(_head(status, len(content), kind, headers) + content)

    return answer


def says(text: str | dict[str, object] | None, **message: object) -> Mode:
    """A completion with this content; a value is sent as JSON."""
    content = msgspec.json.encode(text).decode() if isinstance(text, dict) else text
    return completion({"role": "assistant", "content": content, **message})


def completion(message: dict[str, object], *, with_usage: bool = True, usage: dict[str, object] | None = None) -> Mode:
    body: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "stub-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    if with_usage:
        body["usage"] = usage or {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return http(200, msgspec.json.encode(body))


def error(status: int, message: str, *, headers: str = "") -> Mode:
    """An error the way OpenAI words it."""
    return http(status, msgspec.json.encode({"error": {"message": message, "type": "error"}}), headers=headers)


async def hang(stream: ByteStream, request: dict[str, Any]) -> None:
    """Never answer: wait until the caller has had enough."""
    del request
    await stream.receive()


async def drip_headers(stream: ByteStream, request: dict[str, Any]) -> None:
    """Send a header that never ends, byte by byte."""
    del request
    await stream.send(b"HTTP/1.1 200 OK\r\nx-drip: ")
    await _drip(stream, b"a")


async def drip_body(stream: ByteStream, request: dict[str, Any]) -> None:
    """Send a body that never ends, byte by byte."""
    del request
    await stream.send(_head(200, 1_000_000_000, "application/json", ""))
    await _drip(stream, b" ")


async def cut(stream: ByteStream, request: dict[str, Any]) -> None:
    """Close the connection in the middle of the body."""
    del request
    await stream.send(_head(200, 1_000, "application/json", "") + b'{"choices": [')


async def reset(stream: SocketStream, request: dict[str, Any]) -> None:
    """Reset the connection instead of answering."""
    del request
    raw = stream.extra_attributes[SocketAttribute.raw_socket]()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Slow:
    """Answers once the test says so."""

    def __init__(self, mode: Mode) -> None:
        self.go_on = anyio.Event()
        self._mode = mode

    async def __call__(self, stream: SocketStream, request: dict[str, Any]) -> None:
        await self.go_on.wait()
        await self._mode(stream, request)


class Provider:
    """Serves `/v1/chat/completions` in the present `mode`, and keeps the requests it got."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.mode: Mode = says(NOTHING)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[str] = []
        """The head of each request, as it came."""
        self._asked = anyio.Event()

    async def asked(self, times: int = 1) -> None:
        """Wait until it has been called that often in all."""
        with anyio.fail_after(_PATIENCE_SECONDS):
            while len(self.requests) < times:
                await self._asked.wait()

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            try:
                head, request = await _read(stream)
                self.headers.append(head)
                self.requests.append(request)
                self._asked.set()
                self._asked = anyio.Event()
                await self.mode(stream, request)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                return  # the caller hung up


@asynccontextmanager
async def provider_running() -> AsyncGenerator[Provider]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    provider = Provider(listener.extra_attributes[SocketAttribute.local_port]())
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, provider.serve)
        yield provider
        group.cancel_scope.cancel()


@asynccontextmanager
async def nobody_listening() -> AsyncGenerator[str]:
    """The address of a provider that is down: its port is taken, but refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


async def _read(stream: ByteStream) -> tuple[str, dict[str, Any]]:
    buffered = BufferedByteReceiveStream(stream)
    head = (await buffered.receive_until(b"\r\n\r\n", _MAX_HEADER)).decode()
    length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
    assert head.startswith("POST /v1/chat/completions HTTP/1.1"), head
    assert length, head
    return head, msgspec.json.decode(await buffered.receive_exactly(int(length[1])))


def _head(status: int, length: int, kind: str, headers: str) -> bytes:
    return (
        f"HTTP/1.1 {status} Stub\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n"
        f"{headers}connection: close\r\n\r\n"
    ).encode()


async def _drip(stream: ByteStream, byte: bytes) -> None:
    clock = SystemClock()
    while True:
        await stream.send(byte)
        await clock.sleep_until(clock.now() + _DRIP)
