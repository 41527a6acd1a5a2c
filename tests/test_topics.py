"""What a thread is about, by statistics alone: in any language, in bounded space, and without falling over."""

# ruff: noqa: RUF001  # other scripts have letters and marks that look like Latin ones

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.mind.tally import KEPT, RECENT
from ledger.mind.topics import Tally, counted, novelty, top_topics, trends
from ledger.threads.structs import Message, Role

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def said(content: str, seq: int, at: datetime | None = None) -> Message:
    role: Role = "user" if seq % 2 else "assistant"
    moment = at or START + timedelta(minutes=seq)
    return Message(
        id=f"m{seq}", seq=seq, role=role, origin="person", content=content, created_at=moment, received_at=moment
    )


def chat(*lines: str, first: int = 1, at: datetime | None = None) -> list[Message]:
    return [said(line, seq, at) for seq, line in enumerate(lines, first)]


def topics(messages: Sequence[Message], limit: int = 8) -> dict[str, int]:
    return {topic.topic: topic.count for topic in top_topics(messages, counted(Tally(), messages), limit)}


PEOPLE = chat(
    "Hey Mona! Good to see you! How have you been?",
    "Hey Rita! I joined a climbing gym last week, it was amazing.",
    "Wow, Mona! That's awesome! What do you like about the climbing gym?",
    "Thanks, Rita! I love how the climbing gym makes me feel. My kids love it too.",
    "So cool, Mona! My kids are into pottery. We made three bowls yesterday!",
    "Wow! Pottery sounds amazing, Rita! I'd love to see the bowls.",
    "Thanks! I feel so great when I paint the bowls. Take care, Mona!",
    "Take care, Rita! Let me know how the painting goes!",
)


def test_topics_are_what_is_talked_about_and_not_names_or_chatter() -> None:
    found = topics(PEOPLE)
    assert {"climbing gym", "bowls", "kids"} <= found.keys()
    assert not {"Mona", "Rita", "Wow", "amazing", "love", "feel", "Thanks", "Hey", "great"} & found.keys()


def test_a_name_never_heard_before_is_no_topic_where_it_is_only_called() -> None:
    assert "Xolani" in topics(chat("I met Xolani at the lake today.", "Xolani swam across the lake again."))
    assert "Xolani" not in topics(chat("Nice, Xolani! The lake was cold.", "Hey Xolani! I saw the lake."))


def test_a_pair_that_is_repeated_wins_over_its_words() -> None:
    found = topics(chat("The adoption agency called.", "Which adoption agency?", "The big adoption agency in town."))
    assert found["adoption agency"] == 3
    assert not {"adoption", "agency"} & found.keys()


def test_words_that_say_little_alone_make_a_pair() -> None:
    assert topics(chat("I went to a support group.", "How was the support group?")) == {"support group": 2}


def test_forms_of_a_word_are_one_topic_shown_as_most_write_it() -> None:
    assert topics(chat("I was painting.", "I paint on Sundays.", "More painting for me.", "My painting dries.")) == {
        "painting": 4
    }


def test_a_capital_at_the_start_of_a_clause_is_not_part_of_the_topic() -> None:
    assert topics(chat("Volcanoes are hot.", "Volcanoes in Iceland erupt.", "Iceland has many.")) == {
        "volcanoes": 2,
        "Iceland": 2,
    }


def test_most_spoken_of_comes_first_with_the_newest_five_messages() -> None:
    messages = chat(*["The volcano smokes."] * 7, *["The glacier melts."] * 3)
    first, *rest = top_topics(messages, counted(Tally(), messages))
    assert (first.topic, first.count) == ("volcano smokes", 7)
    assert first.evidence == ["m7", "m6", "m5", "m4", "m3"]
    assert all(topic.count <= first.count for topic in rest)


def test_once_is_no_topic() -> None:
    assert topics(chat("The volcano smokes.", "The glacier melts.")) == {}


def test_no_more_topics_than_asked_for() -> None:
    assert len(topics(PEOPLE, limit=2)) == 2


def test_code_addresses_mentions_numbers_and_emoji_are_no_topics() -> None:
    noise = "`parser` ```\nlexer\n``` https://parser.example/lexer www.lexer.dev @parser a@parser.org 3.5 \U0001f600"
    assert topics(chat(noise, noise, noise)) == {}


