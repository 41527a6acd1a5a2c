"""`ledger doctor`: look at all that Ledger stands on, change nothing, and say how to mend what is broken."""

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

from ledger.clock import Clock, SystemClock
from ledger.doctor import clocks, database, disk, instructions, migrations, provider, report, turns
from ledger.doctor.finding import Finding, told
from ledger.doctor.reading import is_sqlite
from ledger.errors import LedgerError
from ledger.settings import Settings

__all__ = ["ChecksFailed", "Finding", "doctor", "examine"]

_LONGEST = timedelta(seconds=15)
"""What no check may exceed; most have a limit of their own."""

_LATE = f"It was not done after {_LONGEST.total_seconds():g} s."
_NEEDS = {"database": "can be used", "migrations": "is up to date"}


class ChecksFailed(LedgerError):
    """Something is broken; the findings have been printed."""


class Check(NamedTuple):
    name: str
    look: Callable[[Settings, Clock], Awaitable[list[Finding]]]
    needs: str = ""
    """The check that must not have failed."""


async def doctor(settings: Settings) -> None:
    """Examine, print the findings, and raise `ChecksFailed` if something has failed."""
    findings = await examine(settings, SystemClock())
    sys.stdout.write("\n".join(report.lines(findings)) + "\n")
    sys.stdout.flush()
    if any(finding.level == "FAIL" for finding in findings):
        raise ChecksFailed(report.summary(findings))
    sys.stdout.write(report.summary(findings) + "\n")


async def examine(settings: Settings, clock: Clock) -> list[Finding]:
    """What all checks find. Nothing is changed, nothing made, and each check ends in time.

    `clock` is the machine's.
    """
    findings: list[Finding] = []
    broken: set[str] = set()
    for check in _checks(settings):
        if check.needs in broken:
            found = [Finding(check.name, "warn", f"Not checked: that needs a database that {_NEEDS[check.needs]}.")]
            broken.add(check.name)
        else:
            found = await _look(check, settings, clock)
            broken |= _broken_by(check, found)
        findings += found
    return findings


def _broken_by(check: Check, found: list[Finding]) -> set[str]:
    """What others cannot build on; where the database has come to hang, that is all that needs it."""
    if check.needs and any(finding.detail == _LATE for finding in found):
        return {*_NEEDS}
    return {check.name} if any(finding.level == "FAIL" for finding in found) else set()


def _checks(settings: Settings) -> list[Check]:
    """The checks, each behind what it needs."""
    embedded = is_sqlite(settings)
    return [
        Check("database", database.look_at_file if embedded else database.look_at_server),
        Check("migrations", migrations.look, "database"),
        Check("instructions", instructions.look_at_file),
        Check("instructions", instructions.look_at_version, "migrations"),
        Check("provider", provider.look),
        Check("provider", provider.look_at_pauses, "migrations"),
        Check("clock", clocks.look_at_zones),
        *([] if embedded else [Check("clock", clocks.compare, "database")]),
        Check("disk", disk.look_at_folder) if embedded else Check("disk", disk.look_at_size, "database"),
        Check("turns", turns.look, "migrations"),
    ]


async def _look(check: Check, settings: Settings, clock: Clock) -> list[Finding]:
    try:
        with clock.deadline(_LONGEST):
            return await check.look(settings, clock)
    except TimeoutError:
        return [Finding(check.name, "FAIL", _LATE)]
    except Exception as error:  # noqa: BLE001 - whatever is broken, the other checks are to be made
        return [Finding(check.name, "FAIL", f"The check could not be made: {told(error, settings)}.")]
