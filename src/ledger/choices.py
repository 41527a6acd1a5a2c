"""Which words a field takes, for whoever sent another one."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec.inspect as known

_NONE_OF_THEM = re.compile(r"Invalid enum value .+?(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[")


def with_choices(message: str, wanted: Any) -> str:  # noqa: ANN401 - a type as it is written
    """What msgspec says of a value that is none of several, and which they are; any other message as it is."""
    found = _NONE_OF_THEM.fullmatch(message)
    choices = _choices(known.type_info(wanted), found["path"] or "") if found else []
    return f"{message}: write {', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else message


def _choices(kind: known.Type, path: str) -> list[str]:
    here = [*_options(kind)]
    for step in _STEP.finditer(path):
        here = [option for outer in here for inner in _inside(outer, step[1]) for option in _options(inner)]
    # Of a query parameter that may be repeated, Litestar does not say which one it is.
    here += [option for outer in here for inner in _inside(outer, None) for option in _options(inner)]
    return [str(value) for option in here if isinstance(option, known.LiteralType) for value in option.values]


def _options(kind: known.Type) -> Iterator[known.Type]:
    match kind:
        case known.UnionType():
            for each in kind.types:
                yield from _options(each)
        case known.Metadata():
            yield from _options(kind.type)
        case _:
            yield kind


def _inside(kind: known.Type, name: str | None) -> Iterator[known.Type]:
    """What is one step further: a field by its name, or an item of a list or a mapping."""
    match kind:
        case known.StructType():
            yield from (field.type for field in kind.fields if field.encode_name == name)
        case known.ListType():
            yield kind.item_type
        case known.DictType():
            yield kind.value_type
        case _:
            pass
