"""What one message shows of how its writer likes to be spoken to: marks on its surface, in any language."""

# ruff: noqa: RUF001 - it tells the punctuation and letters of many scripts apart
# ruff: noqa: SIM905 - word lists are read as words

import math
import re
from datetime import timedelta
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ledger.insights.structs import TraitName
from ledger.threads.structs import Message

SHORT, LONG = 8, 100
"""Words of a message that is short (verbosity 0.15) and of one that is long (1)."""

FASTEST, SLOWEST = timedelta(seconds=30), timedelta(hours=12)
"""Gaps between two messages in which a person answered at once (pace 1), and only just still answered (0)."""

FORMAL = {
    "case": 0.1,  # share of sentences that begin with a capital
    "end": 0.1,  # the last sentence has an end, and it is no exclamation mark
    "length": 0.2,  # mean word length, -1 at 2.5 letters, 0 at 4.5, 1 at 6.5
    "polite": 0.3,
    "lowercase": -0.3,  # not one capital
    "contractions": -0.25,  # one in ten words or more is 1, as of casual words
    "casual": -0.3,
    "exclaiming": -0.3,  # share of sentences
    "repeated": -0.15,
    "stretched": -0.15,
    "emoji": -0.15,
    "laughing": -0.15,
}
"""What each mark, from 0 to 1, adds to a formality of 0.45."""

PLAYFUL = {"exclaiming": 0.4, "repeated": 0.2, "stretched": 0.3, "emoji": 0.4, "laughing": 0.6}
"""What each mark takes from the seriousness of a message."""

_READ = 8_000  # characters: what comes later changes no number by much
_SAYING = 3  # words from which a message says something about formality and seriousness
_STRUCTURABLE = 12  # words that could have been a list
_DENSE = 10

# A line of dashes below a line ends a letter more often than it makes the line a heading.
_MARKDOWN = MarkdownIt("commonmark").enable("table").disable("lheading")
_STRUCTURE = {"heading_open", "table_open", "fence", "code_block"}
_LISTS = {"bullet_list_open", "ordered_list_open"}

_HAN = "\u3005\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3040-\u30ff"
_TWO_A_WORD = re.compile(f"[{_KANA}{_HAN}]")
_FIVE_A_WORD = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai, Lao, Burmese, Khmer
_LINK = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,15}://\S+|\bwww\.\S+|(?<!\S)[\w-]+(?:\.[\w-]+)+/\S*|(?<!\S)[\w.+-]+@[\w-]+\.\S+"
)
_SENTENCE = re.compile(r"(?<=[。！？])|(?<=[.!?…])[\"'”’»)\]]*\s+|\n+")
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_ASKS = re.compile("[?？؟՞]")  # Latin, full-width, Arabic, Armenian
_EXCLAIMS = re.compile("[!！]")
_REPEATED = re.compile("[!?！？]{2}")
_END = re.compile("[.:;,?…。；，？؟۔।][\"'”’»」)\\]]*$")
_STRETCHED = re.compile(r"([^\W\d_])\1\1(?<=[^\W\d_]{4})|([^\W\d_])\2\2(?=[^\W\d_])")

