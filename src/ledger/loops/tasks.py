"""What is started by a request but belongs to the service: it outlives the request, and ends with the service."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from ledger.clock import Clock
from ledger.errors import Unavailable

T = TypeVar("T")


class Tasks:
    """The service's task group; `open` while the service runs."""

    def __init__(self) -> None:
        self._group: TaskGroup | None = None
        self._running: set[anyio.Event] = set()

    def open(self, group: TaskGroup) -> None:
        self._group = group

    def close(self) -> None:
        """Take on no more."""
        self._group = None

    async def run(self, do: Callable[..., Awaitable[T]], *arguments: Any) -> T:  # noqa: ANN401 - passed on as they are
        """Run something in the service's group and wait for what comes of it; `Unavailable` if the service stops."""
        if self._group is None:
            raise Unavailable("The service is stopping: try again.")
        task = _Task[T]()
        self._running.add(task.ended)
        self._group.start_soon(task.run, do, arguments)
        try:
            await task.ended.wait()
        finally:
            self._running.discard(task.ended)
        return task.outcome()

    async def drain(self, clock: Clock, until: datetime) -> None:
        """Wait for what is under way, at the longest until then."""
        for ended in list(self._running):
            await clock.sleep_until(until, ended)


class _Task(Generic[T]):
    def __init__(self) -> None:
        self.ended = anyio.Event()
        self._result: list[T] = []
        self._error: Exception | None = None

    async def run(self, do: Callable[..., Awaitable[T]], arguments: tuple[Any, ...]) -> None:
        try:
            self._result.append(await do(*arguments))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            self._error = error
        finally:
            self.ended.set()

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        if not self._result:
            raise Unavailable("The service is stopping, so this was cancelled: try again.")
        return self._result[0]
