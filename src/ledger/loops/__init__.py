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
from ledger.turns.structs import LoopName

__all__ = ["Loop", "Waker", "build_loops"]


def build_loops(
    settings: Settings, db: Database, clock: Clock, llm: LLM | None, file: File
) -> tuple[Loop, Loop, Loop, Loop]:
    """Reflection, personality, self-reply and heartbeat, in this order."""
    places = Places(settings.concurrency)
    limit, tick = timedelta(seconds=settings.turn_seconds), timedelta(seconds=settings.tick_seconds)

    def loop(work: Work) -> Loop:
        return Loop(work, db, clock, places, turn_limit=limit, tick=tick)

    def quiet(name: LoopName, label: str, enabled: bool, seconds: int) -> Loop:
        return loop(Quiet(name, label, db, enabled=enabled, every=timedelta(seconds=seconds)))

    heartbeat = Heartbeat(
        db,
        clock,
        llm,
        file,
        enabled=settings.heartbeat_enabled,
        every=timedelta(seconds=settings.heartbeat_seconds),
        agent=settings.agent_name,
        model=settings.llm_model,
    )
    return (
        quiet("reflection", "REFLECTION", settings.reflection_enabled, settings.reflection_seconds),
        quiet("personality", "PERSONALITY", settings.personality_enabled, settings.personality_seconds),
        quiet("self_reply", "JOURNAL_SELF_REPLY", settings.self_reply_enabled, settings.self_reply_seconds),
        loop(heartbeat),
    )
