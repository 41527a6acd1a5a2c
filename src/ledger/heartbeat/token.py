"""`HEARTBEAT_OK`: what models say for "nothing to do" because people's instructions tell them to.

It is taken for that and shown to nobody; what stands beside it is kept.
"""

import re
from typing import NamedTuple

from msgspec import structs

from ledger.actions import Action, CommentAction, Decision, PostAction

TOKEN = "HEARTBEAT_OK"  # noqa: S105 - a word, no secret

_MARKS = 4
"""How many marks behind the token (`!`, `---`, an emoji) say nothing."""

_DRESS = re.compile(r"(?:</?[a-zA-Z][^<>]*>|[*_`~\"'()\[\]>#\s-])*")
_CLOSING = re.compile(r"(?:</[a-zA-Z][^<>]*>|[*_`~\"')\]])*")
_TAG = re.compile(r"<[a-zA-Z][^<>]*>")


class Stripped(NamedTuple):
    text: str
    """What is left."""
    had_token: bool


def strip_token(text: str) -> Stripped:
    """Take the token off the start and the end of a text, with the Markdown or HTML around it."""
    rest, had_token = text.strip(), False
    before, token, after = rest.partition(TOKEN)
    if token and _DRESS.fullmatch(before) and _stands_alone(before, after):
        rest, had_token = after[_closing_end(after) :].strip(), True
    before, token, after = rest.rpartition(TOKEN)
    if token and _says_nothing(after[_closing_end(after) :]) and _stands_alone(before, after):
        rest, had_token = _without_opening(before), True
    return Stripped("" if had_token and _says_nothing(rest) else rest, had_token)


def _stands_alone(before: str, after: str) -> bool:
    """Whether it is no part of a longer word; `_` on both sides is emphasis."""
    return before[-1:] == after[:1] == "_" or not (_is_word(before[-1:]) or _is_word(after[:1]))


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _closing_end(text: str) -> int:
    closing = _CLOSING.match(text)
    return closing.end() if closing else 0


def _says_nothing(text: str) -> bool:
    marks = "".join(text.split())
    return len(marks) <= _MARKS and not any(_is_word(char) for char in marks)


def _without_opening(text: str) -> str:
    """Without the marks and tags that open directly before the token."""
    while True:
        text = text.rstrip("*_`~\"'([")
        start = text.rfind("<")
        if not (text.endswith(">") and start >= 0 and _TAG.fullmatch(text, start)):
            return text.rstrip(" \t\n>#-")
        text = text[:start]


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
    return structs.replace(decision, summary=summary, actions=[_without(action) for action in decision.actions])


def _without(action: Action) -> Action:
    if isinstance(action, PostAction | CommentAction):
        stripped = strip_token(action.content)
        return structs.replace(action, content=stripped.text) if stripped.had_token else action
    return action
