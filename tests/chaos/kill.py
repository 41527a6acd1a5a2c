"""Two services on one SQLite file, killed in the middle of turns again and again: `python -m tests.chaos.kill`.

Prints what it did and what the database holds afterwards; exits with 1 if a slot or an effect is lost or doubled.
"""
# ruff: noqa: T201 - it talks to whoever runs it

import argparse
import random
import sys
import tempfile
from collections import Counter
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
from anyio.abc import SocketStream

from ledger import schema
from ledger.db import Database
from ledger.posts import authors
from ledger.posts.structs import NewPost
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from ledger.turns import store as turns
from tests.chaos import Service, serving
from tests.chaos.audit import Report, audit, audit_kept, audit_learning, audit_spending
from tests.chaos.fleet import Fleet, clock, variables, wait
from tests.provider import Provider, provider_running, says

PROCESSES = 2
EVERY = timedelta(seconds=2)
LATENCY = timedelta(seconds=0.2)
TURN_SECONDS = 5
MARGIN_SECONDS = 5
LEASE = timedelta(seconds=TURN_SECONDS + MARGIN_SECONDS)
BETWEEN_MESSAGES = timedelta(seconds=0.03)


class Deciding:
    """A provider's mode: takes its time and always wants to act; knows who is asking by the key."""

    def __init__(self, provider: Provider) -> None:
        self.calls = 0
        self.under_way: Counter[str] = Counter()
        self._provider = provider

    async def __call__(self, stream: SocketStream, request: dict[str, Any]) -> None:
        name = self._provider.headers[-1].lower().partition("bearer ")[2].split()[0]
        self.calls += 1
        call = self.calls
        self.under_way[name] += 1
        try:
            await clock.sleep_until(clock.now() + LATENCY)
            data = msgspec.json.decode(request["messages"][1]["content"])
            await says(_answer(request["response_format"]["json_schema"]["name"], call, data))(stream, request)
        finally:
            self.under_way[name] -= 1


class Chaos:
    def __init__(self, directory: Path, provider: Provider, seeds: dict[str, str], seed: int) -> None:
        """`seeds`: a post of a person for each thread."""
        self.deciding = provider.mode = Deciding(provider)
        self.fleet = Fleet(self._start, PROCESSES)
        self.kills_amid_calls = 0
        self.said: set[str] = set()
        self._directory = directory
        self._url = provider.url
        self._seeds = seeds
        self._random = random.Random(seed)  # noqa: S311 - chaos, not cryptography

    async def kill_one(self) -> None:
        """Kill a process that has a call under way, at a random moment of the 0.3 s that follow."""
        await wait(self._random.uniform(0, 1))
        name = await self._busy_one()
        await wait(self._random.uniform(0, 0.3))
        self.kills_amid_calls += self.deciding.under_way[name] > 0
        await self.fleet.kill(name)

    async def talk(self) -> None:
        """People write, also while turns run; what was answered with success must be there afterwards."""
        async with httpx.AsyncClient(timeout=10) as http:
            while not self.fleet.is_stopping:
                await clock.sleep_until(clock.now() + BETWEEN_MESSAGES)
                if self.fleet.services:
                    service = self._random.choice(list(self.fleet.services.values()))
                    await self._say(http, service.url, self._random.choice(list(self._seeds)))

    async def _busy_one(self) -> str:
        while True:
            busy = [name for name in self.fleet.services if self.deciding.under_way[name]]
            if busy:
                return self._random.choice(busy)
            await wait(0.005)

    async def _say(self, http: httpx.AsyncClient, url: str, thread: str) -> None:
        said = f"m{len(self.said)}-{self._random.getrandbits(64)}"
        body = {"messages": [{"role": "user", "content": f"About {said}.", "id": said}]}
        comment = {"content": f"What of {said}?", "author": "Ann"}
        try:
            (await http.post(f"{url}/api/threads/{thread}/messages", json=body)).raise_for_status()
            self.said.add(said)
            if self._random.random() < 0.2:
                (await http.post(f"{url}/api/posts/{self._seeds[thread]}/comments", json=comment)).raise_for_status()
        except httpx.TransportError:
            return  # it was killed

    def _start(self, name: str) -> AbstractAsyncContextManager[Service]:
        return serving(
            directory=self._directory,
            CRT_DATABASE_URL="sqlite+aiosqlite:///chaos.db",
            CRT_REFLECTION_LOOP_SECONDS="5",
            CRT_PERSONALITY_LOOP_SECONDS="5",
            **variables(self._url, name, turn_seconds=TURN_SECONDS, margin_seconds=MARGIN_SECONDS, tick_seconds=0.5),
        )


