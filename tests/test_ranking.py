"""What a mention is and how posts are ranked: equalities."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.posts.ranking import hot, mentions

EPOCH = datetime(2005, 12, 8, 7, 46, 43, tzinfo=UTC)
HALF_DAY = timedelta(seconds=45_000)


@pytest.mark.parametrize(
    "text",
    [
        "@ledger",
        "@Ledger, please",
        "hello @LEDGER!",
        "(@ledger)",
        "**@ledger**",
        '"@ledger"',
        "ask @ledger.",
        "ask @ledger. It knows.",
        "@ledger's turn",
        "@ledger: what now?",
        "@ledger/@anna",
        "first line\n@ledger",
        "tab\t@ledger\tend",
        "@anna @ledger",
        "@ledgers @ledger",
    ],
)
def test_a_name_at_word_boundaries_is_a_mention_in_any_case(text: str) -> None:
    assert mentions(text, "ledger")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ledger",
        "@ ledger",
        "@ledge",
        "@ledgers",
        "@ledger_bot",
        "@ledger-bot",
        "@ledger2",
        "@ledgeré",
        "@myledger",
        "@@ledger",
        "x@ledger",
        "7@ledger",
        "@\u200bledger",
    ],
)
def test_part_of_another_word_is_no_mention(text: str) -> None:
    assert not mentions(text, "ledger")


@pytest.mark.parametrize(
    "text",
    [
        "anna@ledger",
        "anna@ledger.com",
        "anna.b@ledger.com",
        "a_b@ledger.example",
        "anna.@ledger",
        "<mailto:anna@ledger.com>",
        "andré@ledger.org",
    ],
)
def test_an_email_address_is_no_mention(text: str) -> None:
    assert not mentions(text, "ledger")


@pytest.mark.parametrize(
    "text", ["请@ledger看", "@ledgerさん", "教えて@ledger", "안녕@ledger야", "@ledgerは何?", "ช่วย@ledgerด้วย"]
)
def test_scripts_without_spaces_mention_between_two_letters(text: str) -> None:
    assert mentions(text, "ledger")


@pytest.mark.parametrize(
    "text",
    [
        "`@ledger`",
        "see `call @ledger now` there",
        "``@ledger``",
        "`` a ` b @ledger ``",
        "`one\n@ledger`",
        "```\n@ledger\n```",
        "```python\n@ledger\ndef f(): ...\n```",
        "~~~\n@ledger\n~~~",
        "~~~\n```\n@ledger\n~~~",
        "````\n```\n@ledger\n````",
        "   ```\n   @ledger\n   ```",
        "```\nnever closed @ledger",
        "text\n```\n\n@ledger\n\n```\ntext",
    ],
)
def test_code_mentions_nobody(text: str) -> None:
    assert not mentions(text, "ledger")


@pytest.mark.parametrize(
    "text",
    [
        "`code` @ledger",
        "@ledger `code`",
        "`a` @ledger `b`",
        "```\ncode\n```\n@ledger",
        "@ledger\n```\ncode\n```",
        "~~~\n```\n~~~\n@ledger",
        "```\na\n```\n@ledger\n```\nb\n```",
        "a stray ` here, @ledger",
        "```x``` @ledger",
        "A stray ` here.\n\n@ledger, what is the ` key?",
    ],
)
def test_beside_code_a_mention_is_a_mention(text: str) -> None:
    assert mentions(text, "ledger")


def test_the_name_is_taken_as_it_is_written_and_not_as_a_pattern() -> None:
    assert mentions("@my-bot_1?", "my-bot_1")
    assert mentions("@İris", "İris")
    assert not mentions("@abb", "a.b")
    assert not mentions("@my", "my-bot")


def test_a_post_without_votes_ranks_by_its_age_alone() -> None:
    assert hot(0, EPOCH) == 0
    assert hot(0, EPOCH + HALF_DAY) == 1
    assert hot(0, EPOCH + 3 * HALF_DAY) == hot(1, EPOCH + 3 * HALF_DAY) == hot(-1, EPOCH + 3 * HALF_DAY) == 3


@pytest.mark.parametrize(("score", "rank"), [(10, 1), (100, 2), (-10, -1), (-1000, -3), (2, 0.30103)])
def test_votes_weigh_by_their_magnitude(score: int, rank: float) -> None:
    assert hot(score, EPOCH) == rank
    assert hot(score, EPOCH + HALF_DAY) == 1 + rank


def test_ten_times_the_votes_are_worth_as_much_as_12_and_a_half_hours() -> None:
    moment = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    assert hot(100, moment) == hot(10, moment + timedelta(hours=12.5)) == hot(1, moment + timedelta(hours=25))
    assert hot(10, moment) < hot(10, moment + timedelta(seconds=1))


def test_the_offset_of_a_moment_does_not_matter() -> None:
    moment = datetime.fromisoformat("2026-01-05T13:00:00+01:00")
    assert hot(7, moment) == hot(7, datetime(2026, 1, 5, 12, 0, tzinfo=UTC))
