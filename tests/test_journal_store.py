"""The journal's entries: how conversations hang together, and which entries wait for an answer of the agent."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from ledger.clock import ManualClock
from ledger.db import Database, Session, new_id
from ledger.errors import NotFound
from ledger.journal import store
from ledger.journal.store import Draft, Pen
from ledger.journal.structs import Entry, Kind
from ledger.journal.tables import EntryRow
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from tests.conftest import START, on_sqlite

ALWAYS = Pen("ledger", 1.0)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
async def some_threads(db: Database) -> None:
    async with db.write() as session:
        for name in ("a", "b"):
            await threads.create(session, NewThread(id=name), now=START)


def draft(body: str, answers: Entry | None = None, kind: Kind = "reflection") -> Draft:
    return Draft(
        kind="self_reply" if answers else kind,
        title="On tents",
        body=body,
        evidence=["m1", "m2"],
        scorecard_revision=3,
        profile_revision=2,
        answers=answers,
    )


async def write(
    session: Session, body: str, answers: Entry | None = None, *, pen: Pen = ALWAYS, thread_id: str = "a"
) -> Entry:
    await threads.lock_existing(session, thread_id)
    entry = await store.write(session, thread_id, draft(body, answers), pen, run_id=new_id(), now=START)
    assert entry is not None
    return entry


async def say(session: Session, answered: Entry, body: str = "Really?") -> Entry:
    await threads.lock_existing(session, answered.thread_id)
    return await store.comment(session, answered, "Ida", body, now=START)


async def waiting(session: Session, thread_id: str = "a") -> list[str]:
    """Texts of the own entries that the agent may answer, oldest first."""
    found: list[str] = []
    seq = 0
    while entry := await store.waiting_own(session, thread_id, after=seq):
        found.append(entry.body)
        seq = entry.seq
    return found


async def test_an_entry_is_read_as_it_was_written(db: Database) -> None:
    async with db.write() as session:
        entry = await store.write(session, "a", draft("They camp."), ALWAYS, run_id="run", now=START + MINUTE)
    assert entry is not None
    assert entry == Entry(
        id=entry.id,
        thread_id="a",
        seq=1,
        kind="reflection",
        author="ledger",
        origin="agent",
        title="On tents",
        body="They camp.",
        root=entry.id,
        evidence=["m1", "m2"],
        scorecard_revision=3,
        profile_revision=2,
        run_id="run",
        created_at=START + MINUTE,
    )
    async with db.read() as session:
        assert await store.get(session, "a", entry.id) == entry


async def test_answers_know_what_they_answer_and_where_the_conversation_began(db: Database) -> None:
    async with db.write() as session:
        root = await write(session, "They camp.")
        comment = await say(session, root)
        answer = await write(session, "Yes.", comment)
        again = await say(session, answer, "Sure?")
    found = [root, comment, answer, again]
    assert [entry.seq for entry in found] == [1, 2, 3, 4]
    assert [entry.depth for entry in found] == [0, 1, 2, 3]
    assert [entry.reply_to for entry in found] == [None, root.id, comment.id, answer.id]
    assert {entry.root for entry in found} == {root.id}
    assert [(entry.kind, entry.author, entry.origin) for entry in found[1:3]] == [
        ("comment", "Ida", "person"),
        ("self_reply", "ledger", "agent"),
    ]


async def test_positions_are_counted_in_each_journal_for_itself(db: Database) -> None:
    async with db.write() as session:
        seqs = [(await write(session, f"Entry {n}.", thread_id=name)).seq for n in (1, 2) for name in ("a", "b")]
    assert seqs == [1, 1, 2, 2]


async def test_the_agent_answers_an_entry_once_at_most(db: Database) -> None:
    async with db.write() as session:
        root = await write(session, "They camp.")
        await write(session, "Still.", root)
    with pytest.raises(IntegrityError):
        async with db.write() as session:
            await write(session, "Still, still.", root)
    async with db.read() as session:
        assert [entry.body for entry in await store.newest(session, "a", 10)] == ["They camp.", "Still."]


async def test_a_second_answer_of_the_agent_is_refused_by_the_database_itself(db: Database) -> None:
    async with db.write() as session:
        root, other = await write(session, "They camp."), await write(session, "They hike.")
        await write(session, "Still.", root)
        second = await write(session, "Still, too.", other)
    with pytest.raises(IntegrityError):
        async with db.write() as session:
            await session.execute(update(EntryRow).where(EntryRow.id == second.id).values(reply_to=root.id))


async def test_people_may_answer_an_entry_as_often_as_they_like(db: Database) -> None:
    async with db.write() as session:
        root = await write(session, "They camp.")
        await write(session, "Still.", root)
        for _ in range(3):
            await say(session, root)
        assert [entry.kind for entry in await store.under(session, [root.id])] == ["self_reply", *["comment"] * 3]


async def test_the_same_entry_is_not_written_twice_in_a_thread(db: Database) -> None:
    async with db.write() as session:
        await write(session, "They camp.")
        again = await store.write(session, "a", draft("They camp."), ALWAYS, run_id=new_id(), now=START + MINUTE)
        assert again is None
        assert await write(session, "They camp.", thread_id="b")
        other = draft("They camp.", kind="personality")
        assert await store.write(session, "a", other, ALWAYS, run_id=new_id(), now=START)
        assert len(await store.newest(session, "a", 10)) == 2


async def test_one_run_writes_one_entry(db: Database) -> None:
    async with db.write() as session:
        await store.write(session, "a", draft("They camp."), ALWAYS, run_id="run", now=START)
    with pytest.raises(IntegrityError):
        async with db.write() as session:
            await store.write(session, "b", draft("They hike."), ALWAYS, run_id="run", now=START)


@on_sqlite
@pytest.mark.parametrize(("chance", "fewest", "most"), [(0.0, 0, 0), (0.25, 15, 35), (1.0, 100, 100)])
async def test_about_so_many_of_its_own_entries_as_the_chance_says_wait_for_an_answer(
    db: Database, chance: float, fewest: int, most: int
) -> None:
    async with db.write() as session:
        for number in range(100):
            await write(session, f"Entry {number}.", pen=Pen("ledger", chance))
        assert fewest <= len(await waiting(session)) <= most
        assert await store.is_any_waiting(session, "a") == (most > 0)


@on_sqlite
async def test_the_same_entry_is_chosen_or_not_whenever_and_wherever_it_is_written(
    db: Database, clock: ManualClock
) -> None:
    async with db.write() as session:
        for name in ("a", "b"):
            for number in range(40):
                pen = Pen("ledger", 0.25)
                await store.write(session, name, draft(f"Entry {number}."), pen, run_id=new_id(), now=clock.now())
                clock.advance(MINUTE)
        first, second = await waiting(session), await waiting(session, "b")
    assert first == second
    assert 0 < len(first) < 40


@on_sqlite
async def test_the_choice_is_a_number_made_of_the_digest_below_the_chance() -> None:
    assert not store.is_chosen("0" * 64, 0)
    assert store.is_chosen("f" * 64, 1)
    assert store.is_chosen("3fffffff" + "f" * 56, 0.25)
    assert not store.is_chosen("40000000" + "0" * 56, 0.25)


async def test_the_agent_may_answer_itself_three_times_in_a_row(db: Database) -> None:
    async with db.write() as session:
        entry = await write(session, "0")
        for number in range(1, 4):
            assert await waiting(session) == [entry.body]
            entry = await write(session, str(number), entry)
            assert entry.steps == number
        assert await waiting(session) == []
        assert not await store.is_any_waiting(session, "a")


async def test_what_a_person_says_begins_the_count_anew(db: Database) -> None:
    async with db.write() as session:
        entry = await write(session, "0")
        for number in range(1, 4):
            entry = await write(session, str(number), entry)
        entry = await write(session, "To a person.", await say(session, entry))
        assert (entry.depth, entry.steps) == (5, 0)
        assert await waiting(session) == ["To a person."]
        assert (await write(session, "To itself.", entry)).steps == 1


async def test_a_comment_waits_whatever_the_chance_and_the_depth_until_it_is_answered_or_put_aside(
    db: Database,
) -> None:
    never = Pen("ledger", 0.0)
    async with db.write() as session:
        entry = await write(session, "0", pen=never)
        for number in range(1, 4):
            entry = await write(session, str(number), entry, pen=never)
        first, second = await say(session, entry, "One?"), await say(session, entry, "Two?")
        assert await store.waiting_comment(session, "a") == first
        await write(session, "One.", first, pen=never)
        assert await store.waiting_comment(session, "a") == second
        await store.put_aside(session, second)
        assert await store.waiting_comment(session, "a") is None
        assert not await store.is_any_waiting(session, "a")


async def test_comments_and_own_entries_wait_apart_and_in_each_thread_for_itself(db: Database) -> None:
    async with db.write() as session:
        comment = await say(session, await write(session, "They camp."))
        assert await store.waiting_comment(session, "b") is None
        assert not await store.is_any_waiting(session, "b")
        assert await waiting(session) == ["They camp."]
        assert await store.waiting_own(session, "a", after=1) is None
        assert await store.waiting_comment(session, "a") == comment


async def test_answers_to_itself_and_to_people_are_told_apart_when_they_are_timed(db: Database) -> None:
    async with db.write() as session:
        root = await write(session, "They camp.")
        assert await store.last_step_at(session, "a") is None
        comments = [await say(session, root, f"{n}?") for n in range(3)]
        for number, comment in enumerate(comments):
            reply = draft(f"{number}.", comment)
            await store.write(session, "a", reply, ALWAYS, run_id=new_id(), now=START + number * MINUTE)
        assert await store.last_step_at(session, "a") is None
        await store.write(session, "a", draft("Still.", root), ALWAYS, run_id=new_id(), now=START + 9 * MINUTE)
        assert await store.last_step_at(session, "a") == START + 9 * MINUTE
        nth = [await store.answered_at(session, "a", number) for number in (1, 2, 3, 4)]
        assert nth == [START + 2 * MINUTE, START + MINUTE, START, None]
        assert (await store.answered_at(session, "b", 1), await store.last_step_at(session, "b")) == (None, None)


async def test_the_path_to_an_entry_leads_from_the_root_and_is_cut_there(db: Database) -> None:
    async with db.write() as session:
        found = [await write(session, "They camp.")]
        for number in range(4):
            found.append(await say(session, found[-1], f"{number}?"))
        await say(session, found[0], "Aside.")
        assert await store.path(session, found[4], 5) == found[:4]
        assert await store.path(session, found[4], 2) == found[2:4]
        assert await store.path(session, found[0], 5) == []


async def test_an_entry_of_another_thread_is_unknown(db: Database) -> None:
    async with db.write() as session:
        entry = await write(session, "They camp.")
        with pytest.raises(NotFound, match=entry.id):
            await store.get(session, "b", entry.id)


async def test_a_journal_goes_with_its_thread(db: Database) -> None:
    async with db.write() as session:
        await say(session, await write(session, "They camp."))
        kept = await write(session, "They hike.", thread_id="b")
    async with db.write() as session:
        await threads.remove(session, "a", now=START)
        await threads.create(session, NewThread(id="a"), now=START)
        assert await store.newest(session, "a", 10) == []
        assert not await store.is_any_waiting(session, "a")
        assert await store.newest(session, "b", 10) == [kept]
        assert (await write(session, "They camp.")).seq == 1
