"""Words of scripts that do not write them apart: Chinese, Japanese, Thai; and Korean particles.

Each function takes a run of one script and gives the pieces that may be content, in their order.
"""

import re
from collections.abc import Sequence
from functools import cache

from stopwordsiso import stopwords

from ledger.words import chatter

KANA = r"\u3041-\u30ff"
HAN = r"\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HANGUL = r"\u1100-\u11ff\uac00-\ud7af"
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer

_KATAKANA = r"\u30a1-\u30fa\u30fc"
_HAN = re.compile(rf"[{HAN}]")
_JAPANESE = frozenset(chatter.JAPANESE.split())
_KOREAN = frozenset(chatter.KOREAN.split())
_LONGEST_GRAM = 4
_SHORTEST_THAI, _LONGEST_THAI = 3, 24  # characters, vowel signs among them
_NOUN = re.compile(
    rf"[{HAN}{_KATAKANA}]{{2,}}"
    # Before anything but a particle a lone character is the stem of a verb or an adjective.
    rf"|(?<![{HAN}])[{HAN}](?=[はがをのにでとへもや]|[^\u3041-\u309f{HAN}]|\Z)"
)
_PARTICLE = re.compile(
    r"(?<=..)(?:에서는|에서도|으로는|으로도|에게서|이라고|이라는|입니다|이에요|예요|인데|에서|에게|에는|에도|한테|으로|까지|부터|처럼|보다|하고|이랑|라는|마다"
    r"|은|는|이|가|을|를|에|의|로|와|과|도|만|랑)\Z"
)
_VERBAL = re.compile(r"(?<=..)(?:했|하였|합니다|해요|하고|하는|하기|하려|할|한|해서|하면|해|되|됐)\w*\Z")
_PREDICATE = re.compile(r"(?:요|다|까|죠|네|지만|어서|아서|려고|면서|거든)\Z")


def chinese(run: str) -> Sequence[str]:
    """All runs of two to four characters between function words: the repeated ones among them are words."""
    return [
        part[start : start + size]
        for part in _chinese_function().split(run)
        for size in range(2, _LONGEST_GRAM + 1)
        for start in range(len(part) - size + 1)
        if part[start] not in chatter.CHINESE_STARTS and part[start + size - 1] not in chatter.CHINESE_ENDS
    ]


def japanese(run: str) -> Sequence[str]:
    """Kanji and katakana; hiragana writes the grammar."""
    return [noun for noun in _NOUN.findall(run) if noun not in _JAPANESE]


def korean(word: str) -> Sequence[str]:
    """The noun, or the noun of a verb made from one; other predicates are left out."""
    if word in _KOREAN:
        return []
    noun = _VERBAL.sub("", word)
    noun = _PARTICLE.sub("", word) if noun == word else noun
    left_out = len(noun) == 1 or noun in _KOREAN or (noun == word and _PREDICATE.search(word))
    return [] if left_out else [noun]


def thai(run: str) -> Sequence[str]:
    """What stands between function words."""
    return [part for part in _thai_function().split(run) if _SHORTEST_THAI <= len(part) <= _LONGEST_THAI]


def _splitter(words: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(sorted(map(re.escape, words), key=lambda word: (-len(word), word))))


@cache
def _chinese_function() -> re.Pattern[str]:
    listed = {word for word in stopwords("zh") if re.fullmatch(rf"[{HAN}]{{2,}}", word)}
    return _splitter(listed | {*chatter.CHINESE.split(), *chatter.CHINESE_PARTICLES})


@cache
def _thai_function() -> re.Pattern[str]:
    return _splitter({word for word in stopwords("th") if len(word) >= _SHORTEST_THAI} | set(chatter.THAI.split()))


def overlap(one: str, other: str) -> bool:
    """Whether two terms may be cut from one stretch of text: pairs that share a word, or runs that share an end."""
    if " " in one or " " in other:
        return " " in one and " " in other and not set(one.split()).isdisjoint(other.split())
    if not _HAN.search(one):
        return False
    ends = range(1, min(len(one), len(other)) + 1)
    return one in other or other in one or any(one[-n:] == other[:n] or one[:n] == other[-n:] for n in ends)
