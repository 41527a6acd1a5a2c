"""What has been done, what it may cost, and how the service is."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from ledger.budgets.structs import Budget, BudgetChange, ThreadBudget
from ledger.client.connection import Connected
from ledger.client.pages import AT_ONCE, each
from ledger.health import Health
from ledger.providers.structs import Provider
from ledger.runs.structs import Outcome, Reason, Run, RunDetail
from ledger.threads.structs import Page
from ledger.turns.structs import LoopName

Most: TypeAlias = int | Literal["unlimited"] | UnsetType | None
MostCost: TypeAlias = float | Literal["unlimited"] | UnsetType | None


class Runs(Connected):
    async def list_runs(
        self,
        *,
        thread_id: str | None = None,
        loop: LoopName | None = None,
        outcome: Outcome | None = None,
        reason: Reason | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Run]:
        return await self._connection.get(
            Page[Run],
            "/api/runs",
            thread_id=thread_id,
            loop=loop,
            outcome=outcome,
            reason=reason,
            since=since,
            until=until,
            limit=limit,
            cursor=cursor,
        )

    def runs(
        self,
        *,
        thread_id: str | None = None,
        loop: LoopName | None = None,
        outcome: Outcome | None = None,
        reason: Reason | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncGenerator[Run]:
        return each(
            lambda cursor: self.list_runs(
                thread_id=thread_id,
                loop=loop,
                outcome=outcome,
                reason=reason,
                since=since,
                until=until,
                limit=AT_ONCE,
                cursor=cursor,
            )
        )

    async def get_run(self, run_id: str) -> RunDetail:
        return await self._connection.get(RunDetail, "/api/runs/{}", run_id)


class Budgets(Connected):
    async def get_budget(self) -> Budget:
        return await self._connection.get(Budget, "/api/budget")

    async def get_thread_budget(self, thread_id: str) -> ThreadBudget:
        return await self._connection.get(ThreadBudget, "/api/threads/{}/budget", thread_id)

    async def change_thread_budget(
        self,
        thread_id: str,
        *,
        calls: Most = UNSET,
        tokens: Most = UNSET,
        actions: Most = UNSET,
        cost: MostCost = UNSET,
    ) -> ThreadBudget:
        """What is left out stays as it is; None goes back to the service's default."""
        body = BudgetChange(calls=calls, tokens=tokens, actions=actions, cost=cost)
        return await self._connection.patch(ThreadBudget, "/api/threads/{}/budget", thread_id, body=body)


class Service(Connected):
    async def list_providers(self) -> list[Provider]:
        return await self._connection.get(list[Provider], "/api/providers")

    async def is_live(self) -> Health:
        return await self._connection.get(Health, "/health/live")

    async def is_ready(self) -> Health:
        """Raises `Unavailable` while it is not."""
        return await self._connection.get(Health, "/health/ready")
