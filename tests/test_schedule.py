"""When heartbeats are due, as equalities."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.heartbeat.config import problems
from ledger.heartbeat.gates import is_open
from ledger.heartbeat.schedule import last_slot, next_slot, slots_between
from ledger.heartbeat.structs import Config

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
intervals = st.integers(1, 604_800).map(lambda seconds: timedelta(seconds=seconds))
ages = st.integers(0, 40_000_000_000).map(lambda microseconds: timedelta(microseconds=microseconds))
hours = st.none() | st.integers(0, 23)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (NOON - 5 * HOUR, NOON + HOUR),
        (NOON, NOON + HOUR),
        (NOON + HOUR - timedelta(microseconds=1), NOON + HOUR),
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON + HOUR + timedelta(microseconds=1), NOON + 2 * HOUR),
        (NOON + 9.5 * HOUR, NOON + 10 * HOUR),
    ],
)
def test_the_next_slot_is_the_first_one_later(after: datetime, expected: datetime) -> None:
    assert next_slot(NOON, HOUR, after) == expected


@pytest.mark.parametrize(
    ("after", "until", "expected"),
    [
        (NOON, NOON + HOUR - timedelta(microseconds=1), 0),
        (NOON, NOON + HOUR, 1),
        (NOON + HOUR, NOON + HOUR, 0),
        (NOON + HOUR, NOON + 4.5 * HOUR, 3),
        (NOON - 9 * HOUR, NOON, 0),
        (NOON + 4 * HOUR, NOON + HOUR, 0),
    ],
)
def test_slots_are_counted_without_the_first_moment_and_with_the_last(
    after: datetime, until: datetime, expected: int
) -> None:
    assert slots_between(NOON, HOUR, after, until) == expected


def test_the_last_slot_is_the_latest_that_has_come() -> None:
    assert last_slot(NOON, HOUR, NOON + HOUR) == NOON + HOUR
    assert last_slot(NOON, HOUR, NOON + 2.9 * HOUR) == NOON + 2 * HOUR


@given(moments, intervals, ages)
def test_the_next_slot_is_in_phase_and_at_most_one_interval_away(
    anchor: datetime, every: timedelta, age: timedelta
) -> None:
    slot = next_slot(anchor, every, anchor + age)
    assert timedelta(0) < slot - (anchor + age) <= every
    assert (slot - anchor) % every == timedelta(0)


@given(moments, intervals, st.lists(ages, min_size=2, max_size=30))
def test_a_slot_never_comes_before_one_of_an_earlier_moment(
    anchor: datetime, every: timedelta, after: list[timedelta]
) -> None:
    slots = [next_slot(anchor, every, anchor + age) for age in sorted(after)]
    assert slots == sorted(slots)


@given(moments, intervals, st.integers(1, 50))
def test_slots_that_follow_one_another_do_not_drift(anchor: datetime, every: timedelta, count: int) -> None:
    slot = anchor
    for _ in range(count):
        slot = next_slot(anchor, every, slot)
    assert slot == anchor + count * every


@given(moments, intervals, st.lists(st.integers(0, 3_000_000_000), min_size=1, max_size=30))
def test_what_late_turns_cover_tiles_all_slots(anchor: datetime, every: timedelta, delays: list[int]) -> None:
    slot = now = next_slot(anchor, every, anchor)
    tiles: list[tuple[datetime, datetime, int]] = []
    for delay in delays:
        now = max(now, slot) + timedelta(microseconds=delay)
        last = last_slot(anchor, every, now)
        tiles.append((slot, last, 1 + slots_between(anchor, every, slot, last)))
        slot = next_slot(anchor, every, now)
    assert all(later[0] == earlier[1] + every for earlier, later in pairwise(tiles))
    assert sum(slots for _, _, slots in tiles) == (tiles[-1][1] - anchor) // every


@pytest.mark.parametrize(
    ("start", "end", "open_hours"),
    [
        (None, None, set(range(24))),
        (9, 17, set(range(9, 17))),
        (9, None, set(range(9, 24))),
        (None, 6, set(range(6))),
        (22, 6, {22, 23, 0, 1, 2, 3, 4, 5}),
        (22, 0, {22, 23}),
        (0, 23, set(range(23))),
        (23, 22, set(range(24)) - {22}),
        (0, None, set(range(24))),
        (None, 0, set[int]()),
        (5, 5, set[int]()),
        (0, 0, set[int]()),
    ],
)
def test_active_hours_open_at_their_start_and_close_at_their_end(
    start: int | None, end: int | None, open_hours: set[int]
) -> None:
    config = Config(active_hours_start=start, active_hours_end=end)
    assert {hour for hour in range(24) if is_open(config, NOON.replace(hour=hour, minute=59))} == open_hours


@given(hours, hours, st.sampled_from(["UTC", "Europe/Paris", "America/St_Johns", "Asia/Kathmandu"]), moments)
def test_hours_turned_around_are_open_when_the_others_are_closed(
    start: int | None, end: int | None, timezone: str, now: datetime
) -> None:
    one = Config(active_hours_start=start or 0, active_hours_end=end or 0, timezone=timezone)
    other = Config(active_hours_start=end or 0, active_hours_end=start or 0, timezone=timezone)
    never = (start or 0) == (end or 0)
    assert (is_open(one, now) != is_open(other, now)) != never


@given(hours, hours)
def test_hours_that_never_open_are_pointed_out(start: int | None, end: int | None) -> None:
    config = Config(active_hours_start=start, active_hours_end=end)
    ever_open = any(is_open(config, NOON.replace(hour=hour)) for hour in range(24))
    assert bool(problems(config)) != ever_open


def _open_minutes(day: datetime, config: Config) -> int:
    """How many minutes of the 48 hours around a day's beginning are open."""
    return sum(is_open(config, day + timedelta(minutes=minute)) for minute in range(-720, 2_160))


@pytest.mark.parametrize(
    ("day", "start", "end", "minutes"),
    [
        (datetime(2026, 3, 29, tzinfo=UTC), 1, 4, (3 - 1) * 60 + 3 * 60),  # the hour from 2 to 3 is left out
        (datetime(2026, 10, 25, tzinfo=UTC), 1, 4, (3 + 1) * 60 + 3 * 60),  # the hour from 2 to 3 comes twice
        (datetime(2026, 3, 29, tzinfo=UTC), 2, 3, 60),  # that day not at all, the next one as ever
        (datetime(2026, 10, 25, tzinfo=UTC), 2, 3, 3 * 60),
    ],
)
def test_hours_are_those_of_the_wall_clock_also_when_it_is_set_on_or_back(
    day: datetime, start: int, end: int, minutes: int
) -> None:
    config = Config(active_hours_start=start, active_hours_end=end, timezone="Europe/Paris")
    assert _open_minutes(day, config) == minutes


def test_a_zone_with_half_an_hour_opens_at_the_half_hour_of_utc() -> None:
    config = Config(active_hours_start=9, active_hours_end=10, timezone="Asia/Kolkata")
    assert not is_open(config, datetime(2026, 1, 5, 3, 29, 59, tzinfo=UTC))
    assert is_open(config, datetime(2026, 1, 5, 3, 30, tzinfo=UTC))
    assert not is_open(config, datetime(2026, 1, 5, 4, 30, tzinfo=UTC))


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "", "Europe", "\x00"])
def test_what_is_no_time_zone_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(Invalid, match="is not an IANA time zone"):
        is_open(Config(timezone=name), NOON)
