"""When hours of the day are open, by hand and against a wall clock read minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import count, islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.heartbeat.config import hours, problems
from ledger.heartbeat.structs import Config
from ledger.hours import EVERY_DAY, Hours, Window, local_moment

HOUR, MINUTE, INSTANT = timedelta(hours=1), timedelta(minutes=1), timedelta(microseconds=1)
PARIS, NEW_YORK, KOLKATA, LORD_HOWE = "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"
SANTIAGO, NUUK, TROLL = "America/Santiago", "America/Nuuk", "Antarctica/Troll"
ZONES = ["UTC", PARIS, NEW_YORK, KOLKATA, LORD_HOWE, SANTIAGO, NUUK]
CHANGES = ["03-08", "03-28", "03-29", "04-04", "04-05", "09-05", "09-06", "10-03", "10-04", "10-24", "10-25", "11-01"]

zones = st.sampled_from(ZONES)
changed_days = st.sampled_from([date.fromisoformat(f"2026-{day}") for day in CHANGES])
some_days = changed_days | st.dates(date(2026, 1, 1), date(2026, 12, 31))
offsets = st.integers(-36 * 3_600, 36 * 3_600).map(lambda seconds: timedelta(seconds=seconds))
moments = st.tuples(some_days, offsets).map(lambda pair: datetime.combine(pair[0], time(), UTC) + pair[1])
starts, ends = st.integers(0, 1_439), st.integers(0, 1_440)
weekdays = st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days)))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+00:00")


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def _hours(text: str, timezone: str = "UTC", days: tuple[int, ...] = EVERY_DAY) -> Hours:
    start, end = text.split("-")
    return Hours(_minutes(start), _minutes(end), timezone, days)


def _reached(day: date, minutes: int, timezone: str) -> datetime:
    """The first minute at which the wall clock has come to a time, found by looking at it every minute."""
    there = datetime.combine(day, time()) + minutes * MINUTE
    looks = (there.replace(tzinfo=UTC) - 15 * HOUR + minute * MINUTE for minute in count())
    return next(look for look in looks if look.astimezone(ZoneInfo(timezone)).replace(tzinfo=None) >= there)


def _stretch(day: date, hours: Hours) -> Window:
    length = hours.end - hours.start if hours.end > hours.start else hours.end + 1_440 - hours.start
    opens = _reached(day, hours.start, hours.timezone)
    closes = _reached(day, hours.start + length, hours.timezone)
    return Window(opens, closes if closes > opens else opens + length * MINUTE)


@pytest.mark.parametrize(
    ("timezone", "day", "shown", "expected"),
    [
        ("UTC", "01-05", "09:30", "01-05 09:30"),
        ("UTC", "01-05", "24:00", "01-06 00:00"),
        ("UTC", "01-05", "30:15", "01-06 06:15"),
        (KOLKATA, "01-05", "00:00", "01-04 18:30"),
        (PARIS, "03-29", "01:59", "03-29 00:59"),
        (PARIS, "03-29", "02:00", "03-29 01:00"),
        (PARIS, "03-29", "02:59", "03-29 01:00"),
        (PARIS, "03-29", "03:00", "03-29 01:00"),
        (PARIS, "03-28", "26:30", "03-29 01:00"),
        (PARIS, "10-25", "01:59", "10-24 23:59"),
        (PARIS, "10-25", "02:00", "10-25 00:00"),
        (PARIS, "10-25", "02:59", "10-25 00:59"),
        (PARIS, "10-25", "03:00", "10-25 02:00"),
        (NEW_YORK, "03-08", "02:30", "03-08 07:00"),
        (NEW_YORK, "11-01", "01:30", "11-01 05:30"),
        (NEW_YORK, "11-01", "02:00", "11-01 07:00"),
        (LORD_HOWE, "10-04", "02:10", "10-03 15:30"),
        (LORD_HOWE, "04-05", "01:45", "04-04 14:45"),
        (LORD_HOWE, "04-05", "02:00", "04-04 15:30"),
        (SANTIAGO, "09-05", "24:00", "09-06 04:00"),
        (NUUK, "03-28", "23:30", "03-29 01:00"),
    ],
)
def test_a_skipped_time_is_just_after_the_gap_and_a_repeated_one_the_first(
    timezone: str, day: str, shown: str, expected: str
) -> None:
    assert local_moment(date.fromisoformat(f"2026-{day}"), _minutes(shown), timezone) == _at(expected)


@pytest.mark.parametrize(
    ("active", "after", "expected"),
    [
        (_hours("09:00-17:00"), "01-05 12:00", ["01-05 09:00 > 01-05 17:00", "01-06 09:00 > 01-06 17:00"]),
        (_hours("09:00-17:00"), "01-05 17:00", ["01-06 09:00 > 01-06 17:00", "01-07 09:00 > 01-07 17:00"]),
        (_hours("22:00-06:00"), "01-05 03:00", ["01-04 22:00 > 01-05 06:00", "01-05 22:00 > 01-06 06:00"]),
        (_hours("09:00-08:59"), "01-05 08:58", ["01-04 09:00 > 01-05 08:59", "01-05 09:00 > 01-06 08:59"]),
        (_hours("18:30-24:00"), "01-05 12:00", ["01-05 18:30 > 01-06 00:00", "01-06 18:30 > 01-07 00:00"]),
        (_hours("09:00-10:00", KOLKATA), "01-05 00:00", ["01-05 03:30 > 01-05 04:30", "01-06 03:30 > 01-06 04:30"]),
        (_hours("22:00-06:00", PARIS), "03-28 12:00", ["03-28 21:00 > 03-29 04:00", "03-29 20:00 > 03-30 04:00"]),
        (_hours("22:00-06:00", PARIS), "10-24 12:00", ["10-24 20:00 > 10-25 05:00", "10-25 21:00 > 10-26 05:00"]),
        (_hours("00:00-24:00", PARIS), "03-29 00:00", ["03-28 23:00 > 03-29 22:00", "03-29 22:00 > 03-30 22:00"]),
        (_hours("00:00-24:00", PARIS), "10-25 00:00", ["10-24 22:00 > 10-25 23:00", "10-25 23:00 > 10-26 23:00"]),
        (_hours("02:30-04:00", PARIS), "03-28 12:00", ["03-29 01:00 > 03-29 02:00", "03-30 00:30 > 03-30 02:00"]),
        (_hours("01:00-02:30", PARIS), "03-28 12:00", ["03-29 00:00 > 03-29 01:00", "03-29 23:00 > 03-30 00:30"]),
        (_hours("01:00-02:30", PARIS), "10-24 12:00", ["10-24 23:00 > 10-25 00:30", "10-26 00:00 > 10-26 01:30"]),
        (_hours("02:00-03:00", PARIS), "10-24 12:00", ["10-25 00:00 > 10-25 02:00", "10-26 01:00 > 10-26 02:00"]),
        (_hours("02:30-05:00", PARIS), "10-24 12:00", ["10-25 00:30 > 10-25 04:00", "10-26 01:30 > 10-26 04:00"]),
        (_hours("01:00-02:00", NEW_YORK), "10-31 12:00", ["11-01 05:00 > 11-01 07:00", "11-02 06:00 > 11-02 07:00"]),
        (_hours("01:30-02:00", LORD_HOWE), "04-04 00:00", ["04-04 14:30 > 04-04 15:30", "04-05 15:00 > 04-05 15:30"]),
        (_hours("00:00-24:00", SANTIAGO), "09-05 12:00", ["09-05 04:00 > 09-06 04:00", "09-06 04:00 > 09-07 03:00"]),
        (_hours("22:00-06:00", days=(4,)), "01-10 03:00", ["01-09 22:00 > 01-10 06:00", "01-16 22:00 > 01-17 06:00"]),
        (_hours("22:00-06:00", days=(4,)), "01-10 06:00", ["01-16 22:00 > 01-17 06:00", "01-23 22:00 > 01-24 06:00"]),
        (_hours("08:00-09:00", days=(0, 3)), "01-06 00:00", ["01-08 08:00 > 01-08 09:00", "01-12 08:00 > 01-12 09:00"]),
        (_hours("0:00-1:00", KOLKATA, (0,)), "01-04 12:00", ["01-04 18:30 > 01-04 19:30", "01-11 18:30 > 01-11 19:30"]),
    ],
)  # fmt: skip
def test_the_windows_that_close_later_come_in_order(active: Hours, after: str, expected: list[str]) -> None:
    windows = [Window(_at(text[:11]), _at(text[14:])) for text in expected]
    assert list(islice(active.windows(_at(after)), len(windows))) == windows


@pytest.mark.parametrize(
    ("active", "opens", "closes"),
    [
        (_hours("02:00-03:00", PARIS), "03-29 01:00", "03-29 02:00"),
        (_hours("02:15-02:40", PARIS), "03-29 01:00", "03-29 01:25"),
        (_hours("02:00-03:00", NEW_YORK), "03-08 07:00", "03-08 08:00"),
        (_hours("02:00-02:30", LORD_HOWE), "10-03 15:30", "10-03 16:00"),
        (_hours("00:00-01:00", SANTIAGO), "09-06 04:00", "09-06 05:00"),
        (_hours("23:00-24:00", NUUK), "03-29 01:00", "03-29 02:00"),
    ],
)
def test_a_window_that_a_gap_swallows_whole_opens_just_after_it_for_its_length(
    active: Hours, opens: str, closes: str
) -> None:
    assert next(active.windows(_at(opens) - HOUR)) == Window(_at(opens), _at(closes))
    open_at = [active.is_open(_at(text) - early) for text in (opens, closes) for early in (INSTANT, 0 * INSTANT)]
    assert open_at == [False, True, True, False]


@pytest.mark.parametrize(
    ("active", "open_at", "closed_at"),
    [
        (_hours("09:00-17:00"), ["01-05 09:00", "01-05 16:59:59.999999"], ["01-05 08:59:59.999999", "01-05 17:00"]),
        (_hours("22:00-06:00"), ["01-05 22:00", "01-06 00:00", "01-06 05:59"], ["01-05 21:59", "01-06 06:00"]),
        (_hours("09:00-10:00", KOLKATA), ["01-05 03:30", "01-05 04:29:59"], ["01-05 03:29:59", "01-05 04:30"]),
        (_hours("22:00-06:00", days=(4,)), ["01-09 22:00", "01-10 05:59"], ["01-09 05:59", "01-10 22:00"]),
        (_hours("00:00-24:00", days=(0,)), ["01-05 00:00", "01-05 23:59:59"], ["01-04 23:59:59", "01-06 00:00"]),
        (_hours("00:00-24:00", PARIS, (6,)), ["10-24 22:00", "10-25 22:59"], ["10-24 21:59", "10-25 23:00"]),
        (_hours("01:00-02:30", PARIS), ["10-25 00:29"], ["10-25 00:30", "10-25 01:00", "10-25 01:29"]),
        (_hours("00:00-24:00", PARIS), ["03-29 01:00", "10-25 01:30", "01-01 00:00"], []),
        (Hours(), ["01-05 00:00", "01-05 23:59:59.999999"], []),
        (_hours("09:00-09:00"), [], ["01-05 09:00", "01-05 08:59", "01-05 21:00"]),
        (_hours("00:00-00:00"), [], ["01-05 00:00", "01-05 12:00"]),
        (_hours("00:00-24:00", days=()), [], ["01-05 00:00", "01-05 12:00"]),
    ],
)  # fmt: skip
def test_hours_are_open_from_their_start_until_just_before_their_end(
    active: Hours, open_at: list[str], closed_at: list[str]
) -> None:
    assert [text for text in open_at + closed_at if active.is_open(_at(text))] == open_at


@pytest.mark.parametrize("active", [_hours("05:00-05:00"), Hours(days=()), _hours("09:00-17:00", days=())])
def test_hours_that_never_open_have_no_windows(active: Hours) -> None:
    assert active.never
    assert not active.always
    assert next(active.windows(_at("01-05 12:00")), None) is None


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
        (0, "24:00", set(range(24))),
        ("08:30", "11:45", {8, 9, 10}),
        ("20:00", "24:00", {20, 21, 22, 23}),
        ("21:30", 2, {21, 22, 23, 0, 1}),
        (None, 0, set[int]()),
        (5, 5, set[int]()),
        ("05:00", 5, set[int]()),
        (0, 0, set[int]()),
    ],
)
def test_active_hours_are_set_in_hours_or_minutes_and_pointed_out_if_they_never_open(
    start: int | str | None, end: int | str | None, open_hours: set[int]
) -> None:
    config = Config(active_hours_start=start, active_hours_end=end)
    last_minutes = {hour: _at("01-05 00:59") + hour * HOUR for hour in range(24)}
    assert {hour for hour, moment in last_minutes.items() if hours(config).is_open(moment)} == open_hours
    assert bool(problems(config)) == (not open_hours)


def test_active_hours_without_bounds_are_always_and_in_the_zone_of_the_configuration() -> None:
    assert hours(Config()) == Hours(0, 1_440, "UTC")
    assert hours(Config()).always
    assert hours(Config(active_hours_start=9, active_hours_end="17:30", timezone=KOLKATA)) == Hours(540, 1_050, KOLKATA)


def test_the_problem_of_hours_that_never_open_names_them() -> None:
    (problem,) = problems(Config(active_hours_start="09:30", active_hours_end="09:30"))
    assert "from 09:30 to 09:30 are never open" in problem


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "", "Europe", "\x00"])
def test_what_is_no_time_zone_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(Invalid, match="is not an IANA time zone"):
        _hours("09:00-17:00", name).is_open(_at("01-05 12:00"))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*ZONES, TROLL]), starts, ends, weekdays, moments)
def test_hours_are_open_in_the_stretch_between_two_times_of_the_wall_clock(
    timezone: str, start: int, end: int, days: tuple[int, ...], now: datetime
) -> None:
    active = Hours(start, end, timezone, days)
    around = [now.date() + timedelta(days=step) for step in (-2, -1, 0, 1)]
    stretches = [_stretch(day, active) for day in around if day.weekday() in days and start != end]
    assert active.is_open(now) == any(opens <= now < closes for opens, closes in stretches)


@settings(max_examples=60, deadline=None)
@given(zones, starts, ends, some_days)
def test_a_day_has_one_window_that_opens_and_closes_by_the_wall_clock(
    timezone: str, start: int, end: int, day: date
) -> None:
    active = Hours(start, end, timezone, (day.weekday(),))
    before = datetime.combine(day, time(), UTC) - timedelta(days=2)
    found = [window for window in islice(active.windows(before), 2) if window.opens < before + timedelta(days=6)]
    assert found == ([_stretch(day, active)] if start != end else [])


@settings(deadline=None)
@given(zones, starts, st.integers(61, 1_379), moments)
def test_hours_turned_around_are_open_when_the_others_are_closed(
    timezone: str, start: int, length: int, now: datetime
) -> None:
    end = (start + length) % 1_440
    assert Hours(start, end, timezone).is_open(now) != Hours(end, start, timezone).is_open(now)


@settings(deadline=None)
@given(zones, starts, ends, weekdays, moments)
def test_windows_follow_one_another_without_overlap_on_chosen_days(
    timezone: str, start: int, end: int, days: tuple[int, ...], after: datetime
) -> None:
    windows = list(islice(Hours(start, end, timezone, days).windows(after), 0 if start == end else 9))
    assert all(window.opens < window.closes and window.closes > after for window in windows)
    assert all(earlier.closes <= later.opens for earlier, later in pairwise(windows))
