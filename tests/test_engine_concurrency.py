"""What happens in the middle of a turn, with more than one process, and with more threads than places."""

import shutil
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.loops.reflection import Reflected, Reflection
from ledger.loops.work import Record
from ledger.turns import store as turns
from ledger.turns.structs import Turn
from tests.conftest import START
from tests.toy import HALF_HOUR, LEASE, Process, Toy, Waits, assert_covered_once, eventually, means

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)

Meanwhile = Callable[[], Awaitable[object]]


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
async def process(db: Database, clock: ManualClock, toy: Toy) -> Process:
    process = Process(db, clock, toy)
    await process.start("a", "b")
    return process


async def turn_with(process: Process, toy: Toy, *meanwhile: Meanwhile) -> None:
    """Take the turn of `a`, and have something happen in the middle of it."""
    waits = Waits()
    toy.does(waits, on="a")
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await waits.begun.wait()
        for happen in meanwhile:
            await happen()
        waits.go_on.set()


@pytest.mark.parametrize("minutes", [1, 7, 45, 60])
async def test_an_interval_changed_during_a_turn_counts_from_the_slot_that_is_settled(
    process: Process, toy: Toy, clock: ManualClock, minutes: int
) -> None:
    every = minutes * MINUTE
    clock.advance(HALF_HOUR)
    await turn_with(process, toy, lambda: process.configure("a", every_seconds=minutes * 60))

    (run,) = await process.runs("a")
    assert (run.outcome, run.first_slot, run.last_slot, run.slots) == ("acted", clock.now(), clock.now(), 1)
    expected = START + (HALF_HOUR // every + 1) * every
    assert (await process.turn("a")).slot == expected
    clock.advance(expected - clock.now())
    await process.loop.run_once()
    (_, second) = await process.runs("a")
    assert (second.first_slot, second.slots) == (expected, 1)


async def test_a_thread_disabled_during_a_turn_has_nothing_applied_to_it(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    clock.advance(HALF_HOUR)
    await turn_with(process, toy, lambda: process.configure("a", enabled=False))

    (run,) = await process.runs("a")
    assert (run.outcome, run.reason, run.slots, run.actions) == ("skipped", "disabled", 1, [])
    assert await process.said("a") == []
    turn = await process.turn("a")
    assert (turn.enabled, turn.slot, turn.next_due_at, turn.lease_token) == (False, None, None, None)

    clock.advance(1.5 * HALF_HOUR)
    await process.configure("a", enabled=True)
    assert (await process.turn("a")).slot == START + 3 * HALF_HOUR


async def test_a_thread_disabled_and_enabled_again_during_a_turn_goes_on_as_before(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    clock.advance(HALF_HOUR)
    await turn_with(
        process,
        toy,
        lambda: process.configure("a", enabled=False),
        lambda: process.configure("a", enabled=True),
    )
    assert await process.said("a") == ["Done."]
    assert_covered_once(await process.runs("a"), START, HALF_HOUR, clock.now())


async def test_a_thread_deleted_during_a_turn_leaves_nothing(process: Process, toy: Toy, clock: ManualClock) -> None:
    clock.advance(HALF_HOUR)
    await turn_with(process, toy, lambda: process.delete("a"))
    assert await process.runs("a") == []
    assert (len(await process.runs("b")), process.loop.lost_claims) == (1, 1)


async def test_a_new_thread_of_the_same_name_inherits_nothing_of_a_turn_under_way(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    clock.advance(HALF_HOUR)
    await turn_with(process, toy, lambda: process.delete("a"), lambda: process.start("a"))
    assert (await process.runs("a"), await process.said("a")) == ([], [])
    turn = await process.turn("a")
    assert (turn.slot, turn.anchor_at) == (START + 2 * HALF_HOUR, clock.now())


async def test_a_loop_stopped_by_another_process_during_a_turn_applies_nothing_and_stays_owed(
    process: Process, other_db: Database, toy: Toy, clock: ManualClock
) -> None:
    other = Process(other_db, clock, Toy())
    clock.advance(HALF_HOUR)
    await turn_with(process, toy, other.loop.stop)
    assert (await process.runs("a"), await process.said("a")) == ([], [])

    await other.loop.start()
    await process.loop.run_once()
    assert await process.said("a") == ["Done."]
    assert_covered_once(await process.runs("a"), START, HALF_HOUR, clock.now())


async def test_a_loop_stopped_and_started_during_a_turn_acts_once(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    clock.advance(HALF_HOUR)
    await turn_with(process, toy, process.loop.stop, process.loop.start)
    await process.loop.run_once()
    assert await process.said("a") == ["Done."]
    assert_covered_once(await process.runs("a"), START, HALF_HOUR, clock.now())


class Interrupted(Reflection):
    """A quiet loop during whose turns something happens, once they have read."""

    def __init__(self, db: Database) -> None:
        super().__init__(means(db), enabled=True, every=HALF_HOUR)
        self.meanwhile: list[Meanwhile] = []

    async def act(self, turn: Turn, record: Record) -> Reflected | None:
        reflected = await super().act(turn, record)
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        return reflected


async def test_a_message_that_comes_during_a_quiet_turn_makes_its_thread_due_again(
    db: Database, clock: ManualClock
) -> None:
    reader = Interrupted(db)
    process = Process(db, clock, reader)
    await process.start("a")
    await process.say("a", "One.")
    clock.advance(HALF_HOUR)

    async def person_writes() -> None:
        clock.advance(MINUTE)
        await process.say("a", "Two.")

    reader.meanwhile.append(person_writes)
    await process.loop.run_once()
    turn = await process.turn("a")
    assert (turn.watermark, turn.slot, turn.next_due_at) == (1, clock.now() + HALF_HOUR, clock.now() + HALF_HOUR)

    clock.advance(HALF_HOUR)
    await process.loop.run_once()
    turn = await process.turn("a")
    assert (turn.watermark, turn.slot, turn.next_due_at) == (2, None, None)


async def test_a_message_that_comes_while_a_quiet_turn_is_put_back_is_not_lost(
    db: Database, clock: ManualClock
) -> None:
    reader = Interrupted(db)
    process = Process(db, clock, reader)
    await process.start("a")
    await process.say("a", "One.")
    clock.advance(HALF_HOUR)

    async def person_writes_and_someone_stops() -> None:
        await process.say("a", "Two.")
        await process.loop.stop()

    reader.meanwhile.append(person_writes_and_someone_stops)
    await process.loop.run_once()
    await process.loop.start()
    await process.loop.run_once()
    assert (await process.turn("a")).watermark == 2


async def test_a_turn_taken_over_after_its_lease_is_settled_by_the_second_holder_alone(
    process: Process, other_db: Database, toy: Toy, clock: ManualClock
) -> None:
    later = ManualClock(START + HALF_HOUR + LEASE)
    second = Process(other_db, later, Toy())
    clock.advance(HALF_HOUR)
    await turn_with(process, toy, second.loop.run_once)

    (run,) = await process.runs("a")
    assert (run.started_at, run.first_slot, run.slots) == (later.now(), clock.now(), 1)
    assert await process.said("a") == ["Done."]
    assert (process.loop.lost_claims, second.loop.lost_claims) == (1, 0)


async def test_a_first_holder_that_fails_or_is_cancelled_does_not_disturb_the_second(
    process: Process, other_db: Database, toy: Toy, clock: ManualClock
) -> None:
    second_toy = Toy()
    second = Process(other_db, ManualClock(START + HALF_HOUR + LEASE), second_toy)
    holds = Waits("Second.")
    second_toy.does(holds, on="a")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:

        async def take_over() -> None:
            group.start_soon(second.loop.run_once)
            await holds.begun.wait()
            await process.loop.stop()
            await process.loop.start()

        await turn_with(process, toy, take_over)
        assert (await process.turn("a")).lease_until == START + HALF_HOUR + 2 * LEASE
        holds.go_on.set()
    assert await process.said("a") == ["Second."]


async def claim_and_die(process: Process) -> list[Turn]:
    """What a process leaves behind that is killed in the middle of its turns."""
    now = process.clock.now()
    async with process.db.write() as session:
        return await turns.claim(session, process.loop.name, now=now, until=now + LEASE, limit=10)


async def test_turns_of_a_dead_process_become_due_again_when_their_lease_ends(
    process: Process, clock: ManualClock
) -> None:
    clock.advance(HALF_HOUR)
    assert len(await claim_and_die(process)) == 2
    clock.advance(LEASE - SECOND)
    await process.loop.run_once()
    assert await process.runs() == []

    clock.advance(SECOND)
    await process.loop.run_once()
    for thread_id in ("a", "b"):
        assert_covered_once(await process.runs(thread_id), START, HALF_HOUR, clock.now())
        assert await process.said(thread_id) == ["Done."]


async def test_a_run_now_that_died_leaves_the_slot_to_the_schedule(process: Process, clock: ManualClock) -> None:
    clock.advance(HALF_HOUR - MINUTE)
    turn, now = await process.turn("a"), clock.now()
    async with process.db.write() as session:
        assert await turns.claim_one(session, turn, now=now, until=now + LEASE)
    clock.advance(LEASE)
    await process.loop.run_once()
    assert_covered_once(await process.runs("a"), START, HALF_HOUR, clock.now())


async def test_a_run_now_that_died_on_a_disabled_thread_leaves_no_run(process: Process, clock: ManualClock) -> None:
    await process.configure("a", enabled=False)
    turn, now = await process.turn("a"), clock.now()
    async with process.db.write() as session:
        assert await turns.claim_one(session, turn, now=now, until=now + LEASE)
    clock.advance(LEASE)
    await process.loop.run_once()
    assert await process.runs("a") == []
    assert (await process.turn("a")).next_due_at is None


async def test_a_slot_that_comes_during_a_run_now_is_served_after_it(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    asked = Waits("Asked.")
    toy.does(asked, on="a")
    clock.advance(HALF_HOUR - SECOND)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_for_thread, "a")
        await asked.begun.wait()
        clock.advance(SECOND)
        await process.loop.run_once()
        assert await process.runs("a") == []
        asked.go_on.set()
    await process.loop.run_once()
    assert await process.said("a") == ["Asked.", "Done."]
    assert_covered_once(await process.runs("a"), START, HALF_HOUR, clock.now())


async def test_two_processes_share_what_is_due_without_serving_anything_twice(
    process: Process, other_db: Database, toy: Toy, clock: ManualClock
) -> None:
    names = [f"t{number}" for number in range(40)]
    await process.start(*names)
    second_toy = Toy()
    second = Process(other_db, clock, second_toy)
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        group.start_soon(second.loop.run_once)
    assert sorted(toy.served + second_toy.served) == sorted([*names, "a", "b"])
    assert len(await process.runs()) == 42


async def test_no_more_turns_run_at_once_than_there_are_places(db: Database, clock: ManualClock) -> None:
    toy, names = Toy(), [f"t{number}" for number in range(10)]
    process = Process(db, clock, toy, places=3)
    await process.start(*names)
    waiting = [Waits() for _ in names]
    toy.does(*waiting)
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        for waits in waiting:
            await waits.begun.wait()
            assert 1 <= toy.under_way <= 3
            if toy.under_way == 3:
                assert process.places.free == 0
            waits.go_on.set()
    assert (toy.most_at_once, sorted(toy.served), process.places.free) == (3, names, 3)


async def test_one_slow_turn_delays_nobody_while_a_place_is_free(db: Database, clock: ManualClock) -> None:
    toy, names = Toy(), [f"t{number}" for number in range(10)]
    process = Process(db, clock, toy, places=2)
    await process.start("slow", *names)
    slow = Waits()
    toy.does(slow, on="slow")

    async def others_served() -> bool:
        return len(await process.runs()) == len(names)

    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await slow.begun.wait()
        await eventually(others_served)
        assert toy.under_way == 1
        slow.go_on.set()
    assert len(await process.runs()) == len(names) + 1


async def test_quiet_turns_leave_a_place_for_heartbeats_and_for_what_a_person_asks(
    db: Database, clock: ManualClock
) -> None:
    heartbeat, quiet = Toy(), Toy("reflection", leaves_free=1)
    process = Process(db, clock, heartbeat, quiet, places=2)
    await process.start("a", "b", "c")
    waiting = [Waits(), Waits(), Waits()]
    quiet.does(*waiting)
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loops[1].run_once)
        await waiting[0].begun.wait()
        await process.loop.run_once()
        assert (quiet.under_way, len(await process.runs())) == (1, 3)
        await process.loop.run_for_thread("a")
        for waits in waiting:
            waits.go_on.set()
    assert (quiet.most_at_once, sorted(quiet.served)) == (1, ["a", "b", "c"])


async def test_what_a_person_asks_for_goes_ahead_of_what_is_due(db: Database, clock: ManualClock) -> None:
    toy = Toy()
    process = Process(db, clock, toy, places=1)
    await process.start("a", "b", "c", "d")
    for name, minutes in (("a", 1), ("b", 2), ("c", 3)):
        await process.configure(name, every_seconds=minutes * 60)
    first = Waits()
    toy.does(first, on="a")

    async def in_line() -> bool:
        return len(process.places._line) == 2  # pyright: ignore[reportPrivateUsage] - nobody else needs to know

    async def all_served() -> bool:
        return len(await process.runs()) == 4

    clock.advance(3 * MINUTE)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run)
        await first.begun.wait()
        group.start_soon(process.loop.run_for_thread, "d")
        await eventually(in_line)
        first.go_on.set()
        await eventually(all_served)
        group.cancel_scope.cancel()
    assert toy.served == ["a", "d", "b", "c"]


async def test_a_thread_beyond_the_200th_gets_its_turn(process: Process, toy: Toy, clock: ManualClock) -> None:
    names = [f"t{number:03}" for number in range(250)]
    await process.start(*names)
    clock.advance(HALF_HOUR)
    await process.loop.run_once()
    assert sorted(toy.served) == sorted([*names, "a", "b"])
    assert len(await process.runs()) == 252
    assert toy.most_at_once <= 8


async def test_the_100000th_thread_gets_its_turn(tmp_path: Path, empty_sqlite: Path, clock: ManualClock) -> None:
    path = tmp_path / "many.db"
    shutil.copyfile(empty_sqlite, path)
    db, toy = Database(f"sqlite+aiosqlite:///{path}"), Toy()
    process = Process(db, clock, toy)
    await process.start()
    async with db.write() as session:
        await session.execute(text(MANY_THREADS), [{"now": START.isoformat(" ")}])
        await session.execute(text(MANY_TURNS), [{"now": f"{START:%F %T.%f}", "due": f"{START + HALF_HOUR:%F %T.%f}"}])
    await process.configure("t100000", every_seconds=60)
    clock.advance(MINUTE)
    await process.loop.run_once()
    assert toy.served == ["t100000"]
    assert_covered_once(await process.runs(), START, MINUTE, clock.now())
    await db.close()


MANY_THREADS = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO threads (id, title, timezone, created_at, message_count, post_count, person_seq, said_tokens, activity)
    SELECT printf('t%06d', i), '', 'UTC', :now, 0, 0, 0, 0, 0 FROM n"""

MANY_TURNS = """
    INSERT INTO turns (thread_id, loop, enabled, anchor_at, slot, next_due_at, attempt, watermark, basis)
    SELECT id, 'heartbeat', 1, :now, :due, :due, 0, 0, '' FROM threads"""


async def test_a_slot_that_a_clock_ahead_has_settled_does_not_come_again(
    process: Process, other_db: Database, toy: Toy, clock: ManualClock
) -> None:
    ahead = Process(other_db, ManualClock(clock.now() + HALF_HOUR), toy)
    clock.advance(HALF_HOUR - SECOND)
    await ahead.loop.run_once()
    await process.say("a", "Hello.")
    await process.loop.run_for_thread("a")
    clock.advance(SECOND)
    await process.loop.run_once()
    assert (await process.turn("a")).slot == START + 2 * HALF_HOUR
    assert_covered_once(await process.runs("a"), START, HALF_HOUR, clock.now())
