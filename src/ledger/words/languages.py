"""Which language a text is written in, which of its words carry no content, and their stems."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache

import snowballstemmer  # pyright: ignore[reportMissingTypeStubs]  # it ships no stubs
from stopwordsiso import langs, stopwords

from ledger.words import chatter

UNKNOWN = ENGLISH = "en"
"""The language of a text without a single function word."""

_SNOWBALL = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
_RIVALS = 5
_FORGET = 0.05


class Weight(Enum):
    NONE = 0
    """Grammar or chatter."""
    PART = 1
    """A topic only in a pair."""
    TOPIC = 2


def votes(words: Iterable[str]) -> dict[str, float]:
    """Function words per language; a word of several languages gives each its share."""
    counts: defaultdict[str, float] = defaultdict(float)
    speakers = _speakers()
    for word in words:
        for language, share in speakers.get(word, ()):
            counts[language] += share
    return _likeliest(counts)


def heard(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """The votes so far, where each message counts half as much as the next."""
    return _likeliest({one: (before.get(one, 0) + now.get(one, 0)) / 2 for one in {*before, *now}})


def likeliest(heard: Mapping[str, float]) -> str:
    """The language with most votes (the function-word method; Ingle 1976, Grefenstette 1995)."""
    return max(sorted(heard), key=lambda language: heard[language], default=UNKNOWN)


def weight(word: str, language: str) -> Weight:
    """What a lower-case word counts for in a language."""
    if language == ENGLISH:
        topics, parts, chat = _english()
        root = stem(word, language)
        if word in topics:
            return Weight.TOPIC
        if root in parts:
            return Weight.PART
        if root in chat:
            return Weight.NONE
    return Weight.NONE if word in _function_words(language) else Weight.TOPIC


def stem(word: str, language: str) -> str:
    """The stem by the language's Snowball algorithm, or the word where there is none."""
    algorithm = _SNOWBALL.get(language)
    if algorithm is None:
        return word
    # A stemmer keeps the word in itself while it works, so each call has its own.
    return str(snowballstemmer.stemmer(algorithm).stemWord(word)) or word  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # ditto


def _likeliest(votes: Mapping[str, float]) -> dict[str, float]:
    ranked = sorted(votes.items(), key=lambda one: (-one[1], one[0]))
    return {language: round(count, 3) for language, count in ranked[:_RIVALS] if count >= _FORGET}


@cache
def _function_words(language: str) -> frozenset[str]:
    """As a text is split: lower case, without apostrophes."""
    listed = " ".join(stopwords(language)).lower().replace("\u2019", "'").replace("'", " ")
    return frozenset(listed.split())


@cache
def _english() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Topics as words, parts and chatter as stems."""
    parts, chat = (
        frozenset(stem(word, ENGLISH) for word in words.split()) for words in (chatter.ENGLISH_PARTS, chatter.ENGLISH)
    )
    return frozenset(chatter.ENGLISH_TOPICS.split()), parts, chat


@cache
def _speakers() -> Mapping[str, Sequence[tuple[str, float]]]:
    listed = {language: stopwords(language) for language in sorted(langs())}
    spread = Counter(word for words in listed.values() for word in words)
    speakers: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for language, words in listed.items():
        for word in words:
            speakers[word].append((language, 1 / spread[word]))
    return dict(speakers)