@pytest.mark.parametrize(
    ("lines", "wanted", "unwanted"),
    [
        (
            "我在学习机器学习。|机器学习难吗？|我去上海参加会议，也讲机器学习。|上海的会议很有意思！|太好了！|太好了！",
            {"机器学习", "上海", "会议"},
            {"器学", "学习", "太好"},
        ),
        (
            "機械学習の勉強を始めた。|機械学習は難しい？|猫が病院に行った。|猫は東京タワーを見たの？|東京タワーはいいね！",
            {"機械学習", "猫", "東京タワー"},
            {"学習", "東京", "行", "見"},
        ),
        (
            "기계학습을 공부하고 있어요.|기계학습은 어려워요?|고양이가 아파요.|고양이는 괜찮아요?|우리 공부!",
            {"기계학습", "고양이", "공부"},
            {"우리", "고양이가", "있어요"},
        ),
        ("แมวของฉันป่วย|แมวเป็นอะไรคะ|แมวไม่กินข้าว", {"แมว"}, {"ของ"}),
        (
            "Начал машинное обучение.|Машинному обучению учат по книгам?|Моя кошка больна.|У кошки есть врач?",
            {"машинное обучение", "кошка"},
            {"по", "есть", "моя"},
        ),
        (
            "Ich übe jetzt das Klavier.|Wie lange übst du schon Klavier?|Die Katze ist krank.|Was hat die Katze denn?",
            {"Klavier", "Katze"},
            {"die", "ist", "das"},
        ),
        (
            "J'ai commencé le piano hier.|Tu aimes le piano ?|Le voyage est en mai.|C'est quand, le voyage ?",
            {"piano", "voyage"},
            {"le", "est", "ai"},
        ),
        (
            "Ayer empecé con la guitarra.|¿Te gusta la guitarra?|Mi gato está enfermo.|¿Qué tiene tu gato?",
            {"guitarra", "gato"},
            {"la", "mi"},
        ),
        (
            "بدأت أمس دروس البيانو.|هل دروس البيانو صعبة؟|سنسافر إلى القاهرة.|متى القاهرة؟",
            {"دروس البيانو", "القاهرة"},
            {"إلى", "هل"},
        ),
        ("मेरी बिल्ली बीमार है।|बिल्ली को क्या हुआ?", {"बिल्ली"}, {"है", "को"}),
    ],
    ids=["zh", "ja", "ko", "th", "ru", "de", "fr", "es", "ar", "hi"],
)
def test_other_languages_have_topics_too(lines: str, wanted: set[str], unwanted: set[str]) -> None:
    found = topics(chat(*lines.split("|"))).keys()
    assert wanted <= found
    assert not unwanted & found


def test_a_short_message_is_read_in_the_language_of_those_before() -> None:
    german = chat("Ich habe mit der Katze gespielt und sie ist jetzt müde.", "Was hat die Katze denn?", "Die war's!")
    assert "war" not in counted(Tally(), german).terms


def test_counting_leaves_the_tally_before_alone() -> None:
    before = counted(Tally(), PEOPLE[:4])
    bytes_before = msgspec.json.encode(before)
    counted(before, [*PEOPLE[4:], said("Bowls!", 99, START + 90 * DAY)])
    assert msgspec.json.encode(before) == bytes_before


def test_a_tally_outlives_json() -> None:
    tally = counted(Tally(), PEOPLE)
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally


def _rambling(count: int, seed: int = 1) -> list[Message]:
    choose = random.Random(seed)  # noqa: S311  # no secret
    names = [
        a + b for a in ("bor", "kal", "mev", "tun", "zig", "plo", "fra") for b in ("dax", "lop", "mit", "nug", "rev")
    ]
    words = [one + other for one in names for other in names]
    return chat(*(" ".join(choose.choices(words, k=12)) for _ in range(count)))


def test_a_tally_is_bounded_and_no_larger_after_long_than_after_a_short_while() -> None:
    messages = _rambling(2_000)
    early = counted(Tally(), messages[:100])
    late = early
    for start in range(100, 2_000, 100):
        late = counted(late, messages[start : start + 100])
    assert len(early.terms) == len(late.terms) == KEPT
    assert len(msgspec.json.encode(late)) < 1.2 * len(msgspec.json.encode(early))
    assert late.messages.total == 2_000


def test_a_tally_of_many_days_holds_thirty() -> None:
    messages = [said("The volcano smokes.", seq, START + seq * DAY) for seq in range(1, 101)]
    tally = counted(Tally(), messages)
    volcano = tally.terms["volcano"].counts
    assert len(tally.messages.days) == len(volcano.days) == RECENT
    assert (volcano.recent, volcano.before, volcano.all_days) == (30, 70, 100)
    assert tally.terms["volcano"].seqs == [100, 99, 98]


def test_a_new_topic_displaces_old_rare_ones_and_frequent_ones_stay() -> None:
    old = [*chat(*["The volcano smokes."] * 20), *_rambling(100)]
    new = chat("The glacier melts.", "The glacier again.", first=200, at=START + 200 * DAY)
    tally = counted(counted(Tally(), old), new)
    assert {"volcano", "glacier"} <= tally.terms.keys()
    assert len(tally.terms) == KEPT


def _months() -> list[Message]:
    """A month of gardens, two months later a month of chess; the weather all the time."""
    lines = ["The garden is full of snails.", "The weather holds.", "We went to the shops.", "The weather turned."]
    past = [said(lines[n % 4], n, START + n * DAY / 2) for n in range(1, 61)]
    lines[0] = "We played chess all evening."
    return past + [said(lines[n % 4], n, START + 60 * DAY + n * DAY / 4) for n in range(61, 121)]


