"""The OpenAPI document (3.1), the same bytes in every process."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar

from ledger import __version__, errors
from ledger.errors import LedgerError
from ledger.heartbeat.structs import InstructionsFile, OwnInstructions
from ledger.instructions import structs as instructions
from ledger.openapi.examples import EXAMPLES, TEXTS, of_parameter
from ledger.openapi.operations import JSON, Operation, Parameter, operations
from ledger.openapi.problems import CONFLICTS, TOLD, UNGUARDED, problems
from ledger.openapi.schemas import Json, Schemas
from ledger.stream.api import EVENT_STREAM
from ledger.stream.structs import Event, LoopMessage
from ledger.stream.tail import frame
from ledger.wire import PROBLEM_JSON

TAGS = {
    "threads": "Conversation threads, and the messages in them: where everything begins.",
    "heartbeat": "One loop of the four: whether and when it runs, what it did, and why the next one will act or not.",
    "posts": "Boards with posts, comments and votes, of people and of the agent.",
    "loops": "All four loops alike: start and stop them, switch and time them per thread, take a turn at once.",
    "runs": "What every turn did, or why it did nothing, with all that led to it.",
    "mind": "What was learned of a thread: its scorecard, the person's profile, context for your next model call.",
    "journal": "What the agent notes of a thread, and what people say to it.",
    "instructions": "HEARTBEAT.md: read, checked, saved, compared and restored; and what a thread has of its own.",
    "approvals": "Actions that wait for a person.",
    "questions": "What heartbeats need to know of a person.",
    "budgets": "What a day may cost, for the service and for each thread, and what was spent.",
    "providers": "Models that have failed, and which of them are paused.",
    "events": "What happens, as it happens.",
    "health": "Whether the process lives, and is ready.",
}
"""In the order in which one gets to know them."""

_INTRODUCTION = """\
Ledger is an always-on companion for conversation threads. Your application hands it messages; four loops work on \
every thread, and what they decide, they do on the ledger: boards, posts, comments and votes of the agent and of people.

Moments are RFC 3339, with an offset, unless a field says that it is epoch seconds. Lists come in pages: give a page's \
`next_cursor` as `cursor` to go on. What goes wrong is told as a problem document (RFC 9457), and every answer has an \
`X-Request-ID`, under which the server's log says more. What the document does not name is refused: unknown fields of \
a body, and unknown query parameters. Texts hold no NUL character (U+0000), and integers are written as such: `3`, not \
`3.0`."""

_METHODS = ("get", "post", "put", "patch", "delete")
_NAMES: dict[type, str] = {instructions.Problem: "InstructionsProblem"}
_UNIONS: dict[str, tuple[Any, str]] = {
    "Event": (Event, "Something that has happened; `kind` tells what."),
    "LoopMessage": (LoopMessage, "What a loop has made of a thread; `type` tells what."),
}
"""Unions of structs that have a name of their own, and what they are."""

_VERSIONED = (InstructionsFile, OwnInstructions)
"""Answers that have an ETag."""


@lru_cache(maxsize=1)
def encoded(app: Litestar) -> bytes:
    """The document as JSON, in one line."""
    return msgspec.json.encode(document(operations(app), schemas()))


def printed(app: Litestar) -> str:
    """The document as people and version control read it."""
    return msgspec.json.format(encoded(app), indent=2).decode() + "\n"


def schemas() -> Schemas:
    """None yet: they come in by the operations that use them."""
    return Schemas(_NAMES, _UNIONS, EXAMPLES)


def document(found: Iterable[Operation], schemas: Schemas) -> Json:
    order = [*TAGS]
    paths: dict[str, Json] = {}
    for each in sorted(found, key=lambda each: (order.index(each.tag), each.path, _METHODS.index(each.method))):
        paths.setdefault(each.path, {})[each.method] = _operation(each, schemas)
    schemas.of(errors.Problem)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ledger",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{}, {"bearer": []}],
        "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {kind.__name__: _problem(kind) for kind in TOLD},
            "parameters": {"IdempotencyKey": _IDEMPOTENCY_KEY},
            "headers": {"ETag": _ETAG},
            "securitySchemes": {"bearer": _BEARER},
        },
    }


_ETAG: Json = {
    "description": "The version, in quotes: send it as `If-Match` to replace this one and no other.",
    "schema": {"type": "string"},
    "example": '"3"',
}

_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of your choice, another one for each request: sent again with it, the request is not carried out "
    "again, but answered as before, for 24 hours.",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$", "maxLength": 255},
    "examples": {"camping": {"value": "camping-2026-03-01-1", "x-disabled": True}},
}

_BEARER: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "The `CRT_API_TOKEN` of the server. A server that has none asks for none.",
}


def _operation(operation: Operation, schemas: Schemas) -> Json:
    shown: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
    }
    if operation.name == UNGUARDED:
        shown["security"] = []
    parameters = [_parameter(operation, each, schemas) for each in operation.parameters]
    if operation.method == "post":
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if parameters:
        shown["parameters"] = parameters
    if operation.body is not None:
        content = {JSON: _shown(operation.body, schemas)}
        shown["requestBody"] = {"required": operation.body_required, "content": content}
    shown["responses"] = {str(operation.status): _answer(operation, schemas)} | _problems(operation)
    return shown


def _parameter(operation: Operation, parameter: Parameter, schemas: Schemas) -> Json:
    """`x-disabled`: the page's form shows the example, but does not send it before one says so."""
    default = {} if parameter.default is None else {"default": parameter.default}
    example: Json = {"value": of_parameter(operation.name, parameter.name)}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schemas.of(parameter.kind) | default,
        "examples": {"camping": example if parameter.required else example | {"x-disabled": True}},
    }


def _answer(operation: Operation, schemas: Schemas) -> Json:
    shown: Json = {"description": HTTPStatus(operation.status).phrase}
    if any(kind in _VERSIONED for kind in operation.answers.values()):
        shown["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    if operation.answers:
        shown["content"] = {
            media: _content(operation, media, kind, schemas) for media, kind in operation.answers.items()
        }
    return shown


def _content(operation: Operation, media: str, kind: Any, schemas: Schemas) -> Json:  # noqa: ANN401 - a type as it is written
    if kind is str:
        return {"schema": {"type": "string"}, "example": TEXTS[operation.name]}
    shown = _shown(kind, schemas)
    if media != EVENT_STREAM:
        return shown
    told: Json = shown["example"]
    text = {"type": "string", "contentMediaType": media, "contentSchema": shown["schema"]}
    return {"schema": text, "example": frame(told.get("kind"), msgspec.json.encode(told), told.get("id")).decode()}


def _shown(kind: Any, schemas: Schemas) -> Json:  # noqa: ANN401 - a type as it is written
    schema = schemas.of(kind)
    return {"schema": schema, "example": schemas.example(schema)}


def _problems(operation: Operation) -> Json:
    shown: Json = {}
    for kind in problems(operation):
        reference = {"$ref": f"#/components/responses/{kind.__name__}"}
        said = CONFLICTS.get(operation.name) if kind is errors.Conflict else None
        shown[str(kind.status)] = reference | ({"description": said} if said else {})
    return shown


def _problem(kind: type[LedgerError]) -> Json:
    description, detail = TOLD[kind]
    example = errors.Problem(kind.title, kind.status, detail, *_ASKED)
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "example": msgspec.to_builtins(example),
    }
    return {"description": description, "content": {PROBLEM_JSON: content}}


_ASKED = ("/api/threads/camping", "5f0c9e6d2b7a4f18a3c1d4e8b6907a52")
