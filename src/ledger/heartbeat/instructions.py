"""HEARTBEAT.md: every version is a row, the newest is in force, and a file on disk is a way to write one."""

import errno
import hashlib
import logging
import os
import re
import stat
import tempfile
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct
from sqlalchemy import exists, select

from ledger.clock import Clock
from ledger.columns import columns
from ledger.db import Database, Session
from ledger.errors import Invalid, TooLarge
from ledger.heartbeat.structs import InstructionsProblem
from ledger.heartbeat.tables import InstructionsRow

MAX_BYTES = 64 * 1024

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# A numbered heading ("# 1. Check mail") is how some people write a checklist.
_NO_WORK = re.compile(
    r"""
      \#{1,6} (?: [ \t]+ (?! \d+ [.)] ) .* )?      # a heading, unless it is numbered
    | (?: [-*+] | \d+ [.)] ) (?: \s* \[ [ xX]? \] )?   # a list item or checkbox with nothing in it
    | (?: `{3,} | ~{3,} ) .*                       # a fence marker
    | (?: [-*_] [ \t]* ){3,}                       # a horizontal rule
    """,
    re.VERBOSE,
)

log = logging.getLogger(__name__)


class Version(Struct, frozen=True):
    version: int
    content: str
    saved_at: datetime


def is_effectively_empty(text: str) -> bool:
    """Whether the file holds no work: only blank lines, headings, comments, empty items, fence markers and rules."""
    without_comments = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)
    lines = (line.strip() for line in without_comments.splitlines())
    return all(not line or _NO_WORK.fullmatch(line) for line in lines)


def problems(text: str) -> list[InstructionsProblem]:
    """What a person who saves this should know."""
    if text.rfind("<!--") > text.rfind("-->"):
        line = text.count("\n", 0, text.rfind("<!--")) + 1
        return [InstructionsProblem(line, "error", "The comment that begins here has no end: close it with -->.")]
    if is_effectively_empty(text):
        return [InstructionsProblem(0, "warning", "There is no work in it, so heartbeats will do nothing.")]
    return []


async def in_force(session: Session) -> Version | None:
    """The version in force; None while there never was a file, which is not the same as an empty one."""
    newest = select(*columns(InstructionsRow, Version)).order_by(InstructionsRow.version.desc()).limit(1)
    return await session.first(newest, Version)


async def save(session: Session, content: str, *, now: datetime) -> Version:
    """Put a new version in force, unless it is the one that is."""
    while True:  # until the number is ours: another process may save at the same moment
        current = await in_force(session)
        if current is not None and current.content == content:
            return current
        version = Version(current.version + 1 if current else 1, content, now)
        row = {"version": version.version, "content": content, "saved_at": now, "digest": _digest(content)}
        if await session.insert_missing(InstructionsRow, row):
            return version


async def was_ever(session: Session, content: str) -> bool:
    """Whether this content was a version once."""
    return bool(await session.scalar(select(exists().where(InstructionsRow.digest == _digest(content)))))


class File:
    """The file on this machine: followed when a person edits it, written when one saves through the API."""

    def __init__(self, path: str, db: Database, clock: Clock) -> None:
        self.path = Path(path).absolute()
        self.problem: str | None = None
        """Why the file on disk is not in force, if it is not."""
        self._db = db
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._content: str | None = None
        self._first = True
        self._lock = anyio.Lock()

    async def follow(self) -> None:
        """Put the file in force if its content has changed since it was last looked at.

        At the first look only content that was never a version counts as changed: an older copy must not undo what
        was saved since. A file that is gone changes nothing.
        """
        stamp = self._stat()
        if stamp is None:
            self._first, self._stamp, self.problem = False, None, None
        if stamp is None or stamp == self._stamp:
            return
        async with self._lock:
            if stamp == self._stamp:
                return  # another turn has looked meanwhile
            content = await anyio.to_thread.run_sync(self._read)
            if content is not None and content != self._content:
                await self._import(content)
            self._stamp = stamp

    async def save(self, content: str) -> str | None:
        """Put content in force, then write the file; says what went wrong with the file, if anything did."""
        _check(content)
        async with self._lock:
            async with self._db.write() as session:
                await save(session, content, now=self._clock.now())
            self._content, self._first, self.problem = content, False, None
            try:
                await anyio.to_thread.run_sync(self._write, content)
            except OSError as error:
                return f"It is in force, but {self.path} could not be written: {error.strerror}."
            self._stamp = self._stat()
        return None

    async def _import(self, content: str) -> None:
        async with self._db.write() as session:
            if self._first and await was_ever(session, content):
                current = await in_force(session)
                if current is not None and current.content != content:
                    self._refuse("it is an earlier version; change it, or save it through the API")
            else:
                version = await save(session, content, now=self._clock.now())
                log.info("Instructions version %d is in force, from %s", version.version, self.path)
        self._content, self._first = content, False

    def _read(self) -> str | None:
        """The file's content, if it may be in force."""
        self.problem = None
        try:
            content = _bytes_of(self.path).decode("utf-8-sig")
            _check(content)
        except OSError as error:
            self._refuse(f"it cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self._refuse(f"it is not UTF-8 (byte {error.start})")
        except (Invalid, TooLarge) as error:
            self._refuse(error.detail)
        else:
            return content
        return None

    def _refuse(self, why: str) -> None:
        self.problem = f"The file on disk is not in force: {why}"
        log.warning("%s: %s", self.path, self.problem)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _write(self, content: str) -> None:
        """Atomically: a reader sees the old file or the new one, never half of it."""
        target = self.path.resolve()  # what a link points to, not the link
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        with tempfile.NamedTemporaryFile("wb", dir=target.parent, prefix=".heartbeat-", delete=False) as file:
            try:
                file.write(content.encode())
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(mode)
                Path(file.name).replace(target)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise


def _bytes_of(path: Path) -> bytes:
    """A file's beginning, one byte more than may be in force; opening anything but a file might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _check(content: str) -> None:
    if len(content.encode()) > MAX_BYTES:
        raise TooLarge(f"The instructions have more than {MAX_BYTES:,} bytes (64 KiB).")
    if "\x00" in content:
        raise Invalid("The instructions hold a NUL character: remove it.")


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
