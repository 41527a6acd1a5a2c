"""Which questions nobody has answered."""

# ruff: noqa: RUF001  # other scripts have letters and marks that look like Latin ones

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.insights.structs import OpenQuestion
from ledger.mind.questions import open_questions
from ledger.threads.structs import Message, Role

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def said(content: str, seq: int, role: Role = "user", at: datetime = START) -> Message:
    return Message(id=f"m{seq}", seq=seq, role=role, origin="person", content=content, created_at=at, received_at=at)


def asked(*contents: str) -> list[str]:
    return [one.question for one in open_questions([], [said(text, n) for n, text in enumerate(contents, 1)], 0)]


VOLCANO = "Which volcano erupted in Iceland?"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (VOLCANO, VOLCANO),
        ("I read the news. Which volcano erupted?", "Which volcano erupted?"),
        ("Which volcano\nerupted? Tell me.", "erupted?"),
        ("Did version 3.5 break the volcano?!", "Did version 3.5 break the volcano?!"),
        ("Why does `volcano(?)` raise an exception?", "Why does `volcano(?)` raise an exception?"),
        ("你的小猫怎么样了？", "你的小猫怎么样了？"),
        ("猫は大丈夫？", "猫は大丈夫？"),
        ("متى السفر إلى القاهرة؟", "متى السفر إلى القاهرة؟"),
        ("고양이는 괜찮아요?", "고양이는 괜찮아요?"),
        ("¿Te gusta la guitarra?", "¿Te gusta la guitarra?"),
    ],
)
def test_a_sentence_with_content_that_ends_in_a_question_mark_is_a_question(text: str, question: str) -> None:
    assert asked(text) == [question]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "???",
        "The volcano erupted.",
        "How are you?",
        "What's up?",
        "What about you?",
        "Anything new?",
        "\U0001f600?",
        "`volcano?`",
        "```\nvolcano?\n```",
        "See https://volcano.example/?volcano=eruption?",
        "你呢？",
    ],
)
def test_pleasantries_code_and_addresses_are_no_questions(text: str) -> None:
    assert asked(text) == []


def test_the_other_role_answers_within_twelve_hours_whatever_it_says() -> None:
    question = said(VOLCANO, 1)
    assert open_questions([], [question, said("Hm.", 2, "assistant", START + 12 * HOUR)], 0) == []
    late = said("Hm.", 2, "assistant", START + 13 * HOUR)
    assert len(open_questions([], [question, late], 0)) == 1


def test_the_other_role_answers_later_by_speaking_of_the_same() -> None:
    late = said("That volcano in Iceland was Katla.", 2, "assistant", START + 5 * DAY)
    assert open_questions([], [said(VOLCANO, 1), late], 0) == []
    other = said("The glacier is far away.", 2, "assistant", START + 5 * DAY)
    assert len(open_questions([], [said(VOLCANO, 1), other], 0)) == 1


def test_who_asked_does_not_answer() -> None:
    assert asked(VOLCANO, "The volcano in Iceland, I mean.") == [VOLCANO]


def test_what_was_said_before_is_no_answer() -> None:
    early = said("Katla is a volcano in Iceland.", 1, "assistant")
    assert len(open_questions([], [early, said(VOLCANO, 2)], 0)) == 1


def test_a_question_stays_open_over_turns_until_it_is_answered() -> None:
    first = open_questions([], [said(VOLCANO, 1)], 0)
    assert first == [OpenQuestion(VOLCANO, "user", START, "m1")]
    window = [said(VOLCANO, 1), said("The glacier is far away.", 2, "assistant", START + DAY)]
    second = open_questions(first, window, 1)
    assert second == first
    answer = said("The volcano was Katla, in Iceland.", 3, "assistant", START + 3 * DAY)
    assert open_questions(second, [*window, answer], 2) == []


def test_a_turn_may_see_a_question_again() -> None:
    window = [said(VOLCANO, 1)]
    assert open_questions(open_questions([], window, 0), window, 0) == open_questions([], window, 0)


def test_after_ninety_days_a_question_drops_out() -> None:
    first = open_questions([], [said(VOLCANO, 1)], 0)
    assert open_questions(first, [said("Snow.", 2, at=START + 90 * DAY)], 1) == first
    assert open_questions(first, [said("Snow.", 2, at=START + 91 * DAY)], 1) == []


def test_the_newest_come_first_and_no_more_than_asked_for() -> None:
    window = [said(f"Is the volcano number{chr(96 + n)} hot?", n, at=START + n * HOUR) for n in range(1, 15)]
    found = open_questions([], window, 0, limit=3)
    assert [one.message_id for one in found] == ["m14", "m13", "m12"]


def test_a_question_asked_again_counts_once_as_of_the_last_time() -> None:
    found = open_questions([], [said(VOLCANO, 1), said(VOLCANO, 2, at=START + HOUR)], 0)
    assert [one.message_id for one in found] == ["m2"]


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001  # the strategy adds the zones
texts = st.one_of(
    st.text(), st.sampled_from([VOLCANO, "Hm.", "你的小猫怎么样了？", "猫", "The volcano. Which glacier? `?`"])
)
roles = st.sampled_from(["user", "assistant"])


@given(st.lists(st.tuples(texts, roles, moments), max_size=10), st.integers(0, 10))
def test_any_texts_at_any_dates_leave_questions_of_the_thread(rows: list[tuple[str, Role, datetime]], cut: int) -> None:
    window = [said(text, seq, role, at) for seq, (text, role, at) in enumerate(rows, 1)]
    first = open_questions([], window[:cut], 0)
    both = open_questions(first, window, cut)
    assert len(both) <= 10
    assert {one.message_id for one in both} <= {message.id for message in window}
    assert both == open_questions(first, window, cut)
    assert both == sorted(both, key=lambda one: one.asked_at, reverse=True)


@pytest.mark.parametrize("text", ["a" * 99_999 + "?", "." * 9_999 + "?", "?" * 9_999, "a.b" * 9_999, "\n" * 9_999])
def test_a_long_text_takes_no_long_time(text: str) -> None:
    assert len(asked(text, text)) <= 10
