"""What reflection, personality and self-reply have in common: they are due when people have said something new."""

from datetime import datetime, timedelta

from msgspec import Struct

from ledger.db import Database, Session
from ledger.loops.work import Covered, Facts, Record
from ledger.runs.structs import RunDetail
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.turns.structs import LoopName, Turn


class Noticed(Struct, frozen=True):
    """A turn that read on and changed nothing."""

    watermark: int
    basis: str = ""

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        del session
        return run


class Quiet:
    """A loop that is due one interval after the oldest message it has not read yet, and never on an idle thread.

    Its turns find nothing to learn from so far, and say so.
    """

    leaves_free = 1

    def __init__(self, name: LoopName, label: str, db: Database, *, enabled: bool, every: timedelta) -> None:
        self.name: LoopName = name
        self.label = label
        self.enabled = enabled
        self.every = every
        self._db = db

    async def news_at(self, session: Session, turn: Turn) -> datetime | None:
        return await messages.first_said(session, turn.thread_id, after=turn.watermark)

    def due(self, facts: Facts) -> datetime | None:
        return facts.news_at + facts.every if facts.enabled and facts.news_at else None

    def covered(self, facts: Facts, slot: datetime, until: datetime) -> Covered:
        del facts, until
        return Covered(slot, 1)

    async def act(self, turn: Turn, record: Record) -> Noticed | None:
        async with self._db.read() as session:
            state = await threads.state(session, turn.thread_id)
        record.note(outcome="skipped", reason="nothing_new", summary="There is nothing to learn from yet.")
        return Noticed(state.message_count) if state else None
