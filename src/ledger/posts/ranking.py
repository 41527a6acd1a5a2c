"""How posts are ordered, and what a mention is: pure functions."""

import math
import re
from datetime import datetime

_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[\s\S]*?(?:^ {0,3}(?P=fence)|\Z)|(?P<tick>`+)[^`]+(?P=tick)", re.MULTILINE
)
_EPOCH = 1_134_028_003
_DECAY_SECONDS = 45_000


def hot(score: int, created_at: datetime) -> float:
    """Rank of a post that ages: ten times the votes weigh as much as 12.5 hours.

    Source: Reddit's published "hot" ranking: sign(s)·log10(max(|s|, 1)) + t / 45,000, with t in seconds since
    2005-12-08T07:46:43Z.
    """
    order = math.log10(max(abs(score), 1))
    sign = (score > 0) - (score < 0)
    return round(sign * order + (created_at.timestamp() - _EPOCH) / _DECAY_SECONDS, 7)


def mentions(text: str, name: str) -> bool:
    """Whether `@name` stands in the text, in any case, at word boundaries and outside code."""
    prose = _CODE.sub(" ", text)
    # ASCII boundaries, because scripts without spaces write a name between two letters.
    return re.search(rf"(?<![A-Za-z0-9_@.])@{re.escape(name)}(?![A-Za-z0-9_-])", prose, re.IGNORECASE) is not None
