"""Every argument of every method arrives where the server looks for it: in path, query, body or header."""

import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

import httpx2
import msgspec
import pytest
from litestar.params import PathParameter, QueryParameter

from ledger import LedgerClient, LedgerError, NewMessage
from tests.conftest import START
from tests.test_client_operations import METHODS, OPERATIONS, PAGED, named

Arguments = dict[str, Any]


def _some(name: str, annotation: object, default: object) -> object:
    """A value of that type that is not the default."""
    if name == "messages":
        return [NewMessage("user", "Hello.")]
    if get_origin(annotation) is Literal:
        return next(value for value in reversed(get_args(annotation)) if value != default)
    if get_args(annotation):
        return _some(name, get_args(annotation)[0], default)
    samples: dict[object, object] = {str: f"some-{name}", bool: default is not True, int: 7, float: 0.25}
    return START if annotation is datetime else samples[annotation]


def _arguments(method: Callable[..., Any]) -> Arguments:
    types = get_type_hints(method)
    _, *taken = inspect.signature(method).parameters.values()
    return {each.name: _some(each.name, types[each.name], each.default) for each in taken}


async def _asked(name: str, arguments: Arguments) -> httpx2.Request:
    """What is asked for by a call, which nobody answers."""
    requests: list[httpx2.Request] = []

    def note(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(400)

    async with LedgerClient("http://ledger.test", transport=httpx2.MockTransport(note)) as client:
        called = getattr(client, name)(**arguments)
        with pytest.raises(LedgerError):
            await (called if inspect.isawaitable(called) else anext(called))
    (request,) = requests
    return request


def _query(arguments: Arguments) -> dict[str, str]:
    texts = {True: "true", False: "false"}
    return {
        name: texts[value] if isinstance(value, bool) else value.isoformat() if value is START else str(value)
        for name, value in arguments.items()
    }


@pytest.mark.parametrize("name", OPERATIONS)
async def test_all_that_a_method_is_given_is_sent(name: str) -> None:
    path, handler = OPERATIONS[name]
    given = _arguments(METHODS[name])
    request = await _asked(name, given)
    in_path = {each: given.pop(each) for each in named(handler, PathParameter)}
    parts = [str(in_path[part[1:].partition(":")[0]]) if part.startswith("{") else part for part in path.split("/")]
    assert (request.method, request.url.path) == (next(iter(handler.http_methods - {"HEAD"})), "/".join(parts))
    in_query = {each: given.pop(each) for each in named(handler, QueryParameter) if each in given}
    assert dict(request.url.params) == _query(in_query)
    if "if_match" in given:
        assert request.headers["If-Match"] == f'"{given.pop("if_match")}"'
    if "idempotency_key" in given:
        assert request.headers["Idempotency-Key"] == given.pop("idempotency_key")
    body: Arguments = msgspec.json.decode(request.content) if request.content else {}
    assert (body["pin"] if name == "pin_traits" else body) == msgspec.to_builtins(given)


@pytest.mark.parametrize("name", PAGED)
async def test_what_is_gone_through_is_what_was_asked_for(name: str) -> None:
    each = name.removeprefix("list_")
    given = _arguments(getattr(LedgerClient, each))
    through, listed = await _asked(each, given), await _asked(name, given | {"limit": 200})
    assert through.url == listed.url
