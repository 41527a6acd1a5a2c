"""What a server answered: as the struct that was asked for, or as the exception that it stands for."""

from typing import TypeVar

import httpx2
import msgspec

from ledger.errors import LedgerError, Problem

T = TypeVar("T")

_KINDS = {kind.status: kind for kind in LedgerError.__subclasses__() if kind.__module__ == LedgerError.__module__}
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decoded(response: httpx2.Response, wanted: type[T]) -> T:
    """Raises `LedgerError` for an answer that is no such thing."""
    try:
        return msgspec.json.decode(response.content, type=wanted)
    except _BROKEN as error:
        name = getattr(wanted, "__name__", wanted)
        raise LedgerError(f"The answer to {asked(response.request)} is no {name}: {error}.") from None


def refusal(response: httpx2.Response) -> LedgerError:
    """The exception that an answer stands for; its headers' names are in lower case."""
    problem = _problem(response) or _strange(response)
    error = _KINDS.get(response.status_code, LedgerError)(problem.detail or problem.title)
    if type(error) is LedgerError:
        error.status = response.status_code  # pyright: ignore[reportAttributeAccessIssue] - as the answer has it
        error.title = problem.title  # pyright: ignore[reportAttributeAccessIssue]
    error.request_id = problem.request_id or response.headers.get("X-Request-ID", "")
    error.headers = dict(response.headers.items())
    return error


def asked(request: httpx2.Request) -> str:
    return f"{request.method} {request.url.copy_with(userinfo=b'', query=None)}"


def media_type(response: httpx2.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _problem(response: httpx2.Response) -> Problem | None:
    if media_type(response) != "application/problem+json":
        return None
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except _BROKEN:
        return None


def _strange(response: httpx2.Response) -> Problem:
    """The problem of an answer that is not in Ledger's words."""
    status = f"{response.status_code} {response.reason_phrase}".strip()
    what = media_type(response) or "no content type"
    return Problem(
        response.reason_phrase or status,
        response.status_code,
        f"{asked(response.request)} was answered with {status} ({what}), and not by Ledger: is a proxy in between?",
    )
