"""Explaining a thread's heartbeat: everything its gates look at, what comes next, and what it would cost."""

import re
from datetime import datetime, timedelta

from msgspec import Struct, structs

from ledger.clock import Clock, local_text, zone
from ledger.db import Database
from ledger.errors import NotFound
from ledger.heartbeat import config as configs
from ledger.heartbeat import gates, model, tasks
from ledger.heartbeat.assess import Assessor, Standing
from ledger.heartbeat.context import Context
from ledger.heartbeat.explanation import Cost, Explanation, GateShown, SlotShown, TaskShown
from ledger.heartbeat.gather import gather
from ledger.heartbeat.schedule import next_slot
from ledger.heartbeat.tasks import Followed
from ledger.instructions.values import clock_text, schedule_text
from ledger.providers.structs import Provider
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import Turn

SLOTS = 10

_BASIS = re.compile(r"activity (\d+), configuration (\w+), instructions (\S+)")


class Found(Struct, frozen=True):
    """What an explanation is made of."""

    turn: Turn
    standing: Standing
    context: Context
    is_running: bool
    now: datetime

    @property
    def is_due(self) -> bool:
        due = self.turn.next_due_at
        return self.is_running and self.turn.enabled and due is not None and due <= self.now

    def local(self, moment: datetime) -> str:
        return local_text(moment, self.standing.config.timezone)


class Explainer:
    """Explains the heartbeats of threads; it only reads."""

    def __init__(self, db: Database, clock: Clock, assessor: Assessor, *, agent: str, enabled: bool) -> None:
        """`enabled`: whether the loop runs where no person has said otherwise."""
        self._db = db
        self._clock = clock
        self._assessor = assessor
        self._agent = agent
        self._enabled = enabled

    @classmethod
    def of(cls, settings: Settings, db: Database, clock: Clock, *, has_provider: bool) -> "Explainer":
        assessor = Assessor(settings, db, has_provider=has_provider)
        return cls(db, clock, assessor, agent=settings.agent_name, enabled=settings.heartbeat_enabled)

    async def explain(self, thread_id: str) -> Explanation:
        """Raises `NotFound` for an unknown thread."""
        found = await self._find(thread_id)
        turn, standing = found.turn, found.standing
        return Explanation(
            thread_id=thread_id,
            now=found.now,
            timezone=standing.config.timezone,
            summary=_summary(found),
            running=found.is_running,
            enabled=turn.enabled,
            is_due=found.is_due,
            next_slot=turn.slot,
            next_due_at=turn.next_due_at,
            attempt=turn.attempt,
            would_decide=standing.reason is None,
            reason=standing.reason,
            gates=[GateShown(gate.reason, gate.is_open, _why(gate, found)) for gate in standing.gates],
            changes=_changes(found),
            tasks=[_task(each, found) for each in standing.followed],
            slots=_slots(found),
            cost=_cost(found, self._assessor.model_for(standing.config)),
            budgets=[standing.purse.thread, standing.purse.service] if standing.purse else [],
            instructions_version=standing.instructions.version,
            problems=configs.problems(standing.config),
        )

    async def _find(self, thread_id: str) -> Found:
        now = self._clock.now()
        async with self._db.read() as session:
            await threads.get(session, thread_id)
            turn = await turns.get(session, "heartbeat", thread_id)
            wanted = await turns.wanted(session, "heartbeat")
        turn = turn or Turn.blank("heartbeat", thread_id, now)
        standing = await self._assessor.assess(turn, now=now, trigger="schedule", wholly=True)
        if standing is None:
            raise NotFound(f"The thread {thread_id!r} was deleted just now.")
        async with self._db.read() as session:
            context = await gather(
                session,
                thread_id,
                agent=self._agent,
                watermark=turn.watermark,
                last_seq=standing.state.message_count,
                may_speak=standing.config.target == "last",
                now=now,
            )
        return Found(turn, standing, context, self._enabled if wanted is None else wanted, now)


def _summary(found: Found) -> str:
    turn, reason = found.turn, found.standing.reason
    if not found.is_running:
        return "The heartbeat loop does not run: start it, or set CRT_HEARTBEAT_LOOP_ENABLED where this is asked."
    if not turn.enabled:
        return gates.SENTENCES["disabled"]
    if turn.next_due_at is None:
        return "No heartbeat is due: the active hours never open."
    would = "would decide." if reason is None else f"would do nothing ({reason}): {gates.SENTENCES[reason]}"
    if turn.leased(found.now):
        return "A heartbeat is under way."
    when = "due now" if found.is_due else f"due {found.local(turn.next_due_at)}"
    tried = f", after {turn.attempt} failed {'try' if turn.attempt == 1 else 'tries'}" if turn.attempt else ""
    return f"The next heartbeat is {when}{tried}. If it ran now, it {would}"


