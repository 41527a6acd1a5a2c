"""JSON schemas of what is sent and taken: each struct once, as a component with a name of its own.

What a client may send is a struct that forbids unknown fields. All others are answers: what is in them is all there,
and nothing else.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast, get_args, get_origin

import msgspec
import msgspec.inspect as known
from msgspec import NODEFAULT

from ledger.openapi.docstrings import attribute_docstrings, flowing

Json = dict[str, Any]

_PLAIN: dict[type[known.Type], str] = {
    known.BoolType: "boolean",
    known.IntType: "integer",
    known.FloatType: "number",
    known.StrType: "string",
    known.NoneType: "null",
}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minLength",
    "max_length": "maxLength",
}


class Schemas:
    """`names`: of structs whose own name is taken. `unions`: unions of structs by their names, and what they are."""

    def __init__(
        self, names: Mapping[type, str], unions: Mapping[str, tuple[Any, str]], examples: Mapping[str, object]
    ) -> None:
        self.components: dict[str, Json] = {}
        self.kinds: dict[str, Any] = {}
        """The struct that each component tells of."""
        self._names = names
        self._unions = {
            _classes(_members(known.type_info(union))): (name, said) for name, (union, said) in unions.items()
        }
        self._examples = examples

    def of(self, kind: Any) -> Json:  # noqa: ANN401 - a type as it is written
        """The schema of a type; of a struct, a reference to its component."""
        return self._schema(known.type_info(kind))

    def example(self, schema: Json) -> object:
        """An example of what follows a schema that `of` gave."""
        match schema:
            case {"$ref": reference}:
                return self._examples[reference.rpartition("/")[2]]
            case {"items": item}:
                return [self.example(item)]
            case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
                return self.example(first)
            case _:
                raise LookupError(f"there is no example of {schema}")

    def _schema(self, kind: known.Type) -> Json:
        match kind:
            case known.Metadata():
                schema = self._schema(kind.type) | cast("Json", kind.extra_json_schema or {})  # pyright: ignore[reportUnknownMemberType]
            case known.StructType():
                schema = self._struct(kind)
            case known.UnionType():
                schema = self._union(kind)
            case known.ListType():
                schema = {"type": "array", "items": self._schema(kind.item_type)} | _size(kind)
            case known.DictType():
                schema = {"type": "object"} | self._entries(kind)
            case _:
                schema = _plain(kind)
        return schema

    def _entries(self, kind: known.DictType) -> Json:
        keys = self._schema(kind.key_type)
        named = {} if keys == {"type": "string"} else {"propertyNames": keys}
        return named | {"additionalProperties": self._schema(kind.value_type)}

    def _union(self, kind: known.UnionType) -> Json:
        structs = _members(kind)
        others = [self._schema(each) for each in kind.types if not isinstance(each, known.StructType)]
        options = ([self._one_of(structs)] if structs else []) + others
        if len(options) == 1:
            return options[0]
        if len(options) == 2 and options[1] == {"type": "null"} and isinstance(options[0].get("type"), str):  # noqa: PLR2004 - something, or null
            return _nullable(options[0])
        return {"anyOf": options}

    def _one_of(self, structs: tuple[known.StructType, ...]) -> Json:
        references = [self._struct(each) for each in structs]
        if len(references) == 1:
            return references[0]
        union = _told_apart(structs, references)
        if _classes(structs) not in self._unions:
            return union
        name, said = self._unions[_classes(structs)]
        self.components[name] = {"description": said} | union | {"examples": [self._examples[name]]}
        return _reference(name)

    def _struct(self, kind: known.StructType) -> Json:
        name = self._name(kind.cls)
        if name not in self.components:
            self.kinds[name] = kind.cls
            self.components[name] = {}  # first, since a struct may hold others of its own kind
            self.components[name] = self._component(name, kind)
        return _reference(name)

    def _name(self, kind: Any) -> str:  # noqa: ANN401 - a class, or a generic one of something
        if origin := get_origin(kind):
            return "".join(map(self._name, (*get_args(kind), origin)))
        return self._names.get(kind, kind.__name__)

    def _component(self, name: str, kind: known.StructType) -> Json:
        origin = get_origin(kind.cls) or kind.cls
        said = attribute_docstrings(origin)
        is_taken = kind.forbid_unknown_fields
        properties: dict[str, Json] = {}
        if kind.tag_field is not None:
            tag = {"type": "string", "const": kind.tag}
            properties[kind.tag_field] = tag | {"description": f"`{kind.tag}`: tells what this is."}
        for field in kind.fields:
            schema = self._schema(field.type)
            told = {"description": said[field.name]} if field.name in said else self._told_by(schema)
            properties[field.encode_name] = schema | told | (_default(field) if is_taken else {})
        is_whole = not (is_taken or origin.__struct_config__.omit_defaults)
        needed = [
            field.encode_name for field in kind.fields if field.required or (is_whole and not _may_be_unset(field))
        ]
        component: Json = {"type": "object", "description": flowing(origin.__doc__), "properties": properties}
        if needed or kind.tag_field:
            component["required"] = [*filter(None, [kind.tag_field]), *needed]
        component["additionalProperties"] = False
        if name in self._examples:
            component["examples"] = [self._examples[name]]
        return component

    def _told_by(self, schema: Json) -> Json:
        """What a struct says of itself, for a field that holds one."""
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        description = self.components.get(name, {}).get("description")
        return {"description": description} if description else {}


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _members(kind: known.Type) -> tuple[known.StructType, ...]:
    types: Iterable[known.Type] = kind.types if isinstance(kind, known.UnionType) else (kind,)
    return tuple(each for each in types if isinstance(each, known.StructType))


def _classes(structs: Iterable[known.StructType]) -> tuple[type, ...]:
    return tuple(each.cls for each in structs)


def _told_apart(structs: Iterable[known.StructType], references: list[Json]) -> Json:
    """One of several structs, by the field in which their tags stand."""
    tagged = [(each.tag_field, str(each.tag)) for each in structs]
    mapping = {tag: reference["$ref"] for (_, tag), reference in zip(tagged, references, strict=True)}
    return {"oneOf": references, "discriminator": {"propertyName": tagged[0][0], "mapping": mapping}}


def _plain(kind: known.Type) -> Json:
    match kind:
        case known.AnyType():
            return {}
        case known.LiteralType():
            return {"type": "string" if isinstance(kind.values[0], str) else "integer", "enum": [*kind.values]}
        case known.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case _:
            return _value(kind)


def _value(kind: known.Type) -> Json:
    """A number, a text, a truth, or nothing, with what limits it."""
    schema: Json = {"type": _PLAIN[type(kind)]}
    for limit, name in _LIMITS.items():
        if (value := getattr(kind, limit, None)) is not None:
            schema[name] = value
    if pattern := getattr(kind, "pattern", None):
        schema["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    return schema


def _nullable(schema: Json) -> Json:
    both = {"type": [schema["type"], "null"]}
    return schema | both | ({"enum": [*schema["enum"], None]} if "enum" in schema else {})


def _size(kind: known.ListType) -> Json:
    limits = {"minItems": kind.min_length, "maxItems": kind.max_length}
    return {name: value for name, value in limits.items() if value is not None}


def _default(field: known.Field) -> Json:
    if field.default_factory is not NODEFAULT:
        return {"default": msgspec.to_builtins(field.default_factory())}
    return {} if field.default is NODEFAULT else {"default": msgspec.to_builtins(field.default)}


def _may_be_unset(field: known.Field) -> bool:
    """Whether it is left out where nothing set it: msgspec tells of no default then."""
    return not field.required and field.default is NODEFAULT and field.default_factory is NODEFAULT
