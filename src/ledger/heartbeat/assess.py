"""Where a thread's heartbeat stands: gates, tasks, what is new. Turns go by it, and what explains them."""

import hashlib
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, structs

from ledger.budgets import store as budgets
from ledger.budgets.plan import Plan
from ledger.budgets.store import Purse
from ledger.db import Database, Session
from ledger.errors import NotFound
from ledger.heartbeat import config as configs
from ledger.heartbeat import gates, tasks
from ledger.heartbeat.conditions import Place, holds
from ledger.heartbeat.gates import Gate
from ledger.heartbeat.schedule import covered
from ledger.heartbeat.structs import Config
from ledger.heartbeat.tasks import Beat, Followed, Series
from ledger.instructions import store as instructions
from ledger.instructions.structs import InForce, Own, Version
from ledger.instructions.text import understand
from ledger.providers import store as providers
from ledger.providers.structs import Provider
from ledger.runs.structs import Reason, Trigger
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.turns.structs import Turn


class Standing(Struct, frozen=True, kw_only=True):
    """What a heartbeat finds before it decides."""

    config: Config
    instructions: InForce
    basis: str
    """What a decision rests on; while it stays the same, nothing is new."""
    state: threads.State
    beat: Beat
    known: list[Series]
    followed: list[Followed]
    """All tasks in force."""
    due: list[Followed]
    gates: list[Gate]
    purse: Purse | None = None
    """What may be spent; None where nothing was to be, since another gate was closed."""
    provider: Provider | None = None
    """The model that would decide, if it was paused before."""

    @property
    def closed(self) -> Gate | None:
        """The first gate that is closed."""
        return next((gate for gate in self.gates if not gate.is_open), None)

    @property
    def reason(self) -> Reason | None:
        return self.closed and self.closed.reason

    @property
    def begun(self) -> list[Series]:
        """Series that are not kept yet as they are now."""
        before = {series.name: series for series in self.known}
        return [each.series for each in self.followed if before.get(each.series.name) != each.series]

    @property
    def names(self) -> set[str]:
        return {each.task.name for each in self.followed}


class _Ground(Struct, frozen=True):
    """What is read of the database first."""

    state: threads.State
    config: Config
    shared: Version | None
    own: Own | None
    known: list[Series]


class Assessor:
    """Looks at threads the way heartbeats do."""

    def __init__(self, settings: Settings, db: Database, *, has_provider: bool) -> None:
        self._db = db
        self._agent = settings.agent_name
        self._every = timedelta(seconds=settings.heartbeat_seconds)
        self._has_provider = has_provider
        self._model = settings.llm_model
        self._provider_url = settings.provider_url
        self._plan = Plan.of(settings)

    def model_for(self, config: Config) -> str | None:
        """The model that decides; None: rules do."""
        return (config.model or self._model) if self._has_provider else None

    async def assess(self, turn: Turn, *, now: datetime, trigger: Trigger, wholly: bool = False) -> Standing | None:
        """How the turn stands now; None if its thread is gone.

        Money and provider are looked at where all other gates are open, or `wholly`.
        """
        async with self._db.read() as session:
            ground = await self._ground(session, turn)
        if ground is None:
            return None
        for part in (ground.shared, ground.own):
            await understand(part.content if part else "")
        inforce = instructions.assemble(ground.shared, ground.own)
        beat = self._beat(turn, ground.config, trigger, now)
        followed = tasks.follow(inforce, ground.known, beat)
        due = await self._due(turn, followed, beat)
        basis = _basis(ground.state, ground.config, inforce)
        standing = Standing(
            config=ground.config,
            instructions=inforce,
            basis=basis,
            state=ground.state,
            beat=beat,
            known=ground.known,
            followed=followed,
            due=due,
            gates=gates.gates(
                ground.config, inforce, trigger=trigger, now=now, is_due=bool(due), anything_new=basis != turn.basis
            ),
        )
        return await self._with_means(standing, turn, now) if wholly or standing.closed is None else standing

    async def _with_means(self, standing: Standing, turn: Turn, now: datetime) -> Standing | None:
        chosen = self.model_for(standing.config)
        async with self._db.read() as session:
            try:
                purse = await budgets.purse(session, turn.thread_id, self._plan, now=now)
            except NotFound:
                return None
            provider = await providers.get(session, self._provider_url, chosen) if chosen else None
        means = gates.means(purse, provider, by_model=chosen is not None, now=now)
        return structs.replace(standing, gates=[*standing.gates, *means], purse=purse, provider=provider)

    async def _ground(self, session: Session, turn: Turn) -> _Ground | None:
        state = await threads.state(session, turn.thread_id)
        if state is None:
            return None
        return _Ground(
            state,
            await configs.of_thread(session, turn.thread_id, turn, int(self._every.total_seconds())),
            await instructions.newest(session),
            await instructions.own(session, turn.thread_id),
            await tasks.known(session, turn.thread_id),
        )

    def _beat(self, turn: Turn, config: Config, trigger: Trigger, now: datetime) -> Beat:
        every, slot = timedelta(seconds=config.every), now
        if trigger == "schedule" and turn.slot is not None and turn.slot <= now:
            slot = covered(turn.anchor_at, every, configs.hours(config), turn.slot, now).last
        return Beat(slot, every, config.timezone, has_model=self.model_for(config) is not None)

    async def _due(self, turn: Turn, followed: list[Followed], beat: Beat) -> list[Followed]:
        in_time = [each for each in followed if tasks.is_due(each, beat)]
        if not any(each.task.when for each in in_time):
            return in_time
        place = Place(turn.thread_id, self._agent, turn.watermark)
        async with self._db.read() as session:
            return [each for each in in_time if await holds(session, each, place)]


def _basis(state: threads.State, config: Config, inforce: InForce) -> str:
    digest = hashlib.sha256(msgspec.json.encode(config)).hexdigest()[:16]
    return f"activity {state.activity}, configuration {digest}, instructions {inforce.key}"
