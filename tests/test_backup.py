"""`ledger backup`, and the way back: what the documentation tells people to do is done here."""

# Files are looked at as a person looks at them, between commands.
# ruff: noqa: ASYNC240

import asyncio
import os
import resource
import shlex
import shutil
import sqlite3
import stat
import sys
import threading
from argparse import Namespace
from collections.abc import AsyncGenerator, Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from ledger import schema
from ledger.backup import BackupFailed, back_up, backup
from ledger.clock import ManualClock, SystemClock
from ledger.schema import SchemaError
from ledger.settings import Settings
from tests.conftest import Opener, Running, on_postgres, on_sqlite

HALF_HOUR = timedelta(minutes=30)
_MOMENT = timedelta(milliseconds=5)


@pytest.fixture
def path(settings: Settings) -> Path:
    """The database."""
    return Path(settings.database_url.removeprefix("sqlite+aiosqlite:///"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where backups go: a directory of their own."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "ledger.db"


def rows(path: Path, statement: str = "SELECT loop FROM loops ORDER BY rowid") -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(statement)]


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep everybody from reading: a backup begins, and waits."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("COMMIT")


async def under_way(target: Path) -> None:
    clock = SystemClock()
    with anyio.fail_after(30):
        while not list(target.parent.iterdir()):
            await clock.sleep_until(clock.now() + _MOMENT)


async def say(running: Running, *contents: str) -> None:
    body = {"messages": [{"role": "user", "content": content} for content in contents]}
    (await running.http.post("/api/threads/default/messages", json=body)).raise_for_status()


async def said(running: Running) -> list[str]:
    answer = await running.http.get("/api/threads/default/messages")
    return [message["content"] for message in answer.json()["items"]]


class Writer:
    """Writes row after row, and waits for nobody: a lock in its way would be an error."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self.stop = threading.Event()
        self._path = path
        self._awaited = 0
        self._reached = threading.Event()

    async def has_written(self, more: int) -> None:
        self._reached.clear()
        self._awaited = self.count + more
        await to_thread.run_sync(self._reached.wait)

    def write(self) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=0)) as connection:
            try:
                while not self.stop.is_set():
                    connection.execute("INSERT INTO loops (loop) VALUES (?)", [f"row {self.count}"])
                    self.count += 1
                    if self.count >= self._awaited:
                        self._reached.set()
            finally:
                self._reached.set()


@on_sqlite
async def test_a_backup_is_the_database_at_one_moment_while_others_write(
    settings: Settings, path: Path, target: Path
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO loops (loop) VALUES (?)", [[f"{n:>2000}"] for n in range(3_000)])
        connection.commit()
    writer = Writer(path)
    async with anyio.create_task_group() as group:
        group.start_soon(to_thread.run_sync, writer.write)
        await writer.has_written(10)
        before = writer.count
        made = await back_up(settings, target)
        await writer.has_written(1)
        writer.stop.set()
        found = rows(target)[3_000:]
        assert found == [f"row {number}" for number in range(len(found))]
        assert before <= len(found) < writer.count
        assert (made.size, made.revision) == (target.stat().st_size, schema.head())
        assert made.size > 6_000_000


@on_sqlite
async def test_a_backup_waits_for_no_writer_and_holds_what_is_committed(
    settings: Settings, path: Path, target: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO loops (loop) VALUES ('committed')")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO loops (loop) VALUES ('not yet')")
        await back_up(settings, target)
        writer.execute("COMMIT")
    assert rows(target) == ["committed"]


@on_sqlite
async def test_a_backup_is_one_file_that_nobody_else_can_read(
    settings: Settings, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await backup(settings, Namespace(file=str(target)))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert rows(target, "PRAGMA journal_mode") == ["delete"]
    assert list(target.parent.iterdir()) == [target]
    printed = capsys.readouterr().out
    assert printed.startswith(f"Wrote {target}: 0.")
    assert f" MiB, schema {schema.head()}, checked; in " in printed


@on_sqlite
async def test_a_backup_of_an_older_schema_is_made(settings: Settings, path: Path, target: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    assert (await back_up(settings, target)).revision == "0001"


@on_sqlite
async def test_what_has_the_name_already_is_never_overwritten(settings: Settings, target: Path) -> None:
    target.write_text("Mine.")
    with pytest.raises(BackupFailed, match="exists already"):
        await back_up(settings, target)
    with pytest.raises(BackupFailed, match="exists already"):
        await back_up(settings, target.parent)
    link = target.with_name("link.db")
    link.symlink_to(target.with_name("nowhere"))
    with pytest.raises(BackupFailed, match="exists already"):
        await back_up(settings, link)
    assert target.read_text() == "Mine."
    assert {file.name for file in target.parent.iterdir()} == {"ledger.db", "link.db"}


@on_sqlite
async def test_what_takes_the_name_meanwhile_is_not_overwritten_either(
    settings: Settings, path: Path, target: Path
) -> None:
    refused: list[bool] = []

    async def back_up_late() -> None:
        with pytest.raises(BackupFailed, match="exists already"):
            await back_up(settings, target)
        refused.append(True)

    async with anyio.create_task_group() as group:
        with locked(path):
            group.start_soon(back_up_late)
            await under_way(target)
            target.write_text("Mine.")
    assert refused
    assert target.read_text() == "Mine."
    assert list(target.parent.iterdir()) == [target]


@on_sqlite
async def test_a_backup_that_is_cancelled_leaves_nothing_behind(settings: Settings, path: Path, target: Path) -> None:
    async with anyio.create_task_group() as group:
        with locked(path):
            group.start_soon(back_up, settings, target)
            await under_way(target)
            group.cancel_scope.cancel()
    assert list(target.parent.iterdir()) == []


@on_sqlite
async def test_ctrl_c_leaves_nothing_behind(settings: Settings, path: Path, target: Path) -> None:
    with locked(path):
        backing_up = asyncio.create_task(back_up(settings, target))
        await under_way(target)
        backing_up.cancel()  # as the event loop does it at Ctrl-C
        await anyio.wait_all_tasks_blocked()
    with pytest.raises(asyncio.CancelledError):
        await backing_up
    assert list(target.parent.iterdir()) == []


@on_sqlite
async def test_a_disk_without_room_leaves_nothing_behind(settings: Settings, path: Path, target: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limit[1]))
    try:
        with pytest.raises(BackupFailed, match=r"could not be copied to .*: "):
            await back_up(settings, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(target.parent.iterdir()) == []


@on_sqlite
async def test_a_directory_that_is_not_there_is_named(settings: Settings, target: Path) -> None:
    with pytest.raises(BackupFailed, match=r"none/ledger\.db cannot be written: No such file or directory"):
        await back_up(settings, target.parent / "none" / "ledger.db")


@on_sqlite
async def test_damage_is_not_backed_up(settings: Settings, path: Path, target: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'ix_turns_due'")
        connection.commit()
    with pytest.raises(BackupFailed, match=r"is damaged, so there is no backup: .*never used"):
        await back_up(settings, target)
    with path.open("rb+") as file:
        file.seek(10 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(BackupFailed, match="disk image is malformed"):
        await back_up(settings, target)
    path.write_bytes(b"This is no database at all. " * 500)
    with pytest.raises(BackupFailed, match="file is not a database"):
        await back_up(settings, target)
    assert list(target.parent.iterdir()) == []


@on_sqlite
async def test_where_there_is_no_database_there_is_no_backup(settings: Settings, path: Path, target: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(SchemaError, match="no tables of Ledger"):
        await back_up(settings, target)
    path.unlink()
    with pytest.raises(SchemaError, match="There is no database"):
        await back_up(settings, target)
    assert (path.exists(), list(target.parent.iterdir())) == (False, [])


@on_sqlite
async def test_the_service_goes_on_from_a_restored_backup(
    opened: Opener, settings: Settings, path: Path, target: Path, clock: ManualClock
) -> None:
    crashed = [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]
    async with opened() as running:
        await say(running, "Before the backup.")
        await back_up(settings, target)
        await say(running, "After the backup.")
        left = [file.read_bytes() for file in crashed]  # as a killed process would leave them
    for file, content in zip(crashed, left, strict=True):
        file.write_bytes(content)

    shutil.move(target, path)
    for file in crashed:
        file.unlink()
    clock.advance(6 * HALF_HOUR)
    async with opened() as running:
        assert await said(running) == ["Before the backup."]
        await running.heartbeat.run_once()
        await say(running, "And on.")
        (run,) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
        assert run["slots"] == 6
        assert await said(running) == ["Before the backup.", "And on."]


async def test_postgresql_is_left_to_its_own_tools(tmp_path: Path) -> None:
    async def advice(url: str) -> str:
        with pytest.raises(BackupFailed, match="PostgreSQL is backed up with its own tools") as refused:
            await back_up(Settings(database_url=url), tmp_path / "a b.dump")
        return str(refused.value).splitlines()[1]

    file = f"'--file={tmp_path}/a b.dump'"
    assert await advice("postgresql+asyncpg://ann:hunter22@db.example:5433/ledger") == (
        f"pg_dump --format=custom {file} --host=db.example --port=5433 --username=ann --dbname=ledger"
    )
    assert await advice("postgresql+asyncpg:///ledger?host=/run/postgresql&password=hunter22") == (
        f"pg_dump --format=custom {file} --host=/run/postgresql --dbname=ledger"
    )


@pytest.fixture
async def other_url(settings: Settings) -> AsyncGenerator[str]:
    """Another, empty database on the same server."""
    for program in ("pg_dump", "pg_restore"):
        if shutil.which(program) is None:
            pytest.skip(f"Restoring PostgreSQL is NOT tested: there is no {program} on this machine")
    url = make_url(settings.database_url)
    other = url.set(database=f"{url.database}_restored")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    drop = text(f'DROP DATABASE IF EXISTS "{other.database}" WITH (FORCE)')
    async with engine.connect() as connection:
        await connection.execute(drop)
        await connection.execute(text(f'CREATE DATABASE "{other.database}"'))
        yield other.render_as_string(hide_password=False)
        await connection.execute(drop)
    await engine.dispose()


@on_postgres
async def test_postgresql_is_dumped_and_restored_with_the_commands_that_are_told(
    opened: Opener, settings: Settings, target: Path, other_url: str
) -> None:
    url, other = make_url(settings.database_url), make_url(other_url)
    environment = {"PATH": os.defpath, "PGPASSWORD": str(url.password or "")}
    async with opened() as running:
        await say(running, "Before the backup.")
        with pytest.raises(BackupFailed) as told:
            await back_up(settings, target)
        dump = shlex.split(str(told.value).splitlines()[1])
        await anyio.run_process(dump, env=environment)
        await say(running, "After the backup.")
    to_other = [f"--dbname={other.database}" if part.startswith("--dbname=") else part for part in dump[3:]]
    await anyio.run_process(["pg_restore", "--no-owner", *to_other, str(target)], env=environment)
    async with opened(database_url=other_url) as running:
        assert await said(running) == ["Before the backup."]
        await say(running, "And on.")


@on_postgres
async def test_the_command_ends_with_1_where_it_can_only_advise(settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ledger", "backup", "x.dump"]
    variables = {"CRT_DATABASE_URL": settings.database_url}
    ended = await anyio.run_process(command, env=variables, cwd=tmp_path, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"pg_dump --format=custom --file=x.dump" in ended.stderr
