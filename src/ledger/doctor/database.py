"""Whether the database is there, answers, and is sound."""

import os
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

from anyio import to_thread
from sqlalchemy import URL, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ledger.clock import Clock
from ledger.doctor.finding import Finding, told
from ledger.doctor.reading import file_uri, path_of, reading
from ledger.settings import Settings

_PATIENCE = timedelta(seconds=5)
"""How long PostgreSQL gets to answer."""

_LONGEST_CHECK = timedelta(seconds=10)
"""How long SQLite gets to look a file through."""

_BUSY_SECONDS = 0.5
_SHOWN = 3
_ELSEWHERE = "set CRT_DATABASE_URL to where it is"
_OWNED = "Give it to the user that runs Ledger: chown USER {}"

_MENDS = {
    "28P01": "Set the right password in CRT_DATABASE_URL.",
    "28000": "Set the right user and password in CRT_DATABASE_URL, or let that user in (pg_hba.conf).",
    "3D000": "Make it with `createdb`, or set the right name in CRT_DATABASE_URL. Then run `ledger migrate`.",
    "42501": "Grant the user of CRT_DATABASE_URL what it lacks.",
    "53300": "Close other connections, or raise max_connections.",
    "57P03": "Wait until the server has started.",
}
"""What to do, by the code PostgreSQL gives its errors."""


async def look_at_file(settings: Settings, clock: Clock) -> list[Finding]:
    """SQLite: the file, and what is in it."""
    path = path_of(settings)
    try:
        if fault := _unusable(path):
            return [fault]
        damage = await _damage(path, clock)
    except TimeoutError:
        how = f"With time in hand, run: sqlite3 {path} 'PRAGMA quick_check'"
        return [_found("warn", f"{path} answers, but is too large to be looked through in a moment.", how)]
    except (OSError, sqlite3.Error) as error:
        return [_found("FAIL", f"{path} cannot be read: {told(error, settings)}.", _way_out(error, path))]
    if damage:
        return [_found("FAIL", f"{path} is damaged: {'; '.join(damage)}.", "Restore a backup (docs/operating.md).")]
    return [_found("ok", f"SQLite {sqlite3.sqlite_version}; {path} is readable, writable and sound.")]


async def look_at_server(settings: Settings, clock: Clock) -> list[Finding]:
    """PostgreSQL: whether it answers, how fast, and whether it takes writes."""
    url = make_url(settings.database_url)
    began = clock.now()
    try:
        with clock.deadline(_PATIENCE):
            version, is_standby, is_read_only = await _ask(settings)
    except ModuleNotFoundError:
        return [_found("FAIL", "The driver of PostgreSQL is missing.", "pip install 'ledger[postgres]'")]
    except (DBAPIError, OSError) as error:
        return [_unreachable(url, error, settings)]
    took = (clock.now() - began).total_seconds() * 1000
    if is_standby or is_read_only:
        why = "it is a standby" if is_standby else "its transactions only read (default_transaction_read_only)"
        mend = "Set CRT_DATABASE_URL to the primary server." if is_standby else "Switch that off for this user."
        return [_found("FAIL", f"PostgreSQL at {_place(url)} takes no writes: {why}.", mend)]
    return [_found("ok", f"PostgreSQL {version} at {_place(url)} answered in {took:.0f} ms.")]


async def _ask(settings: Settings) -> tuple[str, bool, bool]:
    """Its version, whether it is a standby, and whether it only reads unless told otherwise."""
    version, read_only = (func.current_setting(name) for name in ("server_version", "default_transaction_read_only"))
    async with reading(settings) as connection:
        row = (await connection.execute(select(version, func.pg_is_in_recovery(), read_only == "on"))).one()
    return str(row[0]).split()[0], bool(row[1]), bool(row[2])


def _unreachable(url: URL, error: BaseException, settings: Settings) -> Finding:
    place = _place(url)
    if isinstance(error, TimeoutError):
        patience = f"{_PATIENCE.total_seconds():g} s"
        mend = f"Look at the server and at what is in between, or {_ELSEWHERE}."
        return _found("FAIL", f"PostgreSQL at {place} does not answer within {patience}.", mend)
    code = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    mend = _MENDS.get(code or "", f"Start PostgreSQL, or {_ELSEWHERE}.")
    return _found("FAIL", f"PostgreSQL at {place} cannot be used: {told(error, settings)}.", mend)


def _place(url: URL) -> str:
    """Where a database is, without user and password."""
    host = url.host or url.query.get("host") or "localhost"
    return f"{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def _unusable(path: Path) -> Finding | None:
    """What keeps the file from being used at all."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _found("FAIL", f"There is no file {path}.", f"Run `ledger serve`, which makes it, or {_ELSEWHERE}.")
    if not stat.S_ISREG(mode):
        return _found("FAIL", f"{path} is not a file.", f"Move it away, or {_ELSEWHERE}.")
    for access, word in ((os.R_OK, "readable"), (os.W_OK, "writable")):
        if not os.access(path, access):
            return _found("FAIL", f"{path} is not {word} for this user.", _OWNED.format(path))
    return None


def _way_out(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return _OWNED.format(path.parent)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return "Another program has it to itself: end that one, and look again."
    return f"Restore a backup (docs/operating.md), or {_ELSEWHERE}."


async def _damage(path: Path, clock: Clock) -> list[str]:
    """What SQLite finds wrong in the file; raises `TimeoutError` for one that takes too long."""
    uri = file_uri(path)
    with closing(sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=_BUSY_SECONDS)) as connection:
        try:
            with clock.deadline(_LONGEST_CHECK):
                return await to_thread.run_sync(partial(_quick_check, connection), abandon_on_cancel=True)
        finally:
            connection.interrupt()


def _quick_check(connection: sqlite3.Connection) -> list[str]:
    found = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_SHOWN})")]
    return [] if found == ["ok"] else [" ".join(line.split()) for line in found]


_found = partial(Finding, "database")
