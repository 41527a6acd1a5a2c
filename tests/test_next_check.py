"""A decision that wants to look again sooner or later than usual: once each slot, within bounds, and no task late."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger.clock import ManualClock
from ledger.heartbeat.schedule import Slots, covered, next_check, next_slot
from ledger.hours import Hours
from ledger.llm import ModelError
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import NOTHING, Paused, ScriptedModel, act, ask, post
from tests.test_schedule import PARIS, active_hours, intervals, near_changes

Json = dict[str, Any]

MINUTE, HOUR, DAY, INSTANT = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
EVERY = 30 * MINUTE
CONFIG = "/api/threads/default/heartbeat/config"
HEARTBEAT_MD = "/api/heartbeat/heartbeat.md"


def after(minutes: float) -> datetime:
    return START + minutes * MINUTE


def wanting(wanted: timedelta | None) -> Json:
    """A decision to do nothing, and to look again in a while."""
    return NOTHING | {"next_check": None if wanted is None else int(wanted.total_seconds())}


async def loop_of(running: Running) -> Json:
    return (await running.http.get("/api/threads/default/loops/heartbeat")).json()


async def due_at(running: Running) -> datetime:
    return datetime.fromisoformat((await loop_of(running))["next_due_at"])


async def slot_of(running: Running) -> datetime:
    return datetime.fromisoformat((await loop_of(running))["next_slot"])


async def runs_of(running: Running) -> list[Json]:
    """The heartbeats, the first one first."""
    return (await running.http.get("/api/runs?loop=heartbeat&limit=200")).json()["items"][::-1]


async def say(running: Running, content: str = "Hello.") -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post("/api/threads/default/messages", json=body)).raise_for_status()


async def configure(running: Running, **fields: object) -> None:
    (await running.http.post(CONFIG, json=fields)).raise_for_status()


async def instruct(running: Running, content: str) -> None:
    (await running.http.post(HEARTBEAT_MD, json={"content": content})).raise_for_status()


async def forget(running: Running) -> None:
    """Have the thread `default` begin anew, at this moment."""
    (await running.http.delete("/api/threads/default")).raise_for_status()


class Beats:
    """Takes heartbeats when they are due, and has something be new for each of them."""

    def __init__(self, running: Running, clock: ManualClock, model: ScriptedModel) -> None:
        self.running = running
        self._clock = clock
        self._model = model
        self._number = 0
        self._anchor_at = clock.now()

    async def restart(self) -> None:
        await forget(self.running)
        self._anchor_at = self._clock.now()

    async def beat(self, wanted: timedelta | None) -> datetime:
        """Take the next heartbeat when it is due, with a decision that wants to look again; when the next is due."""
        self._number += 1
        await say(self.running, f"Number {self._number}.")
        self._model.says(wanting(wanted))
        self._clock.advance(await due_at(self.running) - self._clock.now())
        await self.running.heartbeat.run_once()
        return await due_at(self.running)

    async def rest(self, count: int) -> None:
        """Take some heartbeats in which nothing is new."""
        for _ in range(count):
            self._clock.advance(await due_at(self.running) - self._clock.now())
            await self.running.heartbeat.run_once()

    async def assert_covered_once(self, *, every: timedelta = EVERY, hours: Hours | None = None) -> None:
        """Every slot up to now stands in exactly one run, and the next one is owed."""
        active = hours or Hours()
        settled = [run for run in await runs_of(self.running) if run["slots"]]
        slot = next_slot(self._anchor_at, every, active, self._anchor_at)
        for run in sorted(settled, key=lambda run: run["first_slot"]):
            first, last = (datetime.fromisoformat(run[name]) for name in ("first_slot", "last_slot"))
            assert first == slot
            assert covered(self._anchor_at, every, active, first, last) == (last, run["slots"])
            slot = next_slot(self._anchor_at, every, active, last)
        assert slot == await slot_of(self.running)


@pytest.fixture
def beats(running: Running, clock: ManualClock, model: ScriptedModel) -> Beats:
    return Beats(running, clock, model)


async def while_it_thinks(running: Running, paused: Paused, *meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Take what is due, and have something happen while the model thinks."""
    async with anyio.create_task_group() as group:
        group.start_soon(running.heartbeat.run_once)
        await paused.asked.wait()
        for happen in meanwhile:
            await happen()
        paused.go_on.set()


