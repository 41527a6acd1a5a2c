"""How what messages show becomes a profile: averages that fade, the words they mean, what a model is told."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal, TypeVar

from msgspec import Struct, structs

from ledger.insights.structs import TRAITS, Share, Trait, TraitName, TraitTrend, Words
from ledger.mind.style import measure
from ledger.threads.structs import Message

HALF_LIFE = timedelta(days=60)
"""In this time evidence loses half its weight."""

PRIOR = 10
"""Messages at which confidence is one half."""

STEP = 0.1
"""The most one proposal of a model moves a value."""

WORDS_FROM = 0.5
"""The confidence at which a number becomes a word."""

TREND = 0.03
"""How far a value must be from its slower average to rise or fall."""

HYSTERESIS = 0.03
"""How far beyond a boundary a value must be for its word to change."""

KEPT = 10
"""How many message ids are kept as evidence."""

T = TypeVar("T", bound=str)

_Bands = tuple[tuple[float, ...], tuple[T, ...]]
"""Boundaries, and the words below, between and from them."""

_VERBOSITY: _Bands[Literal["concise", "balanced", "verbose"]] = (
    (0.35, math.nextafter(0.65, 1)),
    ("concise", "balanced", "verbose"),
)
_EMOJI: _Bands[Literal["on", "off"]] = (0.2,), ("off", "on")
_FORMAT: _Bands[Literal["structured", "freeform"]] = (0.3,), ("freeform", "structured")
_FORMALITY = (0.4, 0.65), ("casual", "", "formal")
_HUMOR = (0.15,), ("", "playful")
_SERIOUSNESS = (0.65,), ("", "serious")
_PACE = (0.3, 0.7), ("They take their time to answer.", "", "They answer quickly.")
_QUESTIONS = (0.1, 0.4), ("They seldom ask questions.", "", "They ask many questions.")

_LINES = {
    "concise": "Keep answers concise.",
    "balanced": "Keep answers to a medium length.",
    "verbose": "Give full and detailed answers.",
    "on": "Emoji are welcome: they use them.",
    "off": "Use emoji sparingly: they hardly ever do.",
    "structured": "They like lists and headings.",
    "freeform": "Write plain paragraphs: they seldom use lists or headings.",
}


class Evidence(Struct, frozen=True):
    trait: TraitName
    value: Share
    """Mean of what was measured, or what a model proposed."""
    count: int
    """How many messages it rests on."""
    message_ids: list[str]
    """The newest first, at most 10."""
    at: datetime
    """When the newest of them was said."""
    proposed: bool = False
    """By a model: the value moves toward it by at most `STEP`."""


def gathered(messages: Sequence[Message], after_seq: int = 0) -> list[Evidence]:
    """What the messages of people behind `after_seq` show, one piece for each trait and day (UTC), oldest first.

    The messages are in order of time. The others only say what a person answered.
    """
    shown: dict[tuple[date, TraitName], list[tuple[float, Message]]] = {}
    for before, message in zip([None, *messages[:-1]], messages, strict=True):
        if message.origin == "person" and message.seq > after_seq:
            for trait, value in measure(message, before).items():
                shown.setdefault((message.created_at.date(), trait), []).append((value, message))
    return [_piece(trait, rows) for (_, trait), rows in shown.items()]


def learned(traits: Mapping[TraitName, Trait], evidence: Sequence[Evidence], now: datetime) -> dict[TraitName, Trait]:
    """The traits after these pieces of evidence. `now`: when the thread's newest message was said."""
    after = dict(traits)
    for piece in sorted(evidence, key=lambda piece: piece.at):
        after[piece.trait] = _after(after.get(piece.trait, Trait()), piece)
    return {name: _trending(after[name], now) for name in TRAITS if name in after}


def words_of(traits: Mapping[TraitName, Trait], before: Words) -> Words:
    """What the numbers mean. A word of `before` stays until its number is clearly beyond the boundary."""
    return Words(
        verbosity=_word(traits.get("verbosity"), _VERBOSITY, before.verbosity),
        emoji=_word(traits.get("emoji"), _EMOJI, before.emoji),
        format=_word(traits.get("structure"), _FORMAT, before.format),
        tone=_tone(traits, before.tone),
    )


