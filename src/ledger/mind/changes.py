"""What is different between two scorecards, or two profiles, in sentences."""

from collections.abc import Iterable

from ledger.insights.structs import Scorecard, Trend, Words
from ledger.mind.texts import one_line

LEADING = 5
"""How many of a scorecard's topics count when it is asked whether the talk has changed."""

_EVIDENCE = 10


def between(before: Scorecard, after: Scorecard) -> list[str]:
    """What the talk has turned to and from, as sentences; none if it is about the same things as before."""
    earlier, now = leading(before), leading(after)
    asked, open_now = _asked(before), _asked(after)
    said: list[str] = []
    if new := [topic for topic in now if topic not in earlier]:
        counts = {topic.topic: topic.count for topic in after.topics}
        said.append(f"The talk has come to {_listed(f'{topic} ({counts[topic]} messages)' for topic in new)}.")
    if gone := [topic for topic in earlier if topic not in now]:
        said.append(f"It has left {_listed(gone)}.")
    said += map(sentence, turns(before, after))
    said += [f"Asked and not answered yet: “{one_line(asking)}”" for asking in open_now if asking not in asked]
    said += [f"No longer open: “{one_line(asking)}”" for asking in asked if asking not in open_now]
    known = {insight.text for insight in before.insights} | set(said)
    said += [insight.text for insight in after.insights if after.decided_by == "model" and insight.text not in known]
    return said


def since(then: Scorecard, now: Scorecard) -> list[str]:
    """How what a scorecard said stands now, as sentences; none if all stands as it was."""
    earlier, current = leading(then), leading(now)
    if not between(then, now):
        return []
    kept = [topic for topic in earlier if topic in current]
    lists = (
        ("Still talked about", kept),
        ("Talked about no longer", [topic for topic in earlier if topic not in current]),
        ("Talked about now", [topic for topic in current if topic not in earlier]),
        ("On the rise", [trend.topic for trend in now.rising]),
        ("On the wane", [trend.topic for trend in now.fading]),
    )
    asked, open_now = _asked(then), _asked(now)
    return [
        *(f"{what}: {_listed(topics)}." for what, topics in lists if topics),
        *(f"Open then, and not now: “{one_line(question)}”" for question in asked if question not in open_now),
        *(f"Open now: “{one_line(question)}”" for question in open_now),
    ]


def evidence(scorecard: Scorecard) -> list[str]:
    """Ids of messages that a scorecard rests on, at most 10."""
    cited = [
        *(each for insight in scorecard.insights for each in insight.evidence),
        *(each for trend in (*scorecard.rising, *scorecard.fading) for each in trend.evidence),
        *(each for topic in scorecard.topics[:LEADING] for each in topic.evidence[:2]),
        *(question.message_id for question in scorecard.open_questions),
    ]
    return list(dict.fromkeys(cited))[:_EVIDENCE]


def leading(scorecard: Scorecard) -> list[str]:
    return [topic.topic for topic in scorecard.topics[:LEADING]]


def of_words(before: Words, after: Words) -> list[str]:
    """What is newly known of how a person writes, as sentences."""
    labels = {"verbosity": "length", "emoji": "emoji", "format": "format", "tone": "tone"}
    said: list[str] = []
    for name, label in labels.items():
        earlier, now = getattr(before, name), getattr(after, name)
        if now is None or now == earlier:
            continue
        said.append(f"Their {label}: {now}." if earlier is None else f"Their {label}: {now}, no longer {earlier}.")
    return said


def turns(before: Scorecard, after: Scorecard) -> list[Trend]:
    """The topics that rise or fade now and did not before."""
    rose = [trend for trend in after.rising if trend.topic not in _topics(before.rising)]
    return rose + [trend for trend in after.fading if trend.topic not in _topics(before.fading)]


def sentence(trend: Trend) -> str:
    way = "more" if trend.z > 0 else "less"
    recent, earlier = f"{trend.recent * 100:.0f} %", f"{trend.earlier * 100:.0f} %"
    return (
        f"Spoken of {way} than before: {trend.topic}, in {recent} of the messages of the last 30 days "
        f"and in {earlier} of those before."
    )


def _topics(trends: list[Trend]) -> set[str]:
    return {trend.topic for trend in trends}


def _asked(scorecard: Scorecard) -> list[str]:
    return [question.question for question in scorecard.open_questions]


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
