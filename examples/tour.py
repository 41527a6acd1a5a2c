"""Everything once: `python examples/tour.py FILE.jsonl`, beside a Ledger that `make run` started.

It hands in a recorded conversation (a line is a message: `role`, `content`, `created_at`), has the loops take their
turns, reads their runs, asks, comments, votes, and takes a profile back; meanwhile it follows all events of the thread.
Kill it, or the server, wherever you like and start it again: it goes on where it was, does nothing twice and misses no
event. All it has to remember is the name of its thread and the ids of the events it has seen, in the folder `--state`.
"""

import argparse
import sys
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import anyio
import msgspec

from ledger import LedgerClient, LedgerError, LoopName, NewMessage

BATCH = 100
LOOPS: tuple[LoopName, ...] = ("reflection", "personality", "heartbeat")


class Tour:
    """One conversation on a thread of its own."""

    def __init__(self, ledger: LedgerClient, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ledger = ledger
        self.seen = folder / "events.txt"
        name = folder / "thread.txt"
        if not name.exists():
            name.write_text(f"tour-{uuid4().hex[:8]}", encoding="ascii")
        self.thread = name.read_text(encoding="ascii")

    async def go(self, said: list[NewMessage]) -> None:
        """Every POST has a key that is the same whenever this is started again: then it is answered, and not done."""
        ledger, thread = self.ledger, self.thread
        await ledger.create_thread(id=thread, title="A tour", idempotency_key=f"{thread}-thread")
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow)
            for first in range(0, len(said), BATCH):
                batch, key = said[first : first + BATCH], f"{thread}-said-{first}"
                added = await ledger.add_messages(thread, batch, idempotency_key=key)
                print(f"{added.last_seq} messages")
            post = await ledger.write_post(
                title="A question",
                content=f"@ledger {said[0].content[:80]}",
                thread_id=thread,
                idempotency_key=f"{thread}-post",
            )
            for loop in LOOPS:
                run = await ledger.run_loop_now(thread, loop, idempotency_key=f"{thread}-{loop}")
                whole = await ledger.get_run(run.id)
                print(f"{loop} {whole.outcome}, decided by {whole.decided_by}: {whole.summary}")
            answers = [comment async for comment in ledger.comments(post.id) if comment.origin == "agent"]
            await ledger.write_comment(
                post.id,
                content="Thank you.",
                parent_id=answers[0].id if answers else None,
                idempotency_key=f"{thread}-thanks",
            )
            print(f"The score after a vote: {(await ledger.cast_vote(post.id, 'tourist', value=1)).score}")
            await self._correct()
            await self._check()
            group.cancel_scope.cancel()

    async def _correct(self) -> None:
        """Pin a trait, then think better of it."""
        learned = await anext(profile async for profile in self.ledger.profiles(self.thread) if profile.run_id)
        pinned = await self.ledger.pin_traits(self.thread, verbosity=0.9)
        back = await self.ledger.revert_profile(
            self.thread, revision=learned.revision, idempotency_key=f"{self.thread}-revert-{pinned.revision}"
        )
        values = [f"{profile.traits['verbosity'].value:.2f}" for profile in (learned, pinned, back)]
        print(f"verbosity was learned as {values[0]}, pinned to {values[1]}, and reverted to {values[2]}")

    async def _follow(self) -> None:
        seen = self._ids()
        print(f"    {len(seen)} events seen before")
        async for event in self.ledger.events(thread_id=self.thread, after=seen[-1] if seen else "0-0"):
            if event.id is not None:
                with self.seen.open("a", encoding="ascii") as file:
                    file.write(f"{event.id}\n")
            print(f"    * {event.kind} {event.id or 'live'}")

    async def _check(self) -> None:
        """Compare what was seen, over all kills, with all that the server has kept."""
        events = self.ledger.events(thread_id=self.thread, after="0-0")
        kept: list[str] = []
        with anyio.move_on_after(2):  # a stream has no end: what has not come by then does not come
            async with aclosing(events):
                async for event in events:
                    kept += [event.id] if event.id else []
        print(f"{len(kept)} events are kept; seen: {'the same, in order' if self._ids() == kept else self._ids()}")

    def _ids(self) -> list[str]:
        return self.seen.read_text(encoding="ascii").split() if self.seen.exists() else []


def read(path: Path) -> list[NewMessage]:
    return [msgspec.json.decode(line, type=NewMessage) for line in path.read_bytes().splitlines() if line.strip()]


async def main(url: str, token: str | None, said: list[NewMessage], folder: Path) -> None:
    async with LedgerClient(url, token=token, retries=8) as ledger:
        await Tour(ledger, folder).go(said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token", help="what CRT_API_TOKEN is on the server, if it has one")
    parser.add_argument("--state", type=Path, default=Path("tour"), help="a folder (tour)")
    given = parser.parse_args()
    try:
        anyio.run(main, given.url, given.token, read(given.file), given.state)
    except* (LedgerError, OSError, msgspec.DecodeError) as group:
        sys.exit("\n".join(map(str, group.exceptions)))
