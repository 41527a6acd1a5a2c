"""The door: what every request passes before the application sees it.

A request id, the Host check, the bearer token, JSON bodies only, and HEAD. Refusals carry CORS headers, so that a page
that may call the API can also read why it was refused.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from ledger.db import new_id
from ledger.errors import Forbidden, LedgerError, Malformed, Misdirected, NotJson, Unauthorized
from ledger.settings import Settings

_OPEN = ("/health/live", "/docs", "/docs/openapi.json")
"""Asks for no token: whether the process lives, and the page, on which a token is typed in before it can be sent."""

_SAFE = ("GET", "HEAD", "OPTIONS")
_PROBLEM = b"application/problem+json"

Headers = dict[bytes, bytes]


class Door:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = settings.api_token.encode() if settings.api_token else None
        self._hosts = {"localhost", "127.0.0.1", "::1", settings.host.lower(), *map(str.lower, settings.allowed_hosts)}
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        headers: Headers = dict(scope["headers"])
        send = _with_header(send, b"x-request-id", request_id.encode())
        try:
            self._check(scope, headers)
        except LedgerError as error:
            await self._refuse(error, scope, headers, send)
            return
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        await self._app(scope, receive, send)

    def _check(self, scope: HTTPScope, headers: Headers) -> None:
        self._check_host(headers)
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            raise Malformed("The address holds a NUL character.")
        if self._is_preflight(scope, headers) or scope["path"] in _OPEN:
            return
        self._check_token(headers)
        if scope["method"] not in _SAFE:
            self._check_origin(headers)
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        if has_body and not _is_json(headers.get(b"content-type", b"")):
            raise NotJson("The body must be JSON: send it with Content-Type: application/json.")

    def _check_host(self, headers: Headers) -> None:
        """Against pages that point a name of theirs at this machine (DNS rebinding)."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if "*" not in self._hosts and name not in self._hosts:
            raise Misdirected(f"This server is not {name!r}: add it to CRT_ALLOWED_HOSTS if it is.")

    def _check_token(self, headers: Headers) -> None:
        if self._token is None:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise Unauthorized("Send the token of this server: Authorization: Bearer TOKEN.")

    def _check_origin(self, headers: Headers) -> None:
        """Against pages of other sites, which a browser lets send requests without a body or a question."""
        origin = headers.get(b"origin")
        if origin is None or self._admits(origin):
            return
        if origin.partition(b"://")[2] != headers.get(b"host"):
            raise Forbidden(f"Pages of {origin.decode('latin-1')!r} may not do this: add it to CRT_CORS_ORIGINS.")

    def _admits(self, origin: bytes) -> bool:
        return origin in self._origins or b"*" in self._origins

    def _is_preflight(self, scope: HTTPScope, headers: Headers) -> bool:
        asks = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        return asks and bool(self._origins)

    async def _refuse(self, error: LedgerError, scope: HTTPScope, headers: Headers, send: Send) -> None:
        state: dict[str, Any] = scope["state"]
        body = msgspec.json.encode(error.problem(instance=scope["path"], request_id=state["request_id"]))
        answer = [(b"content-type", _PROBLEM), (b"content-length", str(len(body)).encode())]
        if error.status == Unauthorized.status:
            answer.append((b"www-authenticate", b"Bearer"))
        origin = headers.get(b"origin", b"")
        if origin and self._admits(origin):
            answer += [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        await send({"type": "http.response.start", "status": error.status, "headers": answer})
        content = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": content, "more_body": False})


def _is_json(content_type: bytes) -> bool:
    media = content_type.partition(b";")[0].strip().lower()
    return media == b"application/json" or (media.startswith(b"application/") and media.endswith(b"+json"))


def _with_header(send: Send, name: bytes, value: bytes) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (name, value)]}
        await send(message)

    return wrapped


def _without_body(send: Send) -> Callable[[Message], Awaitable[None]]:
    """Send the head of an answer, and of its body nothing: a stream, whose body has no end, is over then."""
    is_over = False

    async def wrapped(message: Message) -> None:
        nonlocal is_over
        if message["type"] != "http.response.body":
            await send(message)
        elif not is_over:
            is_over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return wrapped
