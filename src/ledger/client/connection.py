"""One pool of connections to one server: requests, tried again where that does no harm, and what came of them."""

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import TypeVar
from uuid import uuid4

import httpx2
import msgspec
from msgspec import Struct

from ledger.client.addresses import Query, parameters, printable, segment, server
from ledger.client.answers import asked, decoded, media_type, refusal
from ledger.client.retries import Tries
from ledger.clock import Clock
from ledger.errors import Invalid, LedgerError, Unreachable

T = TypeVar("T")

SILENCE = timedelta(seconds=45)
"""How long a stream may send nothing: three times as long as between two pings."""

# The server closes connections that idle for 5 s; whoever sends something just then does not know what became of it.
_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=3)


class Connection:
    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        timeout: float,
        retries: int,
        clock: Clock,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        self.clock = clock
        self._timeout = timedelta(seconds=timeout)
        self._retries = retries
        self._http = httpx2.AsyncClient(
            base_url=server(base_url),
            headers={
                "Accept": "application/json",
                "User-Agent": f"ledger/{version('ledger')}",
                **({"Authorization": f"Bearer {printable('token', token)}"} if token else {}),
            },
            limits=_LIMITS,
            timeout=None,  # the clock's deadlines end what takes too long
            transport=transport,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, wanted: type[T], path: str, *names: str | int, **query: Query) -> T:
        return decoded(await self._send(self._request("GET", path, names, query)), wanted)

    async def get_text(self, path: str, *names: str | int, **query: Query) -> str:
        return (await self._send(self._request("GET", path, names, query))).text

    async def post(
        self,
        wanted: type[T],
        path: str,
        *names: str | int,
        key: str | None,
        body: Struct | None = None,
        if_match: int | None = None,
        at_least: timedelta = timedelta(0),
        **query: Query,
    ) -> T:
        """`key`: known from an earlier call, or else a new one. `at_least`: how long the operation may take."""
        request = self._request("POST", path, names, query, body, if_match)
        request.headers["Idempotency-Key"] = str(uuid4()) if key is None else printable("idempotency key", key)
        return decoded(await self._send(request, sent_before=key is not None, at_least=at_least), wanted)

    async def put(
        self,
        wanted: type[T],
        path: str,
        *names: str | int,
        body: Struct,
        if_match: int | None = None,
        **query: Query,
    ) -> T:
        return decoded(await self._send(self._request("PUT", path, names, query, body, if_match)), wanted)

    async def patch(self, wanted: type[T], path: str, *names: str | int, body: Struct) -> T:
        return decoded(await self._send(self._request("PATCH", path, names, {}, body)), wanted)

    async def remove(self, wanted: type[T], path: str, *names: str | int) -> T:
        """A DELETE that answers what is left."""
        return decoded(await self._send(self._request("DELETE", path, names, {})), wanted)

    async def delete(self, path: str, *names: str | int, if_match: int | None = None) -> None:
        await self._send(self._request("DELETE", path, names, {}, if_match=if_match))

    async def chunks(
        self, path: str, last_id: str, silence: timedelta = SILENCE, /, **query: Query
    ) -> AsyncGenerator[bytes]:
        """What a stream of events sends, as it comes, until it ends. Nothing is tried again."""
        request = self._request("GET", path, (), query)
        request.headers |= {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            request.headers["Last-Event-ID"] = printable("id of an event", last_id)
        with self._reaching(request, silence):
            response = await self._http.send(request, stream=True)
        try:
            if not response.is_success or media_type(response) != "text/event-stream":
                with self._reaching(request, silence):
                    await response.aread()
                raise refusal(response)
            parts = response.aiter_bytes()
            while True:
                with self._reaching(request, silence):
                    part = await anext(parts, None)
                if part is None:
                    return
                yield part
        finally:
            await response.aclose()

    def _request(
        self,
        method: str,
        path: str,
        names: tuple[str | int, ...],
        query: dict[str, Query],
        body: Struct | None = None,
        if_match: int | None = None,
    ) -> httpx2.Request:
        headers: dict[str, str] = {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        try:
            return self._http.build_request(
                method,
                path.format(*map(segment, names)),
                params=parameters(query),
                content=None if body is None else msgspec.json.encode(body),
                headers=headers,
            )
        except (UnicodeEncodeError, httpx2.InvalidURL) as error:
            raise Invalid(f"{method} {path} cannot be asked for so: {error}.") from None

    async def _send(
        self, request: httpx2.Request, *, sent_before: bool = False, at_least: timedelta = timedelta(0)
    ) -> httpx2.Response:
        """Raises what the answer stands for, or `Unreachable`, once there is no trying again."""
        limit = max(self._timeout, at_least)
        tries = Tries(request.method, "If-Match" in request.headers, sent_before, self._retries, limit)
        while True:
            try:
                return await self._try(request, limit)
            except LedgerError as error:
                pause = tries.pause_after(error, self.clock.now())
                if pause is None:
                    raise
            await self.clock.sleep_until(self.clock.now() + pause)

    async def _try(self, request: httpx2.Request, limit: timedelta) -> httpx2.Response:
        with self._reaching(request, limit):
            response = await self._http.send(request)
        if not response.is_success:
            raise refusal(response)
        return response

    @contextmanager
    def _reaching(self, request: httpx2.Request, limit: timedelta) -> Generator[None]:
        """Turn all that keeps an answer from coming into `Unreachable`."""
        try:
            with self.clock.deadline(limit):
                yield
        except TimeoutError:
            raise Unreachable(f"{asked(request)}: nothing came within {limit.total_seconds():g} s.") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Unreachable(f"{asked(request)}: no connection. {_said(error)}", was_sent=False) from error
        except httpx2.RequestError as error:
            raise Unreachable(f"{asked(request)}: the connection broke off. {_said(error)}") from error


class Connected:
    """Operations of the API, over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


def _said(error: Exception) -> str:
    return f"({type(error).__name__}: {error})" if str(error) else f"({type(error).__name__})"
