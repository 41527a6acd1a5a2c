from msgspec import UNSET, UnsetType

from ledger.approvals.structs import Policy
from ledger.client.connection import Connected
from ledger.client.loops import TURN
from ledger.heartbeat.explanation import Explanation
from ledger.heartbeat.structs import ConfigChange, Done, History, RunNow, Status, Target, ThreadConfig
from ledger.turns.structs import Every


class Heartbeat(Connected):
    async def get_heartbeat_status(self) -> Status:
        return await self._connection.get(Status, "/api/heartbeat/status")

    async def start_heartbeat(self, *, idempotency_key: str | None = None) -> Done:
        return await self._connection.post(Done, "/api/heartbeat/start", key=idempotency_key)

    async def stop_heartbeat(self, *, idempotency_key: str | None = None) -> Done:
        return await self._connection.post(Done, "/api/heartbeat/stop", key=idempotency_key)

    async def get_heartbeat_config(self, thread_id: str) -> ThreadConfig:
        return await self._connection.get(ThreadConfig, "/api/threads/{}/heartbeat/config", thread_id)

    async def change_heartbeat_config(
        self,
        thread_id: str,
        *,
        enabled: bool | UnsetType | None = UNSET,
        every: Every | UnsetType | None = UNSET,
        every_seconds: Every | UnsetType | None = UNSET,
        target: Target | UnsetType | None = UNSET,
        active_hours_start: int | str | UnsetType | None = UNSET,
        active_hours_end: int | str | UnsetType | None = UNSET,
        timezone: str | UnsetType | None = UNSET,
        model: str | UnsetType | None = UNSET,
        max_tokens: int | UnsetType | None = UNSET,
        temperature: float | UnsetType | None = UNSET,
        dry_run: bool | UnsetType | None = UNSET,
        approval: Policy | UnsetType | None = UNSET,
        idempotency_key: str | None = None,
    ) -> ThreadConfig:
        """What is left out stays as it is; None goes back to the default."""
        body = ConfigChange(
            enabled=enabled,
            every=every,
            every_seconds=every_seconds,
            target=target,
            active_hours_start=active_hours_start,
            active_hours_end=active_hours_end,
            timezone=timezone,
            model=model,
            max_tokens=max_tokens,
            temperature=temperature,
            dry_run=dry_run,
            approval=approval,
        )
        return await self._connection.post(
            ThreadConfig, "/api/threads/{}/heartbeat/config", thread_id, key=idempotency_key, body=body
        )

    async def run_heartbeat_now(self, thread_id: str, *, idempotency_key: str | None = None) -> RunNow:
        """Answers once the heartbeat has ended."""
        return await self._connection.post(
            RunNow, "/api/threads/{}/heartbeat/run-now", thread_id, key=idempotency_key, at_least=TURN
        )

    async def explain_heartbeat(self, thread_id: str) -> Explanation:
        return await self._connection.get(Explanation, "/api/threads/{}/heartbeat/explain", thread_id)

    async def list_heartbeat_history(self, thread_id: str, *, limit: int = 20) -> History:
        return await self._connection.get(History, "/api/threads/{}/heartbeat/history", thread_id, limit=limit)
