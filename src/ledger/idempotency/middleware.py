"""`Idempotency-Key` on POSTs (draft-ietf-httpapi-idempotency-key-header): once carried out, answered alike for 24 h.

The key is taken in the first transaction that the operation writes in (a turn's: in which it is settled), so that it is
taken if, and only if, something was done. The answer is kept before it is sent. What fails does not keep its key.
"""

import hashlib
import logging
import re
from datetime import timedelta

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ledger.clock import Clock
from ledger.db import UNREACHABLE, Database, Session, writing_first
from ledger.errors import Conflict, Invalid
from ledger.idempotency import store
from ledger.idempotency.store import Answer, Known
from ledger.settings import Settings
from ledger.wire import StrictRequest

_KEY = re.compile(rb"[\x20-\x7e]{1,255}")
_HEADER = b"idempotency-key"
_KEPT_HEADERS = (b"content-type", b"etag")
_FIRST_ERROR = 300

log = logging.getLogger(__name__)


class Claim:
    """The key of one request, taken by the first transaction that it writes in."""

    def __init__(self, key: str, request: str, clock: Clock) -> None:
        self.key = key
        self.request = request
        self.clock = clock
        self.is_taken = False

    async def __call__(self, session: Session) -> None:
        if not self.is_taken:
            await store.claim(session, self.key, self.request, now=self.clock.now())
            session.after_commit(self._take)

    def _take(self) -> None:
        self.is_taken = True


class Idempotency(ASGIMiddleware):
    scopes = (ScopeType.HTTP,)

    def __init__(self) -> None:
        self._under_way: dict[str, str] = {}
        """The requests of this process, by key: some take theirs only when they are done."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        key = next((value for name, value in scope["headers"] if name == _HEADER), None)
        if key is None or scope["type"] != "http" or scope["method"] != "POST":
            await next_app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            raise Invalid("The Idempotency-Key is not 1 to 255 printable ASCII characters.")
        parts = scope["litestar_app"].state.given
        db: Database = parts["db"]
        claim = Claim(key.decode(), await _digest(scope, receive), parts["clock"])
        if (other := self._under_way.get(claim.key)) is not None:
            raise store.under_way() if other == claim.request else _used()
        self._under_way[claim.key] = claim.request
        try:
            if not await _is_answered(claim, db, parts["settings"], send):
                answer = _Collected()
                with writing_first(claim):
                    await next_app(scope, receive, answer)
                    is_kept = await _kept(claim, db, answer)
                if is_kept or not await _is_answered(claim, db, parts["settings"], send):
                    for message in answer.messages:
                        await send(message)
        finally:
            del self._under_way[claim.key]


async def _is_answered(claim: Claim, db: Database, settings: Settings, send: Send) -> bool:
    """Answer a request whose key is known, if it is."""
    async with db.read() as session:
        known = await store.find(session, claim.key, now=claim.clock.now())
    if known is None:
        return False
    await _send(_again(known, claim, settings), send)
    return True


class _Collected:
    """An answer, until it is known whether it is the one to send."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    def read(self) -> Answer:
        status, headers, body = 0, dict[str, str](), b""
        for message in self.messages:
            if message["type"] == "http.response.start":
                status = message["status"]
                kept = [(name, value) for name, value in message["headers"] if name in _KEPT_HEADERS]
                headers = {name.decode(): value.decode("latin-1") for name, value in kept}
            elif message["type"] == "http.response.body":
                body += message["body"]
        return Answer(status, headers, body)


async def _kept(claim: Claim, db: Database, collected: _Collected) -> bool:
    """Keep an answer for when it is asked for again; false: an equal request was quicker, and did what was asked."""
    answer = collected.read()
    try:
        if answer.status < _FIRST_ERROR:
            async with db.write() as session:
                await store.keep(session, claim.key, claim.request, answer, now=claim.clock.now())
        elif claim.is_taken:
            async with db.write() as session:
                await store.release(session, claim.key)
        else:
            return answer.status != Conflict.status
    except Conflict:
        return False
    except UNREACHABLE as error:
        log.warning("The answer to a request with an Idempotency-Key could not be kept: %s", error)
    return True


def _again(known: Known, claim: Claim, settings: Settings) -> Answer:
    """What to answer a request whose key is known."""
    if known.request != claim.request:
        raise _used()
    if known.answer is not None:
        return known.answer
    # No operation takes longer than a turn.
    if claim.clock.now() - known.at < timedelta(seconds=settings.turn_seconds + settings.lease_margin_seconds):
        raise store.under_way()
    raise Conflict(
        "This request was begun before, and its answer was lost with the process that would have given it: look "
        "what came of it, and use another key to do it again."
    )


def _used() -> Invalid:
    return Invalid("This Idempotency-Key was used for another request: use another key for this one.")


async def _digest(scope: Scope, receive: Receive) -> str:
    body = await StrictRequest(scope, receive).body()  # which is kept for whoever reads it next
    asked = f"{scope['path']}?".encode() + scope["query_string"] + b"\n" + body
    return hashlib.sha256(asked).hexdigest()


async def _send(answer: Answer, send: Send) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers += [(b"content-length", str(len(answer.body)).encode()), (b"idempotent-replayed", b"true")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