# The patterns below, and the words, are looked for in lower case.
# Each alternative begins with what it is made of and looks back later: so a search passes over other text quickly.
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001f64f\U0001f680-\U0001faff\u231a\u231b\u23f0\u23f3\u2600\u2615\u2639-\u263b"
    "\u2665\u26a1\u26bd\u2705\u270a-\u270d\u2728\u274c\u2757\u2763\u2764\u2b50]|[\u2190-\u2bff]\ufe0f"
    r"|(?:[:;](?<![\w:=;].)['^o-]?[()\[\]dpo3*|/\\]|[:;=](?<![\w:=;].)-?(?:\)+|[(dp])|x(?<!\w.)-?d+|<(?<!\w.)3+"
    r"|\^(?<![\w^].)[_.o-]?\^|[t0o](?<!\w.)_[t0o]|-(?<![\w-].)[_.]-|>(?<!\w.)[_.]<|;_;)(?![\w/:])"
    r"|\(ツ\)|[ㅠㅜ]{2}|\([^\w()]{0,3}[´｀・╯ω▽][^()]{0,9}\)"
)
_LAUGHTER = re.compile(  # a whole word
    r"b?w?a?(?:h+a+){2,}h*|(?:h+e+){2,}h*|(?:h+i+){2,}|(?:h+o+){2,}|(?:j+a+){2,}j*|(?:je){2,}|(?:ji){2,}|(?:wk){2,}"
    r"|(?:rs){2,}|lo+lz?|lmf?ao+|rofl|xd+|mdr+|ptdr+|jk|kidding|k{3,}|h{3,}|w{3,}|а?(?:х+а+){2,}х*|(?:хе){2,}|(?:хи){2,}"
    r"|(?:χα){2,}"
)
_LAUGHING = re.compile(
    r"[😂🤣😆😹😄😅😜😝😛🤪🙃😏]|ㅋ{2}|ㅎ{2}|ه{3}|خ{3}|ח{3}|हाहा|[\u0e00-\u0e7f]\s?5{3}"
    r"|哈哈|嘿嘿|嘻嘻|呵呵|笑死|爆笑|[(（]笑|笑(?<![微冷苦可好嘲].)(?=[\s。！!w]|$)"
    rf"|[{_KANA}{_HAN}]w+(?![a-z0-9.])|(?:;(?<![\w:;].)-?[)d]|[:=](?<![\w:;].)-?p)(?![\w/])"
)
_CASUAL_PHRASE = re.compile(
    r"\b(?:are|can|did|do|if|love|miss|r|see|thank) u\b|\btu \w+[sx]\b|[啦嘛呀哦噢咯]|じゃん|だよ|だね|っす"
)
_CASUAL = frozenset(
    """
    afaik ain't aww awww awesome biz brb bro btw congrats cool coz cuz dude dunno fave folks gimme gonna gotta guys hey
    heya hiya idk imo kinda lemme nah ngl nope ok okay omg oops pic pics pls plz pumped sorta stoked stuff sup super tbh
    tho thx totally ty tysm ugh ur vibe vibes wanna whoa woah woo woohoo wow wtf y'all ya yay yea yeah yep yo yup
    dein deine dich dir geil hab krass moin nix nö tschüss vllt
    bah chuis coucou jsp ouais salut slt stp tkt toi
    blz cmq guay oi oye porfa tmb tá né tú vc vcs xke xq
    hoi idd siema slm spoko tmm
    блин ваще норм ок привет спс твой тебе тебя ты чё щас
    """.split()
)
_CONTRACTED = ("n't", "'m", "'re", "'ve", "'ll", "'d")
_IS = frozenset(
    ("he's", "here's", "how's", "it's", "let's", "she's", "that's", "there's", "what's", "where's", "who's")
)
_POLITE = frozenset(
    """
    faithfully grateful hereby madam regards respectfully sincerely sir geehrte geehrter cordialement veuillez votre
    vous estimada estimado usted cordiali gentile saluti senhor senhora uw вами уважением уважаемая уважаемые уважаемый
    """.split()
)
_POLITE_FORM = re.compile(  # looked for in the text as it stands: many languages write respect large
    r"\bDear (?=[A-Z])|(?<=[^.!?:\s]\s)(?:Sie|Ihnen|Ihr(?:e[mnrs]?)?|Lei|Вы|Вас|Вам|Ваш\w*)\b"
    r"|です|ます|ました|ません|でしょう|ください|您|(?:니다|니까|세요|(?<![수주중필])요)(?![가-힣])|आप"
)


class _Said(NamedTuple):
    """A message without its code, its links and what it quotes."""

    prose: str
    words: float
    structured: bool


def measure(message: Message, before: Message | None) -> dict[TraitName, float]:
    """Each trait the message is evidence for, from 0 to 1. `before` is the thread's message just before it."""
    said = _read(message.content)
    shown: dict[TraitName, float] = {}
    if said.structured or said.words >= _STRUCTURABLE:
        shown["structure"] = float(said.structured)
    if said.prose:
        marks = _marks(said)
        shown |= {"emoji": marks["emoji"], "humor": marks["laughing"], "questions": _any(_ASKS, said.prose)}
        if said.words:
            shown["verbosity"] = _verbosity(said.words)
        if said.words >= _SAYING:
            shown["formality"] = _share(0.45 + _sum(FORMAL, marks))
            shown["seriousness"] = _share(1 - _sum(PLAYFUL, marks)) * (0.5 + 0.5 * _verbosity(said.words))
    if before is not None and (pace := _pace(message, before)) is not None:
        shown["pace"] = pace
    return shown


