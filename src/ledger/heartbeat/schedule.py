"""When something that comes again and again is due: pure functions of values.

An interval counts elapsed time from an anchor, within hours. What falls into closed hours moves to the next opening,
unless the window that opens then has a slot of its own; so an interval of up to a day reaches every window, whatever
its phase, and a longer one comes once an interval.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from ledger.clock import zone
from ledger.hours import Hours, Window, local_moment

MOST_INTERVALS = 4
"""A decision may ask for another look after so many intervals at the latest; at the soonest after that part of one."""

_DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


class Covered(NamedTuple):
    """The slots from one moment to another."""

    last: datetime
    slots: int


class Slots(NamedTuple):
    """What makes a series of slots."""

    anchor: datetime
    every: timedelta
    hours: Hours


class _Span(NamedTuple):
    """Slots one interval apart."""

    first: datetime
    last: datetime


def next_slot(anchor: datetime, every: timedelta, hours: Hours, after: datetime) -> datetime | None:
    """The first slot later than `after`; None if the hours never open.

    The first of all is one interval after the anchor.
    """
    if hours.always:
        return _raw_after(anchor, every, after)
    for slots in _per_window(anchor, every, hours, after):
        if slots.last > after:
            return slots.first if slots.first > after else _raw_after(anchor, every, after)
    return None


def covered(anchor: datetime, every: timedelta, hours: Hours, slot: datetime, until: datetime) -> Covered:
    """The last slot not later than `until`, and how many there are from `slot` to it.

    `slot` counts as one, also where it is none of the series, since that was another when it came.
    """
    if hours.always:
        first = _raw_after(anchor, every, slot)
        steps = (until - first) // every
        return Covered(first + steps * every, 2 + steps) if steps >= 0 else Covered(slot, 1)
    last, count = slot, 1
    for slots in _per_window(anchor, every, hours, slot):
        if slots.first > until:
            break
        first = slots.first if slots.first > slot else _raw_after(anchor, every, slot)
        steps = (min(until, slots.last) - first) // every
        if steps >= 0:
            last, count = first + steps * every, count + 1 + steps
    return Covered(last, count)


def moved(anchor: datetime, every: timedelta, hours: Hours, moment: datetime) -> datetime | None:
    """Where a slot goes that is still owed at a moment at which the hours are closed; None if they never open."""
    following = next_slot(anchor, every, hours, moment)
    window = next(hours.windows(moment), None)
    if following is None or window is None:
        return None
    return following if following < window.closes else window.opens


def next_check(
    slots: Slots, wanted: datetime, *, slot: datetime, now: datetime, task_slot: datetime | None
) -> datetime:
    """When a slot is tried that a decision wants to have tried at some moment: a quarter to four intervals from now.

    Where the hours are closed then, it stays where it is. A task keeps its time: `task_slot` is the next moment at
    which one is due, and the heartbeat that would have done it is waited for no longer.
    """
    moment = min(max(wanted, now + slots.every / MOST_INTERVALS), now + slots.every * MOST_INTERVALS)
    if task_slot is not None and moment > slot:
        doing = next_slot(slots.anchor, slots.every, slots.hours, task_slot - INSTANT)
        moment = min(moment, max(slot, doing or slot))
    return moment if slots.hours.is_open(moment) else slot


def next_at(minutes: int, every_days: int, first_day: date, hours: Hours, after: datetime) -> datetime | None:
    """The first moment later than `after` at which the clocks of `hours` show so many minutes after midnight.

    On the days of `hours`, and of these on every so-manieth counted from `first_day`; None if that never comes.
    """
    day = max(after.astimezone(zone(hours.timezone)).date() - _DAY, first_day)
    for _ in range(7 * every_days + 2):
        if (day - first_day).days % every_days == 0 and day.weekday() in hours.days:
            moment = local_moment(day, minutes, hours.timezone)
            if moment > after:
                return moment
        day += _DAY
    return None


def local_day(moment: datetime, timezone: str) -> date:
    return moment.astimezone(zone(timezone)).date()


def _per_window(anchor: datetime, every: timedelta, hours: Hours, after: datetime) -> Iterator[_Span]:
    """The slots of each window that has any and closes later than `after`."""
    # The window before the first one says since when the hours were closed.
    windows = hours.windows(after - 8 * _DAY)
    closed_since: datetime | None = None
    for window in windows:
        slots = _of_window(anchor, every, window, closed_since)
        if slots is not None and window.closes > after:
            yield slots
        closed_since = window.closes


def _of_window(anchor: datetime, every: timedelta, window: Window, closed_since: datetime | None) -> _Span | None:
    first = _raw_after(anchor, every, window.opens - INSTANT)
    if first < window.closes:
        return _Span(first, _raw_after(anchor, every, window.closes - INSTANT) - every)
    has_begun = window.opens >= anchor + every
    is_moved = closed_since is not None and first - every >= closed_since
    # A day of 23 hours could pass without a slot of a daily interval: it is given one.
    return _Span(window.opens, window.opens) if has_begun and (is_moved or every <= _DAY) else None


def _raw_after(anchor: datetime, every: timedelta, after: datetime) -> datetime:
    """The first moment `anchor + n · every` (n ≥ 1) later than `after`, in elapsed time."""
    return anchor + max(1, (after - anchor) // every + 1) * every
