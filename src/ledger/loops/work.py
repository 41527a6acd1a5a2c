"""What makes a loop this loop (`Work`), and what passes between it and the one loop body."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from msgspec import Struct, structs

from ledger.budgets.store import Purse
from ledger.budgets.structs import Amounts
from ledger.db import Session, Write
from ledger.hours import Hours
from ledger.runs.structs import Reason, RunDetail
from ledger.threads.said import News
from ledger.turns.structs import DecidedBy, LoopName, Turn


class TurnFailed(Exception):
    """A turn that could not be done, with a reason for the record. It is put back and tried again later."""

    def __init__(self, reason: Reason, detail: str, wait: timedelta | None = None, *, is_final: bool = False) -> None:
        """`wait`: not to be tried again before. `is_final`: to try it again is pointless, so its slot is done."""
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail
        self.wait = wait
        self.is_final = is_final


class TurnHeld(Exception):
    """A turn that must not ask a model now. Nothing has failed: it is put back, and tried again at some moment."""

    def __init__(self, reason: Reason, detail: str, until: datetime) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail
        self.until = until


def spread_of(run_id: str) -> float:
    """A number from 0 to 1 that is another for every run, so that threads do not all come back at once."""
    return int(run_id[:8], 16) / 0xFFFFFFFF


class Facts(Struct, frozen=True):
    """What a schedule is computed from."""

    enabled: bool
    every: timedelta
    anchor_at: datetime
    after: datetime
    """The last moment settled, or now."""
    slot: datetime | None
    """The moment owed as things stood: one that has come and is not settled, or one to come."""
    hours: Hours
    """When it may be due."""
    news: News | None
    """What is new for the loop."""
    settled_at: datetime | None
    """When the last turn that read anything ended."""
    is_put_off: bool = False
    """Whether the slot was found in closed hours, and is to come later."""

    @property
    def owed(self) -> datetime | None:
        """The slot, if it has come."""
        return self.slot if self.slot is not None and self.slot <= self.after else None


class Covered(NamedTuple):
    """The slots one turn stands for."""

    last: datetime
    slots: int


def _tell_nobody(run: RunDetail) -> None:
    del run


class Record:
    """The run of a turn while it is under way; what is noted here is kept, also when the turn fails."""

    def __init__(self, run: RunDetail, started: Callable[[RunDetail], None] = _tell_nobody) -> None:
        """`started` is called when it has passed its gates."""
        self.run = run
        self._started = started
        self.wait = timedelta(0)
        """If it failed: how long to wait at least before it is tried again."""
        self.left_alone: timedelta | None = None
        """How long its model is left alone since it failed, if it is: then the turn is tried again just after."""
        self.is_final = False
        """Whether it failed for good."""
        self.held_until: datetime | None = None
        """When to try it again, if it must not ask a model now."""
        self.corrections: list[tuple[Purse, Amounts]] = []
        """What its calls used more, or less, than was reserved."""
        self.first: Write | None = None
        """What is to be written when it is settled: the key of the request that asked for it."""

    def decide(self, by: DecidedBy, **changes: object) -> None:
        """Note that it has passed its gates, and who decides."""
        if self.run.decided_by is None:
            self._started(self.run)
        self.note(decided_by=by, **changes)

    def note(self, **changes: object) -> None:
        self.run = structs.replace(self.run, **changes)


class Effects(Protocol):
    """What a turn wants done when it is settled."""

    @property
    def watermark(self) -> int:
        """The newest message it had read."""
        ...

    @property
    def basis(self) -> str:
        """What else it rested on."""
        ...

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        """Write what was decided, in the settling transaction, and say what became of it."""
        ...


class Work(Protocol):
    """What makes a loop this loop."""

    @property
    def name(self) -> LoopName: ...
    @property
    def label(self) -> str:
        """Its name in the log."""
        ...

    @property
    def enabled(self) -> bool:
        """Whether it runs where no person has said otherwise."""
        ...

    @property
    def every(self) -> timedelta:
        """The interval of threads that have none of their own."""
        ...

    @property
    def leaves_free(self) -> int:
        """How many places its turns leave to others."""
        ...

    async def news(self, session: Session, turn: Turn) -> News | None:
        """What is new for it in the turn's thread."""
        ...

    async def hours(self, session: Session, turn: Turn) -> Hours:
        """When it may be due in the turn's thread."""
        ...

    def due(self, facts: Facts) -> datetime | None:
        """The next moment owed; None while nothing is."""
        ...

    def covered(self, facts: Facts, slot: datetime, until: datetime) -> Covered:
        """The slots settled by a turn for `slot` that started at `until`."""
        ...

    async def look_again(self, session: Session, facts: Facts, slot: datetime, run: RunDetail) -> datetime:
        """When to try a slot that a run wants to have tried at another moment (`next_check_at`)."""
        ...

    async def act(self, turn: Turn, record: Record) -> Effects | None:
        """Do the turn, noting what leads to its outcome. Raises `TurnFailed`."""
        ...
