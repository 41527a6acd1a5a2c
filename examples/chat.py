"""A chat application with a companion: `python examples/chat.py`, beside a Ledger that `make run` started.

It keeps what is said in a thread, asks before every answer what is known, and shows what the agent does meanwhile. Its
answers need no model: where `reply` stands, yours would be called. `--demo` plays a conversation by itself.
"""

import argparse
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread

from ledger import (
    Briefing,
    CommentEvent,
    Conflict,
    Event,
    LedgerClient,
    LedgerError,
    NewMessage,
    PostEvent,
    RunEvent,
    Unreachable,
)

HELP = "Say something. /ask QUESTION asks the companion, /look has it look at once, /quit ends."

DEMO = [
    "Shall we go camping by the lake in May?",
    "I want to try the new tent, and Ben brings his canoe.",
    "The lake is cold in May. Which weekend is best for camping?",
    "Let us take the last weekend of May, then.",
    "/ask When do we go camping?",
    "Good. Who brings the food?",
    "/quit",
]


class Companion:
    """What the agent does on one thread, shown as it happens."""

    def __init__(self, ledger: LedgerClient, thread_id: str) -> None:
        self.ledger = ledger
        self.thread_id = thread_id
        self._shown: dict[str, anyio.Event] = {}

    @asynccontextmanager
    async def followed(self) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow)
            yield
            group.cancel_scope.cancel()

    async def _follow(self) -> None:
        async for event in self.ledger.events(thread_id=self.thread_id, after="0-0"):  # all that is kept, then all new
            if (line := told(event)) is not None:
                print(f"    * {line}")
            if isinstance(event, RunEvent):
                self._shown.setdefault(event.data.id, anyio.Event()).set()

    async def look(self) -> None:
        """Have it reflect and look at once instead of in half an hour, and wait until what came of it is shown."""
        for loop in ("reflection", "heartbeat"):
            try:
                run = await self.ledger.run_loop_now(self.thread_id, loop)
            except Conflict as busy:  # it is at it already
                print(f"    * {busy}")
                continue
            with anyio.move_on_after(10):
                await self._shown.setdefault(run.id, anyio.Event()).wait()

    async def ask(self, question: str) -> None:
        post = await self.ledger.write_post(
            title="A question", content=f"@ledger {question}", author="you", thread_id=self.thread_id
        )
        await self.look()
        async for comment in self.ledger.comments(post.id):
            print(f"{comment.author}: {comment.content}")


def told(event: Event) -> str | None:
    match event:
        case RunEvent(data=run):
            return f"{run.loop} {run.outcome}: {run.summary or run.reason or run.error}"
        case PostEvent(data=post) if post.origin == "agent":
            return f"{post.author} posts on {post.board}: {post.title}"
        case CommentEvent(data=comment) if comment.origin == "agent":
            return f"{comment.author} comments: {comment.content[:60]}"
        case _:
            return None


def reply(known: Briefing, text: str) -> str:
    """Here would be a call of your model, with `known.text()` in front of the conversation."""
    about = f" So far it is about {', '.join(known.topics[:3])}." if known.topics else ""
    return f"{len(text.split())} words, noted.{about}"


async def answer(ledger: LedgerClient, thread_id: str, text: str) -> str:
    said = reply(await ledger.get_context(thread_id, max_tokens=400), text)
    await ledger.add_messages(thread_id, [NewMessage("user", text), NewMessage("assistant", said)])
    return said


async def typed() -> AsyncGenerator[str]:
    print(HELP)
    while line := await to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        yield line.strip()


async def scripted() -> AsyncGenerator[str]:
    for line in DEMO:
        print(f"> {line}")
        yield line


async def chat(url: str, token: str | None, lines: AsyncGenerator[str]) -> None:
    async with LedgerClient(url, token=token, retries=1) as ledger:  # so that it says soon that nobody answers
        companion = Companion(ledger, (await ledger.create_thread(title="A chat")).id)
        async with companion.followed():
            async for line in lines:
                command, _, rest = line.partition(" ")
                match command:
                    case "/quit":
                        break
                    case "/look":
                        await companion.look()
                    case "/ask" if rest:
                        await companion.ask(rest)
                    case _ if line and not line.startswith("/"):
                        print(await answer(ledger, companion.thread_id, line))
                    case _:
                        print(HELP)
        print(f"All of it stays on the ledger, in the thread {companion.thread_id}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token", help="what CRT_API_TOKEN is on the server, if it has one")
    parser.add_argument("--demo", action="store_true", help="play a conversation; so it does where nobody can type")
    given = parser.parse_args()
    problems: list[str] = []
    try:
        lines = scripted() if given.demo or not sys.stdin.isatty() else typed()
        anyio.run(chat, given.url, given.token, lines)
    except* Unreachable as group:
        problems += [f"{error} Is Ledger running? Start it with: make run" for error in group.exceptions]
    except* LedgerError as group:
        problems += [f"Ledger says: {error}" for error in group.exceptions]
    except* KeyboardInterrupt:
        print()
    sys.exit("\n".join(problems) or None)
