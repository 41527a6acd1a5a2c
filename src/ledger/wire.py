"""What all controllers share: strict bodies, paging parameters, and problem documents on the wire."""

import logging
import re
from datetime import datetime
from typing import Annotated, Any, TypeAlias, TypeVar, cast

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.params import JSONBody, PathParameter, QueryParameter, SkipValidation

from ledger.choices import with_choices
from ledger.db import UNREACHABLE, is_full
from ledger.errors import Full, Invalid, LedgerError, Malformed, NotFound, Problem, TooLarge, Unavailable

T = TypeVar("T")

PROBLEM_JSON = "application/problem+json"
MAX_PAGE = 200
_SHOWN = 64

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="How many at most, 1 to 200.")]
ThreadKey = Annotated[str, PathParameter(description="The id of the thread; `default` always exists.")]
Cursor = Annotated[str | None, QueryParameter(description="The `next_cursor` of the page before.")]


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an operation that takes none: absent, null or empty."""


NoBody = JSONBody[NoFields | None]

Given: TypeAlias = NamedDependency[SkipValidation[T]]
"""A part of the application that `create_app` hands to its controllers."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_DETAILS = {
    404: "There is nothing at this address: the docs page, /docs, lists what there is.",
    405: "This address does not take the method: the header Allow names those that it takes.",
}

log = logging.getLogger(__name__)


class StrictRequest(Request[Any, Any, Any]):
    """A request whose body is read as exactly the type its handler names: no text for a number, no unknown field."""

    async def body(self) -> bytes:
        try:
            body = await super().body()
        except InternalServerException:
            raise Malformed("The connection ended before the body was complete.") from None
        wanted = self.route_handler.parsed_fn_signature.parameters.get("data")
        if not body and wanted is not None and not wanted.has_default:
            raise Invalid("This operation takes a JSON body, and there is none.")
        return body

    async def json(self) -> Any:  # noqa: ANN401 - the handler's own type
        body = await self.body()
        if _NUL.search(body):
            raise Invalid("The body holds a NUL character (\\u0000), which cannot be stored: remove it.")
        wanted = self.route_handler.parsed_fn_signature.parameters["data"].raw
        try:
            return msgspec.json.decode(body, type=wanted)
        except msgspec.ValidationError as error:
            raise Invalid(f"{with_choices(str(error), wanted)}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"The body is not JSON: {error}.") from None


async def look_over(request: Request[Any, Any, Any]) -> Response[None] | None:
    """Before its handler: answer OPTIONS, and refuse a query that does not say what it seems to say.

    Of a path that several handlers serve, the framework's own answer to OPTIONS names the methods of one of them.
    """
    if request.method == "OPTIONS":
        routes = [route for route in request.app.routes if route.path_format == request.scope["path_template"]]
        allowed = sorted({method for route in routes for method in route.methods})
        return Response(None, status_code=204, headers={"Allow": ", ".join(allowed)})
    if request.scope["query_string"] and request.route_handler.resolve_include_in_schema():
        _check_query(request)
    return None


def _check_query(request: Request[Any, Any, Any]) -> None:
    """Refuse what an operation would not look at: where a filter is misspelt, it would answer with everything."""
    signature = request.route_handler.parsed_fn_signature.parameters
    taken = {name: field for name, field in signature.items() if isinstance(field.kwarg_definition, QueryParameter)}
    for name, values in request.query_params.dict().items():
        if name not in taken:
            takes = ", ".join(taken) or "none"
            raise Invalid(f"`{name[:_SHOWN]}` is not a parameter of this operation: it takes {takes}.")
        if len(values) > 1 and not taken[name].is_non_string_sequence:
            raise Invalid(f"`{name}` is given {len(values)} times: give it once.")
        odd = next((value for value in values if not _is_plain(value, taken[name].raw)), None)
        if odd is not None:
            raise Invalid(f"`{name}` is {odd[:_SHOWN]!r}: write a value, or leave the parameter out.")


def _is_plain(value: str, wanted: Any) -> bool:  # noqa: ANN401 - a type as it is written
    """Whether it is not one of the texts that msgspec reads as something else: `null`, and numbers as moments."""
    try:
        read = msgspec.convert(value, type=wanted, strict=False)
    except msgspec.ValidationError:
        return True  # the framework says what is wrong with it
    return read is not None and not (isinstance(read, datetime) and value[4:5] != "-")


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Any exception as a problem document; one that nobody foresaw is logged."""
    known = _as_ledger_error(request, error)
    if known is None:
        request_id = request.scope["state"].get("request_id", "")
        log.error("%s %s failed (request %s)", request.method, request.url.path, request_id, exc_info=error)
        known = LedgerError("Something went wrong in the server; its log says more under this request id.")
    return problem_response(known, request)


def problem_response(error: LedgerError, request: Request[Any, Any, Any]) -> Response[Problem]:
    problem = error.problem(instance=request.url.path, request_id=request.scope["state"].get("request_id", ""))
    return Response(problem, status_code=problem.status, media_type=PROBLEM_JSON, headers=error.headers)


def _as_ledger_error(request: Request[Any, Any, Any], error: Exception) -> LedgerError | None:
    match error:
        case LedgerError():
            return error
        case ValidationException():
            found = cast("list[dict[str, str]]", error.extra or [])
            in_path = [item for item in found if item.get("source") == "path"]
            detail = "; ".join(_told(request, item) for item in in_path or found)
            return NotFound(detail) if in_path else Invalid(detail or error.detail)
        case HTTPException() if error.status_code < 500:  # noqa: PLR2004
            return _http_error(error)
        case _ if is_full(error):
            return Full("The database, or the disk it is on, is full: make room, and try again. Nothing was changed.")
        case _ if isinstance(error, UNREACHABLE):  # which the database has logged
            return Unavailable("The database cannot be used just now: try again.")
        case _:
            return None


def _told(request: Request[Any, Any, Any], found: dict[str, str]) -> str:
    """What is wrong with one parameter."""
    name = found.get("key", "body")
    taken = request.route_handler.parsed_fn_signature.parameters.get(name)
    return f"{name}: {with_choices(found['message'], taken.raw) if taken else found['message']}"


def _http_error(error: HTTPException) -> LedgerError:
    """An error of the framework's own, such as a path that nobody serves."""
    if error.status_code == TooLarge.status:
        return TooLarge("The body is larger than 4 MiB: send less at once.")
    known = LedgerError(_DETAILS.get(error.status_code, error.detail))
    names = {kind.status: kind.title for kind in LedgerError.__subclasses__()}
    known.status = error.status_code  # pyright: ignore[reportAttributeAccessIssue] - as the framework has it
    known.headers = dict(error.headers or {})
    known.title = names.get(error.status_code, error.detail)  # pyright: ignore[reportAttributeAccessIssue]
    return known
