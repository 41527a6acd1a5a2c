"""Whether HEARTBEAT.md can be read, what is odd about it, and whether it is what heartbeats follow."""

import errno
import stat
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from anyio import to_thread

from ledger.clock import Clock
from ledger.db import Session
from ledger.doctor.finding import Finding, Level
from ledger.doctor.reading import reading
from ledger.errors import LedgerError
from ledger.hours import Hours
from ledger.instructions import store
from ledger.instructions.lint import Heart, problems
from ledger.instructions.structs import Problem, Severity, Task, Version
from ledger.settings import Settings

_MOST = 20
"""How many oddities of a text are told one by one."""

_LEVELS: dict[Severity, Level] = {"error": "FAIL", "warning": "warn", "advice": "ok"}
_WAY_OUT = "or set CRT_HEARTBEAT_MD to another file."


class Unreadable(Exception):
    """A file whose text cannot be in force, and why."""


async def look_at_file(settings: Settings, clock: Clock) -> list[Finding]:
    """The text on disk."""
    del clock
    path = _path(settings)
    try:
        text = await to_thread.run_sync(_read, path, abandon_on_cancel=True)
    except Unreadable as error:
        return [_found("FAIL", f"{path} {error}.", f"Mend it, {_WAY_OUT}")]
    if text is None:
        return [_found("warn", f"There is no file {path}.", f"Write one (docs/heartbeat.md), {_WAY_OUT}")]
    heart = Heart(timedelta(seconds=settings.heartbeat_seconds), Hours())
    odd = await to_thread.run_sync(problems, text, heart, dict[str, Task](), abandon_on_cancel=True)
    return [_found("ok", f"{path} is readable, with {len(text):,} characters."), *_told(odd)]


async def look_at_version(settings: Settings, clock: Clock) -> list[Finding]:
    """Whether the text on disk is the version in force."""
    del clock
    try:
        text = await to_thread.run_sync(_read, _path(settings), abandon_on_cancel=True)
    except Unreadable:
        text = None
    async with reading(settings) as connection:
        session = Session(connection)
        version = await store.newest(session)
        was_version = text is not None and await store.was_ever(session, text)
    return [_compared(text, version, was_version=was_version)]


def _compared(text: str | None, version: Version | None, *, was_version: bool) -> Finding:
    if version is None:
        nothing = "No version is in force yet: heartbeats go by what a thread shows."
        mend = "" if text is None else "Start `ledger serve`, which takes the file up."
        return _found("warn" if text is not None else "ok", nothing, mend)
    in_force = f"version {version.version}, saved {version.saved_at:%Y-%m-%d %H:%M} UTC ({version.source})"
    if text is None:
        return _found("ok", f"In force is {in_force}.")
    if text == version.content:
        return _found("ok", f"The text on disk is in force: {in_force}.")
    if was_version:
        mend = "Change the file, or restore the version over the API (docs/heartbeat.md)."
        return _found("warn", f"The file holds an earlier version. In force is {in_force}.", mend)
    mend = "A running service takes the file up with its next heartbeat: is one running, with this CRT_HEARTBEAT_MD?"
    return _found("warn", f"The file holds another text. In force is {in_force}.", mend)


def _path(settings: Settings) -> Path:
    return Path(settings.heartbeat_md).absolute()


def _read(path: Path) -> str | None:
    """The text on disk; None if there is no file."""
    try:
        text = _bytes_of(path).decode("utf-8-sig")
        store.check(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 (byte {error.start})") from None
    except LedgerError as error:
        raise Unreadable(f"cannot be in force. {error.detail.rstrip('.')}") from None
    return text


def _bytes_of(path: Path) -> bytes:
    """One byte more than may be in force; opening anything but a file might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(store.MAX_BYTES + 1)


def _told(odd: list[Problem]) -> Iterator[Finding]:
    grave = sorted(odd, key=lambda problem: (problem.severity == "advice", problem.line))
    for problem in grave[:_MOST]:
        where = f"Line {problem.line}: " if problem.line else ""
        yield _found(_LEVELS[problem.severity], where + problem.message, problem.fix)
    if len(grave) > _MOST:
        most = "FAIL" if any(problem.severity == "error" for problem in grave[_MOST:]) else "warn"
        yield _found(most, f"Of {len(grave):,} oddities, these were {_MOST}.", "Mend them, and look again.")


_found = partial(Finding, "instructions")
