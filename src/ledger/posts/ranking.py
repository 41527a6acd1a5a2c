"""How posts are ordered, and what a mention is: pure functions."""

import math
import re
from datetime import datetime

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark")
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Letters of scripts that put no space before or after a name."""

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
    """Whether `@name` stands in a Markdown text, in any case, at word boundaries and outside code."""
    before, after = rf"(?:(?<![\w@.+-])|(?<=[{_SPACELESS}]))", rf"(?:(?![\w-])|(?=[{_SPACELESS}]))"
    called = re.compile(rf"{before}@{re.escape(name)}{after}", re.IGNORECASE)
    return any(called.search(prose) for prose in _prose(text))


def _prose(text: str) -> list[str]:
    """The paragraphs, headings and items of a Markdown text, code spans left out."""
    blocks = [token.children or [] for token in _MARKDOWN.parse(text) if token.type == "inline"]
    return ["".join(part.content if part.type == "text" else " " for part in block) for block in blocks]
