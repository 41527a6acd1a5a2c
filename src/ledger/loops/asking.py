"""Asking a model amid a turn: within budgets, while its provider is well, and with everything on record."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from anyio import CancelScope
from msgspec import Struct, structs

from ledger.answers import AnswerInvalid, is_quoted, read_answer, read_whole
from ledger.budgets import store as budgets
from ledger.budgets.plan import Plan
from ledger.budgets.store import Purse
from ledger.budgets.structs import Amounts
from ledger.clock import Clock
from ledger.db import UNREACHABLE, Database, Session
from ledger.errors import NotFound
from ledger.llm import LLM, ChatAnswer, ChatMessage, ChatRequest, ModelError, ModelTimeout, shorter
from ledger.loops.breaker import Admission, Breaker
from ledger.loops.work import Record, TurnFailed, TurnHeld
from ledger.tokens import count_tokens
from ledger.turns import store as turns

T = TypeVar("T")

ASKED_AGAIN = "\n\n--- asked again ---\n\n"
"""Stands between two answers in the record."""

_SHARE = 0.95
"""How much of a turn's deadline its calls may take: the rest is for what becomes of them."""

_FAIR = 0.5
"""A provider that had less than this part of the time is not to blame for not having answered."""

_QUOTED = 8_000
"""How many characters of a useless answer the model is shown again."""

_RECHECKED = timedelta(hours=1)
"""After how long a turn held by a budget looks again: a person may have raised it."""


log = logging.getLogger(__name__)


class Pass(Struct, frozen=True):
    """The right to one call."""

    admission: Admission
    purse: Purse
    reserved: Amounts


class Asking:
    """A provider's models, as turns ask them."""

    def __init__(
        self, llm: LLM, db: Database, clock: Clock, breaker: Breaker, plan: Plan, *, turn_limit: timedelta
    ) -> None:
        """`turn_limit`: the deadline of a turn, which all its calls together must keep."""
        self._llm = llm
        self._limit = turn_limit * _SHARE
        self._db = db
        self._clock = clock
        self._breaker = breaker
        self._plan = plan

    async def require(self, session: Session, model: str, record: Record) -> None:
        """Raises `TurnHeld` where a call would be refused now: a budget is spent, or the model is paused."""
        now, run = self._clock.now(), record.run
        try:
            (await budgets.purse(session, run.thread_id, self._plan, now=now)).require(*budgets.CALLS)
        except budgets.Spent as spent:
            raise _held_by(spent, now) from None
        except NotFound as gone:
            raise _deleted(gone) from None
        await self._breaker.require(session, model, run.id)

    async def ask(
        self,
        request: ChatRequest,
        record: Record,
        kind: type[T],
        what: str,
        otherwise: Callable[[str], T | None] = lambda _: None,
    ) -> T:
        """The model's answer as a value; `what` names it in errors.

        An answer that is none is told to the model once, with what is wrong about it; a prompt that is too long for it
        is sent once more with its data cut to half. `otherwise`: what else an answer may mean that is no such value.
        Raises `TurnFailed` and `TurnHeld`.
        """
        record.decide("model")
        try:
            answer = await self._complete(request, record)
        except ModelError as error:
            if error.fault != "too_long":
                raise _failed(error) from error
            request = shorter(request)
            answer = await self._complete_or_fail(request, record)
        try:
            return _read(request, answer, kind, what, otherwise)
        except AnswerInvalid as error:
            second = await self._complete_or_fail(_mended(request, answer, error), record)
        try:
            return _read(request, second, kind, what, otherwise)
        except AnswerInvalid as error:
            raise TurnFailed("answer_invalid", str(error)) from error

    async def _complete_or_fail(self, request: ChatRequest, record: Record) -> ChatAnswer:
        try:
            return await self._complete(request, record)
        except ModelError as error:
            raise _failed(error) from error

    async def _complete(self, request: ChatRequest, record: Record) -> ChatAnswer:
        """One call, added to what the record has of the calls before. Raises `ModelError` and `TurnHeld`."""
        if self._left(record) <= timedelta(0):
            raise TurnFailed("timeout", f"Nothing is left of the {self._limit.total_seconds():g} s that a turn has.")
        granted = await self._admit(request, record)
        record.note(model=request.model, prompt=msgspec.to_builtins(request.messages))
        left = self._left(record)
        try:
            answer = await self._in_time(request, left)
        except ModelError as error:
            if not error.may_have_cost:
                record.corrections.append((granted.purse, _difference(Amounts(), granted.reserved)))
            if isinstance(error, ModelTimeout) and left < self._limit * _FAIR:
                await self._breaker.abandoned(granted.admission)
            elif error.blames_provider:
                record.left_alone = await self._breaker.failed(granted.admission, error)
            else:
                await self._breaker.succeeded(granted.admission)
            raise
        except BaseException:
            with CancelScope(shield=True), _kept_if_possible():
                await self._breaker.abandoned(granted.admission)
            raise
        self._note(request, record, answer, granted)
        with _kept_if_possible():
            await self._breaker.succeeded(granted.admission)
        return answer

    async def _in_time(self, request: ChatRequest, left: timedelta) -> ChatAnswer:
        try:
            with self._clock.deadline(left):
                return await self._llm.complete(request)
        except TimeoutError:
            seconds, had = self._limit.total_seconds(), left.total_seconds()
            what = f"the {seconds:g} s that a turn has" if had > seconds * _FAIR else f"the {had:.1f} s that were left"
            raise ModelTimeout(f"The provider did not answer within {what}.") from None

    def _left(self, record: Record) -> timedelta:
        """What is left of the time that all calls of a turn have together."""
        return record.run.started_at + self._limit - self._clock.now()

    async def _admit(self, request: ChatRequest, record: Record) -> Pass:
        """Pass the breaker and reserve a call, in one short transaction. Raises `TurnHeld`."""
        run, now = record.run, self._clock.now()
        amounts = self._amounts(request.model, request.prompt_tokens, request.max_tokens)
        async with self._db.write() as session:
            try:
                purse = await budgets.reserve(session, run.thread_id, self._plan, amounts, now=now)
            except budgets.Spent as spent:
                raise _held_by(spent, now) from None
            except NotFound as gone:
                raise _deleted(gone) from None
            if not await turns.is_held(session, run.loop, run.thread_id, run.id):
                # Deleted, and made again; or taken over. Nothing may be asked of it, nor counted on whoever came after.
                raise TurnFailed(
                    "internal_error", "Its thread was deleted, or another process has taken the turn over."
                )
            admission = await self._breaker.admit(session, request.model, run.id)
        return Pass(admission, purse, amounts)

    def _amounts(self, model: str, prompt_tokens: int, completion_tokens: int) -> Amounts:
        cost = self._plan.cost(model, prompt_tokens, completion_tokens) or 0.0
        return Amounts(calls=1, tokens=prompt_tokens + completion_tokens, cost=cost)

    def _note(self, request: ChatRequest, record: Record, answer: ChatAnswer, granted: Pass) -> None:
        prompt = request.prompt_tokens if answer.prompt_tokens is None else answer.prompt_tokens
        completion = count_tokens(answer.text) if answer.completion_tokens is None else answer.completion_tokens
        used = self._amounts(request.model, prompt, completion)
        record.corrections.append((granted.purse, _difference(used, granted.reserved)))
        before = record.run
        record.note(
            raw_answer=answer.text if before.raw_answer is None else f"{before.raw_answer}{ASKED_AGAIN}{answer.text}",
            model=answer.model,
            prompt_tokens=_sum(before.prompt_tokens, answer.prompt_tokens),
            completion_tokens=_sum(before.completion_tokens, answer.completion_tokens),
            latency_seconds=(before.latency_seconds or 0.0) + answer.latency.total_seconds(),
            cost=_sum(before.cost, self._plan.cost(request.model, prompt, completion)),
        )


