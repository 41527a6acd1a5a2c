"""One reader of the stream: where it stands, what it wants, and whether it keeps up."""

import logging
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from itertools import takewhile

import msgspec

from ledger.db import UNREACHABLE
from ledger.events import store as events
from ledger.events.store import Filter, Log, Position
from ledger.stream.structs import ResetEvent
from ledger.stream.tail import PAGE, Item, Tail, frame, item

PATIENCE = timedelta(seconds=30)
"""How long a reader may take for what it was given before it is cut off."""

OPENING = b"retry: 1000\n"
"""What a stream begins with: after how many milliseconds a reader whose connection is lost should come again."""

log = logging.getLogger(__name__)


class Reader:
    """Reads the stream on from a position."""

    def __init__(
        self, tail: Tail, wanted: Filter, position: Position, *, ping: timedelta, cut_off: Callable[[], None]
    ) -> None:
        """`ping`: after how long a reader that there is nothing for is sent a sign of life."""
        self.position = position
        self._tail = tail
        self._wanted = wanted
        self._hints = tail.hint_count
        self._reset: list[Item] = []
        self._ping = ping
        self._cut_off = cut_off
        self._given_at: datetime | None = None

    @staticmethod
    async def begin(
        tail: Tail, wanted: Filter, after: Position | None, *, ping: timedelta, cut_off: Callable[[], None]
    ) -> "Reader":
        """A reader of all that comes from now on, or behind a position, wherever that is."""
        async with tail.db.read() as session:
            found = await events.log(session)
        reader = Reader(tail, wanted, after or found.end, ping=ping, cut_off=cut_off)
        if not found.holds_on_from(reader.position):
            reader._start_over(found)
        return reader

    async def frames(self, show: Callable[[Item], bytes | None], ping: Callable[[], bytes]) -> AsyncGenerator[bytes]:
        """What to send, until the stream ends. `show` gives an event the form it is sent in; None: it is left out."""
        clock = self._tail.clock
        with self._tail.read(self._keep_up):
            ping_at = clock.now() + self._ping
            while (items := await self._next(ping_at)) is not None:
                shown = [*filter(None, map(show, items))]
                if not shown and clock.now() >= ping_at:
                    shown = [ping()]
                for each in shown:
                    self._given_at = clock.now()
                    yield each
                    self._given_at = None
                    ping_at = clock.now() + self._ping

    def _keep_up(self, now: datetime) -> None:
        if self._given_at is not None and now - self._given_at > PATIENCE:
            log.warning("A reader of the stream is cut off, who took nothing for %d s", PATIENCE.total_seconds())
            self._given_at = None
            self._cut_off()

    async def _next(self, until: datetime) -> list[Item] | None:
        """What there is, if anything comes before some moment; None: nothing more will come."""
        clock = self._tail.clock
        while not self._tail.has_ended:
            moved = self._tail.moved
            try:
                items = await self._take()
            except UNREACHABLE:
                return None  # the reader comes again, and is told so
            if found := list(filter(self._wants, items)):
                return found
            if clock.now() >= until:
                return []
            if not (items or self._reset):
                await clock.sleep_until(until, moved)
        return None

    def _wants(self, each: Item) -> bool:
        return each.kind == "reset" or self._wanted.wants(each.kind, each.thread_id)

    async def _take(self) -> list[Item]:
        """The next events and live hints, wanted or not."""
        reset, self._reset = self._reset, []
        hints = self._tail.hints_since(self._hints)
        self._hints = self._tail.hint_count
        told = self._tail.behind(self.position)
        if told is None and not (reset or hints):
            told = await self._page()
        if told:
            self.position = told[-1].position or self.position
        return [*reset, *hints, *(told or [])]

    async def _page(self) -> list[Item]:
        """Events from the database, for a reader who is further behind than the tail is long."""
        start = self._tail.start
        async with self._tail.db.read() as session:
            told = await events.after(session, self.position, limit=PAGE, thread_id=self._wanted.thread_id)
            found = await events.log(session)
        if not found.holds_on_from(self.position):
            self._start_over(found)
            return []
        safe = list(takewhile(lambda event: event.is_safe, told))
        if not safe and start is not None:
            self.position = max(self.position, start)  # nothing lies between
        return list(map(item, safe))

    def _start_over(self, found: Log) -> None:
        """Go on with all that is kept, and say so."""
        self.position = found.pruned
        event = ResetEvent(id=str(found.pruned), at=self._tail.clock.now())
        data = msgspec.json.encode(event)
        self._reset = [Item(found.pruned, "reset", None, msgspec.Raw(data), frame("reset", data, event.id))]


def place(reader: Reader) -> bytes:
    """How far the reader has come, also past what it does not want: if the connection is lost, it goes on here."""
    return f"id: {reader.position}\n\n".encode()
