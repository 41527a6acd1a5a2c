"""What a heartbeat leaves when its turn is settled: the tasks it saw, what it decided, and when to look again."""

from datetime import datetime, timedelta

from msgspec import Struct, structs

from ledger import actions
from ledger.actions import Decision
from ledger.actions.checks import Scene
from ledger.db import Session
from ledger.heartbeat import gates, tasks
from ledger.heartbeat.assess import Standing
from ledger.heartbeat.schedule import MOST_INTERVALS
from ledger.instructions import store as instructions
from ledger.questions import store as questions
from ledger.runs.structs import RunDetail, TaskOutcome
from ledger.threads import store as threads
from ledger.turns.structs import MAX_SECONDS, Turn


class Sighting(Struct, frozen=True):
    """A turn that did nothing but see tasks for the first time, or with another schedule."""

    turn: Turn
    seen: Standing

    @property
    def watermark(self) -> int:
        return self.turn.watermark

    @property
    def basis(self) -> str:
        return self.turn.basis

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        await tasks.keep(session, run.thread_id, self.seen.begun, names=self.seen.names)
        return run


class Reaction:
    """What a decision does when its turn is settled."""

    def __init__(self, decision: Decision, seen: Standing, scene: Scene, *, watermark: int, basis: str) -> None:
        self._decision = decision
        self._seen = seen
        self._scene = scene
        self.watermark = watermark
        self.basis = basis

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        """Act, unless a person has written since: then the decision is about a thread that has moved on."""
        state = await threads.lock_existing(session, run.thread_id)
        if state.person_seq > self._seen.state.person_seq:
            return structs.replace(
                run, outcome="skipped", reason="moved_on", summary=gates.SENTENCES["moved_on"], actions=[], tasks=[]
            )
        await self._advance_tasks(session, run)
        run = structs.replace(run, next_check_at=await self._next_check_at(session, run))
        if self._decision.question is not None:
            if not run.dry_run:
                await questions.ask(session, run.thread_id, self._decision.question, run_id=run.id, now=run.finished_at)
            return structs.replace(run, outcome="waiting", reason="needs_person")
        if not self._decision.actions:
            return structs.replace(run, outcome="nothing", reason="decided_nothing")
        return await self._act(session, run)

    async def _act(self, session: Session, run: RunDetail) -> RunDetail:
        attempt = actions.rehearse if run.dry_run else actions.apply
        scene = structs.replace(self._scene, now=run.finished_at)
        results = await attempt(session, scene, self._decision.actions)
        run = structs.replace(run, actions=results)
        if any(result.success for result in results):
            return structs.replace(run, outcome="acted")
        if any(result.error == actions.WAITS for result in results):
            return structs.replace(run, outcome="waiting", reason="needs_approval")
        summary = f"No action passed its checks: {results[0].error}"
        return structs.replace(run, outcome="refused", reason="all_refused", summary=summary)

    async def _next_check_at(self, session: Session, run: RunDetail) -> datetime | None:
        """When the decision wants another look; a run-now leaves the schedule alone."""
        seconds = self._decision.next_check
        if seconds is None or run.trigger == "run_now":
            return None
        inforce = instructions.assemble(
            await instructions.newest(session), await instructions.own(session, run.thread_id)
        )
        if inforce.key != self._seen.instructions.key:
            return None  # they were changed while it decided: a new task may be due before
        return run.finished_at + timedelta(seconds=min(max(seconds, 0), MOST_INTERVALS * MAX_SECONDS))

    async def _advance_tasks(self, session: Session, run: RunDetail) -> None:
        outcomes: dict[str, TaskOutcome] = {result.name: result.outcome for result in run.tasks}
        seen_seq = self._seen.state.message_count
        shown = [
            tasks.ran(each, self._seen.beat, outcomes[each.task.name], seen_seq=seen_seq, now=run.finished_at)
            for each in self._seen.due
        ]
        changed = {series.name: series for series in (*self._seen.begun, *shown)}
        if changed or {series.name for series in self._seen.known} - self._seen.names:
            await tasks.keep(session, run.thread_id, changed.values(), names=self._seen.names)
