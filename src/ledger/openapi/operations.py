"""The operations of an application, as its routes and the signatures of its handlers tell them."""

from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, ParameterKwarg, PathParameter, QueryParameter
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition
from msgspec import Meta

from ledger.openapi.docstrings import flowing
from ledger.wire import NoFields

JSON = "application/json"
TEXT = "text/plain"
_PLACES: dict[type[ParameterKwarg], str] = {PathParameter: "path", QueryParameter: "query", HeaderParameter: "header"}


class Parameter(NamedTuple):
    name: str
    place: str
    """`path`, `query` or `header`."""
    kind: Any
    """Its type, with its limits."""
    description: str
    default: object
    """None: it has none."""
    required: bool


class Operation(NamedTuple):
    name: str
    """Of its handler."""
    method: str
    path: str
    tag: str
    description: str
    parameters: list[Parameter]
    body: Any
    """The type of its body; None: it takes none."""
    body_required: bool
    status: int
    answers: dict[str, Any]
    """The type of its answer, by media type; none: it answers without a body."""

    @property
    def summary(self) -> str:
        """The handler's name as words."""
        words = self.name.replace("_", " ").replace("heartbeat md", "HEARTBEAT.md")
        return words[0].upper() + words[1:]


def operations(app: Litestar) -> list[Operation]:
    return [
        _operation(route.path_format, method.lower(), handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.resolve_include_in_schema()
        for method in handler.http_methods
    ]


def _operation(path: str, method: str, handler: HTTPRouteHandler) -> Operation:
    taken = handler.parsed_fn_signature.parameters
    body = taken.get("data")
    takes_one = body is not None and NoFields not in (body.annotation, *get_args(body.annotation))
    return Operation(
        name=handler.handler_name,
        method=method,
        path=path,
        tag=next(iter(handler.tags or handler.resolve_tags())),
        description=flowing(handler.fn.__doc__),
        parameters=[found for name, field in taken.items() if (found := _parameter(name, field))],
        body=body.raw if body and takes_one else None,
        body_required=body is not None and not body.has_default,
        status=handler.status_code,
        answers=_answers(handler),
    )


def _parameter(name: str, field: FieldDefinition) -> Parameter | None:
    said = field.kwarg_definition
    if not isinstance(said, ParameterKwarg) or type(said) not in _PLACES:
        return None  # a part of the application, or the body
    return Parameter(
        name=said.name or name,
        place=_PLACES[type(said)],
        kind=_limited(_given(field.raw), said),
        description=flowing(said.description),
        default=field.default if field.has_default else None,
        required=not field.has_default,
    )


def _given(kind: Any) -> Any:  # noqa: ANN401 - a type as it is written
    """A parameter's type where it is given: never null."""
    options = get_args(get_args(kind)[0])
    return Union[tuple(each for each in options if each is not NoneType)] if NoneType in options else kind  # noqa: UP007 - of as many as there are


def _limited(kind: Any, said: ParameterKwarg) -> Any:  # noqa: ANN401 - likewise
    limits = {name: value for name in ("ge", "gt", "le", "lt", "pattern") if (value := getattr(said, name)) is not None}
    if said.schema_extra:
        limits["extra_json_schema"] = said.schema_extra
    return Annotated[kind, Meta(**limits)] if limits else kind


def _answers(handler: HTTPRouteHandler) -> dict[str, Any]:
    """What is declared beside the signature, such as the events of a stream, goes before what the signature says."""
    if spec := (handler.responses or {}).get(handler.status_code):
        kind: Any = spec.data_container  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - any type
        return {str(spec.media_type): kind}
    wanted = handler.parsed_fn_signature.return_type.annotation
    options = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    kinds = [get_args(kind)[0] if get_origin(kind) is Response else kind for kind in options]
    return {TEXT if kind is str else JSON: kind for kind in kinds if kind not in (None, NoneType)}
