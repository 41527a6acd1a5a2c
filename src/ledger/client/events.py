"""What happens in Ledger, as it happens."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar, get_args

import msgspec

from ledger.client.addresses import Query
from ledger.client.connection import SILENCE, Connected, Connection
from ledger.client.retries import PASSING, pause, retry_after
from ledger.client.sse import Sent, Stream
from ledger.errors import LedgerError, Unreachable
from ledger.stream.structs import Event, Kind, LoopMessage
from ledger.threads.structs import DEFAULT_THREAD

T = TypeVar("T")

log = logging.getLogger(__name__)

_EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_LOOP_MESSAGE: msgspec.json.Decoder[LoopMessage] = msgspec.json.Decoder(LoopMessage)
_KINDS = frozenset[str](get_args(Kind))
_RETRY, _LONGEST = timedelta(seconds=1), timedelta(seconds=5)
_WORTH_TELLING = 2
"""How many failures in a row are told: one is a restart, or a proxy that has waited long enough."""


class EventStream:
    """Events as they come: an asynchronous iterator without end, to be closed (`aclose`) by who leaves it early."""

    def __init__(self, connection: Connection, after: str, **query: Query) -> None:
        self.last_id = after
        """Where it stands, behind all that it has given: to be kept, so that nothing is missed over a restart.

        The server tells it at once and every 15 s, also while there is nothing else to tell.
        """
        self._connection = connection
        self._query = query
        self._events = self._follow()

    def __aiter__(self) -> AsyncGenerator[Event]:
        return self._events

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def aclose(self) -> None:
        await self._events.aclose()

    async def _follow(self) -> AsyncGenerator[Event]:
        clock, first, failures = self._connection.clock, _RETRY, 0
        while True:
            stream, error = Stream(self.last_id), LedgerError("The server ended the stream.")
            try:
                async with aclosing(self._connection.chunks("/api/events", self.last_id, **self._query)) as chunks:
                    async for chunk in chunks:
                        failures = _told(failures)
                        for sent in stream.feed(chunk):
                            event = _read(sent, _EVENT) if sent.event in _KINDS else None
                            if event is not None:
                                self.last_id = event.id or self.last_id
                                yield event
                        self.last_id = stream.last_id
            except LedgerError as lost:
                if lost.status not in PASSING:
                    raise
                error = lost
            failures += 1
            if failures == _WORTH_TELLING:
                log.warning("Events do not come, which is tried again until they do: %s", error)
            if stream.retry is not None:
                first = timedelta(milliseconds=stream.retry)
            asked = retry_after(error, clock.now())
            await clock.sleep_until(clock.now() + pause(failures, asked, first=first, longest=max(first, _LONGEST)))


class Events(Connected):
    def events(
        self, *, thread_id: str | None = None, kinds: Sequence[Kind] | None = None, after: str | None = None
    ) -> EventStream:
        """Events from now on, or all after the one whose id is `after` (`0-0`: all that are kept): each once, in order.

        It does not end: a connection that breaks, falls silent or cannot be made (also 429, 502, 503, 504) is made
        again, and goes on where it was. What this version does not understand is passed over.
        """
        return EventStream(self._connection, after or "", thread_id=thread_id, kinds=kinds)

    async def loop_messages(
        self, *, thread_id: str = DEFAULT_THREAD, interval_seconds: float = 2.5
    ) -> AsyncGenerator[LoopMessage]:
        """How a thread stands, then what its loops make of it, until the connection is lost (`Unreachable`)."""
        stream = Stream("")
        silence = max(SILENCE, 3 * timedelta(seconds=interval_seconds))
        chunks = self._connection.chunks(
            "/api/loops/stream", "", silence, thread_id=thread_id, interval_seconds=interval_seconds
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                for sent in stream.feed(chunk):
                    if (message := _read(sent, _LOOP_MESSAGE)) is not None:
                        yield message
        raise Unreachable("The stream has ended.")


def _told(failures: int) -> int:
    if failures >= _WORTH_TELLING:
        log.info("Events come again")
    return 0


def _read(sent: Sent, decoder: msgspec.json.Decoder[T]) -> T | None:
    """None for what only newer servers know: to end over it would be to end over it again and again."""
    try:
        return decoder.decode(sent.data)
    except msgspec.ValidationError as error:
        log.warning("An event is passed over, which this version does not understand: %s", error)
        return None
    except msgspec.DecodeError as error:
        raise LedgerError(f"The stream sent something that is no event: {error}.") from None
