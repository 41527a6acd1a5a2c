"""Time as a value: the one place that knows what time it is, and the one way to wait."""

import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import anyio

from ledger.errors import Invalid


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    async def sleep_until(self, moment: datetime, woken: anyio.Event | None = None) -> None:
        """Sleep until `moment`, or until `woken` is set if that comes first."""
        ...

    def deadline(self, limit: timedelta) -> AbstractContextManager[object]:
        """Cancel what runs inside after `limit` and raise `TimeoutError`."""
        ...


class SystemClock:
    """The machine's clock, which all processes on one machine share."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the one place that asks

    async def sleep_until(self, moment: datetime, woken: anyio.Event | None = None) -> None:
        with anyio.move_on_after(max(0.0, (moment - self.now()).total_seconds())):
            await (woken or anyio.Event()).wait()

    def deadline(self, limit: timedelta) -> AbstractContextManager[object]:
        return anyio.fail_after(limit.total_seconds())


_DRIFT = 1 / 1_000
"""How far apart two clocks may run, in seconds a second: far more than any does."""


def _monotonic() -> timedelta:
    return timedelta(seconds=time.monotonic())  # noqa: TID251 - the one place that asks


class ServerClock(SystemClock):
    """Monotonic time plus the offset to a database server's clock, so that several machines agree."""

    def __init__(self, elapsed: Callable[[], timedelta] = _monotonic) -> None:
        """`elapsed`: the time since some moment, which never goes back."""
        self._elapsed = elapsed
        self._zero = super().now() - elapsed()
        self._error: timedelta | None = None
        self._asked_at = timedelta(0)

    def now(self) -> datetime:
        return self._zero + self._elapsed()

    async def follow(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        """Set the offset from one answer of the server, unless what is known by now is better.

        The error of an answer is at most half its round trip, which may have waited for a connection or a busy server;
        what is known grows worse as the clocks drift apart. (So does NTP choose its samples: RFC 5905, section 10.)
        """
        asked_at = self._elapsed()
        moment = await ask()
        error = (self._elapsed() - asked_at) / 2
        if self._error is None or error <= self._error + (asked_at - self._asked_at) * _DRIFT:
            self._zero, self._error, self._asked_at = moment - asked_at - error, error, asked_at


class ManualClock:
    """A clock that moves only when told to: for tests and simulations."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._scopes: dict[anyio.CancelScope, datetime] = {}

    def now(self) -> datetime:
        return self._now

    async def sleep_until(self, moment: datetime, woken: anyio.Event | None = None) -> None:
        with self._cancelled_at(moment):
            await (woken or anyio.Event()).wait()

    @contextmanager
    def deadline(self, limit: timedelta) -> Generator[None]:
        with self._cancelled_at(self._now + limit) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError

    def advance(self, by: timedelta) -> None:
        """Move the time on; what waited for a moment that has come goes on at its next turn."""
        self._now += by
        for scope, moment in self._scopes.items():
            if moment <= self._now:
                scope.cancel()

    @contextmanager
    def _cancelled_at(self, moment: datetime) -> Generator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            self._scopes[scope] = moment
            if moment <= self._now:
                scope.cancel()
            try:
                yield scope
            finally:
                del self._scopes[scope]


def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name; raises `Invalid` for any other."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(f"{name!r} is not an IANA time zone: write one such as UTC or Europe/Paris.") from None


def local_text(moment: datetime, timezone: str) -> str:
    """The moment by the clocks of a zone, with its day of the week, to the minute."""
    return f"{moment.astimezone(zone(timezone)):%a %Y-%m-%d %H:%M}"


def known_timezone(name: str) -> str:
    return zone(name).key
