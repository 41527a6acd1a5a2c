"""Ten minutes without a provider: 1,000 threads with a heartbeat a minute, and people who go on asking the API.

The minutes pass ten times as fast as they would, which is ten times as hard on the API; it is asked by people before,
during and after, in the same process and the same minute: `python benchmarks/outage.py`.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import quantiles

import anyio
import httpx
from msgspec import Struct, field
from sqlalchemy import select

from ledger.app import Ledger, create_app
from ledger.clock import ManualClock, SystemClock
from ledger.db import Database
from ledger.llm import ChatAnswer, ChatRequest, ModelError
from ledger.loops import Loop
from ledger.runs.tables import RunRow
from ledger.settings import Settings
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.threads.structs import NewMessage, NewThread

THREADS = 1_000
EVERY = timedelta(minutes=1)
STEP = timedelta(seconds=1)
FASTER = 10
OUTAGE = timedelta(minutes=10)
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
DECISION = '{"verdict": "nothing", "reasoning": "-", "summary": "-", "actions": [], "tasks": []}'
AFTERWARDS = timedelta(minutes=4)
"""The last probe that failed came after 7.5 minutes, the next one comes after 12.5."""

SAMPLES = 400
BETWEEN = timedelta(milliseconds=20)


class Provider:
    """A provider that can be down."""

    def __init__(self) -> None:
        self.is_down = False
        self.calls = 0

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        self.calls += 1
        if self.is_down:
            raise ModelError("The provider answered 503: Away.", may_have_cost=False)
        return ChatAnswer(
            text=DECISION, model=request.model, prompt_tokens=100, completion_tokens=20, latency=timedelta(0)
        )

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Lines(logging.Handler):
    """Counts what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.by_logger: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.by_logger[record.name] += 1


class Slot(Struct):
    thread_id: str
    first_slot: datetime
    last_slot: datetime
    slots: int


class Phase(Struct):
    """What requests took, in milliseconds."""

    name: str
    reads: list[float] = field(default_factory=list[float])
    writes: list[float] = field(default_factory=list[float])

    def line(self, idle: "Phase") -> str:
        parts = [f"{self.name:28}"]
        for kind in ("reads", "writes"):
            half, most = _quantiles(getattr(self, kind))
            before, _ = _quantiles(getattr(idle, kind))
            parts.append(f"{kind} {half:6.2f} ms, p99 {most:7.2f} ms, {half / before:5.2f} times idle")
        return "   ".join(parts)


async def main() -> None:
    lines = Lines()
    logging.getLogger("ledger").addHandler(lines)
    logging.getLogger("ledger").propagate = False
    clock, provider = ManualClock(START), Provider()
    async with _application(clock, provider) as (app, http):
        heartbeat: Loop = app.state.heartbeat_loop
        await _fill(app.state.db, clock, heartbeat)
        idle, during, after = Phase("idle"), Phase("during the outage"), Phase("after it, all at work")
        while len(idle.reads) < SAMPLES:
            await _request(http, idle)
            await SystemClock().sleep_until(SystemClock().now() + BETWEEN)
        provider.is_down = True
        await _watched(http, during, _live(heartbeat, clock, START + EVERY + OUTAGE))
        calls, logged = provider.calls, lines.by_logger.copy()
        provider.is_down = False
        await _watched(http, after, _live(heartbeat, clock, START + EVERY + OUTAGE + AFTERWARDS))
        slots = await _slots(app.state.db)
    print(f"{THREADS:,} threads, a heartbeat every {EVERY.seconds} s, no provider for {OUTAGE.seconds // 60} minutes:")
    print(f"calls that reached the provider: {calls}")
    print(f"log lines: {sum(logged.values())}, of which of the breaker: {logged['ledger.loops.breaker']}")
    print(f"slots: {_judged(slots)}")
    for phase in (idle, during, after):
        print(phase.line(idle))


