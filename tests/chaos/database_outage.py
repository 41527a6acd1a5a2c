"""Two services on a PostgreSQL server that goes away and comes back: `python -m tests.chaos.database_outage`.

The server is killed, stopped in order, and paused so that nothing is refused and nothing answered, 20 s each, while
people read and write and slots fall due. Prints what was answered meanwhile and what the database holds afterwards;
exits with 1 if an answer was late or another than it should be, a service did not go on, an error was logged, or a slot
or an effect is lost or doubled. Takes two and a half minutes, and needs PostgreSQL's `initdb` and `pg_ctl`.
"""
# ruff: noqa: T201 - it talks to whoever runs it

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import httpx
from anyio.abc import TaskGroup
from msgspec import Struct
from sqlalchemy import func, select

from ledger import schema
from ledger.db import TRANSACTION_SECONDS, Database
from ledger.runs.tables import RunRow
from ledger.turns.tables import TurnRow
from tests.chaos import Service, serving
from tests.chaos.audit import Report, audit, audit_kept, audit_learning, audit_spending
from tests.chaos.cluster import Cluster, NoCluster, cluster_running
from tests.chaos.fleet import Fleet, clock, variables, wait
from tests.chaos.kill import EVERY, MARGIN_SECONDS, TURN_SECONDS, Deciding, prepare
from tests.provider import provider_running

PROCESSES = 2
THREADS = 30
TICK_SECONDS = 1
BETWEEN_REQUESTS_SECONDS = 0.1
PROMPT_SECONDS = 2 * TRANSACTION_SECONDS + 2
"""How long an answer may take: to wait for a connection to be free, for a transaction, and for this machine."""

GO_ON_SECONDS = 10
"""Within how long all must go on when the server is back."""

SECOND = timedelta(seconds=1)
AFTERWARDS = timedelta(seconds=GO_ON_SECONDS + 3)
"""From one outage to the next."""

PATIENCE_SECONDS = 60

WARNINGS_PER_TICK = 7
"""One for each loop and for what else looks at the database, and some for turns that were under way."""


Change = Callable[[], Awaitable[None]]


class Answer(Struct, frozen=True):
    kind: str
    begun: datetime
    ended: datetime
    status: int
    """0: there was none."""
    is_problem: bool

    @property
    def seconds(self) -> float:
        return (self.ended - self.begun).total_seconds()

    @property
    def is_right(self) -> bool:
        return 200 <= self.status < 300


class Outage(Struct):
    how: str
    begun: datetime
    ended: datetime
    under_way: int
    """Calls of models when it began."""
    warnings: int = 0
    loops_after: float = 0.0
    """Seconds until all loops of all services had looked for due turns."""
    settled_after: float = 0.0
    """Seconds until a run was written."""


class People:
    """They read and write all along, whatever becomes of it."""

    def __init__(self, fleet: Fleet) -> None:
        self.answers: list[Answer] = []
        self.said: set[str] = set()
        self.is_done = False
        self._fleet = fleet

    async def ask(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)  # which the service might close just as one is used again
        async with httpx.AsyncClient(timeout=60, limits=limits) as http, anyio.create_task_group() as group:
            for number in itertools.count():
                if self.is_done:
                    break
                for service in list(self._fleet.services.values()):
                    self._ask_one(group, http, service.url, number)
                await wait(BETWEEN_REQUESTS_SECONDS)

    def _ask_one(self, group: TaskGroup, http: httpx.AsyncClient, url: str, number: int) -> None:
        thread = f"{url}/api/threads/t{number % THREADS}"
        match number % 7:
            case 0:
                group.start_soon(self._keep, "read", partial(http.get, thread))
            case 1:
                group.start_soon(self._keep, "ready", partial(http.get, f"{url}/health/ready"))
            case 2:
                group.start_soon(self._keep, "live", partial(http.get, f"{url}/health/live"))
            case _:
                group.start_soon(self._say, http, thread)

    async def _say(self, http: httpx.AsyncClient, thread: str) -> None:
        said = f"m{len(self.answers)}-{clock.now().timestamp()}"
        body = {"messages": [{"role": "user", "content": f"About {said}.", "id": said}]}
        if await self._keep("write", partial(http.post, f"{thread}/messages", json=body)):
            self.said.add(said)

    async def _keep(self, kind: str, ask: Callable[[], Awaitable[httpx.Response]]) -> bool:
        begun = clock.now()
        try:
            answer = await ask()
        except httpx.TransportError as error:
            answer = httpx.Response(0, text=repr(error))
        is_problem = answer.headers["content-type"] == "application/problem+json"
        self.answers.append(Answer(kind, begun, clock.now(), answer.status_code, is_problem))
        return answer.is_success


