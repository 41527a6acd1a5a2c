"""Versions of the instructions: the shared ones, of which every version is kept, and each thread's own."""

import hashlib
from datetime import datetime

from sqlalchemy import bindparam, delete, exists, func, insert, select

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Invalid, NotFound, Stale, TooLarge
from ledger.events import store as events
from ledger.instructions.structs import InForce, InstructionsChange, Mode, Own, Reading, Task, Version, VersionSummary
from ledger.instructions.tables import InstructionsRow, OwnRow
from ledger.instructions.text import read
from ledger.paging import Keyset
from ledger.threads.structs import Page
from ledger.turns import store as turns

MAX_BYTES = 64 * 1024
_MOST_VERSIONS = 2**31

_VERSION = select(*columns(InstructionsRow, Version))
_IN_FORCE = _VERSION.order_by(InstructionsRow.version.desc()).limit(1)
_OWN = select(*columns(OwnRow, Own)).where(OwnRow.thread_id == bindparam("thread_id"))
_SUMMARY = select(
    InstructionsRow.version,
    InstructionsRow.saved_at,
    InstructionsRow.source,
    func.length(InstructionsRow.content).label("size"),
)
_NEWEST = Keyset(InstructionsRow.version)


def check(content: str) -> None:
    """Refuse what cannot be kept."""
    if len(content.encode()) > MAX_BYTES:
        raise TooLarge(f"The instructions have more than {MAX_BYTES:,} bytes (64 KiB).")
    if "\x00" in content:
        line = content.count("\n", 0, content.index("\x00")) + 1
        raise Invalid(f"The instructions hold a NUL character on line {line}: remove it.")


async def newest(session: Session) -> Version | None:
    """The shared version in force; None while there never was a file, which is not the same as an empty one."""
    return await session.first(_IN_FORCE, Version)


async def get(session: Session, version: int) -> Version:
    is_number = 0 < version < _MOST_VERSIONS
    found = await session.first(_VERSION.where(InstructionsRow.version == version), Version) if is_number else None
    if found is None:
        raise NotFound(f"There is no version {version} of the instructions.")
    return found


async def page(session: Session, *, limit: int, cursor: str | None = None) -> Page[VersionSummary]:
    """The versions, the newest first."""
    found = await session.all(_NEWEST.select(_SUMMARY, limit, cursor), VersionSummary)
    return Page(*_NEWEST.cut(found, limit))


async def save(session: Session, content: str, *, source: str, now: datetime, expected: int | None = None) -> Version:
    """Put a new version in force, unless it is the one that is.

    With `expected`, only if that is the version in force (0: none yet); else `Stale`.
    """
    while True:  # until the number is ours: another process may save at the same moment
        current = await newest(session)
        _expect(expected, current.version if current else 0, "HEARTBEAT.md")
        if current is not None and current.content == content:
            return current
        carried = carry(content, current)
        version = Version(current.version + 1 if current else 1, content, now, source, carried)
        row = {name: getattr(version, name) for name in Version.__struct_fields__} | {"digest": _digest(content)}
        if await session.insert_missing(InstructionsRow, row):
            # A task of theirs may be due before a look that was put off.
            await turns.forget_moves(session, "heartbeat")
            told = InstructionsChange(version.version, source)
            await events.tell(session, "instructions", told, thread_id=None, at=now)
            return version


async def was_ever(session: Session, content: str) -> bool:
    """Whether this content was a version once."""
    return bool(await session.scalar(select(exists().where(InstructionsRow.digest == _digest(content)))))


async def own(session: Session, thread_id: str) -> Own | None:
    """What a thread has of its own, if anything."""
    found = await _newest_own(session, thread_id)
    return None if found is None or found.is_deleted else found


async def _newest_own(session: Session, thread_id: str) -> Own | None:
    """Also what was deleted: its number is never given again."""
    return await session.first(_OWN, Own, thread_id=thread_id)


async def save_own(
    session: Session, thread_id: str, content: str, mode: Mode, *, now: datetime, expected: int | None = None
) -> Own:
    """Give a thread instructions of its own. It is locked."""
    current = await _newest_own(session, thread_id)
    _expect(expected, current.version if current else 0, "the thread's instructions")
    if current is not None and not current.is_deleted and (current.content, current.mode) == (content, mode):
        return current
    version = Own(current.version + 1 if current else 1, mode, content, now, carry(content, current))
    return await _write_own(session, thread_id, version)


async def delete_own(session: Session, thread_id: str, *, now: datetime, expected: int | None = None) -> None:
    """Take a thread's own instructions away. It is locked."""
    current = await own(session, thread_id)
    if current is None:
        raise NotFound(f"The thread {thread_id!r} has no instructions of its own.")
    _expect(expected, current.version, "the thread's instructions")
    await _write_own(session, thread_id, Own(current.version + 1, "deleted", "", now))


async def _write_own(session: Session, thread_id: str, version: Own) -> Own:
    await session.execute(delete(OwnRow).where(OwnRow.thread_id == thread_id))
    row = {name: getattr(version, name) for name in Own.__struct_fields__} | {"thread_id": thread_id}
    await session.execute(insert(OwnRow).values(row))
    await turns.forget_moves(session, "heartbeat", thread_id)
    told = InstructionsChange(version.version, version.mode)
    await events.tell(session, "instructions", told, thread_id=thread_id, at=version.saved_at)
    return version


def carry(content: str, before: Version | Own | None) -> list[Task]:
    """The last good form of the tasks that have errors in the new content."""
    if before is None:
        return []
    broken = {found.name for found in read(content).tasks if found.task is None and found.name}
    return [task for task in good_tasks(read(before.content), before.carried) if task.name in broken] if broken else []


def good_tasks(reading: Reading, carried: list[Task]) -> list[Task]:
    """The tasks of a text that are in force: those without errors, and the last good form of others."""
    last_good = {task.name: task for task in carried}
    tasks = (found.task or last_good.get(found.name or "") for found in reading.tasks)
    return [task for task in tasks if task is not None]


def assemble(shared: Version | None, own: Own | None) -> InForce:
    """What is in force for a thread, of the shared instructions and its own."""
    parts = [part for part in ((None if own and own.mode == "replace" else shared), own) if part is not None]
    tasks: dict[str, Task] = {}
    has_work = False
    for part in parts:
        reading = read(part.content)
        good = good_tasks(reading, part.carried)
        has_work |= reading.has_work or len(good) < len(reading.tasks)
        tasks |= {task.name: task for task in good}
    return InForce(
        text="\n\n".join(part.content for part in parts) if parts else None,
        version=shared.version if shared else None,
        key=f"{shared.version if shared else 0}" + (f"+{own.version}" if own else ""),
        saved_at=max((part.saved_at for part in parts), default=None),
        tasks=list(tasks.values()),
        has_work=has_work,
    )


def _expect(expected: int | None, current: int, what: str) -> None:
    if expected is not None and expected != current:
        raise Stale(
            f"The version of {what} is {current}, not {expected}: somebody else has changed it. Read it again, and "
            f'send its ETag as If-Match: "{current}".'
        )


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
