"""Hours of the day in a time zone: when they are open, exactly, also on days whose clocks are set on or back."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from msgspec import Struct

from ledger.clock import zone

DAY_MINUTES = 24 * 60
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
"""Monday is 0."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Window(NamedTuple):
    """One stretch of open time."""

    opens: datetime
    closes: datetime
    """The first moment that is closed again."""


class Hours(Struct, frozen=True):
    """Open from `start` (inclusive) to `end` (exclusive), in minutes after local midnight, on some days of the week.

    An end before the start is one of the next day. With both equal they never open. A window belongs to the day on
    which it opens.
    """

    start: int = 0
    end: int = DAY_MINUTES
    timezone: str = "UTC"
    days: tuple[int, ...] = EVERY_DAY

    @property
    def always(self) -> bool:
        return (self.start, self.end) == (0, DAY_MINUTES) and len(self.days) == len(EVERY_DAY)

    @property
    def never(self) -> bool:
        return self.start == self.end or not self.days

    def is_open(self, moment: datetime) -> bool:
        if self.always or self.never:
            return self.always
        window = next(self.windows(moment))
        return window.opens <= moment < window.closes

    def windows(self, after: datetime) -> Iterator[Window]:
        """The windows that close later than `after`, in order."""
        day = after.astimezone(zone(self.timezone)).date() - 2 * _DAY
        while not self.never:
            if day.weekday() in self.days:
                window = self._window(day)
                if window.closes > after:
                    yield window
            day += _DAY

    def _window(self, day: date) -> Window:
        last = self.end if self.end > self.start else self.end + DAY_MINUTES
        opens = local_moment(day, self.start, self.timezone)
        closes = local_moment(day, last, self.timezone)
        # Hours that the clocks leave out altogether are made up for just after.
        return Window(opens, closes if closes > opens else opens + timedelta(minutes=last - self.start))


def local_moment(day: date, minutes: int, timezone: str) -> datetime:
    """The moment, in UTC, at which a clock in the zone shows that many minutes after midnight.

    A time that the clocks leave out is the moment just after the gap; of one that they show twice it is the first.
    """
    day, minutes = day + minutes // DAY_MINUTES * _DAY, minutes % DAY_MINUTES
    shown = datetime.combine(day, time(minutes // 60, minutes % 60), zone(timezone))
    moment = shown.astimezone(UTC)
    if _shows(moment, timezone) == shown.replace(tzinfo=None):
        return moment
    return _gap_end(shown.replace(fold=1).astimezone(UTC), moment, timezone)


def _gap_end(before: datetime, after: datetime, timezone: str) -> datetime:
    """The moment between two at which the clocks are set on."""
    offset = before.astimezone(zone(timezone)).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // (2 * _SECOND) * _SECOND
        if middle.astimezone(zone(timezone)).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _shows(moment: datetime, timezone: str) -> datetime:
    return moment.astimezone(zone(timezone)).replace(tzinfo=None)
