"""Self-reply without a model: which entries are answered, when, how often, and what is said to them."""

from datetime import datetime, timedelta

import anyio
import pytest
from msgspec import structs

from ledger.clock import ManualClock
from ledger.db import Database, new_id
from ledger.insights import profiles, scorecards
from ledger.insights.structs import Profile, Scorecard, Topic, Words
from ledger.journal import store
from ledger.journal.store import Draft, Pen
from ledger.journal.structs import Entry
from ledger.loops import Waker
from ledger.loops.self_reply import SelfReply
from ledger.threads import store as threads
from tests.conftest import START, Opener, on_sqlite
from tests.toy import HALF_HOUR, Process, means

HOUR = 2 * HALF_HOUR
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class Journal(Process):
    """A process with self-reply alone, which keeps the journal of the thread `a`."""

    def __init__(
        self, db: Database, clock: ManualClock, *, chance: float = 1.0, minimum: timedelta = HALF_HOUR
    ) -> None:
        self.pen = Pen("ledger", chance)
        given = structs.replace(means(db), pen=self.pen)
        super().__init__(db, clock, SelfReply(given, minimum=minimum, enabled=True, every=HALF_HOUR))
        self.wake = Waker(self.loops)

    async def write(self, title: str = "On tents", scorecard: int = 0) -> Entry:
        draft = Draft(
            kind="reflection",
            title=title,
            body=f"I noted something {title.lower()}.",
            evidence=[],
            scorecard_revision=scorecard,
            profile_revision=0,
        )
        async with self.db.write() as session:
            await threads.lock_existing(session, "a")
            entry = await store.write(session, "a", draft, self.pen, run_id=new_id(), now=self.clock.now())
            await self.wake(session, "a")
        assert entry is not None
        return entry

    async def comment(self, answered: Entry, body: str = "Really?") -> Entry:
        async with self.db.write() as session:
            await threads.lock_existing(session, "a")
            entry = await store.comment(session, answered, "Ida", body, now=self.clock.now())
            await self.wake(session, "a")
        return entry

    async def reflect(self, *topics: str) -> None:
        """Have a new scorecard with these topics."""
        async with self.db.write() as session:
            await threads.lock_existing(session, "a")
            revision = await scorecards.newest_revision(session, "a") + 1
            found = [Topic(topic, 3, [f"m{revision}"]) for topic in topics]
            scorecard = Scorecard(thread_id="a", revision=revision, topics=found, run_id=new_id())
            await scorecards.add(session, structs.replace(scorecard, created_at=self.clock.now()))
            await self.wake(session, "a")

    async def answers(self) -> list[Entry]:
        async with self.db.read() as session:
            return [entry for entry in await store.newest(session, "a", 200) if entry.kind == "self_reply"]

    async def due(self) -> datetime | None:
        return (await self.turn("a")).next_due_at


@pytest.fixture
async def journal(db: Database, clock: ManualClock) -> Journal:
    """A thread with one scorecard, and a journal that may answer all of its entries."""
    journal = Journal(db, clock)
    await journal.start("a")
    await journal.reflect("tents")
    return journal


@pytest.fixture
async def shy(db: Database, clock: ManualClock) -> Journal:
    """A journal that may answer none of its own entries."""
    journal = Journal(db, clock, chance=0.0)
    await journal.start("a")
    return journal


async def test_an_own_entry_is_answered_one_interval_after_it_was_written(journal: Journal, clock: ManualClock) -> None:
    entry = await journal.write(scorecard=1)
    await journal.say("a", "We took a boat.")
    await journal.reflect("boats")
    assert await journal.due() == START + HALF_HOUR
    clock.advance(HALF_HOUR - SECOND)
    await journal.loop.run_once()
    assert await journal.answers() == []

    clock.advance(SECOND)
    await journal.loop.run_once()
    (answer,) = await journal.answers()
    assert (answer.author, answer.origin, answer.title) == ("ledger", "agent", "Re: On tents")
    assert (answer.reply_to, answer.root, answer.depth, answer.steps) == (entry.id, entry.id, 1, 1)
    assert (answer.scorecard_revision, answer.evidence) == (2, ["m2"])
    (run,) = await journal.runs("a")
    assert (run.id, run.outcome, run.decided_by, run.slots) == (answer.run_id, "acted", "rules", 1)
    assert (run.first_slot, run.reason) == (START + HALF_HOUR, None)


