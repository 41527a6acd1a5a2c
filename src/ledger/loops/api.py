from litestar import Controller, get, patch, post
from litestar.params import FromPath, JSONBody

from ledger.db import Database
from ledger.loops.engine import Loop
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import LoopName, LoopState, ThreadLoop, ThreadLoopChange, Turn
from ledger.wire import Given

Loops = dict[LoopName, Loop]


class LoopController(Controller):
    path = "/api"
    tags = ["loops"]

    @get("/loops")
    async def list_loops(self, loops: Given[Loops]) -> list[LoopState]:
        return [await loop.state() for loop in loops.values()]

    @post("/loops/{loop:str}/start", status_code=200)
    async def start_loop(self, loop: FromPath[LoopName], loops: Given[Loops]) -> LoopState:
        """Have a loop run, in all processes; it stays so over restarts."""
        await loops[loop].start()
        return await loops[loop].state()

    @post("/loops/{loop:str}/stop", status_code=200)
    async def stop_loop(self, loop: FromPath[LoopName], loops: Given[Loops]) -> LoopState:
        """Have a loop run nowhere; its turns under way are put back. It stays so over restarts."""
        await loops[loop].stop()
        return await loops[loop].state()

    @get("/threads/{thread_id:str}/loops/{loop:str}")
    async def get_thread_loop(
        self,
        thread_id: FromPath[str],
        loop: FromPath[LoopName],
        loops: Given[Loops],
        db: Given[Database],
    ) -> ThreadLoop:
        async with db.read() as session:
            await threads.get(session, thread_id)
            turn = await turns.get(session, loop, thread_id)
        return _shown(loops[loop], thread_id, turn)

    @patch("/threads/{thread_id:str}/loops/{loop:str}")
    async def change_thread_loop(
        self,
        thread_id: FromPath[str],
        loop: FromPath[LoopName],
        data: JSONBody[ThreadLoopChange],
        loops: Given[Loops],
        db: Given[Database],
    ) -> ThreadLoop:
        """Switch a loop on or off for one thread, or give it an interval of its own."""
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            await loops[loop].configure(session, thread_id, enabled=data.enabled, every_seconds=data.every)
            turn = await turns.get(session, loop, thread_id)
        return _shown(loops[loop], thread_id, turn)


def _shown(loop: Loop, thread_id: str, turn: Turn | None) -> ThreadLoop:
    default = loop.work.every
    if turn is None:
        return ThreadLoop(loop.name, thread_id, True, int(default.total_seconds()), None, None, 0)
    every = int(turn.every(default).total_seconds())
    return ThreadLoop(loop.name, thread_id, turn.enabled, every, turn.slot, turn.next_due_at, turn.attempt)
