"""Texts next to each other: how alike they are, and which of many are nearest to one."""

import math
import re
from collections import Counter

from ledger.threads.structs import Message

_K1, _B = 1.2, 0.75
_TERM = _K1 + 1
_QUOTED = 300

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")


def words(text: str) -> frozenset[str]:
    """The set of words, lower case; in scripts without spaces each character is one."""
    return frozenset(_WORD.findall(text.lower()))


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard index: shared words over all words; two empty sets are the same."""
    return len(one & other) / len(one | other) if one or other else 1.0


def nearest(question: str, said: list[Message], limit: int) -> list[Message]:
    """The messages nearest to a question, best first.

    Okapi BM25 (Robertson et al. 1994) over sets of words, with its usual k1 = 1.2 and b = 0.75.
    """
    sets = [words(message.content) for message in said]
    weight, wanted = _weights(sets), words(question)
    average = sum(map(len, sets)) / (len(sets) or 1) or 1
    scored = [
        (sum(weight[word] for word in wanted & own) * _TERM / (1 + _K1 * (1 - _B + _B * len(own) / average)), message)
        for own, message in zip(sets, said, strict=True)
    ]
    best = sorted((row for row in scored if row[0] > 0), key=lambda row: (-row[0], -row[1].seq))
    return [message for _, message in best[:limit]]


def central(said: list[Message], limit: int) -> list[Message]:
    """The messages most like the others, in the order they were said.

    Degree centrality as in LexRank (Erkan and Radev 2004), with idf-weighted overlap of word sets for similarity.
    """
    sets = [words(message.content) for message in said]
    weight = _weights(sets)
    size = [math.sqrt(sum(weight[word] for word in own)) or 1.0 for own in sets]
    degree = [
        sum(sum(weight[word] for word in own & other) / (size[i] * size[j]) for j, other in enumerate(sets) if i != j)
        for i, own in enumerate(sets)
    ]
    best = sorted(range(len(said)), key=lambda i: (-degree[i], i))[:limit]
    return [said[i] for i in sorted(best)]


def quote(message: Message) -> str:
    """A message as one item of a list: when, by whom, and its beginning."""
    day = f"{message.created_at:%Y-%m-%d}"
    return f"- {day}, {message.role} (message {message.seq}): “{one_line(message.content)}”"


def one_line(text: str) -> str:
    """A text without line breaks, at most 300 characters of it."""
    line = " ".join(text.split())
    return line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…"


def _weights(sets: list[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency of each word, log(1 + (N - n + 0.5) / (n + 0.5))."""
    counts = Counter(word for own in sets for word in own)
    return {word: math.log(1 + (len(sets) - n + 0.5) / (n + 0.5)) for word, n in counts.items()}
