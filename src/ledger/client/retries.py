"""What is tried again, and when: only what does no harm twice."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from msgspec import Struct

from ledger.errors import Conflict, LedgerError, Unreachable

_FIRST, _LONGEST = timedelta(seconds=0.5), timedelta(seconds=8)
_SHORTEST_ASKED, _LONGEST_ASKED = timedelta(seconds=0.1), timedelta(seconds=60)
PASSING = (429, 502, 503, 504)
_WITHOUT_EFFECT = (429,)
"""It was not let through. A 503 may come after the deed, where the database did not answer."""


class Tries(Struct):
    """The tries of one call so far."""

    method: str
    is_conditional: bool
    """It names a version: a second try would find the one that the first has made, and call it somebody else's."""
    sent_before: bool
    """Under the same key, by another call."""
    retries: int
    patience: timedelta
    """How long to wait for a try that is still under way."""
    failures: int = 0
    until: datetime | None = None

    def pause_after(self, error: LedgerError, now: datetime) -> timedelta | None:
        """How long to wait before the next try; None: there is none."""
        asked = retry_after(error, now)
        if self._is_under_way(error, asked):
            self.until = self.until or now + self.patience
            return pause(1, asked) if now < self.until else None
        self.failures += 1
        if self.failures > self.retries or not self._is_harmless_after(error):
            return None
        return pause(self.failures, asked)

    def _is_under_way(self, error: LedgerError, asked: timedelta | None) -> bool:
        was_sent = self.sent_before or self.failures > 0
        return self.method == "POST" and was_sent and error.status == Conflict.status and asked is not None

    def _is_harmless_after(self, error: LedgerError) -> bool:
        if self.method in ("GET", "POST") or (self.method == "PUT" and not self.is_conditional):
            return error.status in PASSING  # a POST carries a key that the server knows it by
        return not error.was_sent if isinstance(error, Unreachable) else error.status in _WITHOUT_EFFECT


def pause(
    failures: int, asked: timedelta | None, *, first: timedelta = _FIRST, longest: timedelta = _LONGEST
) -> timedelta:
    """How long to wait after so many failures in a row: as long as the server asks, else double each time.

    And by chance up to a half longer, so that clients that failed together do not come back together.
    """
    if asked is not None:
        return min(max(asked, _SHORTEST_ASKED), _LONGEST_ASKED)
    return min(first * 2 ** min(failures - 1, 16), longest) * random.uniform(1, 1.5)  # noqa: S311 - no secret


def retry_after(error: LedgerError, now: datetime) -> timedelta | None:
    """What the answer's `Retry-After` says, in seconds or as a date; None if nothing that can be understood."""
    value = error.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=int(value[:9]))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