OFFICE = Hours(540, 1_020)
SLOT = after(60)
NOW = after(30)


@pytest.mark.parametrize(
    ("wanted", "active", "task_slot", "expected"),
    [
        (10 * MINUTE, Hours(), None, after(40)),
        (30 * MINUTE, Hours(), None, SLOT),
        (31 * MINUTE, Hours(), None, after(61)),
        (7.5 * MINUTE - INSTANT, Hours(), None, after(37.5)),
        (timedelta(0), Hours(), None, after(37.5)),
        (-DAY, Hours(), None, after(37.5)),
        (2 * HOUR, Hours(), None, after(150)),
        (2 * HOUR + INSTANT, Hours(), None, after(150)),
        (400 * DAY, Hours(), None, after(150)),
        (10 * MINUTE, Hours(540, 760), None, SLOT),  # closes at 12:40
        (10 * MINUTE - INSTANT, Hours(540, 760), None, after(40) - INSTANT),
        (2 * HOUR, Hours(540, 800), None, SLOT),
        (2 * HOUR, Hours(540, 871), None, after(150)),
        (2 * HOUR, Hours(0, 0), None, SLOT),  # never open: hours may have changed meanwhile
        (10 * MINUTE, Hours(), after(40), after(40)),
        (10 * MINUTE, Hours(), SLOT, after(40)),  # an early look takes no slot away
        (10 * MINUTE, Hours(), SLOT + INSTANT, after(40)),
        (2 * HOUR, Hours(), after(45), SLOT),
        (2 * HOUR, Hours(), SLOT, SLOT),
        (2 * HOUR, Hours(), SLOT + INSTANT, after(90)),
        (2 * HOUR, Hours(), after(90), after(90)),
        (2 * HOUR, Hours(), after(149), after(150)),
        (2 * HOUR, Hours(), after(500), after(150)),
        (2 * HOUR, Hours(), after(-500), SLOT),  # it waits for its `when`
        (HOUR + MINUTE, Hours(), after(91), after(91)),
        (2 * HOUR, Hours(540, 810), after(95), SLOT),  # the task's heartbeat would be at 14:00, and closed
    ],
)
def test_a_look_again_is_within_a_quarter_and_four_intervals_in_open_hours_and_before_a_task(
    wanted: timedelta, active: Hours, task_slot: datetime | None, expected: datetime
) -> None:
    assert next_check(Slots(START, EVERY, active), NOW + wanted, slot=SLOT, now=NOW, task_slot=task_slot) == expected


seconds = st.integers(-10, 700_000 * 4) | st.sampled_from([-(10**6), 0, 1, 10**9])
delays = seconds.map(lambda number: timedelta(seconds=number))


@settings(max_examples=150, deadline=None)
@given(near_changes, intervals, active_hours | st.just(Hours()), st.integers(0, 9), delays, st.none() | delays)
def test_a_look_again_is_the_slot_or_within_bounds_in_open_hours(
    anchor: datetime, every: timedelta, active: Hours, passed: int, wanted: timedelta, task_in: timedelta | None
) -> None:
    now = anchor + passed * every / 3
    slot = next_slot(anchor, every, active, now)
    assert slot is not None
    task_slot = None if task_in is None else now + task_in
    found = next_check(Slots(anchor, every, active), now + wanted, slot=slot, now=now, task_slot=task_slot)
    assert found == slot or (now + every / 4 <= found <= now + 4 * every and active.is_open(found))
    if task_in is None:
        bounded = now + min(max(wanted, every / 4), 4 * every)
        assert found == (bounded if active.is_open(bounded) else slot)


BEFORE_CLOCKS_ARE_SET_ON = datetime.fromisoformat("2026-03-25T20:00:00+00:00")


