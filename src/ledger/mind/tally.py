"""How often a thread speaks of what, in bounded space."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC

from msgspec import Struct, field
from msgspec.structs import replace

from ledger.threads.structs import Message
from ledger.words.terms import Spoken, Term, spoken

RECENT = 30
"""How many days, the newest message's and those before it, are counted one by one."""

KEPT = 400
"""How many terms a tally holds."""

SEQS = 3

_OLD = 8  # so many messages from before the recent days weigh as much as one recent
_EVEN = 0.1
_DAYS = 6
_A_DAY = 1.5


class Counts(Struct):
    """In how many messages, by day."""

    days: dict[int, int] = field(default_factory=dict[int, int])
    """Of the recent days, by the day's proleptic Gregorian ordinal in UTC."""
    before: int = 0
    days_before: int = 0
    """On how many days the messages before were, as far as they came in order."""

    @property
    def recent(self) -> int:
        return sum(self.days.values())

    @property
    def total(self) -> int:
        return self.recent + self.before

    @property
    def all_days(self) -> int:
        return max(1, len(self.days) + self.days_before)

    def add(self, day: int, oldest: int) -> None:
        if day < oldest:
            self.before += 1
        else:
            self.days[day] = self.days.get(day, 0) + 1

    def aged(self, oldest: int) -> "Counts":
        """A copy, with the days before `oldest` among those before."""
        old = [day for day in self.days if day < oldest]
        days = {day: count for day, count in self.days.items() if day >= oldest}
        return Counts(days, self.before + sum(self.days[day] for day in old), self.days_before + len(old))


class Known(Struct):
    """What is known of a term."""

    counts: Counts
    form: str
    """As most people write it: the majority vote of Boyer and Moore (1981)."""
    lead: int = 0
    clauses: int = 0
    alone: int = 0
    """How many of the clauses it stands in have no more than two words."""
    seqs: list[int] = field(default_factory=list[int])
    """Positions of the newest messages that speak of it, the newest first."""

    def aged(self, oldest: int) -> "Known":
        return (
            self if min(self.counts.days, default=oldest) >= oldest else replace(self, counts=self.counts.aged(oldest))
        )

    def add(self, term: Term, seq: int) -> None:
        if self.lead == 0:
            self.form = term.form
        self.lead += 1 if term.form == self.form else -1
        self.clauses += term.clauses
        self.alone += term.alone
        self.seqs = sorted({seq, *self.seqs}, reverse=True)[:SEQS]


class Tally(Struct):
    newest: int = 0
    """The newest day."""
    heard: dict[str, float] = field(default_factory=dict[str, float])
    """The languages heard lately."""
    messages: Counts = field(default_factory=Counts)
    terms: dict[str, Known] = field(default_factory=dict[str, Known])


def counted(tally: Tally, new: Sequence[Message]) -> Tally:
    """The tally with these messages counted.

    What is seldom and old is forgotten after each batch, as in lossy counting (Manku and Motwani 2002), except that
    space is the given quantity here and error follows: the lightest terms beyond the 400 heaviest go.
    """
    after = Tally(tally.newest, dict(tally.heard), tally.messages.aged(0), dict(tally.terms))
    touched: set[str] = set()
    for message, said in zip(new, spoken((message.content for message in new), tally.heard), strict=True):
        _count(after, message, said, touched)
    oldest = after.newest - RECENT + 1
    after.messages = after.messages.aged(oldest)
    after.terms = _heaviest({key: known.aged(oldest) for key, known in after.terms.items()})
    return after


def novelty(new: Sequence[Message], before: Tally) -> float:
    """The share of the messages' words, from 0 to 1, that the tally does not know."""
    terms = {key for said in spoken((message.content for message in new), before.heard) for key in said.terms}
    words = {key for key in terms if " " not in key}
    return len(words - before.terms.keys()) / len(words) if words else 0.0


def day_of(message: Message) -> int:
    return message.created_at.astimezone(UTC).toordinal()


def even(counts: Counts, messages: Counts) -> bool:
    """Whether a frequent term is spread over the days as if by chance, as words without a topic are.

    Residual inverse document frequency (Church and Gale 1995), days for documents, below 0.1.
    """
    days = messages.all_days
    rate = counts.total / days
    if days < _DAYS or rate < _A_DAY:
        return False
    return -math.log(counts.all_days / days) + math.log(1 - math.exp(-rate)) < _EVEN


def _count(after: Tally, message: Message, said: Spoken, touched: set[str]) -> None:
    day = day_of(message)
    after.newest = max(after.newest, day)
    after.heard = dict(said.heard)
    oldest = after.newest - RECENT + 1
    after.messages.add(day, oldest)
    for key, term in said.terms.items():
        if key not in touched:
            touched.add(key)
            known = after.terms.get(key)
            counts = known.counts.aged(0) if known else Counts()
            after.terms[key] = replace(known, counts=counts) if known else Known(counts, term.form)
        after.terms[key].counts.add(day, oldest)
        after.terms[key].add(term, message.seq)


def _heaviest(terms: Mapping[str, Known]) -> dict[str, Known]:
    def weight(key: str) -> tuple[float, int, str]:
        known = terms[key]
        return known.counts.recent + known.counts.before / _OLD, known.seqs[0], key

    return {key: terms[key] for key in sorted(terms, key=weight, reverse=True)[:KEPT]}
