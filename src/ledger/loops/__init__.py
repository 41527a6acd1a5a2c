"""The four loops: what they do (`Work`), the one body that runs them (`Loop`), and how they come together."""

from collections.abc import Callable
from datetime import timedelta

from ledger.budgets.plan import Plan
from ledger.clock import Clock
from ledger.db import Database
from ledger.instructions.file import File
from ledger.journal.store import Pen
from ledger.llm import LLM
from ledger.loops.asking import Asking
from ledger.loops.breaker import Breaker
from ledger.loops.engine import Loop, Waker
from ledger.loops.heartbeat import Heartbeat
from ledger.loops.personality import Personality
from ledger.loops.places import Places
from ledger.loops.quiet import Means, Model
from ledger.loops.reflection import Reflection
from ledger.loops.self_reply import SelfReply
from ledger.loops.work import Work
from ledger.runs.structs import RunDetail
from ledger.settings import Settings

__all__ = ["Loop", "Waker", "build_loops"]


def _tell_nobody(what: object) -> None:
    del what


def build_loops(
    settings: Settings,
    db: Database,
    clock: Clock,
    llm: LLM | None,
    file: File,
    *,
    hint: Callable[[str], None] = _tell_nobody,
    started: Callable[[RunDetail], None] = _tell_nobody,
) -> tuple[Loop, Loop, Loop, Loop]:
    """Reflection, personality, self-reply and heartbeat, in this order.

    `hint` gets the name of a loop that has something to do, for other processes; `started` the run of each turn that
    has passed its gates.
    """
    places = Places(settings.concurrency)
    limit, tick = timedelta(seconds=settings.turn_seconds), timedelta(seconds=settings.tick_seconds)
    lease = limit + timedelta(seconds=settings.lease_margin_seconds)
    loops: list[Loop] = []
    plan = Plan.of(settings)
    breaker = Breaker(db, clock, settings.provider_url, lease=limit)
    asking = Asking(llm, db, clock, breaker, plan, turn_limit=limit) if llm else None
    means = Means(
        db=db,
        model=Model(asking, settings.llm_model) if asking and settings.llm_model else None,
        window=settings.loop_window,
        pen=Pen(settings.agent_name, settings.self_reply_chance),
        wake=Waker(loops),  # which wakes all of them, once they are there
        plan=plan,
    )

    def loop(work: Work) -> Loop:
        return Loop(work, db, clock, places, turn_limit=limit, lease=lease, tick=tick, hint=hint, started=started)

    reflection = Reflection(
        means, enabled=settings.reflection_enabled, every=timedelta(seconds=settings.reflection_seconds)
    )
    personality = Personality(
        means, enabled=settings.personality_enabled, every=timedelta(seconds=settings.personality_seconds)
    )
    self_reply = SelfReply(
        means,
        minimum=timedelta(seconds=settings.self_reply_min_seconds),
        enabled=settings.self_reply_enabled,
        every=timedelta(seconds=settings.self_reply_seconds),
    )
    heartbeat = Heartbeat(settings, db, asking, file)
    four = loop(reflection), loop(personality), loop(self_reply), loop(heartbeat)
    loops.extend(four)
    return four