@settings(max_examples=150, deadline=None)
@given(near_changes, intervals, active_hours | st.just(Hours()), delays, delays.filter(lambda delay: delay > INSTANT))
@example(BEFORE_CLOCKS_ARE_SET_ON, DAY, Hours(540, 1_020, PARIS), 4 * DAY, 83 * HOUR)
def test_a_task_is_done_in_the_heartbeat_that_would_have_done_it_or_before(
    anchor: datetime, every: timedelta, active: Hours, wanted: timedelta, task_in: timedelta
) -> None:
    slot = next_slot(anchor, every, active, anchor)
    task_slot = anchor + task_in
    assert slot is not None
    would = next_slot(anchor, every, active, task_slot - INSTANT)
    assert would is not None
    found = next_check(Slots(anchor, every, active), anchor + wanted, slot=slot, now=anchor, task_slot=task_slot)
    assert found <= max(slot, would)


async def test_a_decision_moves_the_next_due_moment_and_no_slot(
    running: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for wanted in (10 * MINUTE, 75 * MINUTE):
        with subtests.test(wanted=str(wanted)):
            await forget(running)
            await say(running)
            began = clock.now()
            model.says(wanting(wanted))
            clock.advance(EVERY)
            await running.heartbeat.run_once()
            (run,) = await runs_of(running)
            assert datetime.fromisoformat(run["next_check_at"]) == began + EVERY + wanted == await due_at(running)
            assert await slot_of(running) == began + 2 * EVERY
            explained = (await running.http.get("/api/threads/default/heartbeat/explain")).json()
            assert explained["next_due_at"] == run["next_check_at"]

            await say(running, "More.")
            clock.advance(wanted - INSTANT)
            await running.heartbeat.run_once()
            assert len(await runs_of(running)) == 1
            clock.advance(INSTANT)
            await running.heartbeat.run_once()
            assert [run["outcome"] for run in await runs_of(running)] == ["nothing", "nothing"]
            assert (await runs_of(running))[1]["next_check_at"] is None


@on_sqlite
async def test_what_a_decision_wants_is_bounded_by_a_quarter_and_four_intervals(
    running: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for every in (60, 604_800):
        for wanted in (-(10**40), 0, every // 4 + 1, 4 * every - 1, 4 * every + 1, 10**40):
            with subtests.test(every=every, wanted=wanted):
                await forget(running)
                await configure(running, every=every)
                model.says(NOTHING | {"next_check": wanted})
                clock.advance(timedelta(seconds=every))
                await running.heartbeat.run_once()
                seconds = min(max(wanted, every / 4), 4 * every)
                assert await due_at(running) == clock.now() + timedelta(seconds=seconds)
                assert await slot_of(running) == clock.now() + timedelta(seconds=every)


@on_sqlite
async def test_every_kind_of_decision_may_want_to_look_again(
    running: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    decisions = {"nothing": NOTHING, "acted": act(post()), "waiting": ask("Which?"), "refused": act(post(board="NO"))}
    for outcome, decision in decisions.items():
        with subtests.test(outcome):
            await forget(running)
            model.says(decision | {"next_check": 600})
            clock.advance(EVERY)
            await running.heartbeat.run_once()
            assert [run["outcome"] for run in await runs_of(running)] == [outcome]
            assert await due_at(running) == clock.now() + 10 * MINUTE


SERIES: dict[str, list[timedelta | None]] = {
    "early, then late": [10 * MINUTE, 2 * HOUR, 10 * MINUTE, 90 * MINUTE, None],
    "late, then early": [2 * HOUR, 10 * MINUTE, 45 * MINUTE, 10 * MINUTE, None],
    "early time and again": [10 * MINUTE] * 4 + [None],
}


@on_sqlite
async def test_early_and_late_looks_cover_every_slot_once(beats: Beats, subtests: pytest.Subtests) -> None:
    for name, series in SERIES.items():
        with subtests.test(name):
            await beats.restart()
            for wanted in series:
                await beats.beat(wanted)
            await beats.rest(2)
            await beats.assert_covered_once()


@on_sqlite
async def test_after_early_looks_the_next_one_is_as_near_as_usual(
    beats: Beats, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for count in (1, 4):
        with subtests.test(early=count):
            await beats.restart()
            for _ in range(count):
                await beats.beat(10 * MINUTE)
            assert await beats.beat(None) <= clock.now() + 2 * EVERY


@on_sqlite
async def test_what_people_write_after_an_early_look_has_no_slot_covered_twice(
    beats: Beats, subtests: pytest.Subtests, model: ScriptedModel
) -> None:
    async def answer() -> None:
        model.says(ask("Which lake?"))
        await beats.running.http.post("/api/threads/default/heartbeat/run-now")
        (question,) = (await beats.running.http.get("/api/questions?status=open")).json()["items"]
        await beats.running.http.post(f"/api/questions/{question['id']}/answer", json={"answer": "That one."})

    writes: dict[str, Callable[[], Awaitable[object]]] = {
        "a message": lambda: say(beats.running),
        "an answer": answer,
        "a run-now": lambda: beats.running.http.post("/api/threads/default/heartbeat/run-now"),
        "another configuration": lambda: configure(beats.running, max_tokens=100),
    }
    for name, write in writes.items():
        with subtests.test(name):
            await beats.restart()
            await beats.beat(10 * MINUTE)
            await beats.beat(None)
            await write()
            await beats.rest(3)
            await beats.assert_covered_once()


@on_sqlite
async def test_what_people_write_meanwhile_leaves_the_moment_alone(
    beats: Beats, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for wanted, waited in ((20 * MINUTE, 5 * MINUTE), (2 * HOUR, 5 * MINUTE), (2 * HOUR, 70 * MINUTE)):
        with subtests.test(wanted=str(wanted), waited=str(waited)):
            await beats.restart()
            moment = await beats.beat(wanted)
            clock.advance(waited)
            await say(beats.running)
            assert await due_at(beats.running) == moment
            await beats.rest(2)
            await beats.assert_covered_once()


@on_sqlite
async def test_downtime_costs_no_slot_and_covers_none_twice(
    opened: Opener, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for wanted in (10 * MINUTE, 2 * HOUR):
        for down in (5 * MINUTE, 6 * HOUR):
            with subtests.test(wanted=str(wanted), down=str(down)):
                async with opened() as running:
                    beats = Beats(running, clock, model)
                    await beats.restart()
                    moment = await beats.beat(wanted)
                clock.advance(down)
                async with opened() as beats.running:
                    await beats.running.heartbeat.run_once()
                    before = [run["slots"] for run in await runs_of(beats.running)]
                    assert len(before) == (2 if moment <= clock.now() else 1)
                    assert len(before) == 2 or await due_at(beats.running) == moment
                    await beats.rest(2)
                    await beats.assert_covered_once()


@on_sqlite
async def test_a_run_now_wants_nothing_and_leaves_the_moment_alone(
    beats: Beats, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for wanted, waited in ((20 * MINUTE, 5 * MINUTE), (2 * HOUR, 5 * MINUTE), (2 * HOUR, 70 * MINUTE)):
        with subtests.test(wanted=str(wanted), waited=str(waited)):
            await beats.restart()
            await beats.beat(wanted)
            clock.advance(waited)
            before = await loop_of(beats.running)
            model.says(wanting(15 * MINUTE))
            await beats.running.http.post("/api/threads/default/heartbeat/run-now")
            assert await loop_of(beats.running) == before
            run = (await runs_of(beats.running))[-1]
            assert (run["trigger"], run["next_check_at"]) == ("run_now", None)
            await beats.rest(3)
            await beats.assert_covered_once()


@on_sqlite
async def test_a_look_that_fails_is_tried_again_and_covers_its_slots_once(
    beats: Beats, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for wanted in (10 * MINUTE, 2 * HOUR):
        with subtests.test(wanted=str(wanted)):
            await beats.restart()
            await beats.beat(wanted)
            await say(beats.running)
            model.says(ModelError("It is down."))
            await beats.rest(1)
            assert clock.now() < await due_at(beats.running) <= clock.now() + MINUTE
            await beats.rest(4)
            assert [run["outcome"] for run in await runs_of(beats.running)][:3] == ["nothing", "failed", "nothing"]
            await beats.assert_covered_once()


@on_sqlite
async def test_a_look_that_is_moved_on_wants_nothing_and_covers_its_slots_once(
    beats: Beats, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for wanted, times in ((10 * MINUTE, 1), (2 * HOUR, 1), (2 * HOUR, 3)):  # an early one waits for its slot then
        with subtests.test(wanted=str(wanted), times=times):
            await beats.restart()
            moment = await beats.beat(wanted)
            await say(beats.running)
            stale = [Paused(wanting(2 * HOUR)) for _ in range(times)]
            model.says(*stale)
            clock.advance(moment - clock.now())
            async with anyio.create_task_group() as group:
                group.start_soon(beats.running.heartbeat.run_once)
                for paused in stale:
                    await paused.asked.wait()
                    await say(beats.running)
                    paused.go_on.set()
            dropped = [run for run in await runs_of(beats.running) if run["reason"] == "moved_on"]
            assert [run["next_check_at"] for run in dropped] == [None] * times
            assert await due_at(beats.running) <= clock.now() + 2 * EVERY
            await beats.rest(3)
            await beats.assert_covered_once()


@on_sqlite
async def test_a_look_again_does_not_come_in_closed_hours(
    beats: Beats, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for number, (wanted, expected) in enumerate([(2 * HOUR, EVERY), (90 * MINUTE, EVERY), (89 * MINUTE,) * 2]):
        with subtests.test(wanted=str(wanted)):
            clock.advance(START + number * DAY - clock.now())
            await beats.restart()
            await configure(beats.running, active_hours_start=9, active_hours_end=14)
            assert await beats.beat(wanted) - clock.now() == expected


@on_sqlite
async def test_hours_that_are_closed_meanwhile_hold_back_an_early_look(beats: Beats) -> None:
    await beats.beat(10 * MINUTE)
    assert await due_at(beats.running) == after(40)
    await configure(beats.running, active_hours_start="12:50")
    assert await due_at(beats.running) == after(60)
    await beats.rest(2)
    assert [run["first_slot"] for run in await runs_of(beats.running) if run["reason"] == "outside_hours"] == []
    await beats.assert_covered_once()


@on_sqlite
async def test_a_message_in_the_night_costs_no_slot_that_waits_for_a_late_look(
    beats: Beats, clock: ManualClock
) -> None:
    six, active = 6 * HOUR, Hours(480, 1_200)
    await beats.restart()
    await configure(beats.running, every=21_600, active_hours_start=8, active_hours_end=20)
    await beats.beat(None)
    moment = await beats.beat(4 * six)  # on Tuesday noon, until Wednesday noon
    assert moment == START + 2 * DAY
    clock.advance(10 * HOUR)
    await say(beats.running)
    assert await due_at(beats.running) == moment
    await beats.rest(2)
    await beats.assert_covered_once(every=six, hours=active)


@on_sqlite
async def test_an_interval_that_is_changed_while_it_thinks_bounds_what_it_wants(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(wanting(2 * HOUR))
    model.says(paused)
    clock.advance(EVERY)
    await while_it_thinks(running, paused, lambda: configure(running, every=600))
    assert await due_at(running) <= clock.now() + 40 * MINUTE


@on_sqlite
async def test_hours_that_are_changed_while_it_thinks_are_kept(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(wanting(2 * HOUR))
    model.says(paused)
    clock.advance(EVERY)
    await while_it_thinks(running, paused, lambda: configure(running, active_hours_start=9, active_hours_end=14))
    assert await due_at(running) == after(60)


@on_sqlite
async def test_an_interval_that_is_changed_counts_at_once_whatever_was_wanted(
    beats: Beats, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for wanted, waited in ((20 * MINUTE, 5 * MINUTE), (2 * HOUR, 5 * MINUTE), (2 * HOUR, 70 * MINUTE)):
        with subtests.test(wanted=str(wanted), waited=str(waited)):
            await beats.restart()
            await beats.beat(wanted)
            clock.advance(waited)
            await configure(beats.running, every=60)
            assert await due_at(beats.running) <= clock.now() + 4 * MINUTE


@on_sqlite
async def test_a_thread_that_is_disabled_while_it_thinks_is_due_never(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(wanting(2 * HOUR))
    model.says(paused)
    clock.advance(EVERY)
    await while_it_thinks(running, paused, lambda: configure(running, enabled=False))
    assert (await loop_of(running))["next_due_at"] is None
    assert [run["next_check_at"] for run in await runs_of(running)] == [None]


def tasks(*items: str) -> str:
    """Instructions of tasks alone: of each its name, and its other keys."""
    lines = ["tasks:"]
    for item in items:
        name, *keys = item.split(", ")
        lines += [f"- name: {name}", *(f"  {key}" for key in keys), "  prompt: Do it."]
    return "\n".join(lines)


TASKS: list[tuple[str, timedelta, float]] = [
    ("mail, at: 12:35", 2 * HOUR, 60),
    ("mail, at: 13:00", 2 * HOUR, 60),
    ("mail, at: 13:10", 2 * HOUR, 90),
    ("mail, at: 14:00", 2 * HOUR, 120),
    ("mail, at: 17:00", 2 * HOUR, 150),
    ("mail, at: 12:50", 10 * MINUTE, 40),
    ("mail, at: 12:40", 10 * MINUTE, 40),
    ("mail, at: 13:00", 10 * MINUTE, 40),
    ("mail, at: 13:10", 10 * MINUTE, 40),
    ("mail, interval: 30m", 2 * HOUR, 60),
    ("mail, interval: 30m", 10 * MINUTE, 40),
    ("mail, interval: 45m", 2 * HOUR, 90),
    ("mail, interval: 45m", 10 * MINUTE, 40),
    ("mail, interval: once", 2 * HOUR, 150),
    ("mail, interval: 30m, when: mentioned", 2 * HOUR, 60),
    ("mail, interval: 1d, window: 13:15-14:45", 2 * HOUR, 90),
]


@on_sqlite
async def test_a_due_task_keeps_its_time(
    opened: Opener, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    async with opened() as running:
        for number, (task, wanted, minutes) in enumerate(TASKS):
            with subtests.test(task, wanted=str(wanted)):
                clock.advance(START + number * DAY - clock.now())
                await forget(running)
                await instruct(running, f"- Answer everybody.\n\n{tasks(task)}")
                model.says(wanting(wanted))
                clock.advance(EVERY)
                await running.heartbeat.run_once()
                assert await due_at(running) == after(minutes) + number * DAY


@on_sqlite
async def test_an_early_look_takes_no_task_that_is_not_due(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await instruct(running, f"- Answer everybody.\n\n{tasks('mail, at: 13:10', 'news, interval: 30m')}")
    await instruct(running, f"- Answer everybody.\n\n{tasks('mail, at: 13:10')}")
    model.says(wanting(10 * MINUTE))
    clock.advance(EVERY)
    await running.heartbeat.run_once()
    await say(running)
    clock.advance(10 * MINUTE)
    await running.heartbeat.run_once()
    clock.advance(50 * MINUTE)
    await running.heartbeat.run_once()
    shown = {run["started_at"]: [task["name"] for task in run["tasks"]] for run in await runs_of(running)}
    assert shown["2026-01-05T12:40:00Z"] == []
    assert shown["2026-01-05T13:30:00Z"] == ["mail"]


@on_sqlite
async def test_early_looks_time_and_again_do_not_delay_a_task(
    beats: Beats, running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(*[wanting(10 * MINUTE)] * 20)
    while clock.now() < after(180):
        await instruct(running, f"- It is {clock.now()}.\n\n{tasks('mail, at: 15:00')}")
        await beats.rest(1)
    done = [run["started_at"] for run in await runs_of(running) if run["tasks"]]
    assert done == ["2026-01-05T15:00:00Z"]


@on_sqlite
async def test_a_task_that_is_written_meanwhile_is_not_late_by_a_late_look(beats: Beats, clock: ManualClock) -> None:
    await beats.beat(2 * HOUR)
    clock.advance(5 * MINUTE)
    await instruct(beats.running, tasks("mail, at: 12:50"))
    clock.advance(25 * MINUTE)
    await beats.running.heartbeat.run_once()
    done = [run["started_at"] for run in await runs_of(beats.running) if run["tasks"]]
    assert done == ["2026-01-05T13:00:00Z"]