async def cause(seconds: float) -> bool:
    async with cluster_running() as cluster:
        await schema.migrate(cluster.url)
        db = Database(cluster.url)
        await prepare(db, THREADS)
        with tempfile.TemporaryDirectory() as directory:
            async with provider_running() as provider:
                deciding = provider.mode = Deciding(provider)
                fleet = Fleet(partial(_start, cluster.url, provider.url, Path(directory)), PROCESSES)
                people = People(fleet)
                with anyio.fail_after(120 + 3 * seconds):
                    outages = await _live(cluster, db, deciding, fleet, people, seconds)
        report = await audit(db, EVERY, served_until=outages[-1].ended)
        await audit_learning(db, report)
        await audit_spending(db, report, deciding.calls)
        await audit_kept(db, report, people.said)
        for outage in outages:
            outage.settled_after = await _first_settled(db, outage)
        await db.close()
    return _print(fleet, people, outages, report)


def _start(database: str, provider: str, directory: Path, name: str) -> AbstractAsyncContextManager[Service]:
    return serving(
        directory=directory,
        CRT_DATABASE_URL=database,
        CRT_REFLECTION_LOOP_SECONDS="5",
        CRT_PERSONALITY_LOOP_SECONDS="5",
        **variables(
            provider, name, turn_seconds=TURN_SECONDS, margin_seconds=MARGIN_SECONDS, tick_seconds=TICK_SECONDS
        ),
    )


async def _live(
    cluster: Cluster, db: Database, deciding: Deciding, fleet: Fleet, people: People, seconds: float
) -> list[Outage]:
    """Serve; take the server away in three ways; serve on until no slot of that time is owed, and stop."""
    outages: list[Outage] = []
    async with anyio.create_task_group() as group:
        for name in fleet.names:
            group.start_soon(fleet.keep_running, name)
        await fleet.all_running()
        async with anyio.create_task_group() as asking:
            asking.start_soon(people.ask)
            await wait(5)
            for how, away, back in (
                ("killed", partial(cluster.stop, "immediate"), cluster.start),
                ("stopped", partial(cluster.stop, "fast"), cluster.start),
                ("paused", cluster.pause, cluster.resume),
            ):
                while not deciding.under_way.total():
                    await wait(0.005)
                outages.append(Outage(how, clock.now(), clock.now(), deciding.under_way.total()))
                await _endure(fleet, outages[-1], away, back, seconds)
            await _all_settled(db, outages[-1].ended)
            people.is_done = True
        await fleet.stop()
    return outages


async def _all_settled(db: Database, until: datetime) -> None:
    """Wait until no slot that had come by then is owed: leases of lost turns end, and failed ones are tried again."""
    owed = select(func.count()).select_from(TurnRow).where(TurnRow.loop == "heartbeat", TurnRow.slot <= until)
    with anyio.move_on_after(PATIENCE_SECONDS):  # the audit says what is left
        while True:
            async with db.read() as session:
                if not await session.scalar(owed.where(TurnRow.every_seconds.is_not(None))):
                    return
            await wait(0.5)


async def _endure(fleet: Fleet, outage: Outage, away: Change, back: Change, seconds: float) -> None:
    logged = _warnings(fleet)
    await away()
    outage.begun = clock.now()
    await wait(seconds)
    outage.ended = clock.now()
    await back()
    async with httpx.AsyncClient(timeout=60) as http:
        for service in fleet.services.values():
            while not await _has_passed(http, service.url, outage.ended):
                await wait(0.1)
    outage.loops_after = (clock.now() - outage.ended).total_seconds()
    print(f"{outage.how} for {seconds:g} s; all loops looked again after {outage.loops_after:.1f} s", flush=True)
    await clock.sleep_until(outage.ended + AFTERWARDS)
    outage.warnings = _warnings(fleet) - logged