@on_sqlite
async def test_an_answer_to_itself_says_what_has_changed_since(journal: Journal, clock: ManualClock) -> None:
    await journal.reflect("tents", "lakes")
    await journal.write("On lakes", scorecard=2)
    await journal.say("a", "We took a boat.")
    await journal.reflect("tents", "boats")
    clock.advance(HALF_HOUR)
    await journal.loop.run_once()
    (answer,) = await journal.answers()
    for part in (
        "“On lakes” (2026-01-05)",
        "1 new message came",
        "Still talked about: tents.",
        "Talked about no longer: lakes.",
        "Talked about now: boats.",
        "Scorecard 3: the talk is about tents, boats.",
        "No model is configured",
    ):
        assert part in answer.body


async def test_an_entry_since_which_nothing_has_changed_is_considered_again_with_the_next_scorecard(
    journal: Journal, clock: ManualClock
) -> None:
    entries = [await journal.write(title, scorecard=1) for title in ("On tents", "On pegs")]
    clock.advance(HALF_HOUR)
    for _ in range(4):
        await journal.loop.run_once()
        clock.advance(HOUR)
    (run,) = await journal.runs("a")
    assert (run.outcome, run.reason, run.decided_by, run.slots) == ("skipped", "nothing_new", None, 2)
    assert (await journal.answers(), await journal.due()) == ([], None)

    await journal.reflect("tents")
    await journal.loop.run_once()
    assert (await journal.answers(), await journal.due()) == ([], None)
    await journal.reflect("boats")
    for _ in range(3):
        await journal.loop.run_once()
        clock.advance(HALF_HOUR)
    answered = [answer.reply_to for answer in await journal.answers()]
    assert answered == [entry.id for entry in entries]


async def test_an_entry_from_before_all_scorecards_is_held_against_the_first(
    journal: Journal, clock: ManualClock
) -> None:
    await journal.write()
    clock.advance(HALF_HOUR)
    await journal.loop.run_once()
    assert (await journal.answers(), await journal.due()) == ([], None)
    await journal.reflect("boats")
    await journal.loop.run_once()
    (answer,) = await journal.answers()
    assert "Talked about no longer: tents." in answer.body


@on_sqlite
async def test_an_interval_of_the_thread_itself_counts(journal: Journal, clock: ManualClock) -> None:
    await journal.write()
    await journal.reflect("boats")
    await journal.configure("a", every_seconds=60)
    assert await journal.due() == START + MINUTE
    clock.advance(MINUTE)
    await journal.loop.run_once()
    assert len(await journal.answers()) == 1


@on_sqlite
async def test_between_two_answers_to_itself_lies_the_least_time(db: Database, clock: ManualClock) -> None:
    journal = Journal(db, clock, minimum=HOUR)
    await journal.start("a")
    await journal.reflect("tents")
    entries = [await journal.write(title) for title in ("On tents", "On pegs", "On ropes")]
    await journal.reflect("boats")
    moments: list[datetime] = []
    while len(moments) < 3:
        due = await journal.due()
        assert due is not None
        clock.advance(due - clock.now() - SECOND)
        await journal.loop.run_once()
        assert len(await journal.answers()) == len(moments)
        clock.advance(SECOND)
        await journal.loop.run_once()
        moments.append(due)
    assert moments == [START + HALF_HOUR, START + HALF_HOUR + HOUR, START + HALF_HOUR + 2 * HOUR]
    assert [answer.reply_to for answer in await journal.answers()] == [entry.id for entry in entries]


@on_sqlite
async def test_it_answers_itself_three_times_in_a_row_and_no_more(journal: Journal, clock: ManualClock) -> None:
    await journal.write(scorecard=1)
    for topic in ("boats", "ropes", "lakes", "pegs", "fish"):
        await journal.reflect(topic)
        clock.advance(HOUR)
        await journal.loop.run_once()
    found = await journal.answers()
    assert [(answer.depth, answer.steps) for answer in found] == [(1, 1), (2, 2), (3, 3)]
    assert await journal.due() is None


