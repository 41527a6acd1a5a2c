"""One loop with toy work on a real database: claim, act, settle, put back."""

from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest
from msgspec import structs
from sqlalchemy import text

from ledger.clock import ManualClock
from ledger.db import Database, Session
from ledger.errors import Conflict, NotFound
from ledger.loops.work import Effects, Record, TurnFailed
from ledger.runs.structs import RunDetail
from ledger.turns.structs import Turn
from tests.conftest import START
from tests.toy import (
    HALF_HOUR,
    TICK,
    TURN_LIMIT,
    Process,
    Says,
    Toy,
    Waits,
    assert_covered_once,
    eventually,
    fail,
    skip,
    speak,
)

SECOND = timedelta(seconds=1)


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
async def process(db: Database, clock: ManualClock, toy: Toy) -> Process:
    """A process with the threads a and b, whose first slots come half an hour after the start."""
    process = Process(db, clock, toy)
    await process.start("a", "b")
    return process


async def test_a_turn_is_taken_when_its_slot_has_come_and_not_before(process: Process, clock: ManualClock) -> None:
    clock.advance(HALF_HOUR - timedelta(microseconds=1))
    await process.loop.run_once()
    assert await process.runs() == []

    clock.advance(timedelta(microseconds=1))
    await process.loop.run_once()

    (run,) = await process.runs("a")
    assert (run.outcome, run.trigger, run.attempt, run.slots) == ("acted", "schedule", 0, 1)
    assert (run.first_slot, run.last_slot, run.lateness_seconds) == (clock.now(), clock.now(), 0)
    assert await process.said("a") == ["Done."]


async def test_settling_ends_the_lease_and_owes_the_next_slot(process: Process, toy: Toy, clock: ManualClock) -> None:
    async def read_on(turn: Turn, record: Record) -> Effects:
        del turn, record
        return Says(watermark=7, basis="seven")

    toy.does(read_on, on="a")
    clock.advance(HALF_HOUR)
    await process.loop.run_once()

    turn, (run,) = await process.turn("a"), await process.runs("a")
    assert (turn.slot, turn.next_due_at, turn.attempt) == (START + 2 * HALF_HOUR, START + 2 * HALF_HOUR, 0)
    assert (turn.lease_token, turn.lease_until) == (None, None)
    assert (turn.watermark, turn.basis, turn.last_run_id) == (7, "seven", run.id)


async def test_a_late_turn_covers_the_slots_that_were_missed_and_keeps_the_phase(
    process: Process, clock: ManualClock
) -> None:
    clock.advance(5.5 * HALF_HOUR)
    await process.loop.run_once()

    (run,) = await process.runs("a")
    assert (run.first_slot, run.last_slot, run.slots) == (START + HALF_HOUR, START + 5 * HALF_HOUR, 5)
    assert run.lateness_seconds == 4.5 * HALF_HOUR.total_seconds()
    assert (await process.turn("a")).slot == START + 6 * HALF_HOUR


async def test_a_turn_that_fails_is_recorded_and_owed_and_leaves_others_alone(
    process: Process, toy: Toy, clock: ManualClock, errors_logged: list[str]
) -> None:
    errors_logged.append("RuntimeError: boom")
    toy.does(fail(RuntimeError("boom")), on="a")
    clock.advance(HALF_HOUR)
    await process.loop.run_once()

    (failed,), (other,) = await process.runs("a"), await process.runs("b")
    assert (failed.outcome, failed.reason, failed.error) == ("failed", "internal_error", "RuntimeError: boom")
    assert (failed.slots, failed.first_slot) == (0, START + HALF_HOUR)
    assert other.outcome == "acted"
    turn = await process.turn("a")
    assert (turn.slot, turn.attempt, turn.lease_token) == (START + HALF_HOUR, 1, None)
    assert turn.next_due_at is not None
    assert 24 * SECOND <= turn.next_due_at - clock.now() <= 36 * SECOND


