"""A clock on which nobody waits, and a server that answers what a test tells it to."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import anyio
import httpx2

from ledger import LedgerClient
from ledger.clock import ManualClock

Part = bytes | timedelta | Exception
"""What a stream does: sends something, is silent for some time, or breaks."""

Step = httpx2.Response | Exception | timedelta | Callable[[httpx2.Request], httpx2.Response]
"""What a server does with a request: answers, breaks, or says nothing for some time."""


class LeapingClock(ManualClock):
    """Moves on by itself to whatever is waited for."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.waits: list[float] = []
        """How long was slept, in seconds."""

    async def sleep_until(self, moment: datetime, woken: anyio.Event | None = None) -> None:
        del woken
        self.waits.append((moment - self.now()).total_seconds())
        self.advance(moment - self.now())
        await anyio.lowlevel.checkpoint()


class Script:
    """A server that goes through its steps, one a request."""

    def __init__(self, clock: LeapingClock, *steps: Step) -> None:
        self._clock = clock
        self._steps = list(steps)
        self.requests: list[httpx2.Request] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, timedelta):
            await silence(self._clock, step)
        elif isinstance(step, httpx2.Response):
            return step
        else:
            response = step(request)
            await anyio.lowlevel.checkpoint()  # where a deadline ends what took too long
            return response
        raise AssertionError("nobody ended the request")

    @property
    def is_over(self) -> bool:
        return not self._steps

    @asynccontextmanager
    async def client(self, **settings: float) -> AsyncGenerator[LedgerClient]:
        transport = httpx2.MockTransport(self)
        retries, timeout = int(settings.get("retries", 3)), settings.get("timeout", 30.0)
        async with LedgerClient(
            "http://ledger.test", transport=transport, clock=self._clock, retries=retries, timeout=timeout
        ) as client:
            yield client


class Parts(httpx2.AsyncByteStream):
    """A body that comes in parts."""

    def __init__(self, clock: LeapingClock, *parts: Part) -> None:
        self._clock = clock
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, timedelta):
                await silence(self._clock, part)
            elif isinstance(part, Exception):
                raise part
            else:
                yield part


async def silence(clock: LeapingClock, time: timedelta) -> None:
    clock.advance(time)
    await anyio.lowlevel.checkpoint()
