"""What reflection, personality and self-reply have in common: what they work with, and when they are due."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar, TypeVarTuple

from anyio import to_thread
from msgspec import Struct

from ledger.budgets.plan import Plan
from ledger.db import Database, Session
from ledger.hours import Hours
from ledger.journal.store import Pen
from ledger.loops.asking import Asking
from ledger.loops.work import Covered, Facts, Record
from ledger.mind.reading import Reading
from ledger.runs.structs import RunDetail
from ledger.threads import said
from ledger.threads.said import News
from ledger.threads.store import Wake
from ledger.turns.structs import LoopName, Turn

T = TypeVar("T")
Given = TypeVarTuple("Given")

ENOUGH = 512
"""How many tokens of new text need not wait for the interval to end."""

MOST = 4_000
"""How many tokens of new text one turn reads."""

MESSAGES = 100
"""How many new messages one turn reads: each costs a prompt more than its text."""

PAUSE = timedelta(minutes=1)
"""How long a thread is left alone after a turn that read something."""

NOTHING_NEW = "Nobody has said anything new."

_MORE = "more"
"""What a turn rests on that had not read all there was: the rest need not wait."""


class Model(Struct, frozen=True):
    """A provider, and which of its models is asked."""

    asking: Asking
    name: str


class Means(Struct, frozen=True):
    """What the quiet loops work with."""

    db: Database
    model: Model | None
    """None: statistics decide."""
    window: int
    """How many messages are read beside the new ones."""
    pen: Pen
    wake: Wake
    plan: Plan

    async def require_model(self, session: Session, record: Record) -> None:
        """Raises `TurnHeld` where a model decides and must not be asked now."""
        if self.model is not None:
            await self.model.asking.require(session, self.model.name, record)


class Noticed(Struct, frozen=True):
    """A turn that read on and changed nothing."""

    watermark: int
    basis: str = ""

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        del session
        return run


class Read(Struct, frozen=True):
    """What a turn has before it, and how the turn is left when it has read that."""

    reading: Reading
    watermark: int
    basis: str


async def beside(work: Callable[[*Given], T], *given: *Given) -> T:
    """Do pure work that takes long in a thread of its own: it must not block the event loop, and may be abandoned."""
    return await to_thread.run_sync(work, *given, abandon_on_cancel=True)


class Quiet:
    """A loop that never has a turn on an idle thread, and leaves a place to heartbeats and people."""

    name: LoopName
    label: str
    leaves_free = 1

    def __init__(self, means: Means, *, enabled: bool, every: timedelta) -> None:
        self.means = means
        self.enabled = enabled
        self.every = every

    async def hours(self, session: Session, turn: Turn) -> Hours:
        del session, turn
        return Hours()  # at any hour: it disturbs nobody

    def due(self, facts: Facts) -> datetime | None:
        """As soon as enough is new, or one interval after the oldest of it came; not within a minute of a turn."""
        if not facts.enabled or facts.news is None:
            return None
        waited = facts.news.first_at + facts.every
        moment = waited if facts.news.enough_at is None else min(waited, facts.news.enough_at)
        return moment if facts.settled_at is None else max(moment, facts.settled_at + PAUSE)

    def covered(self, facts: Facts, slot: datetime, until: datetime) -> Covered:
        del facts, until
        return Covered(slot, 1)

    async def look_again(self, session: Session, facts: Facts, slot: datetime, run: RunDetail) -> datetime:
        del session, facts, run
        return slot  # it is due by what is new alone


class Reader(Quiet):
    """A quiet loop that reads what people say, some thousand tokens at a time."""

    async def news(self, session: Session, turn: Turn) -> News | None:
        news = await said.news(session, turn.thread_id, after=turn.watermark, enough=ENOUGH)
        return News(news.first_at, news.first_at) if news and turn.basis == _MORE else news

    async def read(self, session: Session, turn: Turn) -> Read:
        new = await said.unread(session, turn.thread_id, after=turn.watermark, tokens=MOST, most=MESSAGES)
        earlier = await said.newest(session, turn.thread_id, self.means.window, until=turn.watermark)
        read_to = new[-1].seq if new else turn.watermark
        is_all = not await said.count(session, turn.thread_id, after=read_to, most=1)
        return Read(Reading(earlier, new), read_to, "" if is_all else _MORE)
