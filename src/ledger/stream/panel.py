"""What an existing panel reads of one thread: messages told apart by `type`, with epoch seconds."""

from datetime import datetime

import msgspec

from ledger.db import Database
from ledger.insights import profiles, scorecards
from ledger.insights.structs import Profile, Scorecard
from ledger.runs import store as runs
from ledger.runs.structs import Run
from ledger.stream import tail
from ledger.stream.structs import (
    Alive,
    HeartbeatState,
    HeartbeatStateMessage,
    LoopMessage,
    PersonalityProfile,
    ReflectionScorecard,
)
from ledger.stream.tail import Item

KINDS = frozenset({"scorecard", "profile", "run"})


async def standing(db: Database, thread_id: str) -> list[bytes]:
    """What there is to know when one begins to follow."""
    async with db.read() as session:
        scorecard = await scorecards.current(session, thread_id)
        profile = await profiles.current(session, thread_id)
        decided = await runs.decided(session, thread_id, "heartbeat", 1)
    messages: list[LoopMessage] = [_state(run) for run in decided]
    messages += [ReflectionScorecard(thread_id, scorecard)] if scorecard.revision else []
    messages += [PersonalityProfile(thread_id, profile)] if profile.revision else []
    return list(map(_frame, messages))


def frame(item: Item) -> bytes | None:
    """An event as one of these messages; None: it is none of them."""
    thread_id = item.thread_id or ""
    match item.kind:
        case "scorecard":
            return _frame(ReflectionScorecard(thread_id, msgspec.json.decode(item.data, type=Scorecard)))
        case "profile":
            return _frame(PersonalityProfile(thread_id, msgspec.json.decode(item.data, type=Profile)))
        case _:
            run = msgspec.json.decode(item.data, type=Run)
            return _frame(_state(run)) if run.loop == "heartbeat" and run.outcome != "skipped" else None


def alive(thread_id: str, now: datetime) -> bytes:
    return _frame(Alive(thread_id, now.timestamp()))


def _state(run: Run) -> HeartbeatStateMessage:
    summary = run.summary or run.error or run.outcome
    return HeartbeatStateMessage(run.thread_id, HeartbeatState(run.finished_at.timestamp(), summary, run.actions))


def _frame(message: LoopMessage) -> bytes:
    return tail.frame(None, msgspec.json.encode(message), None)
