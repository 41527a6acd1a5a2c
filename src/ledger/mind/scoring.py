"""What a scorecard makes of the counts: topics, trends with their messages, and how much the new matters."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from ledger.insights.structs import Insight, OpenQuestion, Scorecard, Topic, Trend
from ledger.mind import changes
from ledger.mind.questions import open_questions
from ledger.mind.reading import Reading
from ledger.mind.topics import Tally, Trending, counted, novelty, top_topics, trends

_CALM = 0.5
"""The novelty of a first reflection, to which everything is new."""

_INSIGHTS = 5
_MOST = 10
_SURE = 2


class Counted(NamedTuple):
    """What statistics make of what is new."""

    tally: str
    """The tally afterwards, as JSON."""
    topics: list[Topic]
    rising: list[Trending]
    fading: list[Trending]
    open_questions: list[OpenQuestion]
    novelty: float

    @property
    def seqs(self) -> set[int]:
        """Positions of the messages that trends cite."""
        return {seq for trend in (*self.rising, *self.fading) for seq in trend.seqs}


def count(tally: str | None, before: Scorecard, reading: Reading) -> Counted:
    """Count what is new. `tally`: that of the turn before, as JSON. It takes some 20 ms for 4,000 tokens."""
    earlier = Tally() if tally is None else msgspec.json.decode(tally, type=Tally)
    after = counted(earlier, reading.new)
    rising, fading = trends(after)
    return Counted(
        msgspec.json.encode(after).decode(),
        top_topics(reading.messages, after),
        rising,
        fading,
        open_questions(before.open_questions, reading.messages, reading.new[0].seq - 1),
        novelty(reading.new, earlier),
    )


def trends_of(found: Sequence[Trending], ids: Mapping[int, str]) -> list[Trend]:
    """Trends that cite messages by their ids; without a message that is still there it is no trend."""
    return [
        Trend(each.topic, round(each.recent, 4), round(each.earlier, 4), round(each.z, 2), cited)
        for each in found
        if (cited := [ids[seq] for seq in each.seqs if seq in ids])
    ]


def insights_of(rising: Sequence[Trend], fading: Sequence[Trend]) -> list[Insight]:
    """One statement for each trend; the surer it is, the more important: |z| of 2 counts 4, 5 and more count 10."""
    surest = sorted((*rising, *fading), key=lambda trend: -abs(trend.z))[:_INSIGHTS]
    return [
        Insight(changes.sentence(trend), min(_MOST, round(abs(trend.z) * _SURE)), trend.evidence) for trend in surest
    ]


def importance(before: Scorecard, novelty: float, rising: Sequence[Trend]) -> int:
    """1 to 10 without a model: up to 6 for the share of terms that are new, and 3 if a topic has begun to rise."""
    begun = {trend.topic for trend in rising} - {trend.topic for trend in before.rising}
    return 1 + round(6 * (novelty if before.revision else _CALM) + 3 * bool(begun))
