"""The client and the API are in step: one method an operation, with its parameters and its answer, and no other."""

import ast
import inspect
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.routes import HTTPRoute
from msgspec import NODEFAULT, Struct

import ledger
from ledger import EventStream, LedgerClient, LedgerError, errors
from ledger.app import routed
from ledger.settings import Settings
from ledger.stream.structs import Event, LoopMessage
from ledger.threads.structs import Page
from ledger.wire import NoFields

STREAMS = {"events", "loop_messages"}
"""Followed, not called."""

LEFT_OUT = {"get_context": {"format"}}
"""`get_context_text` stands for it."""

OF_THE_CLIENT_ALONE = {"close", "get_context_text"}

_PYTHON = sys.executable


def _handlers() -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in routed(Settings()).routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(("/api", "/health")):
            yield from (
                (route.path, handler) for handler in route.route_handlers if handler.http_methods != {"OPTIONS"}
            )


HANDLERS = dict(sorted((handler.handler_name, (path, handler)) for path, handler in _handlers()))
OPERATIONS = {name: found for name, found in HANDLERS.items() if name not in STREAMS}
METHODS: dict[str, Callable[..., Any]] = {
    name: method
    for name, method in inspect.getmembers(LedgerClient, inspect.iscoroutinefunction)
    if not name.startswith("_")
}


PAGED = [name for name, method in METHODS.items() if get_origin(get_type_hints(method)["return"]) is Page]


def named(handler: HTTPRouteHandler, kind: type) -> list[str]:
    """The handler's parameters of one kind."""
    found = handler.parsed_fn_signature.parameters
    return [name for name, field in found.items() if any(isinstance(each, kind) for each in get_args(field.raw))]


def _plain(annotation: object) -> object:
    """An answer's type without the response around it, of several the first."""
    if get_origin(annotation) in (Union, UnionType):
        return _plain(get_args(annotation)[0])
    return get_args(annotation)[0] if get_origin(annotation) is Response else annotation


def _fields(body: type[Struct]) -> dict[str, object]:
    """A body's fields and their defaults; those of a struct that is all of it, too."""
    fields = msgspec.structs.fields(body)
    kinds = [*get_type_hints(body).values()]
    if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], Struct):
        return _fields(kinds[0])
    return {field.name: inspect.Parameter.empty if field.default is NODEFAULT else field.default for field in fields}


def _body(handler: HTTPRouteHandler) -> dict[str, object]:
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is None:
        return {}
    (body,) = {kind for kind in (data.annotation, *get_args(data.annotation)) if isinstance(kind, type)} - {NoneType}
    return {} if body is NoFields else _fields(body)


def test_every_operation_has_a_method_of_its_name_and_every_method_an_operation() -> None:
    assert set(METHODS) - OF_THE_CLIENT_ALONE == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_what_is_followed_is_an_iterator_that_takes_what_its_operation_does(name: str) -> None:
    method = getattr(LedgerClient, name)
    _, *taken = inspect.signature(method).parameters.values()
    assert get_type_hints(method)["return"] in (EventStream, AsyncGenerator[LoopMessage])
    assert {each.name for each in taken} == set(named(HANDLERS[name][1], QueryParameter))


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_an_operation_takes_its_method_takes_with_the_same_defaults(name: str) -> None:
    _, handler = OPERATIONS[name]
    expected = dict.fromkeys(named(handler, PathParameter), inspect.Parameter.empty)
    fields = handler.parsed_fn_signature.parameters
    queries = {
        name: inspect.Parameter.empty if fields[name].is_required else fields[name].default
        for name in named(handler, QueryParameter)
    }
    expected |= queries | _body(handler) | dict.fromkeys(named(handler, HeaderParameter), None)
    if "POST" in handler.http_methods:
        expected["idempotency_key"] = None
    for left_out in LEFT_OUT.get(name, ()):
        del expected[left_out]
    _, *taken = inspect.signature(METHODS[name]).parameters.values()
    assert {each.name: each.default for each in taken} == expected


@pytest.mark.parametrize("name", OPERATIONS)
def test_names_in_the_path_come_first_and_the_rest_is_said_by_name(name: str) -> None:
    path, _ = OPERATIONS[name]
    _, *taken = inspect.signature(METHODS[name]).parameters.values()
    positional = [each.name for each in taken if each.kind is each.POSITIONAL_OR_KEYWORD]
    in_path = [part[1:].partition(":")[0] for part in path.split("/") if part.startswith("{")]
    assert positional == in_path + (["messages"] if name == "add_messages" else [])


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_an_operation_answers_its_method_returns(name: str) -> None:
    _, handler = OPERATIONS[name]
    assert get_type_hints(METHODS[name])["return"] == _plain(handler.parsed_fn_signature.return_type.annotation)


@pytest.mark.parametrize("name", PAGED)
def test_what_comes_in_pages_can_be_gone_through_as_one(name: str) -> None:
    answer = get_type_hints(METHODS[name])["return"]
    each = getattr(LedgerClient, name.removeprefix("list_"))
    assert get_type_hints(each)["return"] == AsyncGenerator[get_args(answer)[0]]
    taken, wanted = (inspect.signature(method).parameters for method in (each, METHODS[name]))
    assert set(taken) == set(wanted) - {"limit", "cursor"}
    assert all(taken[name].default == wanted[name].default for name in taken)


def test_the_stream_of_events_takes_what_the_server_takes() -> None:
    _, handler = HANDLERS["events"]
    _, *taken = inspect.signature(LedgerClient.events).parameters
    assert set(taken) == set(named(handler, QueryParameter))


def test_what_a_user_of_the_client_meets_can_be_imported_from_the_package() -> None:
    answers = [get_type_hints(method)["return"] for method in METHODS.values()]
    met = {name for answer in answers for kind in (answer, *get_args(answer)) if (name := kind.__name__)}
    met |= {kind.__name__ for kind in get_args(Event)}
    kinds = vars(errors).values()
    met |= {kind.__name__ for kind in kinds if isinstance(kind, type) and issubclass(kind, LedgerError)}
    assert met - {"NoneType", "list", "str"} <= set(ledger.__all__)
    assert all(hasattr(ledger, name) for name in ledger.__all__)


def test_importing_the_package_loads_nothing_of_the_server() -> None:
    program = "import ledger, sys; print(*sys.modules)"
    done = subprocess.run([_PYTHON, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    loaded = set(done.stdout.split())
    assert "httpx2" in loaded
    assert not loaded & {"sqlalchemy", "litestar", "openai", "alembic", "aiosqlite", "uvicorn", "yaml", "markdown_it"}


def test_the_client_waits_by_its_clock_alone() -> None:
    """A test with a clock that is set by hand would hang on any other way of waiting."""
    folder = Path(ledger.__file__).parent / "client"
    imported: set[str] = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    assert not imported & {"time", "asyncio", "anyio"}