def described(words: Words, traits: Mapping[TraitName, Trait]) -> list[str]:
    """How to write for this person, in short sentences for a model; only what is known, at most 8."""
    known = [_LINES[word] for word in (words.verbosity, words.emoji, words.format) if word]
    tone = f"Tone: {words.tone}." if words.tone else None
    habits = _word(traits.get("pace"), _PACE, None), _word(traits.get("questions"), _QUESTIONS, None)
    return [line for line in (*known, tone, *habits) if line]


def _piece(trait: TraitName, rows: list[tuple[float, Message]]) -> Evidence:
    messages = [message for _, message in rows]
    return Evidence(
        trait=trait,
        value=min(1.0, math.fsum(value for value, _ in rows) / len(rows)),
        count=len(rows),
        message_ids=[message.id for message in messages[: -KEPT - 1 : -1]],
        at=max(message.created_at for message in messages),
    )


def _after(trait: Trait, piece: Evidence) -> Trait:
    """One step. Both averages keep a share of what they were; the slower one keeps the root of the other's share.

    So any split of the same evidence into pieces keeps the same share in the end, and where the weight is large the
    slower average gains half as much.
    """
    if trait.pinned:
        return trait
    seen_at = trait.seen_at or piece.at
    old = trait.weight * _fading(piece.at - seen_at)
    fresh = [key for key in piece.message_ids if key not in trait.evidence]
    again = len(piece.message_ids) - len(fresh) if piece.proposed else 0
    count = max(0, piece.count - again)  # a message counts once, however often it is cited
    new = count * _fading(seen_at - piece.at)
    keep = old / (old + new) if old + new else 1.0
    value = _moved(trait.value, piece, keep)
    target = value if piece.proposed else piece.value
    return structs.replace(
        trait,
        value=round(value, 4),
        slow=round(target + math.sqrt(keep) * (trait.slow - target), 4),
        weight=round(old + new, 4),
        confidence=round((old + new) / (old + new + PRIOR), 4),
        evidence_count=trait.evidence_count + count,
        evidence=_ids(trait, piece, fresh),
        seen_at=max(seen_at, piece.at),
    )


def _moved(value: float, piece: Evidence, keep: float) -> float:
    if piece.proposed:
        return value + max(-STEP, min(STEP, piece.value - value))
    return piece.value + keep * (value - piece.value)


def _fading(age: timedelta) -> float:
    """What is left of a weight; nothing grows by looking back."""
    return 2 ** -(max(age, timedelta(0)) / HALF_LIFE)


def _ids(trait: Trait, piece: Evidence, fresh: list[str]) -> list[str]:
    """The newest first; of one moment, what came later is newer."""
    newer = trait.seen_at is None or piece.at >= trait.seen_at
    ids = [*fresh, *trait.evidence] if newer else [*trait.evidence, *fresh]
    return list(dict.fromkeys(ids))[:KEPT]


def _trending(trait: Trait, now: datetime) -> Trait:
    return trait if trait.pinned else structs.replace(trait, trend=_trend(trait, now))


def _trend(trait: Trait, now: datetime) -> TraitTrend:
    if trait.seen_at is not None and now - trait.seen_at > HALF_LIFE:
        return "stale"
    apart = trait.value - trait.slow
    return "strengthening" if apart > TREND else "weakening" if apart < -TREND else "stable"


def _word(trait: Trait | None, bands: _Bands[T], before: T | None) -> T | None:
    """The word for a value, or that of `before` if it is still near; a pinned value is meant as it stands."""
    if trait is None or not (trait.pinned or trait.confidence >= WORDS_FROM):
        return None
    bounds, words = bands
    near = 0.0 if trait.pinned else HYSTERESIS
    lowest, highest = bisect_right(bounds, trait.value - near), bisect_right(bounds, trait.value + near)
    return before if before in words[lowest : highest + 1] else words[bisect_right(bounds, trait.value)]


def _tone(traits: Mapping[TraitName, Trait], before: str | None) -> str | None:
    """Formality and what colours it, playful before serious; neutral where nothing stands out."""
    formality = _word(traits.get("formality"), _FORMALITY, _part(before, "casual", "formal"))
    if formality is None:
        return None
    playful = _word(traits.get("humor"), _HUMOR, _part(before, "playful"))
    serious = _word(traits.get("seriousness"), _SERIOUSNESS, _part(before, "serious"))
    return " and ".join(filter(None, (formality, playful or serious))) or "neutral"


def _part(tone: str | None, *among: str) -> str | None:
    """Which of these words a tone had; the empty one if none."""
    return None if tone is None else next((word for word in among if word in tone.split(" and ")), "")
