from datetime import timedelta

from msgspec import UNSET, UnsetType

from ledger.client.connection import Connected
from ledger.runs.structs import RunDetail
from ledger.turns.structs import Every, LoopName, LoopState, RunRequest, ThreadLoop, ThreadLoopChange

TURN = timedelta(seconds=150)
"""As long as a turn may take (`CRT_TURN_SECONDS` is 120 by default), and a little more."""


class Loops(Connected):
    async def list_loops(self) -> list[LoopState]:
        return await self._connection.get(list[LoopState], "/api/loops")

    async def start_loop(self, loop: LoopName, *, idempotency_key: str | None = None) -> LoopState:
        return await self._connection.post(LoopState, "/api/loops/{}/start", loop, key=idempotency_key)

    async def stop_loop(self, loop: LoopName, *, idempotency_key: str | None = None) -> LoopState:
        return await self._connection.post(LoopState, "/api/loops/{}/stop", loop, key=idempotency_key)

    async def get_thread_loop(self, thread_id: str, loop: LoopName) -> ThreadLoop:
        return await self._connection.get(ThreadLoop, "/api/threads/{}/loops/{}", thread_id, loop)

    async def change_thread_loop(
        self,
        thread_id: str,
        loop: LoopName,
        *,
        enabled: bool | UnsetType = UNSET,
        every: Every | UnsetType | None = UNSET,
    ) -> ThreadLoop:
        body = ThreadLoopChange(enabled, every)
        return await self._connection.patch(ThreadLoop, "/api/threads/{}/loops/{}", thread_id, loop, body=body)

    async def run_loop_now(
        self, thread_id: str, loop: LoopName, *, prompt: str | None = None, idempotency_key: str | None = None
    ) -> RunDetail:
        """Answers once the turn has ended."""
        return await self._connection.post(
            RunDetail,
            "/api/threads/{}/loops/{}/run-now",
            thread_id,
            loop,
            key=idempotency_key,
            body=RunRequest(prompt),
            at_least=TURN,
        )
