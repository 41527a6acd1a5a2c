"""What was learned of the thread and its person."""

from ledger.openapi.examples import ids
from ledger.openapi.examples.ids import Json

_TOPIC: Json = {"topic": "camping", "count": 3, "evidence": [*reversed(ids.MESSAGES)]}
_TREND: Json = {"topic": "lake", "recent": 0.3, "earlier": 0.05, "z": 2.4, "evidence": [*ids.MESSAGES[:0:-1]]}
_QUESTION: Json = {
    "question": "Shall I look for a camp site?",
    "role": "assistant",
    "asked_at": ids.SAID[1],
    "message_id": ids.MESSAGES[1],
}
_INSIGHT: Json = {"text": "They want to camp by the lake in May.", "importance": 6, "evidence": [ids.MESSAGES[2]]}
_TRAIT: Json = {
    "value": 0.2254,
    "confidence": 0.1667,
    "evidence_count": 2,
    "evidence": [ids.MESSAGES[2], ids.MESSAGES[0]],
    "trend": "stable",
    "pinned": False,
    "weight": 2.0,
    "slow": 0.2254,
    "seen_at": ids.SAID[2],
}
_WORDS: Json = {"verbosity": "concise", "emoji": None, "format": "structured", "tone": "casual"}
_BRIEFING: Json = {
    "thread_id": ids.THREAD,
    "max_tokens": 800,
    "tokens": 34,
    "profile": ["Be brief."],
    "topics": ["camping", "lake"],
    "open_questions": ["assistant: Shall I look for a camp site?"],
    "insights": ["They want to camp by the lake in May."],
    "posts": [],
}

BRIEFING_TEXT = """\
How to write for this person:
- Be brief.

What the talk is about:
- camping
- lake

Open questions:
- assistant: Shall I look for a camp site?

What is known:
- They want to camp by the lake in May."""

EXAMPLES: dict[str, Json] = {
    "Topic": _TOPIC,
    "Trend": _TREND,
    "OpenQuestion": _QUESTION,
    "Insight": _INSIGHT,
    "Scorecard": {
        "thread_id": ids.THREAD,
        "revision": 1,
        "created_at": ids.ENDED,
        "run_id": ids.REFLECTION_RUN,
        "decided_by": "model",
        "first_seq": 1,
        "last_seq": 3,
        "messages": 3,
        "topics": [_TOPIC],
        "rising": [_TREND],
        "fading": [],
        "open_questions": [_QUESTION],
        "insights": [_INSIGHT],
        "preference_confidence": 0.1667,
        "importance": 6,
    },
    "Trait": _TRAIT,
    "Words": _WORDS,
    "Profile": {
        "thread_id": ids.THREAD,
        "revision": 1,
        "created_at": ids.ENDED,
        "run_id": ids.PERSONALITY_RUN,
        "decided_by": "rules",
        "reverted_to": None,
        "traits": {"verbosity": _TRAIT},
        "words": _WORDS,
    },
    "Pins": {"verbosity": 0.2, "emoji": None},
    "ProfileChange": {"pin": {"verbosity": 0.2, "emoji": None}},
    "Revert": {"revision": 1},
    "Briefing": _BRIEFING,
}
