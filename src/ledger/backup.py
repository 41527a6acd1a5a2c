"""`ledger backup`: a copy of the SQLite database, also while Ledger runs. PostgreSQL has tools of its own."""

import os
import shlex
import sqlite3
import sys
import tempfile
from argparse import Namespace
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
from anyio import from_thread, to_thread
from msgspec import Struct
from sqlalchemy import URL
from sqlalchemy.engine import make_url

from ledger import schema
from ledger.clock import SystemClock
from ledger.errors import LedgerError
from ledger.settings import Settings

_PAGES = 256
"""How many pages are copied between two looks at whether to stop: a mebibyte."""

_INSTRUCTIONS = 100_000
"""How many of its instructions SQLite takes between two such looks."""

_BUSY_SECONDS = 2
_MIB = 1024 * 1024


class BackupFailed(LedgerError):
    """There is no backup, and nothing was left behind."""


class Backup(Struct, frozen=True):
    path: Path
    size: int
    """In bytes."""
    revision: str
    """Of the schema."""


async def backup(settings: Settings, arguments: Namespace) -> None:
    """Make a backup, and print what was written."""
    clock = SystemClock()
    began = clock.now()
    made = await back_up(settings, Path(arguments.file))
    took = (clock.now() - began).total_seconds()
    size = f"{made.size / _MIB:,.1f} MiB"
    sys.stdout.write(f"Wrote {made.path}: {size}, schema {made.revision}, checked; in {took:.1f} s.\n")


async def back_up(settings: Settings, target: Path) -> Backup:
    """Copy the database into a new file, which appears once it is whole. Raises `BackupFailed`, `SchemaError`."""
    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite":
        raise BackupFailed(_advice(url, target))
    made: list[Backup] = []

    async def make() -> None:
        made.append(await to_thread.run_sync(_make, Path(url.database or ""), target))

    try:
        # In a task of its own, so that Ctrl-C, too, arrives as a cancellation that the thread can look for.
        async with anyio.create_task_group() as group:
            group.start_soon(make)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return made[0]


def _make(source: Path, target: Path) -> Backup:
    """All of it, in a thread. It ends soon after its task has been cancelled."""
    if not source.is_file():
        raise schema.SchemaError(f"There is no database {source.absolute()} yet: run `ledger serve` first.")
    if os.path.lexists(target):
        raise _taken(target)
    try:
        with _temporary(target) as part:
            revision = _copy(source, part)
            size = part.stat().st_size
            _publish(part, target)
    except sqlite3.Error as error:
        from_thread.check_cancelled()
        raise BackupFailed(f"{source.absolute()} could not be copied to {target}: {error}.") from None
    except OSError as error:
        raise BackupFailed(f"{target} cannot be written: {error.strerror}.") from None
    return Backup(target.absolute(), size, revision)


@contextmanager
def _temporary(target: Path) -> Generator[Path]:
    """A file beside the target that only its owner may read, and that is gone in the end."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-", suffix=".part")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)


def _copy(source: Path, part: Path) -> str:
    """Copy the database as it is at one moment, check the copy, and answer the schema's revision."""
    uri = f"{source.absolute().as_uri()}?mode=rw"
    with (
        closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)) as original,
        closing(sqlite3.connect(part, isolation_level=None)) as copy,
    ):
        # One read from beginning to end: it keeps nobody from writing, and what is written meanwhile does not have
        # the copy begin anew.
        original.execute("BEGIN")
        revision = _revision(original)
        original.backup(copy, pages=_PAGES, progress=_go_on)
        copy.execute("PRAGMA journal_mode = DELETE")  # so that it is one file, whoever opens it
        copy.set_progress_handler(from_thread.check_cancelled, _INSTRUCTIONS)
        found = [" ".join(str(row[0]).split()) for row in copy.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise BackupFailed(f"The database is damaged, so there is no backup: {'; '.join(found)}.")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    return revision


def _go_on(status: int, remaining: int, total: int) -> None:
    del status, remaining, total
    from_thread.check_cancelled()


def _revision(connection: sqlite3.Connection) -> str:
    """The schema's revision; raises `SchemaError` unless this program knows it."""
    has_schema = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone() if has_schema else None
    if found is None:
        raise schema.SchemaError("The database has no tables of Ledger, so there is nothing to back up.")
    revision = str(found[0])
    if not schema.is_known(revision):
        raise schema.SchemaError(schema.newer(revision))
    return revision


def _publish(part: Path, target: Path) -> None:
    """Give the file its name, unless something has that name by now."""
    try:
        target.hardlink_to(part)  # which never overwrites; its first name is taken away with the temporary file
    except FileExistsError:
        raise _taken(target) from None
    except OSError:
        _rename(part, target)  # some file systems have no links
    if hasattr(os, "O_DIRECTORY"):  # where a directory can be opened, its entries are written to the disk, too
        folder = os.open(target.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)


def _rename(part: Path, target: Path) -> None:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise _taken(target) from None
    try:
        part.replace(target)
    except OSError:
        target.unlink()
        raise


def _taken(target: Path) -> BackupFailed:
    return BackupFailed(f"{target} exists already, and is left as it is: name another file.")


def _advice(url: URL, target: Path) -> str:
    """How PostgreSQL is backed up. The password is left to pg_dump, which asks for it."""
    host = url.host or url.query.get("host")
    options = {"--host": host, "--port": url.port, "--username": url.username, "--dbname": url.database}
    given = [f"{name}={value}" for name, value in options.items() if value]
    command = shlex.join(["pg_dump", "--format=custom", f"--file={target}", *given])
    return f"PostgreSQL is backed up with its own tools, also while Ledger runs (docs/operating.md):\n{command}"
