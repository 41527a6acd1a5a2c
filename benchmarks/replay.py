"""Play a recorded conversation by date, and show what was learned: `python benchmarks/replay.py FILE.jsonl [--every]`.

A line of the file is a message: `role`, `content`, `created_at`. Each sitting is handed in as it happened, with a clock
that is set by hand, and the quiet loops take their turns; no model is asked. `--every` shows each scorecard on the way.
"""

import argparse
import tempfile
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import anyio
import msgspec

from ledger import schema
from ledger.clock import ManualClock
from ledger.db import Database
from ledger.insights import profiles, scorecards
from ledger.insights.structs import Profile, Scorecard
from ledger.instructions.file import File
from ledger.journal import store as journal
from ledger.loops import Loop, Waker, build_loops
from ledger.mind.briefing import brief
from ledger.settings import Settings
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.threads.structs import NewMessage, NewThread

THREAD = "replayed"
SITTING = timedelta(hours=4)
"""A gap that ends a sitting."""

STEP, STEPS = timedelta(minutes=15), 6


async def main(said: list[NewMessage], *, every: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite+aiosqlite:///{directory}/ledger.db"
        await schema.migrate(url)
        db = Database(url)
        clock = ManualClock(_moment(said[0]))
        settings = Settings(database_url=url)
        loops = build_loops(settings, db, clock, None, File(f"{directory}/HEARTBEAT.md", db, clock))
        async with db.write() as session:
            await threads.create(session, NewThread(THREAD), now=clock.now())
        for sitting in _sittings(said):
            await _play(db, clock, loops, sitting)
            if every:
                async with db.read() as session:
                    _show_scorecard(await scorecards.current(session, THREAD))
        await _show(db)
        await db.close()


async def _play(db: Database, clock: ManualClock, loops: tuple[Loop, ...], sitting: list[NewMessage]) -> None:
    clock.advance(max(timedelta(0), _moment(sitting[-1]) - clock.now()))
    wake = Waker(loops)
    async with db.write() as session:
        await messages.add(session, THREAD, sitting, now=clock.now())
        await wake(session, THREAD)
    for _ in range(STEPS):
        for loop in loops[:3]:
            await loop.run_once()
        clock.advance(STEP)


def _sittings(said: list[NewMessage]) -> list[list[NewMessage]]:
    found = [[said[0]]]
    for before, message in pairwise(said):
        if _moment(message) - _moment(before) > SITTING:
            found.append([])
        found[-1].append(message)
    return found


async def _show(db: Database) -> None:
    async with db.read() as session:
        scorecard = await scorecards.current(session, THREAD)
        profile = await profiles.current(session, THREAD)
        entries = await journal.newest(session, THREAD, 1_000)
        briefing = await brief(session, THREAD, 800)
    _show_scorecard(scorecard)
    _show_profile(profile)
    print(f"\nJOURNAL, {len(entries)} entries")
    for entry in entries:
        print(f"\n#{entry.seq} {entry.kind} of {entry.created_at:%Y-%m-%d %H:%M}: {entry.title}\n{entry.body}")
    print(f"\nCONTEXT, {briefing.tokens} tokens\n{briefing.text()}")


def _show_scorecard(scorecard: Scorecard) -> None:
    day = f"{scorecard.created_at:%Y-%m-%d}" if scorecard.created_at else "never"
    print(f"\nSCORECARD {scorecard.revision} of {day}, messages {scorecard.first_seq} to {scorecard.last_seq}")
    print("  topics:", ", ".join(f"{topic.topic} {topic.count}" for topic in scorecard.topics))
    for name, trends in (("rising", scorecard.rising), ("fading", scorecard.fading)):
        shown = (f"{trend.topic} ({trend.recent:.0%} against {trend.earlier:.0%})" for trend in trends)
        print(f"  {name}:", ", ".join(shown))
    for question in scorecard.open_questions:
        print(f"  open: {question.role}, {question.asked_at:%Y-%m-%d}: {question.question}")
    print(f"  importance {scorecard.importance}, preference confidence {scorecard.preference_confidence:.2f}")


def _show_profile(profile: Profile) -> None:
    print(f"\nPROFILE {profile.revision}: {profile.words}")
    for name, trait in profile.traits.items():
        print(
            f"  {name:12} {trait.value:.2f}  confidence {trait.confidence:.2f} of {trait.evidence_count}, {trait.trend}"
        )


def _moment(message: NewMessage) -> datetime:
    assert message.created_at is not None, "every line needs a created_at"
    return message.created_at


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--every", action="store_true", help="show each scorecard on the way")
    arguments = parser.parse_args()
    lines = arguments.file.read_text().splitlines()
    conversation = [msgspec.json.decode(line, type=NewMessage) for line in lines if line.strip()]
    anyio.run(lambda: main(conversation, every=arguments.every))
