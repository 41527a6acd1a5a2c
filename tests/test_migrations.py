"""Migrations: they make what the models say, twice is as good as once, and several may try at once."""

import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from ledger import schema
from ledger.app import create_app
from ledger.clock import ManualClock
from ledger.db import Database
from ledger.heartbeat.config import of_thread
from ledger.insights import scorecards
from ledger.instructions import store as instructions
from ledger.instructions.structs import Version
from ledger.settings import Settings
from ledger.tables import METADATA
from ledger.threads import store as threads
from ledger.threads.tables import MessageRow
from ledger.tokens import count_tokens
from ledger.turns import store as turns
from tests.conftest import START


class Counted(Struct):
    seq: int
    said_tokens: int


async def _on(url: str, *statements: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def _tables(url: str) -> set[str]:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
    return set(found)


async def _differences(url: str) -> list[Any]:
    """What Alembic would have to do to get from the database to the models."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, METADATA))

    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    await engine.dispose()
    return found


def _start_refused(why: str) -> pytest.RaisesGroup[schema.SchemaError]:
    """The framework hands over what happens at start in a group."""
    return pytest.RaisesGroup(pytest.RaisesExc(schema.SchemaError, match=why), flatten_subgroups=True)


@pytest.fixture
async def blank_url(database_url: str, tmp_path: Path) -> AsyncGenerator[str]:
    """A database without a table: a file that is not there yet, or an empty schema; migrated again afterwards."""
    if database_url.startswith("sqlite"):
        yield f"sqlite+aiosqlite:///{tmp_path / 'blank.db'}"
        return
    blank = ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    await _on(database_url, *blank)
    yield database_url
    await _on(database_url, *blank)
    await schema.migrate(database_url)


async def test_migrations_make_what_the_models_say(database_url: str) -> None:
    assert await _differences(database_url) == []
    assert await _tables(database_url) == {"alembic_version", *METADATA.tables}


async def test_the_comparison_sees_a_difference(blank_url: str) -> None:
    await schema.migrate(blank_url)
    await _on(blank_url, "DROP INDEX ix_posts_top", "ALTER TABLE posts ADD COLUMN colour TEXT")
    kinds = sorted(str(difference[0]) for difference in await _differences(blank_url))
    assert kinds == ["add_index", "remove_column"]


async def test_migrating_twice_is_as_good_as_once(blank_url: str) -> None:
    await schema.migrate(blank_url)
    await _on(blank_url, "INSERT INTO loops (loop, wanted) VALUES ('heartbeat', true)")
    await schema.migrate(blank_url)
    await schema.verify(blank_url)
    await _on(blank_url, "UPDATE loops SET wanted = false WHERE loop = 'heartbeat'")
    assert await _differences(blank_url) == []


async def test_several_may_migrate_an_empty_database_at_once(blank_url: str) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(schema.migrate, blank_url)
    await schema.verify(blank_url)
    assert await _differences(blank_url) == []


async def test_several_processes_may_migrate_an_empty_database_at_once(blank_url: str) -> None:
    environment = {"CRT_DATABASE_URL": blank_url}
    command = [sys.executable, "-m", "ledger", "migrate"]
    results: list[int] = []

    async def migrate() -> None:
        results.append((await anyio.run_process(command, env=environment, check=False)).returncode)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(migrate)
    assert results == [0, 0, 0]
    await schema.verify(blank_url)


async def test_a_newer_database_is_refused_and_left_alone(blank_url: str) -> None:
    await schema.migrate(blank_url)
    await _on(blank_url, "UPDATE alembic_version SET version_num = '9999'")
    for look in (schema.migrate, schema.verify):
        with pytest.raises(schema.SchemaError, match=r"revision 9999.*newer.*Upgrade the program"):
            await look(blank_url)
    assert {"threads", "turns"} <= await _tables(blank_url)


async def test_the_service_does_not_start_on_a_newer_database(blank_url: str, tmp_path: Path) -> None:
    await schema.migrate(blank_url)
    await _on(blank_url, "UPDATE alembic_version SET version_num = '9999'")
    app = create_app(Settings(database_url=blank_url, heartbeat_md=str(tmp_path / "HEARTBEAT.md")))
    with _start_refused("newer"):
        async with app.lifespan():
            pass


async def test_an_empty_database_is_not_up_to_date(blank_url: str) -> None:
    with pytest.raises(schema.SchemaError, match="run `ledger migrate` first"):
        await schema.verify(blank_url)


async def test_only_the_embedded_database_migrates_itself(blank_url: str, tmp_path: Path) -> None:
    app = create_app(Settings(database_url=blank_url, heartbeat_md=str(tmp_path / "HEARTBEAT.md")))
    if blank_url.startswith("sqlite"):
        async with app.lifespan():
            assert await _differences(blank_url) == []
    else:
        with _start_refused("ledger migrate"):
            async with app.lifespan():
                pass
        assert await _tables(blank_url) == set()


def test_migrations_are_one_line_and_named_by_their_order() -> None:
    scripts = ScriptDirectory.from_config(schema.alembic_config())
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert all(re.fullmatch(r"\d{4}", revision) for revision in revisions)


EARLIER = (
    "INSERT INTO threads VALUES ('old', '', 'UTC', :now, 5, 0, 4, 4), ('empty', '', 'UTC', :now, 0, 0, 0, 0)",
    """INSERT INTO messages (thread_id, seq, id, role, origin, content, created_at, received_at) VALUES
        ('old', 1, 'a', 'user', 'person', 'Guten Abend.', :now, :now),
        ('old', 2, 'b', 'assistant', 'agent', 'What the agent said.', :now, :now),
        ('old', 3, 'c', 'assistant', 'app', '晚上好。去散步吗🎉', :now, :now),
        ('old', 4, 'd', 'user', 'person', 'Да, конечно.', :now, :now),
        ('old', 5, 'e', 'system', 'app', 'A note of the application.', :now, :now)""",
    """INSERT INTO turns (thread_id, loop, enabled, anchor_at, attempt, watermark, basis) VALUES
        ('old', 'reflection', true, :now, 0, 5, ''), ('old', 'personality', false, :now, 0, 5, ''),
        ('old', 'self_reply', true, :now, 0, 5, ''), ('old', 'heartbeat', true, :now, 0, 5, 'activity 4'),
        ('empty', 'reflection', true, :now, 0, 0, '')""",
    """INSERT INTO heartbeat_configs VALUES
        ('old', 'none', 9, 17, 'UTC', NULL, 500, 0.7, false),
        ('empty', 'none', NULL, 0, 'UTC', NULL, 500, 0.7, false)""",
    "INSERT INTO instructions (version, content, digest, saved_at) VALUES (1, '- Work', 'x', :now)",
)
"""A database of the first schema, whose quiet loops had passed over all messages."""


async def _migrated_from_first(url: str) -> None:
    def to_first(connection: Connection) -> None:
        config = schema.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()

    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(to_first)
    moment = f"TIMESTAMP '{START:%F %T}+00'" if engine.dialect.name == "postgresql" else f"'{START:%F %T.%f}'"
    await engine.dispose()
    await _on(url, *(statement.replace(":now", moment) for statement in EARLIER))
    await schema.migrate(url)


async def test_an_upgrade_counts_what_people_said_before_as_the_program_counts(blank_url: str) -> None:
    await _migrated_from_first(blank_url)
    db = Database(blank_url)
    async with db.read() as session:
        found = await session.all(select(MessageRow.seq, MessageRow.said_tokens).order_by(MessageRow.seq), Counted)
        state = await threads.state(session, "old")
    await db.close()
    said = [count_tokens(text) for text in ("Guten Abend.", "晚上好。去散步吗🎉", "Да, конечно.")]
    totals = [said[0], said[0], said[0] + said[1], sum(said), sum(said)]
    assert [row.said_tokens for row in found] == totals
    assert state is not None
    assert state.said_tokens == sum(said)


async def test_an_upgrade_has_the_quiet_loops_read_what_they_had_passed_over(blank_url: str, tmp_path: Path) -> None:
    await _migrated_from_first(blank_url)
    app = create_app(
        Settings(database_url=blank_url, heartbeat_md=str(tmp_path / "HEARTBEAT.md")), clock=ManualClock(START)
    )
    async with app.lifespan():
        for loop in (app.state.reflection_loop, app.state.personality_loop):
            await loop.run_once()
    db = Database(blank_url)
    async with db.read() as session:
        read = {loop: turn.watermark for loop, turn in (await turns.of_thread(session, "old")).items()}
        assert (await scorecards.current(session, "old")).messages == 3
    await db.close()
    assert read == {"reflection": 4, "personality": 0, "self_reply": 0, "heartbeat": 5}


async def test_an_upgrade_keeps_whole_hours_and_the_instructions_in_force(blank_url: str) -> None:
    await _migrated_from_first(blank_url)
    db = Database(blank_url)
    async with db.read() as session:
        old = await of_thread(session, "old", None, 1800)
        empty = await of_thread(session, "empty", None, 1800)
        version = await instructions.newest(session)
    await db.close()
    assert (old.active_hours_start, old.active_hours_end) == (9, 17)
    assert (empty.active_hours_start, empty.active_hours_end) == (None, 0)
    assert version == Version(1, "- Work", START, "api", [])
