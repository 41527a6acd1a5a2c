"""Whether the machine knows what time it is, here and elsewhere."""

from datetime import timedelta
from functools import partial

from ledger.clock import Clock, zone
from ledger.doctor.finding import Finding
from ledger.doctor.reading import database_clock, reading
from ledger.errors import Invalid
from ledger.settings import Settings

_SOME_ZONE = "Europe/Paris"
_MOST = timedelta(seconds=5)
"""How far the machine's clock may be from the database server's before that is worth a word."""


async def look_at_zones(settings: Settings, clock: Clock) -> list[Finding]:
    del settings
    try:
        there = clock.now().astimezone(zone(_SOME_ZONE))
    except Invalid:
        mend = "Install the data: pip install tzdata, or the package tzdata of the system."
        return [_found("FAIL", f"The time zones are missing: {_SOME_ZONE} is not known.", mend)]
    said = f"It is {clock.now():%Y-%m-%d %H:%M:%S} UTC by the machine's clock, {there:%H:%M} in {_SOME_ZONE}."
    return [_found("ok", said)]


async def compare(settings: Settings, clock: Clock) -> list[Finding]:
    """PostgreSQL: the machine's clock against the server's, which Ledger follows."""
    async with reading(settings) as connection:
        server = await database_clock(settings, connection, clock)
    off = (clock.now() - server.now()).total_seconds()
    if abs(off) <= _MOST.total_seconds():
        return [_found("ok", f"The machine's clock and the database server's are {abs(off):.1f} s apart.")]
    which = "ahead of" if off > 0 else "behind"
    said = f"The machine's clock is {abs(off):,.0f} s {which} the database server's, which Ledger follows."
    return [_found("warn", said, "It does no harm here, but logs will mislead: let NTP set both.")]


_found = partial(Finding, "clock")
