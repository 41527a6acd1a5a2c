"""Who gets a place, and when: in the order of asking, people first, and none is ever lost."""

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.loops.places import Places


class Asker:
    """A loop as places see it."""

    def __init__(self, leaves_free: int = 0) -> None:
        self.leaves_free = leaves_free
        self.woken = 0
        self.held = 0

    def wake_up(self) -> None:
        self.woken += 1


def test_a_loop_takes_as_many_places_as_it_has_turns_for() -> None:
    places = Places(8)
    assert (places.take(Asker(), 3), places.free) == (3, 5)


def test_a_loop_takes_no_more_places_than_are_free() -> None:
    places = Places(8)
    assert (places.take(Asker(), 30), places.free) == (8, 0)


def test_a_quiet_loop_leaves_a_place_to_others() -> None:
    places, quiet, heartbeat = Places(4), Asker(leaves_free=1), Asker()
    assert places.take(quiet, 10) == 3
    assert places.take(quiet, 10) == 0
    assert places.take(heartbeat, 10) == 1


def test_a_quiet_loop_that_must_wait_is_in_nobodys_way() -> None:
    places, quiet, heartbeat = Places(2), Asker(leaves_free=1), Asker()
    places.take(heartbeat, 1)
    assert places.take(quiet, 1) == 0
    assert (places.has_in_line(quiet), places.take(heartbeat, 1)) == (True, 1)


def test_places_are_given_in_the_order_they_were_asked_for() -> None:
    places, holder, first, second = Places(1), Asker(), Asker(), Asker()
    places.take(holder, 1)
    assert [places.take(first, 1), places.take(second, 1)] == [0, 0]
    places.give_back()
    assert (first.woken, second.woken) == (1, 0)
    assert [places.take(second, 1), places.take(first, 1)] == [0, 1]
    places.give_back()
    assert (second.woken, places.take(second, 1)) == (1, 1)


def test_whoever_has_taken_a_place_goes_to_the_end_of_the_line() -> None:
    places, busy, other = Places(1), Asker(), Asker()
    places.take(busy, 1)
    assert [places.take(other, 1), places.take(busy, 1)] == [0, 0]
    places.give_back()
    assert [places.take(busy, 1), places.take(other, 1)] == [0, 1]


def test_whoever_leaves_the_line_lets_the_next_one_in() -> None:
    places, holder, gone, next_one = Places(1), Asker(), Asker(), Asker()
    places.take(holder, 1)
    places.take(gone, 1)
    places.take(next_one, 1)
    places.give_back()
    places.leave(gone)
    assert (next_one.woken, places.has_in_line(gone), places.take(next_one, 1)) == (1, False, 1)


async def test_what_a_person_asks_for_goes_ahead_of_all_loops_in_line() -> None:
    places, holder, waiting = Places(1), Asker(), Asker()
    places.take(holder, 1)
    places.take(waiting, 1)
    async with anyio.create_task_group() as group:
        group.start_soon(places.take_first)
        await anyio.wait_all_tasks_blocked()
        places.give_back()
        assert places.take(waiting, 1) == 0
    assert places.free == 0
    places.give_back()
    assert places.take(waiting, 1) == 1


async def test_people_are_served_in_the_order_they_asked() -> None:
    places, served = Places(1), list[str]()
    places.take(Asker(), 1)

    async def ask(name: str) -> None:
        await places.take_first()
        served.append(name)

    async with anyio.create_task_group() as group:
        for name in ("Ada", "Ben", "Cyd"):
            group.start_soon(ask, name)
            await anyio.wait_all_tasks_blocked()
        for count in range(1, 4):
            places.give_back()
            await anyio.wait_all_tasks_blocked()
            assert len(served) == count
    assert served == ["Ada", "Ben", "Cyd"]


async def test_a_person_takes_the_place_that_quiet_loops_leave() -> None:
    places, quiet = Places(2), Asker(leaves_free=1)
    places.take(quiet, 5)
    await places.take_first()
    assert places.free == 0


@pytest.mark.parametrize("freed_before", [False, True])
async def test_a_person_who_gives_up_waiting_leaves_no_trace(*, freed_before: bool) -> None:
    places, waiting = Places(1), Asker()
    places.take(Asker(), 1)
    places.take(waiting, 1)

    async def ask() -> None:
        await places.take_first()
        places.give_back()  # the place may have come just before the cancellation

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        if freed_before:
            places.give_back()
        group.cancel_scope.cancel()
    if not freed_before:
        places.give_back()
    assert (places.free, waiting.woken, places.take(waiting, 1)) == (1, 1, 1)


class Line(RuleBasedStateMachine):
    """Loops that take places, give them back and leave, in any order."""

    @initialize(total=st.integers(1, 5), quiet=st.lists(st.booleans(), min_size=2, max_size=5))
    def begin(self, total: int, quiet: list[bool]) -> None:
        self.places = Places(total)
        self.askers = [Asker(int(leaves)) for leaves in quiet]
        self.line: list[Asker] = []

    @rule(data=st.data(), most=st.integers(1, 6))
    def take(self, data: st.DataObject, most: int) -> None:
        asker = data.draw(st.sampled_from(self.askers))
        if asker not in self.line:
            self.line.append(asker)
        expected = min(most, self.places.free - asker.leaves_free) if self._first() is asker else 0
        asker.woken = 0
        assert self.places.take(asker, most) == expected
        asker.held += expected
        if expected:
            self.line.remove(asker)

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        asker = data.draw(st.sampled_from(self.askers))
        count = data.draw(st.integers(0, asker.held))
        asker.held -= count
        self.places.give_back(count)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        asker = data.draw(st.sampled_from(self.askers))
        self.places.leave(asker)
        if asker in self.line:
            self.line.remove(asker)

    @invariant()
    def nothing_is_lost_or_created(self) -> None:
        assert self.places.free >= 0
        assert self.places.free + sum(asker.held for asker in self.askers) == self.places.total

    @invariant()
    def the_line_holds_who_got_nothing(self) -> None:
        assert [asker for asker in self.askers if self.places.has_in_line(asker)] == [
            asker for asker in self.askers if asker in self.line
        ]

    @invariant()
    def whoever_could_take_a_place_has_been_told(self) -> None:
        first = self._first()
        assert first is None or first.woken

    def _first(self) -> Asker | None:
        return next((asker for asker in self.line if self.places.free > asker.leaves_free), None)


class TestLine(Line.TestCase):
    settings = settings(max_examples=100, deadline=None)
