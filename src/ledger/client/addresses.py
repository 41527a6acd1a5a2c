"""What stands at the head of a request: where it goes, and what its headers may hold."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import httpx2

from ledger.errors import Invalid

Query = str | int | float | datetime | Sequence[str] | None
"""A query parameter; None leaves it out, a sequence repeats it."""

Primitive = str | int | float | bool | None


def server(base_url: str) -> httpx2.URL:
    """Where a server is; raises `Invalid` for what is no such address."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        raise Invalid(
            f"{base_url!r} is no address of a server: write one such as http://127.0.0.1:8000; the token goes apart."
        )
    return url


def segment(name: str | int) -> str:
    """A name as a part of a path. What would make another path of it is refused: it names nothing."""
    text = quote(str(name), safe="")
    if text in ("", ".", ".."):
        raise Invalid(f"{name!r} cannot be a name: an address with it would be another one.")
    return text


def printable(what: str, value: str) -> str:
    """A header's value as it is; raises `Invalid` for what cannot be one."""
    if not (value and value.isascii() and value.isprintable()):
        raise Invalid(f"The {what} must be printable ASCII characters.")
    return value


def parameters(query: dict[str, Query]) -> list[tuple[str, Primitive]]:
    return [(name, text) for name, value in query.items() for text in _texts(value)]


def _texts(value: Query) -> Sequence[str]:
    match value:
        case None:
            return ()
        case bool():
            return ("true" if value else "false",)
        case int() | float() | str():
            return (str(value),)
        case datetime():
            return (value.isoformat(),)
        case _:
            return value
