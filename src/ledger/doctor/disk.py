"""Whether there is room for more."""

import os
import shutil
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from ledger.clock import Clock
from ledger.doctor.finding import Finding, Level, told
from ledger.doctor.reading import path_of, reading
from ledger.settings import Settings

_MIB = 1024 * 1024
_LEAST = 100 * _MIB
_LITTLE = 1024 * _MIB
_SMALL_PART = 20


async def look_at_folder(settings: Settings, clock: Clock) -> list[Finding]:
    """SQLite: the room where the file lives, and whether files can be made beside it."""
    del clock
    folder = path_of(settings).parent
    if not folder.is_dir():
        return [_found("FAIL", f"There is no directory {folder}.", f"mkdir -p {folder}, or set CRT_DATABASE_URL.")]
    usage = shutil.disk_usage(folder)
    level = level_of(usage.free, usage.total)
    mend = "" if level == "ok" else f"Make room, or move the database: {folder} is where it grows."
    findings = [_found(level, f"{_size(usage.free)} of {_size(usage.total)} are free in {folder}.", mend)]
    if not os.access(folder, os.W_OK | os.X_OK):
        mend = f"Give it to the user that runs Ledger: chown USER {folder}"
        findings.append(_found("FAIL", f"{folder} is not writable for this user, and SQLite makes files there.", mend))
    return findings


async def look_at_size(settings: Settings, clock: Clock) -> list[Finding]:
    """PostgreSQL: how large the database is; how much room its server has, it does not say."""
    del clock
    async with reading(settings) as connection:
        try:
            size = (await connection.execute(select(func.pg_database_size(func.current_database())))).scalar_one()
        except DBAPIError as error:
            return [_found("warn", f"The size of the database may not be asked: {told(error, settings)}.")]
    return [_found("ok", f"The database takes {_size(size)}; look at the free space on its server.")]


def level_of(free: int, total: int) -> Level:
    """How bad it is to have that many bytes free."""
    if free < _LEAST:
        return "FAIL"
    return "warn" if free < max(_LITTLE, total / _SMALL_PART) else "ok"


def _size(count: int) -> str:
    mebibytes = count / _MIB
    return f"{mebibytes:,.0f} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:,.1f} GiB"  # noqa: PLR2004 - the next unit


_found = partial(Finding, "disk")
