"""What one message shows of how its writer likes to be spoken to."""

# ruff: noqa: RUF001 - texts in many scripts

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.insights.structs import TRAITS, TraitName
from ledger.mind.style import measure
from ledger.threads.structs import Message, Role

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
WORDS = "the harbour opens early and many boats leave before the sun is up over the hills"


def message(content: str, role: Role = "user", at: datetime = NOON) -> Message:
    return Message("m", 1, role, "person" if role == "user" else "app", content, at, at)


def shown(content: str) -> dict[TraitName, float]:
    return measure(message(content), None)


def words(count: int) -> str:
    return " ".join((WORDS.split() * 20)[:count])


def pace(gap: timedelta, role: Role = "assistant") -> float | None:
    return measure(message("Fine.", at=NOON + gap), message("And you?", role)).get("pace")


@pytest.mark.parametrize(("count", "value"), [(4, 0.075), (8, 0.15), (28, 0.57), (100, 1.0), (300, 1.0)])
def test_verbosity_is_the_length_on_a_log_scale(count: int, value: float) -> None:
    assert shown(words(count))["verbosity"] == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "明日の会議は十時に始まるので少し早く来てください",
        "明天的会议十点开始请大家提前十分钟到会议室来",
        "การประชุมพรุ่งนี้เริ่มสิบโมงกรุณามาก่อนเวลาสักสิบนาทีด้วยนะ",
    ],
)
def test_scripts_without_spaces_count_by_their_characters(text: str) -> None:
    assert 0.1 < shown(text)["verbosity"] < 0.4
    assert shown(text * 12)["verbosity"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "hey! can't come today, sorry!! gonna be late",
        "Hey! I can't believe it's done! That's awesome!",
        "Yeah, that's so cool! I'm gonna try it. Can't wait!",
        "We're off to the lake today! It's the first warm day and the kids won't stop asking!",
        "why is it sooooo slow",
        "kannst du mir das nochmal schicken? hab's verloren!!",
        "slt tu peux m'envoyer le fichier stp",
        "oye mándame eso porfa jajaja",
        "привет! ты где? щас буду",
        "哈哈哈好的呀，我等下发给你啦！",
        "マジで？それ送ってよ！！😂",
    ],
)
def test_chat_is_informal(text: str) -> None:
    assert shown(text)["formality"] < 0.4


@pytest.mark.parametrize(
    "text",
    [
        "Dear Ms Brown,\n\nThank you for your letter of 3 May. I agree with the terms.\n\nYours sincerely,\nAnna Weber",
        "The committee has examined the proposal. Several questions concerning the budget remain unanswered.",
        "Sehr geehrte Frau Huber, könnten Sie mir bitte die Unterlagen zusenden? Mit freundlichen Grüßen, Max Lang",
        "Pourriez-vous m'envoyer le compte rendu de la réunion, s'il vous plaît ?",
        "¿Podría usted enviarme el informe antes del viernes?",
        "Не могли бы Вы прислать отчёт до пятницы? С уважением, Анна",
        "資料を送っていただけますか。よろしくお願いします。",
        "请问您能把报告发给我吗？非常感谢您的帮助。",
        "내일 회의 자료를 보내 주시면 감사하겠습니다.",
    ],
)
def test_a_letter_is_formal(text: str) -> None:
    assert shown(text)["formality"] > 0.65


@pytest.mark.parametrize(
    ("formal", "casual"),
    [
        ("One thing is done. Another is not.", "One thing is done. another is not."),
        ("One thing is done for you.", "One thing is done for you"),
        ("the ship is here, Anna", "the ship is here, anna"),
        ("It is done. We can go.", "It is done! We can go."),
        ("It was late, then.", "It was late, hehe."),
        ("The report is ready for you now.", "The report is ready for you now!"),
        ("The report is ready for you now!", "The report is ready for you now!!"),
        ("The report is ready for you now.", "The report is readyyyy for you now."),
        ("The report is ready for you now.", "The report is ready for you now 🙂."),
        ("It is late and they will not come.", "It's late and they won't come."),
        ("Yes, that is a fine idea for us.", "Yeah, that is a fine idea for us."),
        ("Haben Sie das Buch noch bei sich?", "Hast du das Buch noch bei dir?"),
        ("We discussed several important questions.", "We had a talk on a lot of big things."),
    ],
)
def test_each_mark_moves_formality(formal: str, casual: str) -> None:
    assert shown(formal)["formality"] > shown(casual)["formality"]


@pytest.mark.parametrize("text", ["Sie ist schon da.", "Il vient du marché.", "필요 없음 그냥 가"])
def test_look_alikes_of_polite_and_casual_forms_do_not_count(text: str) -> None:
    assert 0.4 <= shown(text)["formality"] <= 0.65


@pytest.mark.parametrize(
    "text",
    [
        "see you 😀",
        "good ❤️",
        "🇫🇷",
        "fine :)",
        "fine :-(",
        "I <3 it",
        ":D",
        "so :/",
        "^^ nice",
        "맞아 ㅠㅠ",
        "hmm T_T",
        "oh :p",
    ],
)
def test_emoji_and_emoticons_are_seen(text: str) -> None:
    assert shown(text)["emoji"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "see http://example.com/a",
        "at C:/temp it is",
        "use `x = :)` there",
        "a ratio of 1:3 (see below)",
        "it costs 3 < 30",
        "version 0.0 of it",
        "as follows :(see below)",
        "tick ✓ and arrow →",
        "f(a=b)",
        "```\n:) 😀\n```\nthat is it",
        "(a) first; (b) second",
        "they said:\n\n> great 😀",
    ],
)
def test_what_only_looks_like_an_emoticon_is_none(text: str) -> None:
    assert shown(text)["emoji"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "- one\n- two",
        "1. one\n2. two",
        "# Title",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "```\ncode\n```",
        "Do:\n\n* a\n* b",
    ],
)
def test_structure_is_seen_at_any_length(text: str) -> None:
    assert shown(text)["structure"] == 1


