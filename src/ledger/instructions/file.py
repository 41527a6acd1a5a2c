"""HEARTBEAT.md on this machine: a way to write a version, and a copy of the one in force."""

import errno
import logging
import os
import stat
import tempfile
from pathlib import Path

import anyio
import anyio.to_thread

from ledger.clock import Clock
from ledger.db import Database
from ledger.errors import Invalid, TooLarge
from ledger.instructions import store
from ledger.instructions.text import understand

log = logging.getLogger(__name__)


class File:
    """The file on this machine: followed when a person edits it, written when one saves through the API."""

    def __init__(self, path: str, db: Database, clock: Clock) -> None:
        self.path = Path(path).absolute()
        self.problem: str | None = None
        """What is wrong with the file on disk, if anything is: it is not in force, or could not be written."""
        self._db = db
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._content: str | None = None
        self._first = True
        self._is_unread = False
        self._lock = anyio.Lock()

    async def follow(self) -> None:
        """Put the file in force if its content has changed since it was last looked at.

        At the first look only content that was never a version counts as changed: an older copy must not undo what
        was saved since. A file that is gone changes nothing.
        """
        stamp = self._stat()
        if stamp is None:
            self._first, self._stamp, self.problem, self._is_unread = False, None, None, False
        if stamp is None or stamp == self._stamp:
            return
        async with self._lock:
            if stamp == self._stamp:
                return  # another turn has looked meanwhile
            before = self.problem
            content = await anyio.to_thread.run_sync(self._read)
            self._is_unread = content is None
            if content is not None and content != self._content:
                await self._import(content)
            elif content is not None:
                self.problem = before  # the same text as when it was looked at last
            self._stamp = stamp

    async def save(self, content: str, *, source: str = "api", expected: int | None = None) -> None:
        """Put content in force, then write the file; what goes wrong with the file is then its `problem`.

        What somebody has written to the file meanwhile becomes a version before. With `expected`, nothing is saved
        unless that is the version in force (`Stale`).
        """
        content = content.removeprefix("\ufeff")
        store.check(content)
        await self.follow()
        await self._understand(content)
        async with self._lock:
            async with self._db.write() as session:
                await store.save(session, content, source=source, now=self._clock.now(), expected=expected)
            self._content, self._first, self.problem = content, False, None
            try:
                await anyio.to_thread.run_sync(self._write, content, self._is_unread)
            except OSError as error:
                self.problem = f"It is in force, but {self.path} could not be written: {error.strerror}."
            else:
                self._stamp = self._stat()

    async def _import(self, content: str) -> None:
        await self._understand(content)
        async with self._db.write() as session:
            if self._first and await store.was_ever(session, content):
                current = await store.newest(session)
                if current is not None and current.content != content:
                    self._refuse("it is an earlier version; change it, or save it through the API")
            else:
                version = await store.save(session, content, source="disk", now=self._clock.now())
                log.info("Instructions version %d is in force, from %s", version.version, self.path)
        self._content, self._first = content, False

    async def _understand(self, content: str) -> None:
        """Read what is to be saved and what it follows now: saving compares both, and must not take long."""
        async with self._db.read() as session:
            before = await store.newest(session)
        for text in (content, before.content if before else ""):
            await understand(text)

    def _read(self) -> str | None:
        """The file's content, if it may be in force."""
        self.problem = None
        try:
            content = _bytes_of(self.path).decode("utf-8-sig")
            store.check(content)
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

    def _write(self, content: str, keep: bool) -> None:
        """Atomically: a reader sees the old file or the new one, never half of it.

        `keep`: what stands there is no version, and is kept beside it.
        """
        target = self.path.resolve()  # what a link points to, not the link
        if keep and target.is_file():
            kept = target.with_name(f"{target.name}.unread")
            kept.write_bytes(target.read_bytes())
            log.warning("What %s held is no version, and was kept as %s", target, kept)
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
        return file.read(store.MAX_BYTES + 1)
