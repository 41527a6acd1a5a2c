"""The loops as people handle them: started, stopped, switched and timed per thread, and run at once."""

from typing import Annotated

from litestar import Controller, get, patch, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from ledger.db import Database, Session
from ledger.journal import settings as journal_settings
from ledger.journal.structs import JournalSettings, JournalSettingsChange
from ledger.loops.engine import Loop
from ledger.loops.tasks import Tasks
from ledger.runs.structs import RunDetail
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import LoopName, LoopState, RunRequest, ThreadLoop, ThreadLoopChange, Turn
from ledger.wire import Given, ThreadKey

Loops = dict[LoopName, Loop]

LoopKey = Annotated[LoopName, PathParameter(description="Which of the four loops.")]


class LoopController(Controller):
    path = "/api"
    tags = ["loops"]

    @get("/loops")
    async def list_loops(self, loops: Given[Loops]) -> list[LoopState]:
        """All four loops: whether each is to run, how often, and what it is doing in this process."""
        return [await loop.state() for loop in loops.values()]

    @post("/loops/{loop:str}/start", status_code=200)
    async def start_loop(self, loop: LoopKey, loops: Given[Loops]) -> LoopState:
        """Have a loop run, in all processes; it stays so over restarts."""
        await loops[loop].start()
        return await loops[loop].state()

    @post("/loops/{loop:str}/stop", status_code=200)
    async def stop_loop(self, loop: LoopKey, loops: Given[Loops]) -> LoopState:
        """Have a loop run nowhere; its turns under way are put back. It stays so over restarts."""
        await loops[loop].stop()
        return await loops[loop].state()

    @get("/threads/{thread_id:str}/loops/{loop:str}")
    async def get_thread_loop(
        self,
        thread_id: ThreadKey,
        loop: LoopKey,
        loops: Given[Loops],
        db: Given[Database],
    ) -> ThreadLoop:
        """One loop on one thread: whether it is on, how often it runs, and when it is due."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            turn = await turns.get(session, loop, thread_id)
        return _shown(loops[loop], thread_id, turn)

    @patch("/threads/{thread_id:str}/loops/{loop:str}")
    async def change_thread_loop(
        self,
        thread_id: ThreadKey,
        loop: LoopKey,
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

    @post("/threads/{thread_id:str}/loops/{loop:str}/run-now", status_code=200)
    async def run_loop_now(
        self,
        thread_id: ThreadKey,
        loop: LoopKey,
        loops: Given[Loops],
        tasks: Given[Tasks],
        data: JSONBody[RunRequest | None] = None,
    ) -> RunDetail:
        """Take a thread's turn at once, due or not; 409 while one of the same loop and thread is under way."""
        return await tasks.run(loops[loop].run_for_thread, thread_id, data.prompt if data else None)

    @get("/threads/{thread_id:str}/journal/settings", tags=["journal"])
    async def get_journal_settings(self, thread_id: ThreadKey, db: Given[Database]) -> JournalSettings:
        """Whether the agent answers in the journal, and which reflections are posted."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            return await _journal_settings(session, thread_id)

    @put("/threads/{thread_id:str}/journal/settings", tags=["journal"])
    async def change_journal_settings(
        self,
        thread_id: ThreadKey,
        data: JSONBody[JournalSettingsChange],
        loops: Given[Loops],
        db: Given[Database],
    ) -> JournalSettings:
        """Switch the agent's answers on or off, and say which reflections are posted; absent fields stay."""
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            if data.posts is not UNSET:
                await journal_settings.set_posts_when(session, thread_id, data.posts)
            await loops["self_reply"].configure(session, thread_id, enabled=data.self_reply)
            return await _journal_settings(session, thread_id)


async def _journal_settings(session: Session, thread_id: str) -> JournalSettings:
    turn = await turns.get(session, "self_reply", thread_id)
    return JournalSettings(turn.enabled if turn else True, await journal_settings.posts_when(session, thread_id))


def _shown(loop: Loop, thread_id: str, turn: Turn | None) -> ThreadLoop:
    default = loop.work.every
    if turn is None:
        return ThreadLoop(loop.name, thread_id, True, int(default.total_seconds()), None, None, 0)
    every = int(turn.every(default).total_seconds())
    return ThreadLoop(loop.name, thread_id, turn.enabled, every, turn.slot, turn.next_due_at, turn.attempt)
