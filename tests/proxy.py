"""A way to a server that can be closed, cut or blocked: what networks and hosts do to those who need a database."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, NamedTuple

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream, TaskGroup
from sqlalchemy.engine import make_url

Lost = Literal["question", "answer"]


class Trap(NamedTuple):
    words: bytes
    lost: Lost
    spring: Callable[[], Awaitable[None]]


class Proxy:
    """Passes bytes between clients and a server, as long as it is told nothing else."""

    def __init__(self, url: str, group: TaskGroup) -> None:
        """`url`: the database's."""
        self._server = make_url(url)
        self._group = group
        self._port = 0  # the system gives one
        self._listener: Listener[SocketStream] | None = None
        self._connections: set[anyio.CancelScope] = set()
        self._flows = anyio.Event()
        self._flows.set()
        self._trap: Trap | None = None

    @property
    def url(self) -> str:
        """The database by way of this proxy."""
        return self._server.set(host="127.0.0.1", port=self._port).render_as_string(hide_password=False)

    async def accept(self) -> None:
        """Have connections made, from now on or again."""
        listening = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self._port)
        self._port = listening.extra_attributes[SocketAttribute.local_port]()
        (self._listener,) = listening.listeners
        self._group.start_soon(self._listen, self._listener)

    async def refuse(self) -> None:
        """Cut all connections, and have new ones refused."""
        assert self._listener is not None
        await self._listener.aclose()
        await self.cut()

    async def cut(self) -> None:
        """End all connections there are."""
        for scope in self._connections:
            scope.cancel()

    async def block(self) -> None:
        """Keep all bytes back, also those of new connections, as a host does that is paused or out of reach."""
        self._flows = anyio.Event()

    async def unblock(self) -> None:
        """Pass on what was kept back, and all that comes."""
        self._flows.set()

    def lose(self, lost: Lost, words: bytes, spring: Callable[[], Awaitable[None]]) -> None:
        """Do something the next time a client says these words: before the server hears them, or once it answers."""
        self._trap = Trap(words, lost, spring)

    async def _listen(self, listener: Listener[SocketStream]) -> None:
        with suppress(anyio.ClosedResourceError):
            async with listener:
                await listener.serve(self._serve, self._group)

    async def _serve(self, client: SocketStream) -> None:
        with anyio.CancelScope() as scope:
            self._connections.add(scope)
            async with client, await self._reached() as server, anyio.create_task_group() as group:
                trapped = anyio.Event()
                group.start_soon(self._pass_questions, client, server, trapped, scope)
                await self._pass_answers(server, client, trapped, scope)
        self._connections.remove(scope)

    async def _reached(self) -> SocketStream:
        return await anyio.connect_tcp(self._server.host or "127.0.0.1", self._server.port or 5432)

    async def _pass_questions(
        self, client: SocketStream, server: SocketStream, trapped: anyio.Event, ended: anyio.CancelScope
    ) -> None:
        with suppress(anyio.BrokenResourceError):
            async for data in client:
                if self._trap is not None and self._trap.words in data:
                    trapped.set()
                    await self._spring("question")
                await self._flows.wait()
                await server.send(data)
        ended.cancel()

    async def _pass_answers(
        self, server: SocketStream, client: SocketStream, trapped: anyio.Event, ended: anyio.CancelScope
    ) -> None:
        with suppress(anyio.BrokenResourceError):
            async for data in server:
                if trapped.is_set():
                    await self._spring("answer")
                await self._flows.wait()
                await client.send(data)
        ended.cancel()

    async def _spring(self, lost: Lost) -> None:
        if self._trap is not None and self._trap.lost == lost:
            trap, self._trap = self._trap, None
            await trap.spring()


@asynccontextmanager
async def proxy_running(url: str) -> AsyncGenerator[Proxy]:
    async with anyio.create_task_group() as group:
        proxy = Proxy(url, group)
        await proxy.accept()
        yield proxy
        group.cancel_scope.cancel()
