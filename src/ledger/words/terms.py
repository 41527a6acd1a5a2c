"""From a text to its terms: what it may be about."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from ledger.words import scripts
from ledger.words.languages import Weight, heard, likeliest, stem, votes, weight

READ = 4_000
"""How many characters of a text are read."""

_MOST = 400  # terms of a text, more or less a clause

_TINY = 2  # words
_LONGEST = 40  # letters; what is longer is no word

_NOISE = re.compile(
    r"(?s:```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z))|`[^`\n]*`"
    r"|https?://[!-~]+|\bwww\.[!-~]+"
    r"|(?<![\w.+-])[\w.+-]{0,64}@[\w.-]+"  # mentions and addresses
)
_APART = scripts.KANA + scripts.HAN + scripts.HANGUL + scripts.UNSPACED
# Marks are part of a word, though `\w` leaves them out: accents, and the vowels of Hebrew, Arabic and Indic scripts.
_MARKS = (
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    r"\u0900-\u0963\u0966-\u0dff\u0f00-\u0fff\u200c\u200d"
)
_TOKEN = re.compile(
    rf"(?P<word>[^\W{_APART}](?:[^\W{_APART}]|[{_MARKS}])*)"
    rf"|(?P<han>[{scripts.HAN}{scripts.KANA}]+)|(?P<hangul>[{scripts.HANGUL}]+)|(?P<thai>[{scripts.UNSPACED}]+)"
)
_JOINT = re.compile(r"[ \t]{0,3}[&'\u2019]?[ \t]{0,3}|-")
_KANA = re.compile(rf"[{scripts.KANA}]")
# About how many words a character is where they are not written apart; Korean writes particles onto its words.
_WORDS_A_LETTER = {"han": 1 / 2, "thai": 1 / 4}
_WORDS_A_TOKEN = {"hangul": 1.5, "word": 1.0}


class Token(NamedTuple):
    text: str
    kind: str


class Piece(NamedTuple):
    key: str
    form: str
    weight: Weight


class Reading(NamedTuple):
    """A text as tokens, clause by clause, and what speaks for its language."""

    clauses: Sequence[Sequence[Token]]
    votes: Mapping[str, float]
    japanese: bool


class Term(NamedTuple):
    form: str
    """As it is written here."""
    clauses: int
    """In how many clauses it stands."""
    alone: int
    """How many of these have no more than two words."""


class Spoken(NamedTuple):
    terms: Mapping[str, Term]
    heard: Mapping[str, float]
    """The languages heard so far."""


def masked(text: str) -> str:
    """The text with spaces in place of code, addresses and mentions, and as long as before."""
    return _NOISE.sub(lambda noise: ("\n" if "\n" in noise[0] else " ") * len(noise[0]), text)


def spoken(texts: Iterable[str], heard_before: Mapping[str, float]) -> Iterator[Spoken]:
    """The terms of each text, in the language that it and the texts before it speak for."""
    ears = heard_before
    for text in texts:
        read = text[:READ]
        ears = heard(ears, _reading(read).votes)
        yield Spoken(_terms(read, likeliest(ears)), ears)


@lru_cache(maxsize=256)
def _reading(text: str) -> Reading:
    plain = unicodedata.normalize("NFKC", masked(text))
    clauses = list(_clauses(plain))
    words = [token.text.lower() for clause in clauses for token in clause if token.kind == "word"]
    return Reading(clauses, votes(words), _KANA.search(plain) is not None)


@lru_cache(maxsize=256)
def _terms(text: str, language: str) -> Mapping[str, Term]:
    """The terms of a text by their key: stems, and pairs of neighbours with a space between."""
    found: dict[str, Term] = {}
    reading = _reading(text)
    for clause in reading.clauses:
        if len(found) >= _MOST:
            break
        alone = sum(map(_words, clause)) <= _TINY
        for key, form in dict(islice(_of(clause, language, reading.japanese), _MOST)).items():
            old = found.get(key, Term(form, 0, 0))
            found[key] = Term(old.form, old.clauses + 1, old.alone + alone)
    return found


def _clauses(text: str) -> Iterator[list[Token]]:
    clause: list[Token] = []
    end = 0
    for match in _TOKEN.finditer(text):
        gap = text[end : match.start()]
        if clause and gap != " " and not _JOINT.fullmatch(gap):
            yield clause
            clause = []
        clause.append(Token(match[0], match.lastgroup or "word"))
        end = match.end()
    if clause:
        yield clause


def _words(token: Token) -> float:
    return _WORDS_A_TOKEN.get(token.kind) or len(token.text) * _WORDS_A_LETTER[token.kind]


def _of(clause: Sequence[Token], language: str, japanese: bool) -> Iterator[tuple[str, str]]:
    """Keys and forms of a clause."""
    last: Piece | None = None
    for position, token in enumerate(clause):
        if token.kind != "word":
            last = None
            yield from ((piece, piece) for piece in _split(token, japanese))
            continue
        piece = _piece(token.text, language, first=position == 0)
        if piece and piece.weight is Weight.TOPIC:
            yield piece.key, piece.form
        if piece and last and piece.key != last.key:
            yield f"{last.key} {piece.key}", f"{last.form} {piece.form}"
        last = piece


def _split(token: Token, japanese: bool) -> Sequence[str]:
    if token.kind == "han":
        return scripts.japanese(token.text) if japanese else scripts.chinese(token.text)
    return scripts.korean(token.text) if token.kind == "hangul" else scripts.thai(token.text)


@lru_cache(maxsize=16_384)
def _piece(text: str, language: str, *, first: bool) -> "Piece | None":
    word = text.lower()
    if len(word) == 1 or len(word) > _LONGEST or any(map(str.isdigit, word)):
        return None
    counts = weight(word, language)
    if counts is Weight.NONE:
        return None
    capital_by_position = first and text[1:] == word[1:]
    return Piece(stem(word, language), word if capital_by_position else text, counts)
