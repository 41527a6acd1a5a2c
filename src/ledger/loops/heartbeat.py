"""The heartbeat: gates, gather, decide, and act on the ledger when the turn is settled."""

from datetime import datetime, timedelta

import msgspec

from ledger.actions import Decision
from ledger.actions.checks import Scene
from ledger.budgets.plan import Plan
from ledger.db import Database, Session
from ledger.errors import NotFound
from ledger.heartbeat import config as configs
from ledger.heartbeat import gates, model, rules, tasks
from ledger.heartbeat.assess import Assessor, Standing
from ledger.heartbeat.context import Context
from ledger.heartbeat.gather import gather
from ledger.heartbeat.schedule import Slots, covered, moved, next_check, next_slot
from ledger.heartbeat.tasks import Followed
from ledger.heartbeat.token import without_token
from ledger.hours import Hours
from ledger.instructions.file import File
from ledger.loops.asking import Asking
from ledger.loops.breaker import held
from ledger.loops.reaction import Reaction, Sighting
from ledger.loops.work import Covered, Effects, Facts, Record
from ledger.runs.structs import RunDetail, TaskOutcome, TaskResult
from ledger.settings import Settings
from ledger.threads import messages
from ledger.threads.said import News
from ledger.threads.structs import Message
from ledger.turns.structs import LoopName, Turn

_SUMMARY = 500
"""How much of a decision's summary people are shown in lists; the decision itself is kept whole."""


class Heartbeat:
    """Follows the instructions on every thread."""

    name: LoopName = "heartbeat"
    label = "HEARTBEAT"
    leaves_free = 0

    def __init__(
        self,
        settings: Settings,
        db: Database,
        asking: Asking | None,
        file: File,
    ) -> None:
        """`asking` is None where no provider is configured."""
        self._db = db
        self._asking = asking
        self._file = file
        self._agent = settings.agent_name
        self._plan = Plan.of(settings)
        self.assessor = Assessor(settings, db, has_provider=asking is not None)
        self.enabled = settings.heartbeat_enabled
        self.every = timedelta(seconds=settings.heartbeat_seconds)

    async def news(self, session: Session, turn: Turn) -> News | None:
        del session, turn
        return None  # it is due by the time alone; what is new is a matter for its gates

    async def hours(self, session: Session, turn: Turn) -> Hours:
        return await configs.hours_of(session, turn.thread_id)

    def due(self, facts: Facts) -> datetime | None:
        """The slot that has come, if the hours are open, or the next one."""
        if not facts.enabled:
            return None
        following = next_slot(facts.anchor_at, facts.every, facts.hours, facts.after)
        if following is None or facts.slot is None:
            return following
        if facts.owed is None:
            # What has moved to an opening stays there, though the interval alone says later.
            is_moved = not facts.hours.always and next(facts.hours.windows(facts.slot)).opens == facts.slot
            return min(facts.slot, following) if is_moved else following
        if facts.is_put_off:
            return moved(facts.anchor_at, facts.every, facts.hours, facts.after)
        return facts.owed

    def covered(self, facts: Facts, slot: datetime, until: datetime) -> Covered:
        return Covered(*covered(facts.anchor_at, facts.every, facts.hours, slot, until))

    async def look_again(self, session: Session, facts: Facts, slot: datetime, run: RunDetail) -> datetime:
        coming = [series.slot for series in await tasks.known(session, run.thread_id) if series.slot is not None]
        slots = Slots(facts.anchor_at, facts.every, facts.hours)
        wanted, task_slot = run.next_check_at or slot, min(coming, default=None)
        return next_check(slots, wanted, slot=slot, now=run.finished_at, task_slot=task_slot)

    async def act(self, turn: Turn, record: Record) -> Effects | None:
        await self._file.follow()
        run = record.run
        seen = await self.assessor.assess(turn, now=run.started_at, trigger=run.trigger)
        if seen is None:
            return None
        if seen.reason == "provider_paused" and seen.provider is not None:
            raise held(seen.provider, run.id, run.started_at)
        if seen.closed is not None:
            why = seen.closed.why or gates.SENTENCES[seen.closed.reason]
            record.note(outcome="skipped", reason=seen.closed.reason, summary=why)
            return Sighting(turn, seen) if seen.begun else None
        record.note(
            instructions_version=seen.instructions.version,
            seen_seq=seen.state.message_count,
            dry_run=seen.config.dry_run,
        )
        chosen = self.assessor.model_for(seen.config)
        try:
            context, archive = await self._gather(turn, seen, run.started_at, by_rules=chosen is None)
        except NotFound:
            return None  # the thread was deleted meanwhile
        record.note(context=msgspec.to_builtins(context), instructions=seen.instructions.text)
        if chosen is None:
            record.decide("rules")
            decision, complete, read_to = rules.decide(context, archive, watermark=turn.watermark)
        else:
            decision, complete = await self._ask(seen, context, chosen, record), True
            read_to = seen.state.message_count
        record.note(
            decision=msgspec.to_builtins(decision),
            summary=decision.summary[:_SUMMARY],
            tasks=_results(seen.due, decision, by_rules=chosen is None),
        )
        basis = seen.basis if complete else turn.basis
        return Reaction(decision, seen, self._scene(seen, run), watermark=read_to, basis=basis)

    def _scene(self, seen: Standing, run: RunDetail) -> Scene:
        return Scene(
            thread_id=run.thread_id,
            run_id=run.id,
            agent=self._agent,
            now=run.started_at,
            plan=self._plan,
            policy=seen.config.approval,
            may_speak=seen.config.target == "last",
        )

    async def _gather(
        self, turn: Turn, seen: Standing, now: datetime, *, by_rules: bool
    ) -> tuple[Context, list[Message]]:
        """What the decision is made on; for rules also the newest messages as they were said."""
        thread_id, last_seq = turn.thread_id, seen.state.message_count
        async with self._db.read() as session:
            context = await gather(
                session,
                thread_id,
                agent=self._agent,
                watermark=turn.watermark,
                last_seq=last_seq,
                may_speak=seen.config.target == "last",
                now=now,
            )
            archive = await messages.newest_said(session, thread_id, rules.ARCHIVE) if by_rules else []
        return context, archive

    async def _ask(self, seen: Standing, context: Context, chosen: str, record: Record) -> Decision:
        assert self._asking is not None  # noqa: S101 - no model is chosen without one
        run = record.run
        due = [each.task for each in seen.due]
        request = model.build_request(
            seen.config, chosen, seen.instructions.text, context, due=due, now=run.started_at, asked=run.asked
        )
        return without_token(await self._asking.ask(request, record, Decision, "a decision", model.meant))


def _results(due: list[Followed], decision: Decision, *, by_rules: bool) -> list[TaskResult]:
    """What became of each task that was shown."""
    said = {report.name: report.report for report in decision.tasks}
    results: list[TaskResult] = []
    for task, series in due:
        reported: TaskOutcome = "reported" if task.name in said else "not_reported"
        outcome: TaskOutcome = "needs_model" if by_rules else reported
        results.append(TaskResult(task.name, series.slot or series.anchor_at, outcome, said.get(task.name, "")))
    return results
