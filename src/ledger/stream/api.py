"""The event stream over the API: Server-Sent Events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.background_tasks import BackgroundTask
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from ledger.clock import Clock
from ledger.db import Database
from ledger.events.store import Filter, Position
from ledger.stream import panel
from ledger.stream.reader import OPENING, Reader, place
from ledger.stream.structs import Event, Kind, LoopMessage
from ledger.stream.tail import Item, Tail
from ledger.threads import store as threads
from ledger.threads.structs import DEFAULT_THREAD, ThreadId
from ledger.wire import Given

EVENT_STREAM = "text/event-stream"

_PING = timedelta(seconds=15)

OfThread = Annotated[ThreadId | None, QueryParameter(description="Only events of this thread.")]
OfKinds = Annotated[
    list[Kind] | None, QueryParameter(description="Only events of these kinds: `kinds=run&kinds=post`.")
]
After = Annotated[
    str | None,
    QueryParameter(description="Begin behind the event with this id, or with `0-0` at the oldest that is kept."),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID", description="As `after`, and goes before it: browsers send it by themselves."
    ),
]
Interval = Annotated[float, QueryParameter(ge=0.5, le=60, description="Seconds between two signs of life.")]


class StreamController(Controller):
    path = "/api"
    tags = ["events"]

    @get("/events", responses={200: ResponseSpec(Event, media_type=EVENT_STREAM, generate_examples=False)})  # pyright: ignore[reportArgumentType] - a union
    async def events(
        self,
        request: Request[Any, Any, Any],
        tail: Given[Tail],
        db: Given[Database],
        thread_id: OfThread = None,
        kinds: OfKinds = None,
        after: After = None,
        last_event_id: LastEventId = None,
    ) -> Stream:
        """Follow what happens, as Server-Sent Events: each `data` is one event as JSON, named by its `kind`.

        Without a position it begins now. After a lost connection come again with the last `id`: nothing is missed and
        nothing comes twice, whichever process answers. Events are kept for `CRT_KEEP_EVENTS_DAYS`; from a position
        before that it begins with `reset`. Nothing to tell for 15 s: a comment.
        """
        wanted = Filter(thread_id, frozenset[str](kinds) if kinds else None)
        begin = last_event_id or after
        await _require(db, thread_id)
        reader = await Reader.begin(
            tail, wanted, Position.read(begin) if begin else None, ping=_PING, cut_off=partial(_cut_off, request)
        )
        return _streamed(_events(reader))

    @get("/loops/stream", responses={200: ResponseSpec(LoopMessage, media_type=EVENT_STREAM, generate_examples=False)})  # pyright: ignore[reportArgumentType] - a union
    async def loop_messages(
        self,
        request: Request[Any, Any, Any],
        tail: Given[Tail],
        db: Given[Database],
        thread_id: Annotated[ThreadId, QueryParameter(description="The thread to follow.")] = DEFAULT_THREAD,
        interval_seconds: Interval = 2.5,
    ) -> Stream:
        """Follow what the loops make of one thread: where it stands, then every change, as messages told by `type`."""
        await _require(db, thread_id)
        wanted = Filter(thread_id, panel.KINDS)
        reader = await Reader.begin(
            tail, wanted, None, ping=timedelta(seconds=interval_seconds), cut_off=partial(_cut_off, request)
        )
        return _streamed(_messages(reader, await panel.standing(db, thread_id), thread_id, tail.clock))


async def _events(reader: Reader) -> AsyncGenerator[bytes]:
    yield OPENING + place(reader)
    async with aclosing(reader.frames(_frame, lambda: b": ping\n" + place(reader))) as frames:
        async for frame in frames:
            yield frame


async def _messages(reader: Reader, standing: list[bytes], thread_id: str, clock: Clock) -> AsyncGenerator[bytes]:
    yield OPENING + b"\n"
    for frame in standing:
        yield frame
    async with aclosing(reader.frames(panel.frame, lambda: panel.alive(thread_id, clock.now()))) as frames:
        async for frame in frames:
            yield frame


def _frame(item: Item) -> bytes:
    return item.frame


def _streamed(frames: AsyncGenerator[bytes]) -> Stream:
    async def end() -> None:  # where a reader hangs up while it is sent something, nobody else would
        await frames.aclose()

    # A proxy that buffers would hold events back.
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Stream(frames, media_type=EVENT_STREAM, headers=headers, background=BackgroundTask(end))


def _cut_off(request: Request[Any, Any, Any]) -> None:
    """Have the server end the connection."""
    request.app.state.cut_off.add(request.scope["client"])


async def _require(db: Database, thread_id: str | None) -> None:
    if thread_id is not None:
        async with db.read() as session:
            await threads.get(session, thread_id)