@contextmanager
def _kept_if_possible() -> Generator[None]:
    """What became of a call is told to other processes, unless the database is away: the next call tells it, too."""
    try:
        yield
    except UNREACHABLE as error:
        log.warning("What became of a call could not be kept: %s", error)


def _held_by(spent: budgets.Spent, now: datetime) -> TurnHeld:
    return TurnHeld("budget_spent", spent.detail, min(spent.renews_at, now + _RECHECKED))


def _deleted(gone: NotFound) -> TurnFailed:
    """Of a turn whose thread was deleted meanwhile: nothing will be left of it."""
    return TurnFailed("internal_error", gone.detail)


def _failed(error: ModelError) -> TurnFailed:
    reason = "timeout" if isinstance(error, ModelTimeout) else "provider_failed"
    return TurnFailed(reason, str(error), error.wait, is_final=error.is_final)


def _difference(used: Amounts, reserved: Amounts) -> Amounts:
    """What is to be counted beside what was reserved; a call that was made stays counted."""
    return Amounts(tokens=used.tokens - reserved.tokens, cost=used.cost - reserved.cost)


def _read(
    request: ChatRequest, answer: ChatAnswer, kind: type[T], what: str, otherwise: Callable[[str], T | None]
) -> T:
    try:
        value = read_answer(answer.text, kind, what)
        _refuse_quotation(value, answer.text, request, what)
    except AnswerInvalid as error:
        meant = otherwise(answer.text)
        if meant is not None:
            return meant
        if answer.cut_off:
            raise AnswerInvalid(f"{str(error).rstrip('.')}. It was cut off at `max_tokens`: allow more.") from None
        raise
    return value


def _refuse_quotation(value: object, answer: str, request: ChatRequest, what: str) -> None:
    """Refuse what stands in an answer's prose just as it stands in the data: it may have been quoted to be declined."""
    if read_whole(answer, type(value)) is None and is_quoted(value, request.messages[1].content):
        raise AnswerInvalid(f"The only thing in the model's answer that could be {what} is quoted from the data.")


def _mended(request: ChatRequest, answer: ChatAnswer, error: AnswerInvalid) -> ChatRequest:
    """The request with the useless answer and what is wrong about it."""
    said = ChatMessage("assistant", answer.text[:_QUOTED] or "(nothing)")
    again = ChatMessage("user", f"That could not be used. {error} Answer once more, with the one JSON object alone.")
    return structs.replace(request, messages=[*request.messages, said, again])


def _sum(one: float | None, other: float | None) -> float | None:
    return other if one is None else one + (other or 0)
