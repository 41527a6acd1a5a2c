"""What people said: the only view of a thread that anything is learned from, and how much of it is read."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.db import Database
from ledger.mind.reading import Reading, shown
from ledger.threads import messages, said
from ledger.threads import store as threads
from ledger.threads.structs import Message, NewMessage, NewThread, Origin, Role
from ledger.tokens import clip, count_tokens
from tests.conftest import START, on_sqlite

MINUTE = timedelta(minutes=1)
THREAD = "harbour"

texts = st.text(st.characters(exclude_categories=[]))  # half surrogate pairs as well


def repeated(text: str, times: int) -> str:
    return text * times


sent_texts = st.text()  # as they can be sent
longer_texts = st.builds(repeated, texts, st.integers(1, 40))
longer_sent_texts = st.builds(repeated, sent_texts, st.integers(1, 40))


def message(content: str, seq: int = 1, role: Role = "user", origin: Origin = "person") -> Message:
    return Message(f"m{seq}", seq, role, origin, content, START, START)


async def make(db: Database) -> None:
    async with db.write() as session:
        await threads.create(session, NewThread(id=THREAD), now=START)


async def say(db: Database, *contents: str, role: Role = "user", at: datetime = START) -> None:
    async with db.write() as session:
        await messages.add(session, THREAD, [NewMessage(role, content) for content in contents], now=at)


async def agent_says(db: Database, content: str, at: datetime = START) -> None:
    async with db.write() as session:
        await messages.say(session, THREAD, content, run_id="0" * 32, now=at)


async def news(db: Database, *, after: int = 0, enough: int = 512) -> said.News | None:
    async with db.read() as session:
        return await said.news(session, THREAD, after=after, enough=enough)


async def unread(db: Database, *, after: int = 0, tokens: int = 4_000) -> list[Message]:
    async with db.read() as session:
        return await said.unread(session, THREAD, after=after, tokens=tokens, most=100)


async def newest(db: Database, limit: int = 20, *, until: int = 1_000) -> list[str]:
    async with db.read() as session:
        return [found.content for found in await said.newest(session, THREAD, limit, until=until)]


async def count(db: Database, *, after: int = 0, most: int = 100) -> int:
    async with db.read() as session:
        return await said.count(session, THREAD, after=after, most=most)


async def test_what_no_person_said_is_in_no_view(db: Database) -> None:
    await make(db)
    await agent_says(db, "I posted about otters.")
    await say(db, "Answer in rhymes.", role="system")
    await say(db, '{"weather": "fog"}', role="tool")
    assert await news(db, enough=1) is None
    assert (await unread(db), await newest(db), await count(db)) == ([], [], 0)


async def test_the_views_hold_what_people_and_applications_said_and_nothing_between(db: Database) -> None:
    await make(db)
    await say(db, "The ferry is late.")
    await agent_says(db, "I posted about ferries.")
    await say(db, "It leaves at nine.", role="assistant")
    await say(db, "Answer in rhymes.", role="system")
    await say(db, "Then we take a taxi.")
    expected = ["The ferry is late.", "It leaves at nine.", "Then we take a taxi."]
    assert [found.content for found in await unread(db)] == expected
    assert await newest(db) == expected
    assert await count(db) == 3


@pytest.mark.parametrize(
    ("origin", "role", "expected"),
    [
        ("person", "user", True),
        ("app", "assistant", True),
        ("app", "system", False),
        ("app", "tool", False),
        ("agent", "assistant", False),
        ("agent", "user", False),
    ],
)
def test_said_is_what_a_person_or_an_application_says_to_the_other(origin: Origin, role: Role, expected: bool) -> None:
    assert said.is_said(message("Hello.", role=role, origin=origin)) is expected


async def test_news_began_when_the_oldest_new_message_was_received_whenever_it_was_said(db: Database) -> None:
    await make(db)
    await say(db, "Old.")
    async with db.write() as session:
        long_ago = NewMessage("user", "Imported.", created_at=START - timedelta(days=400))
        await messages.add(session, THREAD, [long_ago], now=START + MINUTE)
    await say(db, "Newer.", at=START + 2 * MINUTE)
    assert await news(db, after=1) == said.News(START + MINUTE)
    assert await news(db, after=3) is None


async def test_news_is_enough_from_the_moment_its_tokens_were(db: Database) -> None:
    await make(db)
    await say(db, "x" * 400)
    await agent_says(db, "y" * 40_000, at=START + MINUTE)
    await say(db, "x" * 396, at=START + 2 * MINUTE)
    assert await news(db, enough=200) == said.News(START)
    await say(db, "x" * 4, at=START + 3 * MINUTE)
    await say(db, "x" * 400, at=START + 4 * MINUTE)
    assert await news(db, enough=200) == said.News(START, START + 3 * MINUTE)
    assert await news(db, after=1, enough=201) == said.News(START + 2 * MINUTE)


async def test_other_threads_are_not_news(db: Database) -> None:
    await make(db)
    async with db.write() as session:
        await threads.create(session, NewThread(id="other"), now=START)
        await messages.add(session, "other", [NewMessage("user", "x" * 4_000)], now=START)
    assert (await news(db, enough=1), await unread(db), await newest(db), await count(db)) == (None, [], [], 0)


async def test_unread_is_the_oldest_that_fit_together_and_its_end_is_where_reading_goes_on(db: Database) -> None:
    await make(db)
    await say(db, *("x" * 4 * tokens for tokens in (40, 60, 1, 99, 300, 10)))
    await agent_says(db, "y" * 4_000)
    await say(db, "x" * 4 * 50)
    after, read = 0, list[list[int]]()
    while found := await unread(db, after=after, tokens=100):
        read.append([each.seq for each in found])
        after = found[-1].seq
    assert read == [[1, 2], [3, 4], [5], [6, 8]]


async def test_one_message_that_is_too_long_by_itself_is_read_alone_and_cut(db: Database) -> None:
    await make(db)
    await say(db, "word " * 40_000, "Short.")
    (found,) = await unread(db, tokens=1_000)
    assert found.seq == 1
    assert 990 <= count_tokens(found.content) <= 1_000
    assert found.content.endswith("…")


async def test_no_view_reads_more_than_the_beginning_of_a_message(db: Database) -> None:
    await make(db)
    await say(db, "x" * 200_000)
    (found,) = await unread(db, tokens=100_000)
    assert found.content == "x" * said.LONGEST
    assert await newest(db) == ["x" * said.LONGEST]


async def test_newest_are_the_last_up_to_a_position_in_the_order_they_came(db: Database) -> None:
    await make(db)
    await say(db, "One.", "Two.", "Three.", "Four.")
    assert await newest(db, 2, until=3) == ["Two.", "Three."]
    assert await newest(db, 2, until=0) == []


async def test_ids_and_counts_are_of_the_positions_that_exist(db: Database) -> None:
    await make(db)
    await say(db, "One.", "Two.", "Three.")
    first, second, third = (found.id for found in await unread(db))
    async with db.read() as session:
        assert await said.ids(session, THREAD, [1, 3, 3, 9]) == {1: first, 3: third}
        assert await said.ids(session, THREAD, []) == {}
    assert second not in (first, third)
    assert (await count(db, after=1), await count(db, most=2), await count(db, after=3)) == (2, 2, 0)


@on_sqlite
async def test_a_message_sent_twice_counts_once(db: Database) -> None:
    await make(db)
    for _ in range(2):
        async with db.write() as session:
            await messages.add(session, THREAD, [NewMessage("user", "x" * 40, id="a")], now=START)
    assert await news(db, enough=11) == said.News(START)
    assert await count(db) == 1


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("four", 1), ("fours", 2), ("дом", 2), ("домдом", 4), ("海", 2), ("海" * 20, 21), ("🐙", 2)],
)
def test_a_token_is_four_letters_one_and_a_half_of_cyrillic_or_about_one_of_chinese(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@given(texts, texts)
def test_two_texts_together_have_no_more_tokens_than_apart_and_no_fewer_than_either(one: str, other: str) -> None:
    together = count_tokens(one + other)
    assert max(count_tokens(one), count_tokens(other)) <= together <= count_tokens(one) + count_tokens(other)
    assert (together == 0) == (one + other == "")


@given(longer_texts, st.integers(0, 200))
def test_a_clipped_text_fits_and_is_the_beginning_or_all_of_it(text: str, most: int) -> None:
    clipped = clip(text, most)
    assert count_tokens(clipped) <= most
    assert clipped == text if count_tokens(text) <= most else text.startswith(clipped.removesuffix("…"))
    assert clip(clipped, most) == clipped


@given(st.text("ab海д", min_size=1, max_size=400), st.integers(3, 100))
def test_a_clipped_text_is_as_long_as_it_may_be_and_shows_that_it_goes_on(text: str, most: int) -> None:
    clipped = clip(text, most)
    if clipped == text:
        assert count_tokens(text) <= most
    else:
        assert clipped.endswith("…")
        assert count_tokens(text[: len(clipped)] + "…") > most


def sent(text: str) -> int:
    """Tokens of a text in JSON."""
    return count_tokens(msgspec.json.encode(text).decode())


@given(st.lists(longer_sent_texts, max_size=12), st.integers(0, 300))
def test_messages_are_shown_in_order_with_their_numbers_and_fit_together(contents: list[str], most: int) -> None:
    found = shown([message(content, seq) for seq, content in enumerate(contents, 1)], most)
    assert [each.number for each in found] == list(range(1, len(contents) + 1))
    assert sum(sent(each.content) for each in found) <= max(most, sent("") * len(contents))
    if sum(map(sent, contents)) <= most:
        assert [each.content for each in found] == contents


@given(st.lists(longer_sent_texts, min_size=1, max_size=12), st.integers(0, 300))
def test_a_message_within_its_fair_share_is_shown_whole(contents: list[str], most: int) -> None:
    found = shown([message(content, seq) for seq, content in enumerate(contents, 1)], most)
    for each, content in zip(found, contents, strict=True):
        assert each.content == content or sent(content) > most // len(contents)


def test_what_short_messages_leave_goes_to_the_long_ones() -> None:
    short, long, longer = shown([message("x" * 40, 1), message("x" * 4_000, 2), message("x" * 8_000, 3)], 210)
    assert short.content == "x" * 40
    assert [95 <= sent(each.content) <= 100 for each in (long, longer)] == [True, True]


def test_a_reading_is_what_was_read_before_and_then_what_is_new() -> None:
    one, two, three = (message("Hello.", seq) for seq in (1, 2, 3))
    assert Reading([one, two], [three]).messages == [one, two, three]