def test_plain_text_says_something_about_structure_only_when_it_could_have_had_some() -> None:
    assert shown(words(40))["structure"] == 0
    assert "structure" not in shown(words(8))


@pytest.mark.parametrize("text", ["- sure, let us go", "#tag", "1984 was a book", "Thanks\n--\nAnna"])
def test_a_single_dash_a_tag_and_a_signature_are_no_structure(text: str) -> None:
    assert shown(f"{text} {words(20)}").get("structure", 0) == 0


@pytest.mark.parametrize(
    "text",
    [
        "hahaha no",
        "LOL",
        "lool ok",
        "lmao",
        "jajaja no",
        "mdr",
        "哈哈",
        "それは草www",
        "面白い笑",
        "ㅋㅋㅋ",
        "хахаха",
        "ขำ 555",
        "kkkk",
        "😂",
        "just kidding",
        "sure ;)",
        "هههه",
    ],
)
def test_laughing_is_humor(text: str) -> None:
    assert shown(text)["humor"] == 1


@pytest.mark.parametrize(
    "text", ["I have a plan", "see www.example.com", "Jojo is here", "他微笑。", "wow", "room 555", "ok; done"]
)
def test_a_plain_message_is_not_humorous(text: str) -> None:
    assert shown(text)["humor"] == 0


def test_seriousness_is_substance_without_play() -> None:
    serious, short = shown(f"{words(50)}.")["seriousness"], shown(f"{words(6)}.")["seriousness"]
    playful = [shown(f"{words(50)}{end}")["seriousness"] for end in ("!", " 😀", " haha", " sooooo")]
    assert serious > 0.8 > short > 0.5
    assert all(value < serious - 0.1 for value in playful)
    assert shown(f"{words(50)}!!")["seriousness"] < playful[0]


@pytest.mark.parametrize("text", ["Why?", "为什么？", "لماذا؟", "Is it so? I wonder."])
def test_a_question_mark_asks(text: str) -> None:
    assert shown(text)["questions"] == 1


@pytest.mark.parametrize("text", ["That is all.", "see https://example.com/?q=1", "`a ? b : c` fails"])
def test_links_and_code_do_not_ask(text: str) -> None:
    assert shown(text)["questions"] == 0


@pytest.mark.parametrize("text", ["https://example.com/some/long/path", "`f(x)`", "> their words\n> not mine", " ", ""])
def test_a_message_without_own_words_says_nothing_about_them(text: str) -> None:
    assert shown(text) == {}


@pytest.mark.parametrize(
    "pasted", ["https://example.com/a/b?c=d", "\n```\n" + "x = 1\n" * 200 + "```", "`a b c d e f`"]
)
def test_links_and_code_are_not_counted_as_words(pasted: str) -> None:
    plain, with_paste = shown(words(10)), shown(f"{words(10)} {pasted}")
    assert with_paste["verbosity"] == plain["verbosity"]
    assert with_paste["formality"] == plain["formality"]


@pytest.mark.parametrize(("seconds", "value"), [(1, 1), (30, 1), (1138, 0.5), (12 * 3600, 0)])
def test_pace_is_the_gap_on_a_log_scale(seconds: int, value: float) -> None:
    assert pace(timedelta(seconds=seconds)) == pytest.approx(value, abs=0.001)


@pytest.mark.parametrize("gap", [timedelta(0), timedelta(seconds=-5), timedelta(hours=12, seconds=1)])
def test_a_gap_that_is_no_answer_says_nothing_about_pace(gap: timedelta) -> None:
    assert pace(gap) is None


def test_only_an_answer_to_another_has_a_pace() -> None:
    assert pace(timedelta(minutes=1), "user") is None
    assert "pace" not in shown("Fine.")


@given(st.text(max_size=300), st.timedeltas(timedelta(days=-1), timedelta(days=1)))
def test_any_text_measures_from_0_to_1(text: str, gap: timedelta) -> None:
    measured = measure(message(text, at=NOON + gap), message("Yes?", "assistant"))
    assert set(measured) <= set(TRAITS)
    assert all(0 <= value <= 1 for value in measured.values())


@given(st.text(alphabet="ab ha:;)(=-<3!?.#*`|>[]_\n'笑w呀😂요", max_size=120))
def test_any_mixture_of_marks_measures_from_0_to_1(text: str) -> None:
    assert all(0 <= value <= 1 for value in shown(text).values())


@pytest.mark.parametrize(
    "piece", ["[", "*a ", "`", "a.", "> ", "h", "- ", "![](", "a@", "tu x", ";", "(´", "<a", "|a", "\\"]
)
def test_no_text_is_slow_to_measure(piece: str) -> None:
    started = datetime.now(UTC)  # noqa: TID251 - real time is what this is about
    shown(piece * 200_000)
    assert datetime.now(UTC) - started < timedelta(seconds=2)  # noqa: TID251 - real time is what this is about