def _read(content: str) -> _Said:
    tokens = _MARKDOWN.parse(content[:_READ])
    own = _own(tokens)
    prose = _LINK.sub(" ", "\n".join(_text(token) for token in own if token.type == "inline")).strip()
    return _Said(prose, _count(prose), _is_structured(own))


def _own(tokens: list[Token]) -> list[Token]:
    """Without block quotes: these are another's words."""
    own: list[Token] = []
    depth = 0
    for token in tokens:
        depth += token.nesting if token.type.startswith("blockquote_") else 0
        if not depth:
            own.append(token)
    return own


def _text(block: Token) -> str:
    breaks = {"softbreak": "\n", "hardbreak": "\n"}
    parts = ((part.type, part.content) for part in block.children or [])
    return "".join(
        content if kind == "text" else breaks.get(kind, " " * (kind == "code_inline")) for kind, content in parts
    )


def _is_structured(tokens: list[Token]) -> bool:
    """One item alone is no list: a dash opens a line of dialogue, a signature or an aside."""
    kinds = [token.type for token in tokens]
    return any(kind in _STRUCTURE for kind in kinds) or (
        any(kind in _LISTS for kind in kinds) and kinds.count("list_item_open") > 1
    )


def _count(prose: str) -> float:
    """How many words, those of scripts without spaces by their characters."""
    rest, pairs = _TWO_A_WORD.subn(" ", prose)
    rest, fives = _FIVE_A_WORD.subn(" ", rest)
    return sum(any(map(str.isalnum, word)) for word in rest.split()) + pairs / 2 + fives / 5


def _marks(said: _Said) -> dict[str, float]:
    prose, low = said.prose, said.prose.lower().replace("’", "'")
    sentences = [sentence for sentence in _SENTENCE.split(prose) if sentence.strip()]
    words = _WORDS.findall(low)
    contracted = sum(word in _IS or word.endswith(_CONTRACTED) for word in words if "'" in word)
    casual = sum(word in _CASUAL for word in words) + len(_CASUAL_PHRASE.findall(low))
    dense = _DENSE / max(said.words, _DENSE)
    return _letters(prose, sentences) | {
        "end": _any(_END, prose),
        "polite": max(_any(_POLITE_FORM, prose), float(not _POLITE.isdisjoint(words))),
        "contractions": min(1.0, dense * contracted),
        "casual": min(1.0, dense * casual),
        "exclaiming": sum(map(bool, map(_EXCLAIMS.search, sentences))) / max(len(sentences), 1),
        "repeated": _any(_REPEATED, prose),
        "stretched": _any(_STRETCHED, low),
        "emoji": _any(_EMOJI, low),
        "laughing": max(_any(_LAUGHING, low), float(any(map(_LAUGHTER.fullmatch, words)))),
    }


def _letters(prose: str, sentences: list[str]) -> dict[str, float]:
    """Marks of scripts that have capitals and spaces."""
    words = [word for word in _WORDS.findall(prose) if word.lower() != word.upper()]
    if not words:
        return {}
    first = [found[0][0] for sentence in sentences if (found := _WORDS.search(sentence))]
    return {
        "case": sum(map(str.isupper, first)) / max(len(first), 1),
        "length": max(-1.0, min(1.0, (sum(map(len, words)) / len(words) - 4.5) / 2)),
        "lowercase": float(prose == prose.lower()),
    }


def _verbosity(words: float) -> float:
    """On a log scale between short and long, in proportion below short."""
    if words <= SHORT:
        return 0.15 * words / SHORT
    return min(1.0, 0.15 + 0.85 * math.log(words / SHORT) / math.log(LONG / SHORT))


def _pace(message: Message, before: Message) -> float | None:
    gap = message.created_at - before.created_at
    if before.role == message.role or not timedelta(0) < gap <= SLOWEST:
        return None
    return 1 - math.log(max(gap / FASTEST, 1.0)) / math.log(SLOWEST / FASTEST)


def _any(pattern: re.Pattern[str], text: str) -> float:
    return float(pattern.search(text) is not None)


def _sum(weights: dict[str, float], marks: dict[str, float]) -> float:
    return sum(weight * marks.get(mark, 0.0) for mark, weight in weights.items())


def _share(value: float) -> float:
    return max(0.0, min(1.0, value))
