"""The four loops: what they do (`Work`), the one body that runs them (`Loop`), and how they come together."""

from datetime import timedelta

from ledger.clock import Clock
from ledger.db import Database
from ledger.heartbeat.instructions import File
from ledger.llm import LLM
from ledger.loops.engine import Loop, Waker
from ledger.loops.heartbeat import Heartbeat
from ledger.loops.places import Places
from ledger.loops.quiet import Quiet
from ledger.loops.work import Work
from ledger.settings import Settings

__all__ = ["Loop", "Waker", "build_loops"]


def build_loops(
    settings: Settings, db: Database, clock: Clock, llm: LLM | None, file: File
) -> tuple[Loop, Loop, Loop, Loop]:
    """Reflection, personality, self-reply and heartbeat, in this order."""
    places = Places(settings.concurrency)

    def seconds(number: float) -> timedelta:
        return timedelta(seconds=number)

    def loop(work: Work) -> Loop:
        limit, tick = seconds(settings.turn_seconds), seconds(settings.tick_seconds)
        return Loop(work, db, clock, places, turn_limit=limit, tick=tick)

    return (
        loop(
            Quiet(
                "reflection",
                "REFLECTION",
                db,
                enabled=settings.reflection_enabled,
                every=seconds(settings.reflection_seconds),
            )
        ),
        loop(
            Quiet(
                "personality",
                "PERSONALITY",
                db,
                enabled=settings.personality_enabled,
                every=seconds(settings.personality_seconds),
            )
        ),
        loop(
            Quiet(
                "self_reply",
                "JOURNAL_SELF_REPLY",
                db,
                enabled=settings.self_reply_enabled,
                every=seconds(settings.self_reply_seconds),
            )
        ),
        loop(
            Heartbeat(
                db,
                clock,
                llm,
                file,
                enabled=settings.heartbeat_enabled,
                every=seconds(settings.heartbeat_seconds),
                agent=settings.agent_name,
                model=settings.llm_model,
            )
        ),
    )
