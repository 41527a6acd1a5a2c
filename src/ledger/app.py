"""The one place where the parts meet: the application, its lifespan, its error table."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Literal, NamedTuple

import anyio
from anyio.abc import TaskStatus
from litestar import Controller, Litestar, get
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from ledger import schema
from ledger.actions.api import ApprovalController
from ledger.budgets.api import BudgetController
from ledger.clock import Clock, ServerClock, SystemClock
from ledger.completions import OpenAICompatible
from ledger.db import Database
from ledger.door import Door
from ledger.errors import Unavailable
from ledger.events import store as events
from ledger.health import Health
from ledger.heartbeat.api import InstructionsController
from ledger.heartbeat.explain import Explainer
from ledger.hints import Hints
from ledger.idempotency.middleware import Idempotency
from ledger.instructions.file import File
from ledger.journal.api import JournalController
from ledger.llm import LLM
from ledger.loops import Loop, Waker, build_loops
from ledger.loops.api import LoopController, Loops
from ledger.loops.heartbeat_api import HeartbeatController
from ledger.loops.tasks import Tasks
from ledger.mind.api import MindController
from ledger.openapi.page import DocsController
from ledger.posts.api import PostController
from ledger.providers.api import ProviderController
from ledger.questions.api import QuestionController
from ledger.retention import Retention
from ledger.runs.api import RunController
from ledger.settings import Settings
from ledger.stream.api import StreamController
from ledger.stream.tail import KEY, Tail
from ledger.threads import store as threads
from ledger.threads.api import ThreadController
from ledger.threads.structs import DEFAULT_THREAD
from ledger.wire import Given, StrictRequest, answer_problem, look_over

MAX_BODY_BYTES = 4 * 1024 * 1024

Role = Literal["all", "api", "loops"]
"""What a process does: both, or one of the two; with the loops alone it serves nothing but its health."""

log = logging.getLogger(__name__)


class HealthController(Controller):
    path = "/health"
    tags = ["health"]

    @get("/live")
    async def is_live(self) -> Health:
        """Whether the process answers."""
        return Health("live")

    @get("/ready")
    async def is_ready(self, loops: Given[Loops], db: Given[Database], role: Given[Role]) -> Health:
        """Whether the database answers and every loop that should run here looks for due turns; 503 if not."""
        await db.ping()
        stale = [loop.name for loop in loops.values() if role != "api" and await loop.is_stale()]
        if stale:
            raise Unavailable(f"No recent pass of: {', '.join(stale)}.")
        return Health("ready")


class Parts(NamedTuple):
    """What the application is made of. Controllers are handed the parts they name."""

    role: Role
    settings: Settings
    db: Database
    clock: Clock
    hints: Hints
    tail: Tail
    llm: LLM | None
    file: File
    loops: tuple[Loop, Loop, Loop, Loop]
    tasks: Tasks
    retention: Retention
    wake: Waker
    explainer: Explainer
    stopping: anyio.Event


class Ledger(Litestar):
    """The routes of the application, behind its door, and the parts that they are served with."""

    stopping: anyio.Event
    """Set it to end the loops and whatever waits for them, before the server itself goes."""

    cut_off: set[tuple[str, int] | None]
    """Whose connections are to be ended at once, by their addresses."""

    def furnish(self, parts: Parts) -> None:
        """Serve with these parts from now on."""
        self.stopping = parts.stopping
        self.cut_off = set()
        self._door = Door(super().__call__, parts.settings)
        reflection, personality, self_reply, heartbeat = parts.loops
        self.state.reflection_loop = reflection
        self.state.personality_loop = personality
        self.state.journal_self_reply_loop = self_reply
        self.state.heartbeat_loop = heartbeat
        self.state.db = parts.db
        self.state.parts = parts
        self.state.cut_off = self.cut_off
        self.state.given = parts._asdict() | {"loops": {loop.name: loop for loop in parts.loops}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await self._door(scope, receive, send)


def create_app(settings: Settings, *, clock: Clock | None = None, llm: LLM | None = None, role: Role = "all") -> Ledger:
    """Build the application. A clock or model that is handed in is used as it is."""
    app = routed(settings, role)
    app.furnish(build(settings, clock, llm, role))
    return app


def routed(settings: Settings, role: Role = "all") -> Ledger:
    """The application without its parts: of the settings, its routes depend on `cors_origins` alone."""
    controllers: list[type[Controller]] = [
        ThreadController,
        HeartbeatController,
        InstructionsController,
        LoopController,
        MindController,
        JournalController,
        PostController,
        ApprovalController,
        QuestionController,
        BudgetController,
        ProviderController,
        RunController,
        StreamController,
        DocsController,
    ]
    return Ledger(
        route_handlers=[HealthController, *(controllers if role != "loops" else [])],
        dependencies={name: _provide(name) for name in Parts._fields},
        lifespan=[_lifespan],
        middleware=[Idempotency()],
        request_class=StrictRequest,
        before_request=look_over,
        exception_handlers={HTTPException: answer_problem, Exception: answer_problem},
        request_max_body_size=MAX_BODY_BYTES,
        cors_config=_cors(settings),
        openapi_config=None,  # the document is our own: `ledger.openapi`
        logging_config=None,
    )


def build(settings: Settings, clock: Clock | None, llm: LLM | None, role: Role = "all") -> Parts:
    db = Database(settings.database_url)
    clock = clock or (SystemClock() if db.is_sqlite else ServerClock())
    llm = llm or _provider(settings, clock)
    file = File(settings.heartbeat_md, db, clock)
    hints = Hints(db, clock, tick=timedelta(seconds=settings.tick_seconds))
    tail = Tail(db, clock, tick=timedelta(seconds=settings.tick_seconds))
    db.listen(tail.wake_up)
    db.listen(partial(hints.send, KEY))
    loops = build_loops(settings, db, clock, llm, file, hint=hints.send, started=lambda run: hints.send(tail.hint(run)))
    explainer = Explainer.of(settings, db, clock, has_provider=llm is not None)
    return Parts(
        role=role,
        settings=settings,
        db=db,
        clock=clock,
        hints=hints,
        tail=tail,
        llm=llm,
        file=file,
        loops=loops,
        tasks=Tasks(),
        retention=Retention(settings, db, clock),
        wake=Waker(loops),
        explainer=explainer,
        stopping=anyio.Event(),
    )


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncGenerator[None]:
    parts: Parts = app.state.parts
    db, clock, stopping = parts.db, parts.clock, parts.stopping
    try:
        await prepare_schema(parts.settings)
        if isinstance(clock, ServerClock):
            await clock.follow(db.server_time)
        await _prepare_rows(db, clock, parts.loops, parts.wake)
        await parts.file.follow()
        log.info("Database %s; decisions by %s", db.name, _decider(parts.settings, parts.llm))
        async with parts.hints.exchanged(_heard_by(parts.loops, parts.tail)), anyio.create_task_group() as group:
            await group.start(_run_loops, parts)
            if isinstance(clock, ServerClock):
                group.start_soon(_keep_time, parts.settings, clock, db, stopping)
            if parts.role != "api":
                group.start_soon(parts.retention.run, stopping)
            if parts.role != "loops":
                group.start_soon(parts.tail.run, stopping)
            yield
            stopping.set()
    finally:
        if parts.llm is not None:
            await parts.llm.close()
        await db.close()


async def prepare_schema(settings: Settings) -> None:
    """The embedded database migrates itself; any other is migrated by whoever runs it (else `SchemaError`)."""
    if settings.database_url.startswith("sqlite"):
        await schema.migrate(settings.database_url)
    else:
        await schema.verify(settings.database_url)


async def _prepare_rows(db: Database, clock: Clock, loops: tuple[Loop, ...], wake: Waker) -> None:
    for loop in loops:
        await loop.adopt_interval()
    async with db.write() as session:
        await events.adopt(session)
        await threads.ensure_default(session, now=clock.now())
        await threads.lock_existing(session, DEFAULT_THREAD)
        await wake(session, DEFAULT_THREAD)


async def _run_loops(parts: Parts, *, task_status: TaskStatus[None]) -> None:
    """Run the loops until `stopping`; then turns get their grace, and what is left is cancelled and put back."""
    grace = timedelta(seconds=parts.settings.stop_grace_seconds)
    async with anyio.create_task_group() as group:
        parts.tasks.open(group)
        task_status.started()
        if parts.role != "api":
            if parts.llm is not None:
                await parts.llm.open()
            for loop in parts.loops:
                group.start_soon(loop.run)
        await parts.stopping.wait()
        parts.tasks.close()
        if grace:
            until = parts.clock.now() + grace
            async with anyio.create_task_group() as draining:
                for part in (*parts.loops, parts.tasks):
                    draining.start_soon(part.drain, parts.clock, until)
        group.cancel_scope.cancel()


def _heard_by(loops: tuple[Loop, ...], tail: Tail) -> Callable[[str], None]:
    """Have the loop that a hint names look for due turns; all others are for the stream."""
    wake_ups = {loop.name: loop.wake_up for loop in loops}

    def hear(key: str) -> None:
        if wake_up := wake_ups.get(key):
            wake_up()
        else:
            tail.hear(key)

    return hear


async def _keep_time(settings: Settings, clock: ServerClock, db: Database, stopping: anyio.Event) -> None:
    """Follow the database server's clock, every tick, until `stopping`."""
    while True:
        await clock.sleep_until(clock.now() + timedelta(seconds=settings.tick_seconds), stopping)
        if stopping.is_set():
            return
        try:
            await clock.follow(db.server_time)
        except Exception as error:  # noqa: BLE001 - the old offset still holds
            log.warning("The database server's clock cannot be read: %s", error)


def _provider(settings: Settings, clock: Clock) -> LLM | None:
    if not settings.has_provider:
        return None
    return OpenAICompatible(
        base_url=settings.llm_base_url,
        api_key=settings.llm_api_key,
        timeout=timedelta(seconds=settings.turn_seconds),
        clock=clock,
    )


def _decider(settings: Settings, llm: LLM | None) -> str:
    if llm is None:
        return "rules"
    return f"model {settings.llm_model}" if settings.llm_model else "rules, and by a model on threads that name one"


def _cors(settings: Settings) -> CORSConfig | None:
    return (
        CORSConfig(
            allow_origins=list(settings.cors_origins),
            expose_headers=["ETag", "Idempotent-Replayed", "Retry-After", "X-Request-ID"],
        )
        if settings.cors_origins
        else None
    )


def _provide(name: str) -> Provide:
    def provide(state: State) -> object:
        return state.given[name]

    return Provide(provide, sync_to_thread=False)