def _why(gate: gates.Gate, found: Found) -> str:
    if gate.reason == "outside_hours":
        return _hours(found)
    if gate.reason == "no_task_due":
        return _work(found)
    if gate.why or not gate.is_open:
        return gate.why or gates.SENTENCES[gate.reason]
    if gate.reason == "provider_paused":
        return _failures(found.standing.provider)
    if gate.reason == "instructions_empty":
        exist = found.standing.instructions.text is not None
        return "The instructions hold work." if exist else "There are none: it goes by what the thread shows."
    return "It is switched on." if gate.reason == "disabled" else " ".join(_changes(found)) or "A task is due."


def _failures(provider: Provider | None) -> str:
    if provider is None or not provider.failures:
        return "It is not paused."
    times = "once" if provider.failures == 1 else f"{provider.failures} times in a row"
    return f"It is not paused, but has failed {times}: {provider.why}"


def _hours(found: Found) -> str:
    hours = configs.hours(found.standing.config)
    if hours.always:
        return "It is active at all hours."
    there = f"{found.now.astimezone(zone(hours.timezone)):%H:%M}"
    both = f"from {clock_text(hours.start)} to {clock_text(hours.end)}"
    return f"It is active {both} ({hours.timezone}), where it is {there} now."


def _work(found: Found) -> str:
    standing = found.standing
    due = [each.task.name for each in standing.due]
    if due:
        return f"Due now: {', '.join(due)}."
    if standing.instructions.has_work or standing.instructions.text is None:
        return "No task is due, but the instructions hold work outside their tasks, or tasks with errors."
    coming = [each for each in standing.followed if each.series.slot is not None]
    if not coming:
        return "No task is due, and none is to come."
    nearest = min(coming, key=lambda each: each.series.slot or found.now)
    waits = f"waits for {nearest.task.when}" if nearest.task.when else "is the next"
    return f"No task is due: {nearest.task.name} {waits}, from {found.local(nearest.series.slot or found.now)} on."


def _changes(found: Found) -> list[str]:
    """What is new since the last decision, by what that rested on."""
    before, now = _BASIS.fullmatch(found.turn.basis), _BASIS.fullmatch(found.standing.basis)
    if before is None or now is None:
        return ["No decision has been made here yet."]
    changes: list[str] = []
    if (events := int(now[1]) - int(before[1])) > 0:
        said = f", {found.context.new_messages} of them messages" if found.context.new_messages else ""
        changes.append(f"People or applications wrote or voted {events} times{said}.")
    if before[2] != now[2]:
        changes.append("The configuration was changed.")
    if before[3] != now[3]:
        changes.append(f"The instructions were changed: version {now[3]} after {before[3]}.")
    return changes


def _task(each: Followed, found: Found) -> TaskShown:
    return TaskShown(
        name=each.task.name,
        schedule=schedule_text(each.task),
        next_slot=each.series.slot,
        is_due=each in found.standing.due,
        when=each.task.when,
        last_ran_at=each.series.ran_at,
        last_outcome=each.series.outcome,
    )


def _slots(found: Found) -> list[SlotShown]:
    turn, standing = found.turn, found.standing
    hours, every = configs.hours(standing.config), timedelta(seconds=standing.config.every)
    followed, slot, shown = standing.followed, turn.slot, list[SlotShown]()
    while slot is not None and turn.enabled and len(shown) < SLOTS:
        beat = standing.beat._replace(slot=slot)
        due = [each for each in followed if tasks.is_due(each, beat)]
        followed = [_advanced(each, beat) if each in due else each for each in followed]
        shown.append(SlotShown(slot, found.local(slot), [each.task.name for each in due]))
        slot = next_slot(turn.anchor_at, every, hours, max(slot, found.now))
    return shown


def _advanced(each: Followed, beat: tasks.Beat) -> Followed:
    return each._replace(series=structs.replace(each.series, slot=tasks.next_after(each, beat.timezone, beat.slot)))


def _cost(found: Found, chosen: str | None) -> Cost:
    standing = found.standing
    request = model.build_request(
        standing.config,
        chosen or "",
        standing.instructions.text,
        found.context,
        due=[each.task for each in standing.due],
        now=found.now,
        asked=None,
    )
    return Cost(
        decided_by="rules" if chosen is None else "model",
        model=chosen,
        calls=0 if chosen is None or standing.reason is not None else 1,
        prompt_tokens=request.prompt_tokens,
        max_completion_tokens=standing.config.max_tokens,
    )
