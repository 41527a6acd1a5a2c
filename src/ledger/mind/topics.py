"""What a thread is about, by word statistics alone: the topics of a window, and what rises and fades.

tally = counted(Tally(), messages)
top_topics(messages[-40:], tally)
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.insights.structs import Topic
from ledger.mind.tally import Known, Tally, counted, even, novelty
from ledger.threads.structs import Message
from ledger.words.scripts import overlap
from ledger.words.terms import Term, spoken

__all__ = ["Tally", "Trending", "counted", "novelty", "top_topics", "trends"]

_LEAST = 2  # messages that make a topic
_EVIDENCE = 5
_CANDIDATES = 60
_COVERED = 0.6  # the share of a word's messages from which on a longer term stands for it
_SIDE = 20  # messages each side of a trend needs
_RISEN = 3
_PRIOR = 20.0
_SURE = 1.96


class Trending(NamedTuple):
    topic: str
    recent: float
    """Share of the messages of the last 30 days that speak of it."""
    earlier: float
    """Share of all messages before."""
    z: float
    seqs: list[int]
    """Positions of the newest messages that do, the newest first, at most 3."""


class _Candidate(NamedTuple):
    key: str
    form: str
    messages: int
    score: float
    where: frozenset[int]
    """Positions of its messages, or of the newest of them."""


def top_topics(window: Sequence[Message], tally: Tally, limit: int = 8) -> list[Topic]:
    """What most messages of the window speak of, at least two; the window should be counted in the tally.

    A word that is spread over all days as if by chance counts half in the choice.
    """
    ids = {message.seq: message.id for message in window}
    chosen = _distinct(_candidates(window, tally))[:limit]
    chosen.sort(key=lambda one: (-one.messages, -max(one.where), one.key))
    return [
        Topic(one.form, one.messages, [ids[seq] for seq in sorted(one.where, reverse=True)[:_EVIDENCE]])
        for one in chosen
    ]


def trends(tally: Tally, limit: int = 5) -> tuple[list[Trending], list[Trending]]:
    """What rises and what fades: the last 30 days against all before; nothing while either has under 20 messages.

    The z-score of the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008), on messages
    that do and do not speak of a term; the prior is worth 20 messages a side and shaped like the whole tally.
    Their bound is kept: 1.96 either way. Three messages are the least.
    """
    recent, before = tally.messages.recent, tally.messages.before
    if min(recent, before) < _SIDE:
        return [], []
    scored = [
        _Candidate(key, known.form, known.counts.total, _z(known, recent, before), frozenset(known.seqs))
        for key, known in tally.terms.items()
        if not _aside(known)
    ]
    sides = (
        [one for one in scored if one.score > _SURE and tally.terms[one.key].counts.recent >= _RISEN],
        [one._replace(score=-one.score) for one in scored if one.score < -_SURE],
    )
    rising, fading = ([_trending(one, tally) for one in _distinct(side)[:limit]] for side in sides)
    return rising, fading


def _z(known: Known, recent: int, before: int) -> float:
    prior = _PRIOR * (known.counts.total + 0.5) / (recent + before + 1)  # less than all of it
    now, then = known.counts.recent + prior, known.counts.before + prior
    odds = math.log(now / (recent + _PRIOR - now)) - math.log(then / (before + _PRIOR - then))
    return odds / math.sqrt(1 / now + 1 / then)


def _trending(one: _Candidate, tally: Tally) -> Trending:
    known, messages = tally.terms[one.key], tally.messages
    recent, earlier = known.counts.recent / messages.recent, known.counts.before / messages.before
    z = _z(known, messages.recent, messages.before)
    return Trending(known.form, recent, earlier, z, known.seqs)


def _candidates(window: Sequence[Message], tally: Tally) -> list[_Candidate]:
    found: dict[str, dict[int, Term]] = {}
    for message, said in zip(window, spoken((message.content for message in window), tally.heard), strict=True):
        for key, term in said.terms.items():
            found.setdefault(key, {})[message.seq] = term
    return [
        _Candidate(key, _form(by_seq.values()), len(by_seq), _score(key, len(by_seq), tally), frozenset(by_seq))
        for key, by_seq in found.items()
        if len(by_seq) >= _LEAST and not _aside(tally.terms.get(key), by_seq.values())
    ]


def _score(key: str, count: int, tally: Tally) -> float:
    """Messages of the window; ties go to pairs, which say more, and to what is rarer outside of the window."""
    known = tally.terms.get(key)
    pair = 0.5 if " " in key else 0.0
    if known is None:
        return count + pair
    share = known.counts.total / max(1, tally.messages.total, known.counts.total)
    return (count / 2 if even(known.counts, tally.messages) else count) + pair - share / 2


def _form(terms: Iterable[Term]) -> str:
    """The way most of them write it."""
    forms = Counter(term.form for term in terms)
    return min(forms, key=lambda form: (-forms[form], form))


def _aside(known: Known | None, here: Iterable[Term] = ()) -> bool:
    """Whether it mostly stands in clauses of one or two words, as names that are called and exclamations do."""
    heard = [*here, known] if known else [*here]
    return 2 * sum(term.alone for term in heard) > sum(term.clauses for term in heard)


def _distinct(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """The best first, without those that say again what a better or a longer one says."""
    best = sorted(candidates, key=lambda one: (-one.score, -len(one.key), one.key))[:_CANDIDATES]
    whole = [one for one in best if not any(_stands_for(other, one) for other in best)]
    chosen: list[_Candidate] = []
    for one in whole:
        if not any(overlap(one.key, other.key) and _repeats(one, other) for other in chosen):
            chosen.append(one)
    return chosen


def _stands_for(longer: _Candidate, part: _Candidate) -> bool:
    return (
        len(longer.key) > len(part.key)
        and longer.messages >= _COVERED * part.messages
        and part.key in (longer.key.split() if " " in longer.key else longer.key)
    )


def _repeats(one: _Candidate, other: _Candidate) -> bool:
    return 2 * len(one.where & other.where) >= len(one.where)