async def _has_passed(http: httpx.AsyncClient, url: str, since: datetime) -> bool:
    answer = await http.get(f"{url}/api/loops")
    passes = [loop["last_pass_at"] for loop in answer.json()] if answer.is_success else [None]
    return all(moment is not None and datetime.fromisoformat(moment) > since for moment in passes)


def _warnings(fleet: Fleet) -> int:
    return sum(" WARNING " in line for service in fleet.services.values() for line in service.log)


async def _first_settled(db: Database, outage: Outage) -> float:
    async with db.read() as session:
        first = await session.scalar(select(func.min(RunRow.finished_at)).where(RunRow.finished_at > outage.ended))
    return (first - outage.ended).total_seconds() if first else float("inf")


def _print(fleet: Fleet, people: People, outages: list[Outage], report: Report) -> bool:
    wrong = report.lost + report.doubled + report.wrong
    for outage in outages:
        wrong += _print_outage(outage, people.answers)
    odd = Counter(answer.status for answer in people.answers if not answer.is_right and answer.status != 503)
    wrong += [f"{n} answers {status}" for status, n in odd.items()]
    wrong += [f"{fleet.errors} errors logged"] if fleet.errors else []
    wrong += [f"exit codes {fleet.codes}"] if fleet.codes != [0] * PROCESSES else []
    rows = {
        "answers": f"{len(people.answers)}, {dict(Counter(answer.status for answer in people.answers))}",
        "runs recorded": report.turns,
        "slots settled": report.settled,
        "  collapsed into another's turn": report.collapsed,
        "posts, comments, votes": report.effects,
        "messages": len(people.said),
        "messages learned from": report.learned,
        "lost, doubled": f"{len(report.lost)}, {len(report.doubled)}",
        "errors logged": fleet.errors,
        "exit codes": fleet.codes,
        "runs by outcome": dict(report.outcomes),
        "wrong": len(wrong),
    }
    for name, value in rows.items():
        print(f"{name:36} {value}")
    for line in wrong[:50]:
        print(f"  {line}")
    return not wrong


def _print_outage(outage: Outage, answers: list[Answer]) -> list[str]:
    """Say what was answered meanwhile and afterwards; answers what is wrong about it."""
    away = [answer for answer in answers if outage.begun <= answer.begun and answer.ended < outage.ended]
    slow = max(answer.seconds for answer in answers if outage.begun <= answer.begun < outage.ended)
    after = [answer for answer in answers if timedelta(0) < answer.begun - outage.ended < AFTERWARDS - SECOND]
    refused = max((answer.begun - outage.ended for answer in after if not answer.is_right), default=timedelta(0))
    ticks = (outage.ended - outage.begun).total_seconds() / TICK_SECONDS * PROCESSES
    counts = Counter(f"{answer.kind} {answer.status}" for answer in away)
    rows = {
        "calls under way": outage.under_way,
        "answers meanwhile": dict(sorted(counts.items())),
        "slowest of them (s)": round(slow, 2),
        "answered as ever after (s)": round(refused.total_seconds(), 1),
        "all loops looked after (s)": round(outage.loops_after, 1),
        "first run after (s)": round(outage.settled_after, 1),
        "warnings a tick and process": round(outage.warnings / ticks, 1),
    }
    print(f"{outage.how}:")
    for name, value in rows.items():
        print(f"  {name:34} {value}")
    late = max(refused.total_seconds(), outage.loops_after, outage.settled_after)
    checks = {
        f"an answer took {slow:.1f} s": slow > PROMPT_SECONDS,
        "something was not answered": {answer.kind for answer in away} != {"read", "write", "ready", "live"},
        "503 was no problem document": any(answer.status == 503 and not answer.is_problem for answer in away),
        "not all answers were 503, and 200 for live": any(
            answer.status != (200 if answer.kind == "live" else 503) for answer in away
        ),
        f"not all went on within {GO_ON_SECONDS} s": late > GO_ON_SECONDS,
        "the log was flooded": outage.warnings > WARNINGS_PER_TICK * ticks,
    }
    return [f"{outage.how}: {what}" for what, is_wrong in checks.items() if is_wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long the server is away each time")
    try:
        return 0 if anyio.run(cause, parser.parse_args().seconds) else 1
    except NoCluster as error:
        print(f"No PostgreSQL server can be run here: {error}.")
        return 2


if __name__ == "__main__":
    sys.exit(main())
