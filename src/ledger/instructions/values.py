"""The values of a task's keys, each read exactly, or refused with what would be right."""

import re
from collections.abc import Callable
from typing import Any, get_args

from ledger.clock import zone
from ledger.errors import Invalid
from ledger.hours import DAY_MINUTES, EVERY_DAY
from ledger.instructions.structs import CatchUp, Task, When

DAY_SECONDS = 86_400
MAX_INTERVAL = 366 * DAY_SECONDS
MAX_NAME, MAX_PROMPT = 100, 8_000

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"m": 60, "h": 3_600, "d": DAY_SECONDS, "w": 7 * DAY_SECONDS}
_DURATION = re.compile(r"(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?", re.IGNORECASE | re.ASCII)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_MEANT = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "30d", "yearly": "365d", "one-time": "once"}
_DAY_WORDS = {"weekdays": "mon-fri", "weekends": "sat-sun", "weekend": "sat-sun", "daily": "mon-sun", "all": "mon-sun"}


class Unreadable(ValueError):
    """A value that is not understood; its text is what would be right."""


def interval(text: str) -> int | None:
    """Seconds; None for `once`."""
    word = text.lower().replace(" ", "")
    if word == "once":
        return None
    if word.isascii() and word.isdigit():
        word += "m"
    found = _DURATION.fullmatch(word)
    amounts = found.groups() if found else ()
    if not any(amounts):
        meant = f"; perhaps {_MEANT[word]}" if word in _MEANT else ""
        raise Unreadable(f"write 30m, 2h, 1h30m, 1d, 1w or once; a bare number is minutes{meant}")
    seconds = sum(int(amount or 0) * unit for amount, unit in zip(amounts, reversed(_UNITS.values()), strict=True))
    if not _UNITS["m"] <= seconds <= MAX_INTERVAL:
        raise Unreadable("write an interval from 1m to 366d")
    return seconds


def clock_time(text: str, *, is_end: bool = False) -> int:
    """Minutes after midnight."""
    if is_end and text == "24:00":
        return DAY_MINUTES
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise Unreadable("write a time of day such as 09:00 or 17:30" + (", or 24:00" if is_end else ""))
    return int(found[1]) * 60 + int(found[2])


def window(text: str) -> tuple[int, int]:
    start, dash, end = text.replace("\u2013", "-").partition("-")
    if not dash:
        raise Unreadable("write two times of day, such as 08:00-22:00")
    return clock_time(start.strip()), clock_time(end.strip(), is_end=True)


def days(text: str) -> tuple[int, ...]:
    """The days of the week it names, Monday being 0."""
    chosen: set[int] = set()
    for part in re.split(r"[,\s]+", _DAY_WORDS.get(text.lower(), text).replace(" -", "-").replace("- ", "-").strip()):
        first, dash, last = part.partition("-")
        start = _day(first)
        end = _day(last) if dash else start
        chosen.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return tuple(sorted(chosen))


def _day(name: str) -> int:
    short, full = name.lower()[:3], ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    if short not in DAYS or not full[DAYS.index(short)].startswith(name.lower()):
        raise Unreadable("write days such as mon-fri or sat,sun")
    return DAYS.index(short)


def timezone(text: str) -> str:
    try:
        return zone(text).key
    except Invalid:
        raise Unreadable("write an IANA time zone, such as UTC or Europe/Paris") from None


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise Unreadable(f"write {', '.join(words[:-1])} or {words[-1]}")
        return text.lower()

    return read


def _name(text: str) -> str:
    name = " ".join(text.split())
    if name and not (name.isprintable() and any(char.isalnum() for char in name)):
        raise Unreadable("write a name of letters or digits")
    return _text(MAX_NAME)(name)


def _text(most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text:
            raise Unreadable("write some text")
        if len(text) > most:
            raise Unreadable(f"write at most {most:,} characters")
        return text

    return read


READ: dict[str, Callable[[str], Any]] = {
    "name": _name,
    "interval": interval,
    "prompt": _text(MAX_PROMPT),
    "at": clock_time,
    "days": days,
    "window": window,
    "tz": timezone,
    "when": _one_of(get_args(When)),
    "catch_up": _one_of(get_args(CatchUp)),
}
"""How the value of each key is read."""

MEANT = {
    "title": "name", "id": "name", "every": "interval", "schedule": "interval", "frequency": "interval",
    "instructions": "prompt", "description": "prompt", "action": "prompt", "task": "prompt", "time": "at",
    "day": "days", "weekdays": "days", "hours": "window", "active_hours": "window", "timezone": "tz",
    "condition": "when", "if": "when", "catchup": "catch_up",
}  # fmt: skip
"""Keys of others, and which of ours they come nearest to."""


def clock_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def days_text(chosen: tuple[int, ...]) -> str:
    """`mon-fri`, `sat,sun`: days in a row as a range."""
    runs: list[list[int]] = []
    for day in chosen:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(f"{DAYS[run[0]]}-{DAYS[run[-1]]}" if len(run) > 1 else DAYS[run[0]] for run in runs)


def interval_text(seconds: int) -> str:
    """`1h30m`; whole weeks as weeks."""
    parts: list[str] = []
    for unit, size in reversed(_UNITS.items()):
        count, seconds = divmod(seconds, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) + (f"{seconds}s" if seconds else "")


def schedule_text(task: Task) -> str:
    """When a task is due, in its own terms: the same text means the same schedule."""
    parts = ["once"] if task.once else []
    if task.interval_seconds is not None:
        parts.append(f"every {interval_text(task.interval_seconds)}")
    if task.at is not None:
        parts.append(f"at {clock_text(task.at)}")
    if task.days != EVERY_DAY:
        parts.append(f"on {days_text(task.days)}")
    if task.window is not None:
        parts.append(f"between {clock_text(task.window[0])} and {clock_text(task.window[1])}")
    return " ".join(parts) + (f" ({task.tz})" if task.tz else "")