@asynccontextmanager
async def _application(clock: ManualClock, provider: Provider) -> AsyncGenerator[tuple[Ledger, httpx.AsyncClient]]:
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            database_url=f"sqlite+aiosqlite:///{directory}/ledger.db",
            heartbeat_md=f"{directory}/HEARTBEAT.md",
            heartbeat_enabled=True,
            heartbeat_seconds=int(EVERY.total_seconds()),
            reflection_enabled=False,
            personality_enabled=False,
            self_reply_enabled=False,
            llm_model="stub",
            tick_seconds=1_000_000,  # so that a pass says when the next turn is due, however far that is
        )
        app = create_app(settings, clock=clock, llm=provider)
        transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - httpx types ASGI more narrowly
        async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            yield app, http


async def _fill(db: Database, clock: ManualClock, heartbeat: Loop) -> None:
    for name in _names():
        async with db.write() as session:
            await threads.create(session, NewThread(name), now=clock.now())
            await messages.add(session, name, [NewMessage("user", "Hello.")], now=clock.now())
            await heartbeat.reschedule(session, name, None)


def _names() -> list[str]:
    return [f"t{number:04}" for number in range(THREADS)]


async def _live(heartbeat: Loop, clock: ManualClock, until: datetime) -> None:
    """Take every turn within a second of when it is due, at the pace of the benchmark."""
    real = SystemClock()
    while clock.now() < until:
        began = real.now()
        await heartbeat.run_once()
        await real.sleep_until(began + STEP / FASTER)
        clock.advance(STEP)


async def _watched(http: httpx.AsyncClient, phase: Phase, work: object) -> None:
    """Do some work, and meanwhile ask the API, one request after the other."""
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            while True:
                await _request(http, phase)
                await SystemClock().sleep_until(SystemClock().now() + BETWEEN)

        group.start_soon(ask)
        await work  # pyright: ignore[reportGeneralTypeIssues]
        group.cancel_scope.cancel()


async def _request(http: httpx.AsyncClient, phase: Phase) -> None:
    name = f"t{len(phase.reads) % THREADS:04}"
    began = SystemClock().now()
    (await http.get(f"/api/threads/{name}")).raise_for_status()
    read = SystemClock().now()
    body = {"messages": [{"role": "assistant", "content": "Indeed."}]}
    (await http.post(f"/api/threads/{name}/messages", json=body)).raise_for_status()
    phase.reads.append((read - began) / timedelta(milliseconds=1))
    phase.writes.append((SystemClock().now() - read) / timedelta(milliseconds=1))


async def _slots(db: Database) -> dict[str, list[Slot]]:
    """The slots that were settled, by thread, in order."""
    columns = (RunRow.thread_id, RunRow.first_slot, RunRow.last_slot, RunRow.slots)
    async with db.read() as session:
        found = await session.all(
            select(*columns).where(RunRow.slots > 0, RunRow.thread_id != "default").order_by(RunRow.first_slot), Slot
        )
    by_thread: dict[str, list[Slot]] = {name: [] for name in _names()}
    for slot in found:
        by_thread[slot.thread_id].append(slot)
    return by_thread


def _judged(slots: dict[str, list[Slot]]) -> str:
    lost = doubled = settled = 0
    caught_up: list[int] = []
    for of_thread in slots.values():
        expected = START + EVERY
        for slot in of_thread:
            lost += max(0, (slot.first_slot - expected) // EVERY)
            doubled += max(0, (expected - slot.first_slot) // EVERY)
            settled += slot.slots
            expected = slot.last_slot + EVERY
        caught_up += [slot.slots for slot in of_thread[:1]]
    return (
        f"{settled:,} settled, {lost} lost, {doubled} doubled; "
        f"the first turn of each thread caught up {min(caught_up)} to {max(caught_up)}"
    )


def _quantiles(values: list[float]) -> tuple[float, float]:
    cut = quantiles(values, n=100)
    return cut[49], cut[98]


if __name__ == "__main__":
    anyio.run(main)