async def test_failures_back_off_by_doubling_to_an_hour_and_one_success_forgets_them(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    toy.does(*[fail(TurnFailed("provider_failed", "down"))] * 10, on="a")
    clock.advance(HALF_HOUR)
    for attempt in range(10):
        await process.loop.run_once()
        turn = await process.turn("a")
        assert turn.next_due_at is not None
        backoff = min(30 * 2**attempt, 3_600) * SECOND
        assert 0.8 * backoff <= turn.next_due_at - clock.now() <= 1.2 * backoff
        clock.advance(turn.next_due_at - clock.now() - SECOND)
        await process.loop.run_once()
        assert len(await process.runs("a")) == attempt + 1
        clock.advance(SECOND)
    await process.loop.run_once()

    found = await process.runs("a")
    assert [run.attempt for run in found] == list(range(11))
    assert [run.outcome for run in found] == ["failed"] * 10 + ["acted"]
    assert (await process.turn("a")).attempt == 0
    assert_covered_once(found, START, HALF_HOUR, clock.now())


async def test_threads_that_fail_together_do_not_come_back_together(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    names = [f"t{number}" for number in range(12)]
    await process.start(*names)
    toy.does(*[fail(TurnFailed("provider_failed", "down"))] * 14)
    clock.advance(HALF_HOUR)
    await process.loop.run_once()
    assert len({(await process.turn(name)).next_due_at for name in names}) > 6


async def test_a_failed_run_keeps_its_reason_and_what_was_noted_before(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    async def note_and_fail(turn: Turn, record: Record) -> None:
        del turn
        record.note(model="m1", prompt_tokens=3, outcome="acted")
        raise TurnFailed("answer_invalid", "no decision")

    toy.does(note_and_fail, on="a")
    clock.advance(HALF_HOUR)
    await process.loop.run_once()
    (run,) = await process.runs("a")
    assert (run.outcome, run.reason, run.error) == ("failed", "answer_invalid", "no decision")
    assert (run.model, run.prompt_tokens) == ("m1", 3)


async def test_a_turn_that_passes_its_deadline_fails_as_a_timeout(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    waits = Waits()
    toy.does(waits, on="a")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await waits.begun.wait()
        clock.advance(TURN_LIMIT)

    (run,) = await process.runs("a")
    assert (run.outcome, run.reason, run.error) == ("failed", "timeout", "The turn did not end within 120 s.")
    assert await process.said("a") == []
    assert (await process.turn("a")).attempt == 1


async def test_a_turn_just_inside_its_deadline_is_settled(process: Process, toy: Toy, clock: ManualClock) -> None:
    waits = Waits()
    toy.does(waits, on="a")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await waits.begun.wait()
        clock.advance(TURN_LIMIT - SECOND)
        waits.go_on.set()
    (run,) = await process.runs("a")
    assert (run.outcome, run.finished_at - run.started_at) == ("acted", TURN_LIMIT - SECOND)


async def test_a_turn_cancelled_with_its_process_is_put_back_at_once(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    waits = Waits()
    toy.does(waits, on="a")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await waits.begun.wait()
        group.cancel_scope.cancel()

    turn = await process.turn("a")
    assert (turn.slot, turn.next_due_at, turn.attempt) == (clock.now(), clock.now(), 0)
    assert (turn.lease_token, await process.runs("a")) == (None, [])
    assert process.places.free == process.places.total
    await process.loop.run_once()
    assert_covered_once(await process.runs("a"), START, HALF_HOUR, clock.now())


async def test_stop_cancels_and_puts_back_and_start_resumes(process: Process, toy: Toy, clock: ManualClock) -> None:
    waits = Waits()
    toy.does(waits, on="a")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await waits.begun.wait()
        await process.loop.stop()
    assert (await process.runs("a"), toy.under_way) == ([], 0)
    assert (await process.turn("a")).next_due_at == clock.now()

    clock.advance(HALF_HOUR)
    await process.loop.run_once()
    assert await process.runs("a") == []

    await process.loop.start()
    await process.loop.run_once()
    (run,) = await process.runs("a")
    assert (run.first_slot, run.slots) == (START + HALF_HOUR, 2)


async def test_effects_that_raise_write_nothing_and_the_run_is_recorded_as_failed(
    process: Process, toy: Toy, clock: ManualClock, errors_logged: list[str]
) -> None:
    class Torn(Says, frozen=True):
        async def apply(self, session: Session, run: RunDetail) -> RunDetail:
            await super().apply(session, run)
            raise RuntimeError("torn")

    async def tear(turn: Turn, record: Record) -> Effects:
        del turn, record
        return Torn(watermark=9)

    errors_logged.append("RuntimeError: torn")
    toy.does(tear, on="a")
    clock.advance(HALF_HOUR)
    await process.loop.run_once()

    (run,) = await process.runs("a")
    assert (run.outcome, run.reason, run.error, run.slots) == ("failed", "internal_error", "RuntimeError: torn", 0)
    assert await process.said("a") == []
    turn = await process.turn("a")
    assert (turn.watermark, turn.attempt, turn.slot) == (0, 1, START + HALF_HOUR)


async def test_skips_fold_while_their_reason_repeats(process: Process, toy: Toy, clock: ManualClock) -> None:
    closed, idle = skip("instructions_empty"), skip("nothing_new")
    toy.does(closed, closed, closed, idle, speak, idle, on="a")
    for _ in range(6):
        clock.advance(HALF_HOUR)
        await process.loop.run_once()

    found = await process.runs("a")
    assert [(run.outcome, run.reason, run.slots) for run in found] == [
        ("skipped", "instructions_empty", 3),
        ("skipped", "nothing_new", 1),
        ("acted", None, 1),
        ("skipped", "nothing_new", 1),
    ]
    assert (found[0].first_slot, found[0].last_slot) == (START + HALF_HOUR, START + 3 * HALF_HOUR)
    assert_covered_once(found, START, HALF_HOUR, clock.now())


async def test_run_now_works_on_a_stopped_loop_and_leaves_the_schedule_alone(
    process: Process, clock: ManualClock
) -> None:
    await process.loop.stop()
    before = await process.turn("a")
    clock.advance(HALF_HOUR / 2)
    run = await process.loop.run_for_thread("a")
    assert (run.trigger, run.outcome, run.slots, run.first_slot, run.lateness_seconds) == (
        "run_now",
        "acted",
        0,
        None,
        None,
    )
    assert await process.turn("a") == structs.replace(before, last_run_id=run.id, settled_at=clock.now())
    assert await process.said("a") == ["Done."]


async def test_run_now_does_not_shorten_a_backoff_nor_count_as_a_try(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    toy.does(*[fail(TurnFailed("provider_failed", "down"))] * 2, on="a")
    clock.advance(HALF_HOUR)
    await process.loop.run_once()
    before = await process.turn("a")

    failed = await process.loop.run_for_thread("a")
    acted = await process.loop.run_for_thread("a")
    assert (failed.outcome, acted.outcome) == ("failed", "acted")
    assert await process.turn("a") == structs.replace(before, last_run_id=acted.id, settled_at=clock.now())


async def test_a_second_turn_of_a_thread_is_refused_while_one_is_under_way(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    scheduled, asked = Waits(), Waits()
    toy.does(scheduled, asked, on="a")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await scheduled.begun.wait()
        with pytest.raises(Conflict, match="'a' is under way"):
            await process.loop.run_for_thread("a")
        scheduled.go_on.set()
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_for_thread, "a")
        await asked.begun.wait()
        with pytest.raises(Conflict, match="'a' is under way"):
            await process.loop.run_for_thread("a")
        asked.go_on.set()
    assert sorted(run.trigger for run in await process.runs("a")) == ["run_now", "schedule"]
    assert process.places.free == process.places.total


async def test_run_now_of_a_thread_that_does_not_exist_is_refused(process: Process) -> None:
    with pytest.raises(NotFound):
        await process.loop.run_for_thread("nobody")


async def test_another_default_interval_after_a_restart_reschedules_who_has_none_of_its_own(
    process: Process, db: Database, clock: ManualClock
) -> None:
    await process.configure("b", every_seconds=7_200)
    clock.advance(timedelta(minutes=7))
    restarted = Process(db, clock, Toy(every=timedelta(minutes=5)))
    await restarted.start()
    assert (await restarted.turn("a")).slot == START + timedelta(minutes=10)
    assert (await restarted.turn("b")).slot == START + timedelta(minutes=120)


async def test_another_default_interval_keeps_a_slot_that_is_owed_already(
    process: Process, db: Database, clock: ManualClock
) -> None:
    clock.advance(HALF_HOUR + SECOND)
    assert (await process.turn("a")).slot == START + HALF_HOUR
    restarted = Process(db, clock, Toy(every=2 * HALF_HOUR))
    await restarted.start()
    await restarted.loop.run_once()
    (run,) = await restarted.runs("a")
    assert (run.first_slot, run.slots) == (START + HALF_HOUR, 1)
    assert (await restarted.turn("a")).slot == START + 2 * HALF_HOUR


async def test_draining_waits_for_turns_under_way_and_starts_no_more(
    process: Process, toy: Toy, clock: ManualClock
) -> None:
    waits = Waits()
    toy.does(waits)
    await process.configure("b", every_seconds=3_600)
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await waits.begun.wait()
        clock.advance(SECOND)
        async with anyio.create_task_group() as draining:
            draining.start_soon(process.loop.drain, clock, clock.now() + 10 * SECOND)
            await anyio.lowlevel.checkpoint()
            waits.go_on.set()
        assert (await process.loop.state()).turns_running == 0
    assert [run.outcome for run in await process.runs()] == ["acted"]

    clock.advance(2 * HALF_HOUR)
    await process.loop.run_once()
    assert len(await process.runs()) == 1


async def test_draining_ends_when_its_time_is_over(process: Process, toy: Toy, clock: ManualClock) -> None:
    waits = Waits()
    toy.does(waits, on="a")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(process.loop.run_once)
        await waits.begun.wait()
        async with anyio.create_task_group() as draining:
            draining.start_soon(process.loop.drain, clock, clock.now() + 10 * SECOND)
            await anyio.lowlevel.checkpoint()
            clock.advance(10 * SECOND)
        assert toy.under_way == 1
        waits.go_on.set()


async def test_a_pass_that_fails_is_logged_and_tried_again(
    process: Process, db: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:

    async def logged() -> bool:
        return "A pass failed" in caplog.text

    async def served() -> bool:
        return len(await process.runs()) == 2

    async with anyio.create_task_group() as group:
        clock.advance(HALF_HOUR)
        await rename(db, "turns", "elsewhere")
        group.start_soon(process.loop.run)
        await eventually(logged)
        await rename(db, "elsewhere", "turns")
        clock.advance(5 * SECOND)
        await eventually(served)
        group.cancel_scope.cancel()


async def rename(db: Database, table: str, name: str) -> None:
    async with db.write() as session:
        await session.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


async def test_a_loop_is_stale_that_should_run_and_made_no_pass_for_three_ticks(
    process: Process, clock: ManualClock
) -> None:
    assert await process.loop.is_stale()
    await process.loop.run_once()
    assert not await process.loop.is_stale()
    clock.advance(3 * TICK)
    assert not await process.loop.is_stale()
    clock.advance(timedelta(microseconds=1))
    assert await process.loop.is_stale()
    await process.loop.stop()
    assert not await process.loop.is_stale()
