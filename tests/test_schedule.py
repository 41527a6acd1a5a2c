"""When something that comes again and again is due, by hand and against all its slots written out."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.heartbeat.schedule import covered, local_day, next_at, next_slot
from ledger.hours import EVERY_DAY, Hours

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY, INSTANT = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
PARIS, NEW_YORK, KOLKATA, LORD_HOWE = "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"
WEEKDAYS, MONDAYS = (0, 1, 2, 3, 4), (0,)
OFFICE = Hours(540, 1_020)
CHANGES = ["01-05", "03-08", "03-29", "04-05", "10-04", "10-25", "11-01"]

zones = st.sampled_from(["UTC", PARIS, NEW_YORK, KOLKATA, LORD_HOWE, "America/Santiago"])
weekdays = st.just(EVERY_DAY) | st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days)))
active_hours = st.builds(Hours, st.integers(0, 1_439), st.integers(0, 1_440), zones, weekdays).filter(
    lambda active: not active.never
)
near_changes = st.tuples(st.sampled_from(CHANGES), st.integers(-5 * 86_400_000, 86_400_000)).map(
    lambda pair: _at(f"{pair[0]} 00:00") + timedelta(milliseconds=pair[1])
)
up_to_a_day = st.sampled_from([DAY, 23 * HOUR, 12 * HOUR]) | st.integers(1_800, 86_400).map(
    lambda seconds: timedelta(seconds=seconds)
)
longer_than_a_day = st.sampled_from([DAY + MINUTE, 36 * HOUR, 2 * DAY, 7 * DAY]) | st.integers(86_401, 950_400).map(
    lambda seconds: timedelta(seconds=seconds)
)
intervals = up_to_a_day | longer_than_a_day


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+00:00")


def _slots(anchor: datetime, every: timedelta, active: Hours) -> Iterator[datetime]:
    slot = next_slot(anchor, every, active, anchor)
    while slot is not None:
        yield slot
        slot = next_slot(anchor, every, active, slot)


def _times(minutes: int, every_days: int, first_day: date, active: Hours, after: datetime) -> Iterator[datetime]:
    moment = next_at(minutes, every_days, first_day, active, after)
    while moment is not None:
        yield moment
        moment = next_at(minutes, every_days, first_day, active, moment)


def _written_out(anchor: datetime, every: timedelta, active: Hours, until: datetime) -> list[datetime]:
    """The rule itself, applied to each moment and each window in turn."""
    raw = [anchor + n * every for n in range(1, (until + 2 * DAY - anchor) // every + 1)]
    slots = {moment for moment in raw if active.is_open(moment)}
    closed = [moment for moment in raw if moment not in slots]
    closed_since = anchor
    for window in takewhile(lambda window: window.opens <= until, active.windows(anchor)):
        has_own = any(window.opens <= moment < window.closes for moment in raw)
        is_moved = any(closed_since <= moment < window.opens for moment in closed)
        if not has_own and (is_moved or (every <= DAY and window.opens >= anchor + every)):
            slots.add(window.opens)
        closed_since = window.closes
    return sorted(slot for slot in slots if slot <= until)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (NOON - 5 * HOUR, NOON + HOUR),
        (NOON, NOON + HOUR),
        (NOON + HOUR - INSTANT, NOON + HOUR),
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON + HOUR + INSTANT, NOON + 2 * HOUR),
        (NOON + 9.5 * HOUR, NOON + 10 * HOUR),
    ],
)
def test_the_next_slot_is_the_first_one_later(after: datetime, expected: datetime) -> None:
    assert next_slot(NOON, HOUR, Hours(), after) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("01-01 00:00", "01-05 09:00"),
        ("01-05 08:59:59.999999", "01-05 09:00"),
        ("01-05 09:00", "01-05 10:00"),
        ("01-05 15:30", "01-05 16:00"),
        ("01-05 16:00", "01-06 09:00"),
        ("01-05 23:00", "01-06 09:00"),
        ("01-20 12:34", "01-20 13:00"),
    ],
)
def test_the_next_slot_within_hours_is_the_first_one_later(after: str, expected: str) -> None:
    assert next_slot(_at("01-05 08:00"), HOUR, OFFICE, _at(after)) == _at(expected)


@pytest.mark.parametrize(
    ("every", "active", "anchor", "expected"),
    [
        (3 * HOUR, OFFICE, "01-05 07:30", ["01-05 10:30", "01-05 13:30", "01-05 16:30", "01-06 10:30"]),
        (3 * HOUR, OFFICE, "01-05 08:00", ["01-05 11:00", "01-05 14:00", "01-06 11:00", "01-06 14:00"]),
        (12 * HOUR, OFFICE, "01-05 06:00", ["01-06 09:00", "01-07 09:00", "01-08 09:00"]),
        (5 * HOUR, Hours(1_320, 360), "01-05 12:00", ["01-05 22:00", "01-06 03:00", "01-06 23:00", "01-07 04:00"]),
        (DAY, OFFICE, "01-05 10:00", ["01-06 10:00", "01-07 10:00", "01-08 10:00"]),
        (DAY, OFFICE, "01-05 20:00", ["01-07 09:00", "01-08 09:00", "01-09 09:00"]),
        (DAY, OFFICE, "01-05 17:00", ["01-07 09:00", "01-08 09:00", "01-09 09:00"]),
        (DAY, Hours(540, 1_020, days=WEEKDAYS), "01-07 10:00", ["01-08 10:00", "01-09 10:00", "01-12 10:00"]),
        (8 * HOUR, Hours(540, 600, days=(5, 6)), "01-05 12:00", ["01-10 09:00", "01-11 09:00", "01-17 09:00"]),
        (HOUR, Hours(540, 600, KOLKATA), "01-05 00:00", ["01-05 04:00", "01-06 04:00", "01-07 04:00"]),
        (36 * HOUR, OFFICE, "01-05 10:00", ["01-07 09:00", "01-08 10:00", "01-10 09:00", "01-11 10:00"]),
        (36 * HOUR, OFFICE, "01-05 05:00", ["01-07 09:00", "01-08 09:00", "01-10 09:00", "01-11 09:00"]),
        (7 * DAY, Hours(540, 1_020, days=WEEKDAYS), "01-03 12:00", ["01-12 09:00", "01-19 09:00", "01-26 09:00"]),
        (2 * DAY, Hours(540, 1_020, days=MONDAYS), "01-05 10:00", ["01-12 09:00", "01-19 10:00", "01-26 09:00"]),
        (10 * DAY, Hours(540, 1_020, days=MONDAYS), "01-05 10:00", ["01-19 09:00", "01-26 09:00", "02-09 09:00"]),
    ],
)
def test_a_slot_in_closed_hours_moves_to_an_opening_that_has_no_slot_of_its_own(
    every: timedelta, active: Hours, anchor: str, expected: list[str]
) -> None:
    assert list(islice(_slots(_at(anchor), every, active), len(expected))) == [_at(text) for text in expected]


@pytest.mark.parametrize(
    ("every", "active", "anchor", "expected"),
    [
        (DAY, Hours(), "03-27 22:30", ["03-28 22:30", "03-29 22:30", "03-30 22:30"]),
        (DAY, Hours(540, 1_020, PARIS), "03-27 09:30", ["03-28 09:30", "03-29 09:30", "03-30 09:30"]),
        (DAY, Hours(1_380, 1_440, PARIS), "03-27 22:30", ["03-28 22:30", "03-29 21:00", "03-30 21:00"]),
        (DAY, Hours(0, 1_440, PARIS, (5, 6, 0)), "03-27 22:30", ["03-28 22:30", "03-28 23:00", "03-29 22:30"]),
        (DAY, Hours(120, 180, PARIS), "03-27 01:30", ["03-28 01:30", "03-29 01:30", "03-30 00:00"]),
        (DAY, Hours(120, 180, PARIS), "03-26 20:00", ["03-28 01:00", "03-29 01:00", "03-30 00:00"]),
        (HOUR, Hours(120, 180, PARIS), "10-24 12:00", ["10-25 00:00", "10-25 01:00", "10-26 01:00"]),
        (DAY, Hours(0, 60, PARIS), "10-23 22:30", ["10-24 22:30", "10-25 23:00", "10-26 23:00"]),
        (30 * MINUTE, Hours(150, 210, NEW_YORK), "03-07 12:00", ["03-08 07:00", "03-09 06:30", "03-09 07:00"]),
        (HOUR, Hours(60, 120, NEW_YORK), "10-31 12:00", ["11-01 05:00", "11-01 06:00", "11-02 06:00"]),
        (20 * MINUTE, Hours(120, 150, LORD_HOWE), "10-03 12:00", ["10-03 15:40", "10-04 15:00", "10-04 15:20"]),
        (20 * MINUTE, Hours(90, 120, LORD_HOWE), "04-04 12:00", ["04-04 14:40", "04-04 15:00", "04-04 15:20"]),
        (36 * HOUR, Hours(1_380, 1_440, PARIS), "03-26 10:30", ["03-27 22:30", "03-29 21:00", "03-31 21:00"]),
    ],
)  # fmt: skip
def test_slots_count_elapsed_time_also_when_clocks_are_set_on_or_back(
    every: timedelta, active: Hours, anchor: str, expected: list[str]
) -> None:
    assert list(islice(_slots(_at(anchor), every, active), len(expected))) == [_at(text) for text in expected]


def test_a_weekly_window_has_its_slot_also_when_it_opens_an_hour_more_than_a_week_after_the_last() -> None:
    sundays = Hours(720, 730, PARIS, (6,))
    assert next_slot(_at("10-16 00:00"), 2 * DAY, sundays, _at("10-25 10:30")) == _at("10-25 11:00")


@pytest.mark.parametrize(
    ("active", "anchor", "every", "slot", "until", "last", "slots"),
    [
        (Hours(), "01-05 12:00", HOUR, "01-05 13:00", "01-05 13:00", "01-05 13:00", 1),
        (Hours(), "01-05 12:00", HOUR, "01-05 13:00", "01-05 13:59:59.999999", "01-05 13:00", 1),
        (Hours(), "01-05 12:00", HOUR, "01-05 13:00", "01-05 16:30", "01-05 16:00", 4),
        (OFFICE, "01-05 08:00", HOUR, "01-05 09:00", "01-05 09:00", "01-05 09:00", 1),
        (OFFICE, "01-05 08:00", HOUR, "01-05 09:00", "01-05 09:59:59.999999", "01-05 09:00", 1),
        (OFFICE, "01-05 08:00", HOUR, "01-05 09:00", "01-05 20:00", "01-05 16:00", 8),
        (OFFICE, "01-05 08:00", HOUR, "01-05 12:00", "01-06 08:59", "01-05 16:00", 5),
        (OFFICE, "01-05 08:00", HOUR, "01-05 09:00", "01-06 09:00", "01-06 09:00", 9),
        (OFFICE, "01-05 08:00", HOUR, "01-05 09:00", "01-07 12:00", "01-07 12:00", 20),
        (OFFICE, "01-05 06:00", 12 * HOUR, "01-06 09:00", "01-09 08:59", "01-08 09:00", 3),
        (Hours(540, 1_020, days=MONDAYS), "01-05 10:00", 2 * DAY, "01-12 09:00", "01-31 00:00", "01-26 09:00", 3),
        (Hours(60, 120, NEW_YORK), "10-31 12:00", HOUR / 2, "11-01 05:00", "11-02 06:10", "11-02 06:00", 5),
        (Hours(1_380, 1_440, PARIS), "03-27 22:30", DAY, "03-28 22:30", "03-30 20:59", "03-29 21:00", 2),
    ],
)
def test_what_is_covered_counts_from_a_slot_to_the_last_that_has_come(
    active: Hours, anchor: str, every: timedelta, slot: str, until: str, last: str, slots: int
) -> None:
    assert covered(_at(anchor), every, active, _at(slot), _at(until)) == (_at(last), slots)


@pytest.mark.parametrize("active", [Hours(0, 0), Hours(540, 540, PARIS), Hours(days=())])
@pytest.mark.parametrize("every", [MINUTE, DAY, 9 * DAY])
def test_hours_that_never_open_have_no_slot(active: Hours, every: timedelta) -> None:
    assert next_slot(NOON, every, active, NOON) is None


@pytest.mark.parametrize(
    ("minutes", "every_days", "first_day", "active", "after", "expected"),
    [
        (540, 1, "01-05", Hours(), "01-05 08:59", ["01-05 09:00", "01-06 09:00", "01-07 09:00"]),
        (540, 1, "01-05", Hours(), "01-05 09:00", ["01-06 09:00", "01-07 09:00"]),
        (540, 1, "01-09", Hours(), "01-01 00:00", ["01-09 09:00", "01-10 09:00"]),
        (540, 3, "01-05", Hours(), "01-05 12:00", ["01-08 09:00", "01-11 09:00", "01-14 09:00"]),
        (0, 1, "01-05", Hours(timezone=KOLKATA), "01-04 12:00", ["01-04 18:30", "01-05 18:30"]),
        (1_439, 1, "01-05", Hours(timezone=NEW_YORK), "01-06 04:00", ["01-06 04:59", "01-07 04:59"]),
        (600, 1, "01-05", Hours(days=(5, 6)), "01-05 00:00", ["01-10 10:00", "01-11 10:00", "01-17 10:00"]),
        (30, 1, "01-05", Hours(timezone=KOLKATA, days=MONDAYS), "01-05 00:00", ["01-11 19:00", "01-18 19:00"]),
        (600, 2, "01-05", Hours(days=MONDAYS), "01-05 09:00", ["01-05 10:00", "01-19 10:00", "02-02 10:00"]),
        (600, 2, "01-06", Hours(days=MONDAYS), "01-06 00:00", ["01-12 10:00", "01-26 10:00", "02-09 10:00"]),
        (600, 14, "01-05", Hours(days=MONDAYS), "01-05 10:00", ["01-19 10:00", "02-02 10:00"]),
        (150, 1, "03-28", Hours(timezone=PARIS), "03-28 00:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        (150, 1, "10-24", Hours(timezone=PARIS), "10-24 00:00", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
        (150, 1, "10-24", Hours(timezone=PARIS), "10-25 01:00", ["10-26 01:30", "10-27 01:30"]),
        (540, 2, "03-27", Hours(timezone=PARIS), "03-27 00:00", ["03-27 08:00", "03-29 07:00", "03-31 07:00"]),
        (150, 1, "03-07", Hours(timezone=NEW_YORK), "03-07 00:00", ["03-07 07:30", "03-08 07:00", "03-09 06:30"]),
        (90, 1, "10-31", Hours(timezone=NEW_YORK), "10-31 00:00", ["10-31 05:30", "11-01 05:30", "11-02 06:30"]),
        (135, 1, "10-03", Hours(timezone=LORD_HOWE), "10-02 00:00", ["10-02 15:45", "10-03 15:30", "10-04 15:15"]),
        (105, 1, "04-04", Hours(timezone=LORD_HOWE), "04-03 00:00", ["04-03 14:45", "04-04 14:45", "04-05 15:15"]),
    ],
)
def test_a_local_time_comes_on_every_so_manieth_chosen_day(
    minutes: int, every_days: int, first_day: str, active: Hours, after: str, expected: list[str]
) -> None:
    first = date.fromisoformat(f"2026-{first_day}")
    times = islice(_times(minutes, every_days, first, active, _at(after)), len(expected))
    assert list(times) == [_at(text) for text in expected]


@pytest.mark.parametrize(("every_days", "days"), [(1, ()), (7, (0,)), (14, (0, 2)), (21, (6,))])
def test_a_local_time_on_days_that_never_come_together_is_none(every_days: int, days: tuple[int, ...]) -> None:
    tuesday = date(2026, 1, 6)
    assert next_at(540, every_days, tuesday, Hours(days=days), NOON) is None


@pytest.mark.parametrize(
    ("timezone", "moment", "expected"),
    [("UTC", "01-05 23:59", 5), (KOLKATA, "01-05 18:29", 5), (KOLKATA, "01-05 18:30", 6), (NEW_YORK, "01-05 04:59", 4)],
)
def test_the_local_day_is_that_of_the_zone(timezone: str, moment: str, expected: int) -> None:
    assert local_day(_at(moment), timezone) == date(2026, 1, expected)


@settings(max_examples=80, deadline=None)
@given(near_changes, intervals, active_hours)
def test_slots_are_those_of_the_rule_written_out(anchor: datetime, every: timedelta, active: Hours) -> None:
    until = anchor + max(4 * DAY, 4 * every)
    slots = list(takewhile(lambda slot: slot <= until, _slots(anchor, every, active)))
    assert slots == _written_out(anchor, every, active, until)


@settings(max_examples=60, deadline=None)
@given(near_changes, intervals, active_hours)
def test_slots_come_later_and_later_and_in_open_hours(anchor: datetime, every: timedelta, active: Hours) -> None:
    slots = list(islice(_slots(anchor, every, active), 25))
    assert len(slots) == 25
    assert slots[0] >= anchor + every
    assert all(earlier < later for earlier, later in pairwise(slots))
    assert all(active.is_open(slot) for slot in slots)


@settings(deadline=None)
@given(near_changes, up_to_a_day, active_hours)
def test_an_interval_up_to_a_day_reaches_every_window(anchor: datetime, every: timedelta, active: Hours) -> None:
    for window in islice(active.windows(anchor), 21):
        slot = next_slot(anchor, every, active, window.opens - INSTANT)
        assert window.opens < anchor + every or (slot is not None and window.opens <= slot < window.closes)


@settings(max_examples=60, deadline=None)
@given(near_changes, longer_than_a_day, active_hours)
def test_a_longer_interval_comes_at_most_once_an_interval(anchor: datetime, every: timedelta, active: Hours) -> None:
    slots = islice(_slots(anchor, every, active), 25)
    assert all(count <= (slot - anchor) // every for count, slot in enumerate(slots, 1))


@settings(max_examples=60, deadline=None)
@given(near_changes, intervals, active_hours | st.just(Hours()), st.integers(0, 9), st.integers(0, 9 * 86_400))
def test_what_is_covered_is_what_stepping_from_slot_to_slot_yields(
    anchor: datetime, every: timedelta, active: Hours, skipped: int, late: int
) -> None:
    slots = islice(_slots(anchor, every, active), skipped, None)
    slot = next(slots)
    until = slot + timedelta(seconds=late)
    came = [slot, *takewhile(lambda later: later <= until, islice(slots, 500))]
    assert covered(anchor, every, active, slot, until) == (came[-1], len(came))


@settings(deadline=None)
@given(zones, st.integers(0, 1_439), st.integers(1, 9), weekdays, near_changes)
def test_a_local_time_comes_once_on_each_chosen_local_day(
    timezone: str, minutes: int, every_days: int, days: tuple[int, ...], after: datetime
) -> None:
    first = local_day(after, timezone)
    active = Hours(timezone=timezone, days=days)
    dates = [first + step * DAY for step in range(0, 40, every_days)]
    chosen = [day for day in dates if day.weekday() in days]
    midnight = datetime.combine(first, time(), ZoneInfo(timezone)) - INSTANT
    end = datetime.combine(first + 40 * DAY, time(), ZoneInfo(timezone))
    times = takewhile(lambda moment: moment < end, _times(minutes, every_days, first, active, midnight))
    assert [moment.astimezone(ZoneInfo(timezone)).date() for moment in times] == chosen
