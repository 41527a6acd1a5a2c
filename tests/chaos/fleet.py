"""Processes that are killed and started again."""
# ruff: noqa: T201 - it talks to whoever runs it

import signal
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from ledger.clock import SystemClock
from tests.chaos import Service

clock = SystemClock()


def variables(
    provider: str, key: str, *, turn_seconds: int, margin_seconds: int, tick_seconds: float
) -> dict[str, str]:
    """Settings of a service that asks a stub as often as it likes, which knows by the `key` who asks."""
    return {
        "CRT_HEARTBEAT_LOOP_ENABLED": "true",
        "CRT_LLM_BASE_URL": provider,
        "CRT_LLM_API_KEY": key,
        "CRT_LLM_MODEL": "stub",
        "CRT_TURN_SECONDS": str(turn_seconds),
        "CRT_LEASE_MARGIN_SECONDS": str(margin_seconds),
        "CRT_TICK_SECONDS": str(tick_seconds),
        "CRT_THREAD_CALLS_PER_DAY": "unlimited",
        "CRT_THREAD_ACTIONS_PER_DAY": "unlimited",
    }


async def wait(seconds: float) -> None:
    await clock.sleep_until(clock.now() + timedelta(seconds=seconds))


class Start(Protocol):
    def __call__(self, name: str) -> AbstractAsyncContextManager[Service]: ...


class Fleet:
    """Services by name: each is started again whenever it has been killed."""

    def __init__(self, start: Start, size: int) -> None:
        self.names = [f"process-{n}" for n in range(size)]
        self.services: dict[str, Service] = {}
        self.kills = self.errors = 0
        self.codes: list[int] = []
        """Exit codes of those that were not killed."""
        self.last_kill = clock.now()
        self.is_stopping = False
        self._start = start

    async def keep_running(self, name: str) -> None:
        """Run a service until all are stopped, and another one in its place whenever it has been killed."""
        while not self.is_stopping:
            async with self._start(name) as service:
                self.services[name] = service
                code = await service.ended(patience=None)
                del self.services[name]
            if code != -signal.SIGKILL:
                self.codes.append(code)
            for line in service.log:
                if " ERROR " in line or "Traceback" in line:
                    self.errors += 1
                    print(f"  {name}: {line.strip()}")

    async def kill(self, name: str) -> datetime:
        """Kill a service and wait until it is gone; answers when it was killed."""
        service = self.services[name]
        service.process.kill()
        self.kills += 1
        self.last_kill = clock.now()
        while self.services.get(name) is service:
            await wait(0.01)
        return self.last_kill

    async def all_running(self) -> None:
        while len(self.services) < len(self.names):
            await wait(0.05)

    async def stop(self) -> None:
        """Let every service end by itself."""
        await self.all_running()
        self.is_stopping = True
        for service in self.services.values():
            service.process.terminate()