@on_sqlite
async def test_with_no_chance_it_never_answers_itself(shy: Journal, clock: ManualClock) -> None:
    for number in range(20):
        await shy.write(f"On {number}")
    await shy.reflect("boats")
    assert await shy.due() is None
    clock.advance(HOUR)
    await shy.loop.run_once()
    await shy.loop.run_for_thread("a")
    assert await shy.answers() == []


async def test_a_comment_is_answered_at_once_whatever_the_chance(shy: Journal, clock: ManualClock) -> None:
    comment = await shy.comment(await shy.write("On pegs"))
    assert await shy.due() == clock.now()
    await shy.loop.run_once()
    (answer,) = await shy.answers()
    assert (answer.reply_to, answer.steps) == (comment.id, 0)


async def test_a_comment_is_answered_just_after_the_agent_answered_itself_and_however_deep(
    journal: Journal, clock: ManualClock
) -> None:
    await journal.write(scorecard=1)
    for topic in ("boats", "ropes", "lakes"):
        await journal.reflect(topic)
        clock.advance(HOUR)
        await journal.loop.run_once()
    deepest = (await journal.answers())[-1]
    comment = await journal.comment(deepest)
    await journal.loop.run_once()
    answer = (await journal.answers())[-1]
    assert (deepest.steps, answer.reply_to, answer.depth, answer.steps) == (3, comment.id, 5, 0)


@on_sqlite
async def test_a_comment_goes_ahead_of_an_own_entry(journal: Journal, clock: ManualClock) -> None:
    entry = await journal.write(scorecard=1)
    await journal.reflect("boats")
    clock.advance(HALF_HOUR)
    comment = await journal.comment(entry)
    await journal.loop.run_once()
    assert [answer.reply_to for answer in await journal.answers()] == [comment.id, entry.id]


@on_sqlite
async def test_an_answer_to_a_comment_cites_what_it_rests_on(journal: Journal, clock: ManualClock) -> None:
    entry = await journal.write(scorecard=1)
    for text in ("The boat leaks at the stern.", "We saw a heron.", "Bread is cheap here."):
        await journal.say("a", text)
    await journal.reflect("boats")
    async with journal.db.write() as session:
        words = Words(verbosity="concise")
        await profiles.add(session, Profile(thread_id="a", revision=4, words=words, created_at=clock.now()))
    await journal.comment(entry, "Does the boat still leak?")
    await journal.loop.run_once()
    (answer,) = await journal.answers()
    for part in ("@Ida", "“On tents” (2026-01-05)", "Scorecard 2: the talk is about boats.", "Profile 4: "):
        assert part in answer.body
    assert "Talked about no longer: tents." in answer.body
    assert "(message 1): “The boat leaks at the stern.”" in answer.body
    assert "heron" not in answer.body
    assert (answer.scorecard_revision, answer.profile_revision, len(answer.evidence)) == (2, 4, 1)


@on_sqlite
async def test_an_answer_far_down_among_people_still_cites_the_entry(shy: Journal) -> None:
    await shy.reflect("tents")
    entry = await shy.write(scorecard=1)
    async with shy.db.write() as session:
        await threads.lock_existing(session, "a")
        for number in range(8):
            entry = await store.comment(session, entry, "Ida", f"Thought {number}.", now=START)
    for _ in range(8):
        await shy.loop.run_for_thread("a")
    found = await shy.answers()
    assert ["“On tents” (2026-01-05)" in answer.body for answer in found] == [True] * 8
    assert not any("has changed" in answer.body for answer in found)


async def test_people_who_say_the_same_are_all_answered(shy: Journal) -> None:
    entry = await shy.write()
    comments = [await shy.comment(entry, "Why?") for _ in range(2)]
    await shy.loop.run_once()
    assert [answer.reply_to for answer in await shy.answers()] == [comment.id for comment in comments]


async def test_the_21st_comment_of_an_hour_waits_until_the_hour_is_over(shy: Journal, clock: ManualClock) -> None:
    entry = await shy.write()
    comments: list[Entry] = []
    for number in range(22):
        comments.append(await shy.comment(entry, f"Question {number}?"))
        await shy.loop.run_once()
        clock.advance(MINUTE)
    assert [answer.reply_to for answer in await shy.answers()] == [comment.id for comment in comments[:20]]
    assert await shy.due() == START + HOUR

    clock.advance(START + HOUR - SECOND - clock.now())
    await shy.loop.run_once()
    assert len(await shy.answers()) == 20
    clock.advance(SECOND)
    await shy.loop.run_once()
    assert [answer.reply_to for answer in await shy.answers()][20:] == [comments[20].id]
    assert await shy.due() == START + HOUR + MINUTE
    clock.advance(MINUTE)
    await shy.loop.run_once()
    assert (len(await shy.answers()), await shy.due()) == (22, None)


