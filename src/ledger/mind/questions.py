"""Questions that nobody has answered."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ledger.insights.structs import OpenQuestion
from ledger.threads.structs import Message
from ledger.words.terms import READ, masked, spoken

ANSWER = timedelta(hours=12)
"""Whatever the other says within this time counts as an answer."""

KEPT = timedelta(days=90)

_LONGEST = 300
_ENOUGH = 2  # shared terms that make a later message an answer, as does half of the question's terms
_MARKS = "?\uff1f\u061f"  # Latin, full-width, Arabic
_SENTENCE = re.compile(rf"(?:[^.!\u2026\u3002\uff01\n{_MARKS}]|\.(?=\S))+[.!\u2026\u3002\uff01{_MARKS}]*")
_OPENING = " \t-*>\"'“”«»(「"

Terms = frozenset[str]


def open_questions(
    before: Sequence[OpenQuestion], window: Sequence[Message], after_seq: int, limit: int = 10
) -> list[OpenQuestion]:
    """The open questions, the newest first: those of `before` that are still open, and those asked after `after_seq`.

    The other role answers by speaking within 12 hours, or later about the same: half of the question's terms, or two.
    Questions more than 90 days older than the newest message drop out.
    """
    new = [message for message in window if message.seq > after_seq]
    said = dict(zip((message.seq for message in new), _terms(message.content for message in new), strict=True))
    waiting = [
        question
        for question, terms, seq in [*_asked(new), *_known(before, after_seq)]
        if not any(_answers(message, said[message.seq], question, terms) for message in new if message.seq > seq)
    ]
    newest = max((moment for moment in _moments(before, window)), default=None)
    fresh = {
        (question.role, question.question): question
        for question in sorted(waiting, key=lambda question: question.asked_at)
        if newest is not None and newest - question.asked_at <= KEPT
    }
    return sorted(fresh.values(), key=lambda question: question.asked_at, reverse=True)[:limit]


def _asked(messages: Sequence[Message]) -> Iterable[tuple[OpenQuestion, Terms, int]]:
    for message in reversed(messages):
        sentences = _questions(message.content)
        for sentence, terms in zip(sentences, _terms(sentences), strict=True):
            if terms:
                yield OpenQuestion(sentence, message.role, message.created_at, message.id), terms, message.seq


def _known(before: Sequence[OpenQuestion], after_seq: int) -> Iterable[tuple[OpenQuestion, Terms, int]]:
    """Those open so far: what was said up to `after_seq` did not answer them."""
    terms = _terms(question.question for question in before)
    return [(question, words, after_seq) for question, words in zip(before, terms, strict=True)]


def _questions(text: str) -> list[str]:
    """The sentences that end in a question mark outside code and addresses, as they are written."""
    text = text[:READ]
    sentences = [
        text[found.start() : found.end()]
        for found in _SENTENCE.finditer(masked(text))
        if not set(_MARKS).isdisjoint(found[0][-3:])
    ]
    return [" ".join(sentence.split()).lstrip(_OPENING)[-_LONGEST:] for sentence in sentences]


def _terms(texts: Iterable[str]) -> list[Terms]:
    return [frozenset(said.terms) for said in spoken(texts, {})]


def _answers(message: Message, said: Terms, question: OpenQuestion, terms: Terms) -> bool:
    if message.role == question.role or message.created_at < question.asked_at:
        return False
    shared = len(terms & said)
    return message.created_at - question.asked_at <= ANSWER or shared >= _ENOUGH or 0 < len(terms) <= 2 * shared


def _moments(before: Sequence[OpenQuestion], window: Sequence[Message]) -> list[datetime]:
    return [question.asked_at for question in before] + [message.created_at for message in window]
