"""Asking a model amid a turn: what was asked and answered is noted, and what goes wrong fails the turn."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from ledger.llm import LLM, AnswerInvalid, ChatRequest, ModelError, read_answer
from ledger.loops.work import Record, TurnFailed

T = TypeVar("T")


async def ask(
    llm: LLM,
    request: ChatRequest,
    record: Record,
    kind: type[T],
    what: str,
    otherwise: Callable[[str], T | None] = lambda _: None,
) -> T:
    """The model's answer as a value; `what` names it in errors. Raises `TurnFailed`.

    `otherwise`: what else an answer may mean that is no such value.
    """
    record.note(decided_by="model", model=request.model, prompt=msgspec.to_builtins(request.messages))
    try:
        answer = await llm.complete(request)
    except ModelError as error:
        raise TurnFailed("provider_failed", str(error)) from error
    record.note(
        raw_answer=answer.text,
        model=answer.model,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        latency_seconds=answer.latency.total_seconds(),
    )
    try:
        return read_answer(answer.text, kind, what)
    except AnswerInvalid as error:
        meant = otherwise(answer.text)
        if meant is None:
            raise TurnFailed("answer_invalid", str(error)) from error
        return meant