@on_sqlite
async def test_an_own_entry_is_answered_also_while_comments_wait_for_the_hour(
    journal: Journal, clock: ManualClock
) -> None:
    entry = await journal.write(scorecard=1)
    clock.advance(HALF_HOUR - SECOND)
    for number in range(21):
        await journal.comment(entry, f"Question {number}?")
    await journal.loop.run_once()
    await journal.reflect("boats")
    clock.advance(SECOND)
    await journal.loop.run_once()
    found = await journal.answers()
    assert (len(found), found[-1].reply_to) == (21, entry.id)


@on_sqlite
async def test_a_run_now_answers_an_own_entry_before_it_is_due_and_leaves_the_schedule_alone(
    journal: Journal, clock: ManualClock
) -> None:
    first = await journal.write(scorecard=1)
    await journal.reflect("boats")
    clock.advance(10 * MINUTE)
    second = await journal.write("On pegs", scorecard=1)
    run = await journal.loop.run_for_thread("a")
    assert (run.outcome, run.trigger, run.first_slot, run.slots) == ("acted", "run_now", None, 0)
    assert [answer.reply_to for answer in await journal.answers()] == [first.id]
    assert await journal.due() == second.created_at + HALF_HOUR
    run = await journal.loop.run_for_thread("a")
    assert [answer.reply_to for answer in await journal.answers()] == [first.id, second.id]


@on_sqlite
async def test_a_run_now_with_nothing_waiting_says_so(journal: Journal) -> None:
    run = await journal.loop.run_for_thread("a")
    assert (run.outcome, run.reason, run.summary) == (
        "skipped",
        "nothing_new",
        "No entry of the journal waits for an answer.",
    )
    assert (await journal.answers(), await journal.due()) == ([], None)


async def test_two_processes_answer_each_comment_once(journal: Journal, other_db: Database, clock: ManualClock) -> None:
    second = Journal(other_db, clock)
    entry = await journal.write()
    comments = [await journal.comment(entry, f"Question {number}?") for number in range(6)]
    async with anyio.create_task_group() as group:
        for process in (journal, second):
            group.start_soon(process.loop.run_once)
    await journal.loop.run_once()
    found = await journal.answers()
    assert sorted(str(answer.reply_to) for answer in found) == sorted(comment.id for comment in comments)
    assert [run.outcome for run in await journal.runs("a")] == ["acted"] * 6


@on_sqlite
async def test_a_thread_that_nobody_writes_to_is_left_alone_by_self_reply(journal: Journal, clock: ManualClock) -> None:
    for _ in range(100):
        clock.advance(HOUR)
        await journal.loop.run_once()
    assert (await journal.runs("a"), await journal.answers(), await journal.due()) == ([], [], None)


@on_sqlite
async def test_what_reflection_notes_of_a_talk_is_answered_when_the_talk_has_turned(
    opened: Opener, clock: ManualClock
) -> None:
    off = {"personality_enabled": False, "heartbeat_enabled": False}
    async with opened(rules=True, **off, self_reply_chance=1.0) as running:
        for topic in ("camping by the lake", "sourdough bread with walnuts"):
            batch = [{"role": "user", "content": f"Let us talk about {topic}, part {n}."} for n in range(8)]
            await running.http.post("/api/threads/default/messages", json={"messages": batch})
            clock.advance(HALF_HOUR)
            await running.reflection.run_once()
            await running.app.state.journal_self_reply_loop.run_once()
        found = (await running.http.get("/api/threads/default/journal?view=tree")).json()["items"]
    newer, older = found
    (answer,) = older["replies"]
    assert (older["kind"], answer["kind"], newer["replies"]) == ("reflection", "self_reply", [])
    assert "8 new messages came" in answer["body"]
    assert "sourdough bread" in answer["body"]
