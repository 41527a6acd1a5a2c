"""How Schemathesis makes data that fits: it loads this file into its own environment."""

import uuid
from datetime import datetime
from importlib import import_module
from typing import Any, cast
from zoneinfo import available_timezones

from hypothesis import strategies

schemathesis: Any = import_module("schemathesis")  # which the environment of the tests does not have

AGENT = "ledger"
"""The agent's name, which the fuzzer reads in answers, and which is the agent's alone."""

MOMENTS = strategies.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001 - Z is written behind


def before_call(context: object, case: Any, kwargs: object) -> None:  # noqa: ANN401 - a type of the fuzzer's
    """Make data right that JSON Schema alone lets through, and that no document can tell of."""
    del context, kwargs
    deletes_a_thread = (case.method, case.path) == ("DELETE", "/api/threads/{thread_id}")
    if deletes_a_thread and case.path_parameters["thread_id"] == "default":
        case.path_parameters["thread_id"] = "gone"  # since that one always exists, deleted or not
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex  # one for every request: all examples have the same
    if case.path_parameters.get("voter") == AGENT:
        case.path_parameters["voter"] = "ann"
    case.body = _right(case.body)


def _right(node: object) -> object:
    """Integers without a fraction, an interval under one name, and no person by the name of the agent."""
    match node:
        case float() if node.is_integer():
            return int(node)
        case dict():
            entries = {name: _right(value) for name, value in cast("dict[str, object]", node).items()}
            if "every" in entries:
                entries.pop("every_seconds", None)
            return entries | ({"author": "ann"} if entries.get("author") == AGENT else {})
        case list():
            return [_right(item) for item in cast("list[object]", node)]
        case _:
            return node


schemathesis.hook(before_call)
schemathesis.openapi.format("iana-time-zone", strategies.sampled_from(sorted(available_timezones())))
schemathesis.openapi.format("date-time", MOMENTS.map(lambda moment: f"{moment.isoformat()}Z"))