def test_what_is_new_rises_and_what_is_left_fades() -> None:
    rising, fading = trends(counted(Tally(), _months()))
    assert any("chess" in trend.topic for trend in rising)
    assert any("garden" in trend.topic or "snails" in trend.topic for trend in fading)
    assert not any("weather" in trend.topic for trend in [*rising, *fading])
    assert all(trend.z > 1.96 and trend.recent > trend.earlier for trend in rising)
    assert all(trend.z < -1.96 and trend.recent < trend.earlier for trend in fading)
    assert rising[0].seqs == [120, 116, 112]
    assert rising[0].recent == 0.25


def test_nothing_rises_while_one_side_has_few_messages() -> None:
    few = [said("The garden is full of snails.", n, START) for n in range(1, 20)]
    many = [said("We played chess all evening.", n, START + 60 * DAY) for n in range(20, 100)]
    assert trends(counted(Tally(), few + many)) == ([], [])
    one_more = said("The garden is full of snails.", 100, START)
    assert trends(counted(Tally(), [*few, *many, one_more])) != ([], [])


def test_names_that_are_called_do_not_rise() -> None:
    messages = [said("The weather holds.", n, START + n * DAY) for n in range(1, 31)]
    messages += [said("Hey Xolani! The weather holds.", n, START + 60 * DAY + n * DAY) for n in range(31, 61)]
    assert trends(counted(Tally(), messages)) == ([], [])


def test_a_word_spread_evenly_over_the_days_counts_half() -> None:
    def day(n: int, tail: str) -> list[Message]:
        return [said(f"We went by the zorble again. {tail}", 4 * n + i, START + n * DAY) for i in range(4)]

    messages = [one for n in range(1, 10) for one in day(n, "The glacier melts." if n == 9 else "")]
    messages[-1] = said("We went by the zorble again.", messages[-1].seq, messages[-1].created_at)
    assert [*topics(messages[-4:], limit=1)] == ["zorble"]  # the first day: nothing is known of either
    assert [one.topic for one in top_topics(messages[-4:], counted(Tally(), messages), 1)] == ["glacier melts"]


def test_novelty_is_the_share_of_unknown_words() -> None:
    before = counted(Tally(), chat("The volcano smokes."))
    assert novelty(chat("The volcano smokes."), before) == 0
    assert novelty(chat("The glacier melts."), before) == 1
    assert novelty(chat("The volcano melts."), before) == 0.5
    assert novelty(chat("Hey! \U0001f600"), before) == 0
    assert novelty([], before) == 0


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001  # the strategy adds the zones
near = st.datetimes(datetime(2024, 1, 1), datetime(2024, 4, 1), timezones=zones)  # noqa: DTZ001  # likewise
sentences = st.lists(
    st.sampled_from(
        [
            "volcano",
            "glacier",
            "the",
            "Wow!",
            "机器学习",
            "猫が",
            "고양이는",
            "แมวไม่กิน",
            "`x`",
            "Katze",
            "und",
            "?",
            "l'eau",
        ]
    )
).map(" ".join)
texts = st.one_of(st.text(), sentences)
threads = st.lists(st.tuples(texts, st.one_of(near, moments)), max_size=12).map(
    lambda rows: [said(text, seq, moment) for seq, (text, moment) in enumerate(rows, 1)]
)


@given(threads, st.integers(0, 12))
def test_any_texts_at_any_dates_are_counted_alike_in_one_batch_and_in_two(messages: list[Message], cut: int) -> None:
    assert counted(counted(Tally(), messages[:cut]), messages[cut:]) == counted(Tally(), messages)


@given(threads)
def test_any_texts_at_any_dates_have_topics_with_evidence(messages: list[Message]) -> None:
    tally = counted(Tally(), messages)
    ids = {message.id for message in messages}
    for topic in top_topics(messages, tally):
        assert topic.topic
        assert 2 <= topic.count <= len(messages)
        assert 2 <= len(topic.evidence) <= 5
        assert set(topic.evidence) <= ids
    assert top_topics(messages, tally) == top_topics(messages, tally)
    assert 0 <= novelty(messages, Tally()) <= 1
    assert len(tally.terms) <= KEPT
    assert tally.messages.total == len(messages)
    trends(tally)


@given(st.lists(st.tuples(sentences, st.booleans()), min_size=40, max_size=60))
def test_shares_of_trends_are_shares(rows: list[tuple[str, bool]]) -> None:
    messages = [said(text, seq, START + old * 90 * DAY) for seq, (text, old) in enumerate(rows, 1)]
    for side in trends(counted(Tally(), messages)):
        for trend in side:
            assert 0 <= trend.recent <= 1
            assert 0 <= trend.earlier <= 1
            assert trend.seqs == sorted(trend.seqs, reverse=True)[:3]


@pytest.mark.parametrize(
    "text", ["a" * 99_999, "@" * 9_999, "`" * 9_999, " " * 9_999 + "x", "我" * 9_999, "\ufdfa" * 9_999, "a.b-" * 9_999]
)
def test_a_long_text_takes_no_long_time(text: str) -> None:
    tally = counted(Tally(), chat(text, text))
    top_topics(chat(text, text), tally)
    assert len(tally.terms) <= KEPT
