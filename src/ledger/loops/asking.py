"""Asking a model amid a turn: what was asked and answered is noted, and what goes wrong fails the turn."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import structs

from ledger.answers import AnswerInvalid, read_answer
from ledger.llm import LLM, ChatAnswer, ChatMessage, ChatRequest, ModelError
from ledger.loops.work import Record, TurnFailed

T = TypeVar("T")

ASKED_AGAIN = "\n\n--- asked again ---\n\n"
"""Stands between two answers in the record."""

_QUOTED = 8_000
"""How many characters of a useless answer the model is shown again."""


async def ask(
    llm: LLM,
    request: ChatRequest,
    record: Record,
    kind: type[T],
    what: str,
    otherwise: Callable[[str], T | None] = lambda _: None,
) -> T:
    """The model's answer as a value; `what` names it in errors.

    An answer that is none is told to the model once, with what is wrong about it. `otherwise`: what else an answer may
    mean that is no such value. Raises `TurnFailed`.
    """
    record.note(decided_by="model")
    answer = await _complete(llm, request, record)
    try:
        return _read(answer, kind, what, otherwise)
    except AnswerInvalid as error:
        request = _mended(request, answer, error)
    second = await _complete(llm, request, record)
    try:
        return _read(second, kind, what, otherwise)
    except AnswerInvalid as error:
        raise TurnFailed("answer_invalid", str(error)) from error


async def _complete(llm: LLM, request: ChatRequest, record: Record) -> ChatAnswer:
    """One call, added to what the record has of the calls before."""
    record.note(model=request.model, prompt=msgspec.to_builtins(request.messages))
    before = record.run
    try:
        answer = await llm.complete(request)
    except ModelError as error:
        raise TurnFailed("provider_failed", str(error), error.wait) from error
    record.note(
        raw_answer=answer.text if before.raw_answer is None else f"{before.raw_answer}{ASKED_AGAIN}{answer.text}",
        model=answer.model,
        prompt_tokens=_sum(before.prompt_tokens, answer.prompt_tokens),
        completion_tokens=_sum(before.completion_tokens, answer.completion_tokens),
        latency_seconds=(before.latency_seconds or 0.0) + answer.latency.total_seconds(),
    )
    return answer


def _read(answer: ChatAnswer, kind: type[T], what: str, otherwise: Callable[[str], T | None]) -> T:
    try:
        return read_answer(answer.text, kind, what)
    except AnswerInvalid as error:
        meant = otherwise(answer.text)
        if meant is not None:
            return meant
        if answer.cut_off:
            raise AnswerInvalid(f"{error} It was cut off at `max_tokens`: allow more.") from None
        raise


def _mended(request: ChatRequest, answer: ChatAnswer, error: AnswerInvalid) -> ChatRequest:
    """The request with the useless answer and what is wrong about it."""
    said = ChatMessage("assistant", answer.text[:_QUOTED] or "(nothing)")
    again = ChatMessage("user", f"That could not be used. {error} Answer once more, with the one JSON object alone.")
    return structs.replace(request, messages=[*request.messages, said, again])


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)
