"""What of a change to an OpenAPI document breaks those who call the API, in sentences.

An answer may have new properties and new words; a request may take more than before.
"""

from collections.abc import Iterator
from typing import Any, Literal

Json = dict[str, Any]
Way = Literal["taken", "sent"]
"""Whether a schema says what a server takes, or what it sends."""

_LIMITS = {
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), 1),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), -1),
}
"""Of each limit, whether it narrows by becoming less (1) or more (-1)."""

_TYPES = ("string", "integer", "number", "boolean", "null", "array", "object", "anything")
_WIDER = {"integer": "number"}


def breaking_changes(before: Json, after: Json) -> list[str]:
    return [*_Change(before, after).told()]


class _Change:
    def __init__(self, before: Json, after: Json) -> None:
        self._before = before
        self._after = after
        self._seen: set[tuple[str, str, Way]] = set()

    def told(self) -> Iterator[str]:
        for path, methods in self._before["paths"].items():
            for method, operation in methods.items():
                name = f"{method.upper()} {path}"
                now = self._after["paths"].get(path, {}).get(method)
                if now is None:
                    yield f"{name} is gone."
                    continue
                yield from self._parameters(name, operation, now)
                yield from self._body(name, operation, now)
                yield from self._answers(name, operation, now)

    def _parameters(self, name: str, before: Json, after: Json) -> Iterator[str]:
        were = _by_place(self._before, before)
        are = _by_place(self._after, after)
        for place, parameter in were.items():
            said = f"{name}, {place[0]} parameter `{place[1]}`"
            if place not in are:
                yield f"{said}, is gone."
                continue
            if are[place].get("required") and not parameter.get("required"):
                yield f"{said}, is required now."
            yield from self._schema(said, parameter["schema"], are[place]["schema"], "taken")
        for place, parameter in are.items():
            if place not in were and parameter.get("required"):
                yield f"{name}, {place[0]} parameter `{place[1]}`, is new and required."

    def _body(self, name: str, before: Json, after: Json) -> Iterator[str]:
        was, now = before.get("requestBody"), after.get("requestBody")
        if now and now.get("required") and not (was and was.get("required")):
            yield f"{name} requires a body now."
        if was and not now:
            yield f"{name} takes no body any more."
        if was and now:
            yield from self._contents(f"{name}, body", was["content"], now["content"], "taken")

    def _answers(self, name: str, before: Json, after: Json) -> Iterator[str]:
        for status, answer in before["responses"].items():
            if not status.startswith("2"):
                continue
            now = after["responses"].get(status)
            if now is None:
                yield f"{name} does not answer {status} any more."
            else:
                gone = sorted(answer.get("headers", {}).keys() - now.get("headers", {}).keys())
                yield from (f"{name}: its answer has no {header} any more." for header in gone)
                yield from self._contents(f"{name}, answer", answer.get("content", {}), now.get("content", {}), "sent")

    def _contents(self, where: str, before: Json, after: Json, way: Way) -> Iterator[str]:
        for media, content in before.items():
            if media not in after:
                yield f"{where}: {media} is gone."
            else:
                yield from self._schema(where, content["schema"], after[media]["schema"], way)

    def _schema(self, where: str, before: Json, after: Json, way: Way) -> Iterator[str]:
        were, are = _options(self._before, before), _options(self._after, after)
        narrow, wide = (were, are) if way == "taken" else (are, were)
        for kind in narrow:
            is_new_kind = way == "sent" and kind not in _TYPES  # one more struct that is told apart by its tag
            if not is_new_kind and not {kind, _WIDER.get(kind), "anything"} & wide.keys():
                yield f"{where}: {'takes no' if way == 'taken' else 'may now be'} {kind}{_more(way)}."
        for kind in were.keys() & are.keys():
            yield from self._option(where, were[kind], are[kind], way)

    def _option(self, where: str, before: Json, after: Json, way: Way) -> Iterator[str]:
        pair = (before.get("$ref", ""), after.get("$ref", ""), way)
        if all(pair[:2]):
            if pair in self._seen:
                return
            self._seen.add(pair)
        before, after = _resolved(self._before, before), _resolved(self._after, after)
        if way == "taken":
            yield from _narrowed(where, before, after)
        for name in ("const", "format"):
            if before.get(name) != after.get(name):
                yield f"{where}: {name} is {after.get(name)} now."
        told_by = [each.get("discriminator", {}).get("propertyName") for each in (before, after)]
        if told_by[0] != told_by[1]:
            yield f"{where}: is told apart by `{told_by[1]}` now."
        yield from self._properties(where, before, after, way)
        for inner in ("items", "additionalProperties", "contentSchema"):
            if isinstance(before.get(inner), dict) and isinstance(after.get(inner), dict):
                yield from self._schema(f"{where}, each of it", before[inner], after[inner], way)

    def _properties(self, where: str, before: Json, after: Json, way: Way) -> Iterator[str]:
        were, are = before.get("properties", {}), after.get("properties", {})
        must, must_now = set(before.get("required", [])), set(after.get("required", []))
        for name, schema in were.items():
            if name not in are:
                yield f"{where}: `{name}` is gone."
            else:
                yield from self._schema(f"{where}, `{name}`", schema, are[name], way)
        if way == "taken":
            yield from (f"{where}: `{name}` is required now." for name in sorted(must_now - must))
        else:
            missing = sorted(name for name in must - must_now if name in are)
            yield from (f"{where}: `{name}` may be missing now." for name in missing)


def _by_place(document: Json, operation: Json) -> dict[tuple[str, str], Json]:
    found = [_resolved(document, parameter) for parameter in operation.get("parameters", [])]
    return {(parameter["in"], parameter["name"]): parameter for parameter in found}


def _resolved(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Any = document
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def _options(document: Json, schema: Json) -> dict[str, Json]:
    """What a value may be, by type; of several objects each by the name of its component."""
    found = [*_flat(document, schema)]
    objects = [option for kind, option in found if kind == "object"]
    return {
        option["$ref"].rpartition("/")[2] if kind == "object" and len(objects) > 1 else kind: option
        for kind, option in found
    }


def _flat(document: Json, schema: Json) -> Iterator[tuple[str, Json]]:
    whole = _resolved(document, schema)
    if several := whole.get("anyOf") or whole.get("oneOf"):
        for each in several:
            yield from _flat(document, each)
        return
    kinds = whole.get("type", "anything")
    yield from ((kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _narrowed(where: str, before: Json, after: Json) -> Iterator[str]:
    """What is taken no longer."""
    words = [word for word in before.get("enum", []) if word not in after.get("enum", before.get("enum", []))]
    yield from (f"{where}: takes no `{word}` any more." for word in words)
    if "enum" in after and "enum" not in before:
        yield f"{where}: takes only some words now."
    for name, sign in _LIMITS.items():
        if name in after and (name not in before or sign * after[name] < sign * before[name]):
            yield f"{where}: {name} is {after[name]} now."
    if "default" in before and after.get("default") != before["default"]:
        yield f"{where}: is {after.get('default')} now where it is left out."
    if after.get("pattern") not in (None, before.get("pattern")):
        yield f"{where}: must match {after['pattern']} now."


def _more(way: Way) -> str:
    return " any more" if way == "taken" else ""
