"""The newest events, read once for all readers of a process.

Readers take what they want from here, or from the database while they are further behind; nothing is kept for any one
of them, so that a slow reader costs no memory. The tail reads on when something has been committed here, when another
process says so (`Hints`), and each tick in case that was lost; and not at all while nobody reads.
"""

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

import anyio
import msgspec
from msgspec import Struct

from ledger.clock import Clock
from ledger.db import UNREACHABLE, Database
from ledger.events import store as events
from ledger.events.store import REWRITTEN, Position, Told
from ledger.runs.structs import RunDetail
from ledger.stream.structs import Started

KEPT = 1_000
"""How many events the tail holds."""

PAGE = 100
"""How many events are read at once."""

KEY = "events"
"""What other processes are told when there are events."""

LIVE = "started "
"""What begins a live hint to other processes; the event, as JSON, follows."""

_HINTS = 100
"""How many live hints the tail holds."""

_UNSAFE, _UNSAFE_LONGEST = timedelta(milliseconds=20), timedelta(seconds=1)
"""How soon to look again for events that an open transaction holds up: at first, and at last."""

log = logging.getLogger(__name__)


class Item(NamedTuple):
    """An event or a live hint, ready to be sent."""

    position: Position | None
    """None: it is a hint."""
    kind: str
    thread_id: str | None
    data: msgspec.Raw
    frame: bytes


class _Envelope(Struct, frozen=True):
    kind: str
    id: str | None
    at: datetime
    thread_id: str | None
    data: msgspec.Raw


class _Hint(Struct, frozen=True):
    """A turn that has begun, as processes tell each other."""

    at: datetime
    thread_id: str
    data: Started


class Tail:
    """The end of the stream, as this process knows it."""

    def __init__(self, db: Database, clock: Clock, *, tick: timedelta) -> None:
        self.db = db
        self.clock = clock
        self._tick = tick
        self._items: list[Item] = []
        self._positions: list[Position] = []
        self._start: Position | None = None
        self._end = Position(0, 0)
        self._hints: deque[Item] = deque(maxlen=_HINTS)
        self._wait_for_open = _UNSAFE
        self._readers: set[Callable[[datetime], None]] = set()
        self._woken = anyio.Event()
        self.hint_count = 0
        """How many live hints there ever were."""
        self.moved = anyio.Event()
        """Set, and replaced by another, when there is more to read, or nothing more will come."""
        self.has_ended = False

    @property
    def start(self) -> Position | None:
        """All events behind it are here; None: none are, as yet."""
        return self._start

    def wake_up(self) -> None:
        """Look for events at once."""
        self._woken.set()
        self._woken = anyio.Event()

    @contextmanager
    def read(self, keep_up: Callable[[datetime], None]) -> Generator[None]:
        """Have the tail follow the stream meanwhile; `keep_up` is told the time each tick."""
        self._readers.add(keep_up)
        self.wake_up()
        try:
            yield
        finally:
            self._readers.remove(keep_up)

    def behind(self, position: Position) -> list[Item] | None:
        """The next events behind a position; None if that is too long ago."""
        if self._start is None or position < self._start:
            return None
        first = bisect_right(self._positions, position)
        return self._items[first : first + PAGE]

    def hints_since(self, count: int) -> list[Item]:
        """The live hints that came since there were so many."""
        return list(self._hints)[-new:] if (new := self.hint_count - count) else []

    async def run(self, stopping: anyio.Event) -> None:
        """Follow the stream until `stopping`; then all readers come to their end."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._end_at, stopping)
            while not self.has_ended:
                woken = self._woken
                wait = await self._look()
                await self.clock.sleep_until(self.clock.now() + wait, woken)

    def hint(self, run: RunDetail) -> str:
        """Tell readers of this process that a turn has begun; answers how to tell those of others."""
        hint = _Hint(run.started_at, run.thread_id, Started(run.id, run.loop))
        self._hint(hint)
        return LIVE + msgspec.json.encode(hint).decode()

    def hear(self, key: str) -> None:
        """What another process tells."""
        if key == KEY:
            self.wake_up()
        elif key.startswith(LIVE):
            try:
                self._hint(msgspec.json.decode(key.removeprefix(LIVE), type=_Hint))
            except msgspec.DecodeError as error:
                log.warning("A hint of another process, which may be of another version, is not understood: %s", error)

    def _hint(self, hint: _Hint) -> None:
        if self._readers:
            data = msgspec.Raw(msgspec.json.encode(hint.data))
            self._hints.append(_item(None, "started", hint.thread_id, hint.at, data))
            self.hint_count += 1
            self._move()

    async def _end_at(self, stopping: anyio.Event) -> None:
        await stopping.wait()
        self.has_ended = True
        self.wake_up()
        self._move()

    async def _look(self) -> timedelta:
        """Read what is new; answers how long to wait before the next look."""
        if not self._readers:
            self._forget()
            return self._tick
        for keep_up in self._readers:
            keep_up(self.clock.now())
        try:
            return await self._read_on()
        except UNREACHABLE:
            return self._tick  # which the database has logged
        except Exception:
            log.exception("The stream cannot be read on, which is tried again")
            return self._tick

    async def _read_on(self) -> timedelta:
        async with self.db.read() as session:
            if self._start is None:
                self._start = self._end = (await events.log(session)).end
                self._move()
            told = await events.after(session, self._end, limit=PAGE)
        safe = list(takewhile(lambda event: event.is_safe, told))
        if safe:
            self._append(safe)
        if len(safe) < len(told):
            wait = self._wait_for_open = min(2 * self._wait_for_open, _UNSAFE_LONGEST)
            return wait / 2
        self._wait_for_open = _UNSAFE
        return timedelta(0) if len(told) == PAGE else self._tick

    def _append(self, told: list[Told]) -> None:
        self._items += map(item, told)
        self._positions += [event.position for event in told]
        self._end = told[-1].position
        rewritten = [event.position for event in told if event.kind == REWRITTEN]
        if rewritten:  # what is here may be what was rewritten
            self._drop(bisect_right(self._positions, rewritten[-1]))
        elif len(self._items) > 2 * KEPT:
            self._drop(len(self._items) - KEPT)
        self._move()

    def _drop(self, count: int) -> None:
        self._start = self._positions[count - 1]
        del self._items[:count], self._positions[:count]

    def _forget(self) -> None:
        self._items, self._positions, self._start = [], [], None

    def _move(self) -> None:
        self.moved.set()
        self.moved = anyio.Event()


def item(told: Told) -> Item:
    data = msgspec.Raw(told.data.encode())
    return _item(told.position, told.kind, told.thread_id, told.at, data)


def _item(position: Position | None, kind: str, thread_id: str | None, at: datetime, data: msgspec.Raw) -> Item:
    event_id = str(position) if position else None
    envelope = _Envelope(kind, event_id, at, thread_id, data)
    return Item(position, kind, thread_id, data, frame(kind, msgspec.json.encode(envelope), event_id))


def frame(kind: str | None, data: bytes, event_id: str | None) -> bytes:
    """One message of Server-Sent Events; `data` is JSON without line breaks."""
    named = f"event: {kind}\n" if kind else ""
    numbered = f"id: {event_id}\n" if event_id else ""
    return f"{numbered}{named}data: ".encode() + data + b"\n\n"
