"""When heartbeats are due: pure functions of values."""

from datetime import datetime, timedelta


def next_slot(anchor: datetime, every: timedelta, after: datetime) -> datetime:
    """The first moment `anchor + n · every` (n ≥ 1) later than `after`, in elapsed time."""
    return anchor + max(1, (after - anchor) // every + 1) * every


def slots_between(anchor: datetime, every: timedelta, after: datetime, until: datetime) -> int:
    """How many slots are later than `after` and not later than `until`."""
    return max(0, max(0, (until - anchor) // every) - max(0, (after - anchor) // every))


def last_slot(anchor: datetime, every: timedelta, until: datetime) -> datetime:
    """The latest moment `anchor + n · every` not later than `until`."""
    return anchor + (until - anchor) // every * every
