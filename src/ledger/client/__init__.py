"""Ledger's API as one object: a method for each operation, named as the operation is."""

from types import TracebackType
from typing import Self

import httpx2

from ledger.client.connection import Connection
from ledger.client.events import Events
from ledger.client.heartbeat import Heartbeat
from ledger.client.instructions import Instructions
from ledger.client.journal import Journal
from ledger.client.loops import Loops
from ledger.client.mind import Mind
from ledger.client.people import Approvals, Questions
from ledger.client.posts import Posts
from ledger.client.records import Budgets, Runs, Service
from ledger.client.threads import Threads
from ledger.clock import Clock, SystemClock

__all__ = ["LedgerClient"]


class LedgerClient(
    Threads,
    Posts,
    Mind,
    Journal,
    Loops,
    Heartbeat,
    Instructions,
    Questions,
    Approvals,
    Runs,
    Budgets,
    Service,
    Events,
):
    """Raises the exceptions of `ledger.errors`; `Unreachable` when no answer comes.

    `idempotency_key`: under the same key the server does a thing once, however often and from wherever it is asked.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        retries: int = 5,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`timeout`: in seconds, for each try.

        `retries`: how often to try again where that does no harm; five pauses are 15 s together, or more.
        """
        super().__init__(
            Connection(
                base_url,
                token,
                timeout=timeout,
                retries=retries,
                clock=clock or SystemClock(),
                transport=transport,
            )
        )

    async def close(self) -> None:
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
