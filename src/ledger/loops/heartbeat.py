"""The heartbeat: gates, gather, decide, and act on the ledger when the turn is settled."""

import hashlib
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, structs

from ledger import actions
from ledger.actions import Decision
from ledger.actions.checks import Scene
from ledger.clock import Clock
from ledger.db import Database, Session
from ledger.heartbeat import config as configs
from ledger.heartbeat import context as contexts
from ledger.heartbeat import gates, instructions, model, rules
from ledger.heartbeat.schedule import last_slot, next_slot, slots_between
from ledger.heartbeat.structs import Config
from ledger.llm import LLM
from ledger.loops.asking import ask
from ledger.loops.work import Covered, Facts, Record
from ledger.runs.structs import RunDetail
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.threads.said import News
from ledger.threads.structs import Message
from ledger.turns.structs import LoopName, Turn

_SUMMARY = 500
"""How much of a decision's summary people are shown in lists; the decision itself is kept whole."""


class Seen(Struct, frozen=True):
    """All a turn reads before it decides, in one transaction."""

    config: Config
    instructions: instructions.Version | None
    basis: str
    state: threads.State
    context: contexts.Context | None = None
    archive: list[Message] = []


class Heartbeat:
    """Follows HEARTBEAT.md on every thread."""

    name: LoopName = "heartbeat"
    label = "HEARTBEAT"
    leaves_free = 0

    def __init__(
        self,
        db: Database,
        clock: Clock,
        llm: LLM | None,
        file: instructions.File,
        *,
        enabled: bool,
        every: timedelta,
        agent: str,
        model: str | None,
    ) -> None:
        """`llm` is None where no provider is configured; `model` is for threads that name none."""
        self._db = db
        self._clock = clock
        self._llm = llm
        self._file = file
        self._agent = agent
        self._model = model
        self.enabled = enabled
        self.every = every

    async def news(self, session: Session, turn: Turn) -> News | None:
        del session, turn
        return None  # it is due by the time alone; what is new is a matter for its gates

    def due(self, facts: Facts) -> datetime | None:
        """The slot that has come, or the next one."""
        if not facts.enabled:
            return None
        return facts.owed or next_slot(facts.anchor_at, facts.every, facts.after)

    def covered(self, facts: Facts, slot: datetime, until: datetime) -> Covered:
        last = max(slot, last_slot(facts.anchor_at, facts.every, until))
        return Covered(last, 1 + slots_between(facts.anchor_at, facts.every, slot, last))

    async def act(self, turn: Turn, record: Record) -> "Reaction | None":
        await self._file.follow()
        seen = await self._read(turn, record)
        if seen is None or seen.context is None:
            return None
        chosen = self._model_for(seen.config)
        record.note(context=msgspec.to_builtins(seen.context), dry_run=seen.config.dry_run)
        if chosen is None:
            record.note(decided_by="rules")
            decision, complete, read_to = rules.decide(seen.context, seen.archive, watermark=turn.watermark)
        else:
            decision, complete = await self._ask(seen, seen.context, chosen, record), True
            read_to = seen.state.message_count
        record.note(decision=msgspec.to_builtins(decision), summary=decision.summary[:_SUMMARY])
        basis = seen.basis if complete else turn.basis
        return Reaction(self._agent, decision, seen, watermark=read_to, basis=basis)

    async def _read(self, turn: Turn, record: Record) -> Seen | None:
        """Pass the gates and gather. None when the thread is gone or a gate is closed: it is noted which."""
        async with self._db.read() as session:
            seen = await self._look(session, turn)
            if seen is None:
                return None
            reason = gates.closed_by(
                seen.config,
                seen.instructions.content if seen.instructions else None,
                trigger=record.run.trigger,
                now=record.run.started_at,
                anything_new=seen.basis != turn.basis,
            )
            if reason is not None:
                record.note(outcome="skipped", reason=reason, summary=gates.SENTENCES[reason])
                return None
            record.note(
                instructions=seen.instructions.content if seen.instructions else None,
                instructions_version=seen.instructions.version if seen.instructions else None,
                seen_seq=seen.state.message_count,
            )
            thread_id = turn.thread_id
            last_seq, watermark = seen.state.message_count, turn.watermark
            context = await contexts.gather(
                session, thread_id, agent=self._agent, watermark=watermark, last_seq=last_seq
            )
            by_rules = self._model_for(seen.config) is None
            archive = await messages.newest(session, thread_id, rules.ARCHIVE) if by_rules else []
            return structs.replace(seen, context=context, archive=archive)

    async def _look(self, session: Session, turn: Turn) -> Seen | None:
        """What the gates need; None if the thread is gone."""
        state = await threads.state(session, turn.thread_id)
        if state is None:
            return None
        config = await configs.of_thread(session, turn.thread_id, turn, int(self.every.total_seconds()))
        version = await instructions.in_force(session)
        return Seen(config, version, _basis(state, config, version), state)

    def _model_for(self, config: Config) -> str | None:
        return None if self._llm is None else config.model or self._model

    async def _ask(self, seen: Seen, context: contexts.Context, chosen: str, record: Record) -> Decision:
        assert self._llm is not None  # noqa: S101 - no model is chosen without one
        content = seen.instructions.content if seen.instructions else None
        run = record.run
        request = model.build_request(seen.config, chosen, content, context, now=run.started_at, asked=run.asked)
        return await ask(self._llm, request, record, Decision, "a decision")


class Reaction:
    """What a decision does when its turn is settled."""

    def __init__(self, agent: str, decision: Decision, seen: Seen, *, watermark: int, basis: str) -> None:
        self._agent = agent
        self._decision = decision
        self._seen = seen
        self.watermark = watermark
        self.basis = basis

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        """Act, unless a person has written since: then the decision is about a thread that has moved on."""
        state = await threads.lock_existing(session, run.thread_id)
        if state.person_seq > self._seen.state.person_seq:
            return structs.replace(
                run, outcome="skipped", reason="moved_on", summary=gates.SENTENCES["moved_on"], actions=[]
            )
        if not self._decision.actions:
            return structs.replace(run, outcome="nothing", reason="decided_nothing")
        scene = Scene(
            thread_id=run.thread_id,
            run_id=run.id,
            agent=self._agent,
            now=run.finished_at,
            speaks=self._seen.config.target == "last",
        )
        attempt = actions.rehearse if run.dry_run else actions.apply
        results = await attempt(session, scene, self._decision.actions)
        if any(result.success for result in results):
            return structs.replace(run, outcome="acted", actions=results)
        summary = f"No action passed its checks: {results[0].error}"
        return structs.replace(run, outcome="refused", reason="all_refused", summary=summary, actions=results)


def _basis(state: threads.State, config: Config, version: instructions.Version | None) -> str:
    """What a decision rests on; while it stays the same, nothing is new."""
    digest = hashlib.sha256(msgspec.json.encode(config)).hexdigest()[:16]
    return f"activity {state.activity}, configuration {digest}, instructions {version.version if version else 0}"
