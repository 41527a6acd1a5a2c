"""Whether a turn grows with history: a thread of 100 messages beside one of 10,000: `python benchmarks/history.py`.

Both have been read to the end. Each round, the long one and another short one get the same 20 new messages and a
comment on the journal, and each loop takes a turn on both, one right after the other: so the ratios are of the same
minute. Prompts are measured as they reach a model that answers at once and does nothing. The ratios should be near 1,
and at most 1.3.
"""

import random
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import median

import anyio

from ledger import schema
from ledger.clock import ManualClock, SystemClock
from ledger.db import Database
from ledger.instructions.file import File
from ledger.journal import store as journal
from ledger.llm import LLM, ChatAnswer, ChatRequest
from ledger.loops import Loop, Waker, build_loops
from ledger.settings import Settings
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.threads.structs import NewMessage, NewThread
from ledger.tokens import count_tokens

SHORT, LONG = 100, 10_000
SIZES = ("short", "long")
ROUNDS = 25
NEW = 20
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
GAP = timedelta(minutes=7)
QUIET = {
    "decision": '{"verdict": "nothing", "reasoning": "-", "summary": "-", "actions": []}',
    "findings": '{"insights": [], "open_questions": [], "still_open": []}',
    "proposals": '{"proposals": []}',
    "answer": '{"verdict": "reply", "body": "Noted."}',
}


class Silent:
    """A model that answers at once, does nothing, and keeps how long the last prompt was."""

    def __init__(self) -> None:
        self.prompt_tokens = 0

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        self.prompt_tokens = sum(count_tokens(message.content) for message in request.messages)
        return ChatAnswer(
            text=QUIET[request.schema_name],
            model=request.model,
            prompt_tokens=None,
            completion_tokens=None,
            latency=timedelta(0),
        )

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Talk:
    """Endless talk in made-up words, some of them often and most of them seldom, as in any language."""

    def __init__(self) -> None:
        self._chance = random.Random(7)
        syllables = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
        self._words = ["".join(self._chance.choices(syllables, k=3)) for _ in range(5_000)]
        self._weights = [1 / rank for rank in range(1, len(self._words) + 1)]  # Zipf's law
        self._said = 0

    def next(self) -> NewMessage:
        words = self._chance.choices(self._words, self._weights, k=self._chance.randint(4, 30))
        self._said += 1
        role = "user" if self._said % 2 else "assistant"
        return NewMessage(role, f"{' '.join(words).capitalize()}{self._chance.choice('..?')}")


async def main() -> None:
    print(f"{'loop':<24}{'100 messages':>14}{'10,000':>12}{'ratio':>8}{'prompt':>16}{'ratio':>8}")
    for decided_by, llm in (("model", Silent()), ("rules", None)):
        async with _bench(llm) as bench:
            times, prompts = await bench.measure()
        for name, rounds in times.items():
            short, long = (median(took[size] for took in rounds) for size in SIZES)
            ratio = median(took["long"] / took["short"] for took in rounds)
            line = f"{name + ' by ' + decided_by:<24}{short:>11.2f} ms{long:>9.2f} ms{ratio:>8.2f}"
            if llm is not None:
                few, many = (median(took[size] for took in prompts[name]) for size in SIZES)
                line += f"{few:>7.0f} {many:>8.0f}{many / few:>8.2f}"
            print(line)


class Bench:
    def __init__(self, db: Database, clock: ManualClock, loops: tuple[Loop, ...], llm: Silent | None) -> None:
        self.db, self.clock, self.loops, self.llm = db, clock, loops, llm
        self.wake = Waker(loops)
        self.talk = Talk()

    async def measure(self) -> tuple[dict[str, list[dict[str, float]]], dict[str, list[dict[str, int]]]]:
        """Milliseconds and prompt tokens of each loop's turns on both threads, round by round."""
        await self._fill("long", LONG)
        for number in range(ROUNDS + 1):
            await self._fill(f"short{number}", SHORT)
        times: dict[str, list[dict[str, float]]] = {loop.name: [] for loop in self.loops}
        prompts: dict[str, list[dict[str, int]]] = {loop.name: [] for loop in self.loops}
        for number in range(ROUNDS + 1):
            pair = {"short": f"short{number}", "long": "long"}
            await self._go_on(pair)
            for loop in self.loops:
                took, asked = await self._turn(loop, pair, SIZES[:: 1 if number % 2 else -1])
                if number:  # the first round fills caches
                    times[loop.name].append(took)
                    prompts[loop.name].append(asked)
        return times, prompts

    async def _fill(self, thread: str, size: int) -> None:
        """Have a thread of so many messages, read to the end by all loops."""
        async with self.db.write() as session:
            await threads.create(session, NewThread(thread), now=self.clock.now())
        for first in range(0, size, 100):
            self.clock.advance(GAP)
            await self._say(thread, [self.talk.next() for _ in range(min(100, size - first))])
            await self._settle()

    async def _settle(self) -> None:
        for loop in self.loops[:2]:
            await loop.run_once()

    async def _say(self, thread: str, said: list[NewMessage]) -> None:
        async with self.db.write() as session:
            await messages.add(session, thread, said, now=self.clock.now())
            await self.wake(session, thread)

    async def _go_on(self, pair: dict[str, str]) -> None:
        """The same news for both threads."""
        self.clock.advance(timedelta(hours=2))
        said = [self.talk.next() for _ in range(NEW)]
        for thread in pair.values():
            await self._say(thread, said)
            async with self.db.write() as session:
                (entry,) = await journal.newest(session, thread, 1)
                await journal.comment(session, entry, "ann", "And what of that?", now=self.clock.now())

    async def _turn(
        self, loop: Loop, pair: dict[str, str], order: tuple[str, ...]
    ) -> tuple[dict[str, float], dict[str, int]]:
        took: dict[str, float] = {}
        asked: dict[str, int] = {}
        for size in order:
            began = SystemClock().now()
            run = await loop.run_for_thread(pair[size])
            took[size] = (SystemClock().now() - began) / timedelta(milliseconds=1)
            assert run.outcome in ("acted", "nothing"), run
            asked[size] = self.llm.prompt_tokens if self.llm else 0
        return took, asked


@asynccontextmanager
async def _bench(llm: Silent | None) -> AsyncGenerator[Bench]:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite+aiosqlite:///{directory}/ledger.db"
        await schema.migrate(url)
        db = Database(url)
        clock = ManualClock(START)
        settings = Settings(database_url=url, heartbeat_enabled=True, llm_model="silent")
        model: LLM | None = llm
        loops = build_loops(settings, db, clock, model, File(f"{directory}/HEARTBEAT.md", db, clock))
        yield Bench(db, clock, loops, llm)
        await db.close()


if __name__ == "__main__":
    anyio.run(main)
