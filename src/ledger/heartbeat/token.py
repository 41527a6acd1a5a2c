"""`HEARTBEAT_OK`: what models say for "nothing to do" because people's instructions tell them to.

It is taken for that and shown to nobody; what stands beside it is kept.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import structs

from ledger.actions import Action, CommentAction, Decision, MessageAction, PostAction

TOKEN = "HEARTBEAT_OK"  # noqa: S105 - a word, no secret

_MARKS = 4
"""How many marks behind the token (`!`, `---`, an emoji) say nothing."""

_DRESS = re.compile(r"(?:</?[a-zA-Z][^<>]*>|&nbsp;|```\w*\n|[*_`~\"'()\[\]>#\s-])*")
_CLOSING = re.compile(r"(?:</[a-zA-Z][^<>]*>|[*_`~\"')\]])*")
_TAG = re.compile(r"<[a-zA-Z][^<>]*>")
_UNSEEN = re.compile(r"</?[a-zA-Z][^<>]*>|&nbsp;|```")
_LINE_MARKS = frozenset(" \t>#*_-")


class Stripped(NamedTuple):
    text: str
    """What is left."""
    had_token: bool


def strip_token(text: str) -> Stripped:
    """Take the token off the start and the end of a text, with the Markdown or HTML around it."""
    *_, (rest, had_token) = strippings(text)
    return Stripped("" if had_token and _says_nothing(rest) else rest, had_token)


def strippings(text: str) -> Iterator[Stripped]:
    """The text as it is, and with one token after another taken off."""
    rest: str | None = text.strip()
    had_token = False
    while rest is not None:
        yield Stripped(rest, had_token)
        rest, had_token = _stripped_once(rest), True


def _stripped_once(text: str) -> str | None:
    """The text without one token at its start or its end; None if there is none."""
    before, token, after = text.partition(TOKEN)
    if token and _DRESS.fullmatch(before) and _stands_alone(before, after):
        return after[_closing_end(after) :].strip()
    before, token, after = text.rpartition(TOKEN)
    if token and _says_nothing(after[_closing_end(after) :]) and _stands_alone(before, after):
        return _without_opening(before, after)
    return None


def _stands_alone(before: str, after: str) -> bool:
    """Whether it is no part of a longer word; `_` on both sides is emphasis."""
    return before[-1:] == after[:1] == "_" or not (_is_word(before[-1:]) or _is_word(after[:1]))


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _closing_end(text: str) -> int:
    closing = _CLOSING.match(text)
    return closing.end() if closing else 0


def _says_nothing(text: str) -> bool:
    marks = "".join(_UNSEEN.sub("", text).split())
    return len(marks) <= _MARKS and not any(_is_word(char) for char in marks)


def _without_opening(before: str, after: str) -> str:
    """What stands before the token, without the marks and tags that open directly before it."""
    text = before
    while True:
        text = text.rstrip("*_`~([" + (after[:1] if after[:1] in ("'", '"') else ""))
        start = text.rfind("<")
        if not (text.endswith(">") and start >= 0 and _TAG.fullmatch(text, start)):
            break
        text = text[:start]
    lines = text.rstrip().split("\n")
    while lines and set(lines[-1]) <= _LINE_MARKS:
        lines.pop()
    return "\n".join(lines).rstrip()


def acknowledged(answer: str) -> Decision | None:
    """The decision of a model that answers with the token in place of JSON; None if it does not."""
    rest, had_token = strip_token(answer)
    if not had_token:
        return None
    if not rest:
        return Decision(verdict="nothing", reasoning=f"It answered {TOKEN}.", summary="Nothing to do.", actions=[])
    return Decision(
        verdict="nothing",
        reasoning=f"It answered {TOKEN}, and said beside it: {rest}",
        summary=f"Nothing to do, it answered with {TOKEN}; but it also said something, which is kept in the run.",
        actions=[],
    )


def without_token(decision: Decision) -> Decision:
    """The decision with the token nowhere a person could see it; actions stay, an empty one is refused as such."""
    summary = strip_token(decision.summary).text or ("Nothing to do." if not decision.actions else "")
    question = None if decision.question is None else _bare(decision.question)
    return structs.replace(
        decision,
        verdict=decision.verdict if question or decision.question is None else "nothing",
        question=question,
        summary=summary,
        actions=[_without(action) for action in decision.actions],
        tasks=[structs.replace(task, report=strip_token(task.report).text) for task in decision.tasks],
    )


def _without(action: Action) -> Action:
    match action:
        case PostAction():
            return structs.replace(action, title=_bare(action.title), content=_bare(action.content))
        case CommentAction() | MessageAction():
            return structs.replace(action, content=_bare(action.content))
        case _:
            return action


def _bare(text: str) -> str:
    """The text without the token; to the letter, if it has none."""
    stripped = strip_token(text)
    return stripped.text if stripped.had_token else text