def _answer(kind: str, call: int, data: dict[str, Any]) -> dict[str, object]:
    """What each kind of request asks for, as far as it goes: something of its own in every call."""
    match kind:
        case "decision":
            return _decision(call, data["data"])
        case "findings":
            insight = {"text": f"Call {call} found it.", "importance": 5, "evidence": [data["new"][0]["number"]]}
            return {"insights": [insight], "open_questions": [], "still_open": []}
        case "proposals":
            return {"proposals": []}
        case _:
            return {"verdict": "reply", "body": f"Call {call} answers."}


def _decision(call: int, data: dict[str, Any]) -> dict[str, object]:
    """A post with a title of its own; a vote on a person's post and an answer to the newest comment on it."""
    words = " ".join(f"{call}w{n}" for n in range(8))
    actions: list[dict[str, object]] = [{"action": "post", "board": "notes", "title": f"Call {call}", "content": words}]
    asked = [comment for comment in data["comments"] if not comment["own"]]
    for comment in asked[-1:]:
        target: dict[str, object] = {"post_id": comment["post_id"]}
        actions.append({"action": "vote", "direction": "up" if call % 2 else "down"} | target)
        actions.append({"action": "comment", "parent_id": comment["id"], "content": words} | target)
    look_again = {0: 1, 1: 6}.get(call % 7)  # now and then sooner, or later
    decision: dict[str, object] = {"verdict": "act", "reasoning": "Chaos.", "summary": f"Call {call}."}
    return decision | {"actions": actions, "next_check": look_again}


async def prepare(db: Database, count: int) -> dict[str, str]:
    """Threads whose heartbeat is due more often than the API allows; each has a post of a person, whose id it gives."""
    found: dict[str, str] = {}
    async with db.write() as session:
        now = clock.now()
        for name in [f"t{n}" for n in range(count)]:
            await threads.create(session, NewThread(name), now=now)
            turn = await turns.create(session, "heartbeat", name, now=now)
            every = int(EVERY.total_seconds())
            turn = await turns.configure(session, turn, enabled=True, every_seconds=every, now=now)
            await turns.schedule(session, turn, now + EVERY)
            new = NewPost("A question", "What is new?", "Ann", thread_id=name)
            found[name] = (await authors.write_post(session, new, agent="ledger", now=now)).id
    return found


async def cause(kills: int, count: int, seed: int) -> tuple[Chaos, Report]:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite+aiosqlite:///{directory}/chaos.db"
        await schema.migrate(url)
        db = Database(url)
        seeds = await prepare(db, count)
        async with provider_running() as provider:
            chaos = Chaos(Path(directory), provider, seeds, seed)
            with anyio.fail_after(120 + 15 * kills):
                await _live(chaos, kills)
        report = await audit(db, EVERY, served_until=chaos.fleet.last_kill)
        await audit_learning(db, report)
        await audit_spending(db, report, chaos.deciding.calls)
        await audit_kept(db, report, chaos.said)
        await db.close()
    return chaos, report


async def _live(chaos: Chaos, kills: int) -> None:
    """Serve, kill, serve on until every lease of the dead has ended, and stop."""
    async with anyio.create_task_group() as group:
        for name in chaos.fleet.names:
            group.start_soon(chaos.fleet.keep_running, name)
        group.start_soon(chaos.talk)
        for _ in range(kills):
            await chaos.kill_one()
            print(f"\rkilled {chaos.fleet.kills}", end="", flush=True)
        print(", now waiting for the leases of the dead to end")
        await clock.sleep_until(chaos.fleet.last_kill + LEASE + timedelta(seconds=15))
        await chaos.fleet.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--threads", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = clock.now()
    chaos, report = anyio.run(cause, given.kills, given.threads, given.seed)
    rows = {
        "kills": chaos.fleet.kills,
        "  with calls under way": chaos.kills_amid_calls,
        "calls": chaos.deciding.calls,
        "runs recorded": report.turns,
        "slots settled": report.settled,
        "  collapsed into another's turn": report.collapsed,
        "posts, comments, votes": report.effects,
        "messages": len(chaos.said),
        "messages learned from": report.learned,
        "lost": len(report.lost),
        "doubled": len(report.doubled),
        "otherwise wrong": len(report.wrong),
        "errors logged": chaos.fleet.errors,
        "exit codes of those not killed": chaos.fleet.codes,
        "seconds": round((clock.now() - began).total_seconds()),
    }
    for name, value in rows.items():
        print(f"{name:32} {value}")
    print(f"{'runs by outcome':32} {dict(report.outcomes)}")
    for line in (report.lost + report.doubled + report.wrong)[:50]:
        print(f"  {line}")
    clean = chaos.fleet.codes == [0] * PROCESSES and not chaos.fleet.errors
    return 0 if clean and not (report.lost or report.doubled or report.wrong) else 1


if __name__ == "__main__":
    sys.exit(main())
