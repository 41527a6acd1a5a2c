"""What an existing panel calls of the heartbeat: epoch seconds, always 200, and `ok` is all it looks at."""

from litestar import Controller, get, post
from litestar.params import JSONBody

from ledger.db import Database, Session
from ledger.heartbeat import config as configs
from ledger.heartbeat.explain import Explainer
from ledger.heartbeat.explanation import Explanation
from ledger.heartbeat.structs import (
    Activity,
    ConfigChange,
    Done,
    History,
    RunNow,
    Status,
    ThreadConfig,
)
from ledger.instructions.file import File
from ledger.loops.api import Loops
from ledger.loops.engine import Loop
from ledger.loops.tasks import Tasks
from ledger.providers import store as providers
from ledger.runs import store as runs
from ledger.runs.structs import Run, RunDetail
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.wire import Given, Limit, NoBody, ThreadKey


class HeartbeatController(Controller):
    path = "/api"
    tags = ["heartbeat"]

    @get("/heartbeat/status")
    async def get_heartbeat_status(self, loops: Given[Loops], db: Given[Database]) -> Status:
        """Whether the heartbeat loop is to run, how often, and which models are paused."""
        state = await loops["heartbeat"].state()
        async with db.read() as session:
            paused = [provider for provider in await providers.known(session) if provider.paused_at is not None]
        return Status(state.enabled, state.running, state.interval_seconds, paused)

    @post("/heartbeat/start", status_code=200)
    async def start_heartbeat(self, loops: Given[Loops], data: NoBody = None) -> Done:
        """Have the heartbeat loop run, in all processes; it stays so over restarts."""
        del data
        await loops["heartbeat"].start()
        return Done(ok=True, message="The heartbeat loop is running.")

    @post("/heartbeat/stop", status_code=200)
    async def stop_heartbeat(self, loops: Given[Loops], data: NoBody = None) -> Done:
        """Have the heartbeat loop run nowhere; turns under way are put back. It stays so over restarts."""
        del data
        await loops["heartbeat"].stop()
        return Done(ok=True, message="The heartbeat loop is stopped; what was under way stays owed.")

    @get("/threads/{thread_id:str}/heartbeat/config")
    async def get_heartbeat_config(
        self, thread_id: ThreadKey, loops: Given[Loops], db: Given[Database]
    ) -> ThreadConfig:
        """How the heartbeat runs on a thread, and when it last decided."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            return await _thread_config(session, loops["heartbeat"], thread_id)

    @post("/threads/{thread_id:str}/heartbeat/config", status_code=200)
    async def change_heartbeat_config(
        self,
        thread_id: ThreadKey,
        data: JSONBody[ConfigChange],
        loops: Given[Loops],
        db: Given[Database],
    ) -> ThreadConfig:
        """Change what the request names: an absent field stays as it is, null goes back to the default."""
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            await configs.save(session, thread_id, data)
            await loops["heartbeat"].configure(
                session,
                thread_id,
                enabled=configs.wanted_switch(data),
                every_seconds=configs.wanted_interval(data),
            )
            return await _thread_config(session, loops["heartbeat"], thread_id)

    @post("/threads/{thread_id:str}/heartbeat/run-now", status_code=200)
    async def run_heartbeat_now(
        self, thread_id: ThreadKey, loops: Given[Loops], tasks: Given[Tasks], data: NoBody = None
    ) -> RunNow:
        """Run at once, due or not and whatever the hours; 409 while a heartbeat of this thread is under way."""
        del data
        return _ran(await tasks.run(loops["heartbeat"].run_for_thread, thread_id))

    @get("/threads/{thread_id:str}/heartbeat/explain")
    async def explain_heartbeat(
        self, thread_id: ThreadKey, explainer: Given[Explainer], file: Given[File]
    ) -> Explanation:
        """Why the next heartbeat will act or not: gates, changes, tasks, the next ten slots, and what it would cost."""
        await file.follow()
        return await explainer.explain(thread_id)

    @get("/threads/{thread_id:str}/heartbeat/history")
    async def list_heartbeat_history(self, thread_id: ThreadKey, db: Given[Database], limit: Limit = 20) -> History:
        """What heartbeats of a thread decided, the newest first; what was skipped is under `/api/runs`."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            decided = await runs.decided(session, thread_id, "heartbeat", limit)
            total = await runs.count_decided(session, thread_id, "heartbeat")
        return History([_activity(run) for run in decided], total)


async def _thread_config(session: Session, loop: Loop, thread_id: str) -> ThreadConfig:
    turn = await turns.get(session, loop.name, thread_id)
    config = await configs.of_thread(session, thread_id, turn, int(loop.work.every.total_seconds()))
    newest = await runs.decided(session, thread_id, loop.name, 1)
    last_run = newest[0].finished_at.timestamp() if newest else None
    return ThreadConfig(thread_id, config, last_run, _summary(newest[0]) if newest else None, configs.problems(config))


def _ran(run: RunDetail) -> RunNow:
    decided = _succeeded(run)
    return RunNow(
        thread_id=run.thread_id,
        ran_successfully=decided,
        timestamp=run.finished_at.timestamp(),
        decision_summary=run.summary or None,
        actions=run.actions,
        execution_time_seconds=(run.finished_at - run.started_at).total_seconds(),
        error=None if decided else run.error or run.summary,
    )


def _activity(run: Run) -> Activity:
    return Activity(run.finished_at.timestamp(), _summary(run), run.actions, _succeeded(run))


def _succeeded(run: Run) -> bool:
    """Whether it came to a decision; whether each action passed its checks stands with the action."""
    return run.outcome in ("acted", "nothing", "waiting", "refused")


def _summary(run: Run) -> str:
    return run.summary or run.error or run.outcome
