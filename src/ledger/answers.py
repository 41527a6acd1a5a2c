"""A value in a model's answer, however it is wrapped: in thoughts, prose, a fence, or with a comma too many."""

import json
import re
from collections.abc import Iterator
from typing import TypeVar, cast

import msgspec

T = TypeVar("T")

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_UNENDED_THOUGHTS = re.compile(r"\A\s*<think(?:ing)?>.*", re.DOTALL | re.IGNORECASE)
_THOUGHTS_END = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)\n\s*```", re.DOTALL)
_OPENING = re.compile(r"""\{\s*(?:["']|\w+\s*:)""")
_STRING_OR_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)
_MOST_OBJECTS = 100


class AnswerInvalid(ValueError):
    """A model's answer that is not what was asked for."""


def read_answer(text: str, kind: type[T], what: str) -> T:
    """The one value in an answer; `what` names it in the error. Raises `AnswerInvalid`.

    An answer that holds two different ones is refused: one of them may be quoted from what people wrote.
    """
    spoken = _spoken(text)
    if not spoken:
        raise AnswerInvalid("The model's answer is empty.")
    # Some begin their thoughts without a mark; but an end mark may also stand in what they write.
    behind = _THOUGHTS_END.sub("", spoken).strip()
    found, error = _values(behind, kind)
    if not found and behind != spoken:
        found, error = _values(spoken, kind)
    if len(found) > 1:
        raise AnswerInvalid(f"The model's answer holds {len(found)} different values, each of which could be {what}.")
    if not found:
        raise AnswerInvalid(f"The model's answer is not {what}: {error}")
    return found[0]


def read_whole(text: str, kind: type[T]) -> T | None:
    """The value that a whole answer is, also in a fence; None if it is not.

    For values that may also be a part of what was asked for: a part of an answer that was cut off is none.
    """
    spoken = _spoken(text)
    fenced = _FENCED.fullmatch(spoken)
    try:
        return msgspec.json.decode(fenced[1] if fenced else spoken, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def is_quoted(value: object, document: str) -> bool:
    """Whether a value stands in a text of a JSON document: then it was not decided, but copied."""
    texts = (text for text in _texts(msgspec.json.decode(document)) if "{" in text)
    return any(value in _values(text, type(value))[0] for text in texts)


def _texts(node: object) -> Iterator[str]:
    """All texts of a JSON document."""
    match node:
        case str():
            yield node
        case list():
            for item in cast("list[object]", node):
                yield from _texts(item)
        case dict():
            for item in cast("dict[str, object]", node).values():
                yield from _texts(item)
        case _:
            return


def _spoken(text: str) -> str:
    """The answer without its thoughts; those that were cut off are not the answer either."""
    return _UNENDED_THOUGHTS.sub("", _THOUGHTS.sub("", text)).strip()


def _values(text: str, kind: type[T]) -> tuple[list[T], Exception | None]:
    """The different values in a text, and what is wrong with what is none."""
    found: list[T] = []
    error: Exception | None = None
    for candidate in _candidates(text):
        try:
            value = msgspec.json.decode(candidate, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as wrong:
            # That a field is wrong says more than that the text around it is no JSON.
            if error is None or isinstance(wrong, msgspec.ValidationError):
                error = wrong
        else:
            found += [] if value in found else [value]
            if candidate == text:
                break
    return found, error


def _candidates(text: str) -> Iterator[str]:
    """What may be the value: all of it, what is fenced, and every object that stands in it."""
    yield text
    mended = _STRING_OR_COMMA.sub(lambda match: "" if match[0] == "," else match[0], text)
    for version in (text, mended) if mended != text else (text,):
        objects, end = _objects(version)
        yield from _FENCED.findall(version[:end])
        yield from objects


def _objects(text: str) -> tuple[list[str], int]:
    """The objects that stand in a text, as far as it is sound, and how far that is.

    What stands within an object that is broken or cut off is a part of it, such as a quotation.
    """
    decoder = json.JSONDecoder()
    found: list[str] = []
    start = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            break
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            if _OPENING.match(text, start):
                return found, start
            end = start + 1
        else:
            found.append(text[start:end])
        start = text.find("{", end)
    return found, len(text)
