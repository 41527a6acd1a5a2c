"""`ledger doctor`: it finds what is broken, says how to mend it, and leaves everything as it is."""

# Files are written as a person writes them, between checks.
# ruff: noqa: ASYNC240

import os
import re
import sqlite3
import sys
import zoneinfo
from argparse import Namespace
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import structs
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ledger import commands, schema
from ledger.app import prepare_schema
from ledger.backup import back_up
from ledger.clock import Clock, ManualClock, SystemClock
from ledger.db import Database
from ledger.doctor import Finding, examine, provider
from ledger.doctor.disk import level_of
from ledger.doctor.finding import Level, told
from ledger.doctor.reading import reading
from ledger.doctor.report import lines, summary
from ledger.instructions import store as instructions
from ledger.providers import store as providers
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from ledger.turns import store as turns
from tests import provider as stub
from tests.conftest import START, Opener, on_postgres, on_sqlite
from tests.provider import Mode, error, http, nobody_listening
from tests.proxy import proxy_running

MIB = 1024 * 1024
HOUR = timedelta(hours=1)
MODELS = '{"object": "list", "data": [{"id": "small"}, {"id": "qwen3:latest"}, {"id": "models/gemini"}]}'


class Endpoint:
    """A provider that is asked for its models, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mode: Mode = http(200, MODELS)
        self.heads: list[str] = []
        self.asked = anyio.Event()

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            try:
                head = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", 65_536)
                self.heads.append(head.decode())
                self.asked.set()
                await self.mode(stream, {})
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                return  # the caller hung up


@asynccontextmanager
async def endpoint_running() -> AsyncGenerator[Endpoint]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    endpoint = Endpoint(f"http://127.0.0.1:{listener.extra_attributes[SocketAttribute.local_port]()}/v1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, endpoint.serve)
        yield endpoint
        group.cancel_scope.cancel()


@pytest.fixture
async def endpoint() -> AsyncGenerator[Endpoint]:
    async with endpoint_running() as found:
        yield found


@pytest.fixture
def plain(settings: Settings) -> Settings:
    """The settings of a set-up in which nothing is odd."""
    Path(settings.heartbeat_md).write_text("- Water the plants.\n")
    return structs.replace(settings, llm_model=None)


@pytest.fixture
async def at_revision(db: Database) -> AsyncGenerator[Database]:
    """A database that says it has another revision, until the test is over."""
    yield db
    await stamp(db, str(schema.head()))


async def stamp(db: Database, revision: str) -> None:
    async with db.write() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = :it").bindparams(it=revision))


async def look(settings: Settings, clock: Clock | None = None) -> dict[str, list[Finding]]:
    """What the doctor finds, by check."""
    found: dict[str, list[Finding]] = {}
    for finding in await examine(settings, clock or SystemClock()):
        found.setdefault(finding.check, []).append(finding)
    return found


def levels(found: dict[str, list[Finding]]) -> dict[str, set[Level]]:
    """How bad it is, by check; how full the disk is differs between machines."""
    return {check: {each.level for each in findings} for check, findings in found.items() if check != "disk"}


def path_of(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite+aiosqlite:///"))


async def put_in_force(db: Database, *texts: str) -> None:
    for content in texts:
        async with db.write() as session:
            await instructions.save(session, content, source="api", now=START)


async def test_where_all_is_well_nothing_is_said_to_be_wrong(db: Database, plain: Settings) -> None:
    await put_in_force(db, "- Water the plants.\n")
    found = await look(plain)
    assert set(found) == {"database", "migrations", "instructions", "provider", "clock", "disk", "turns"}
    assert levels(found) == {check: {"ok"} for check in levels(found)}, found


async def test_it_cannot_write(settings: Settings) -> None:
    async with reading(settings) as connection:
        with pytest.raises(DBAPIError, match=r"readonly|read-only"):
            await connection.execute(text("DELETE FROM loops"))


@on_sqlite
async def test_it_leaves_a_database_that_nobody_uses_as_it_is(plain: Settings, tmp_path: Path) -> None:
    def contents() -> dict[str, tuple[bytes, int]]:
        return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.iterdir()}

    before = contents()
    assert set(before) == {"ledger.db", "HEARTBEAT.md"}
    await examine(plain, SystemClock())
    assert contents() == before


@on_sqlite
async def test_it_sees_what_a_running_service_has_written(opened: Opener, plain: Settings, clock: ManualClock) -> None:
    async with opened() as running:
        body = {"content": "- Feed the cat."}
        (await running.http.post("/api/heartbeat/heartbeat.md", json=body)).raise_for_status()
        found = await look(plain, clock)
    assert levels(found) == {check: {"ok"} for check in levels(found)}, found
    assert "in force: version 2" in found["instructions"][1].detail


@on_sqlite
async def test_a_missing_file_is_named_and_not_made(plain: Settings) -> None:
    path_of(plain).unlink()
    found = await look(plain)
    assert found["database"] == [
        Finding(
            "database",
            "FAIL",
            f"There is no file {path_of(plain)}.",
            "Run `ledger serve`, which makes it, or set CRT_DATABASE_URL to where it is.",
        )
    ]
    unseen = [each for check in ("migrations", "instructions", "provider", "turns") for each in found[check]]
    not_checked = [each.check for each in unseen if each.detail.startswith("Not checked: that needs a database that")]
    assert not_checked == ["migrations", "instructions", "provider", "turns"]
    assert not path_of(plain).exists()


@on_sqlite
async def test_what_is_no_database_is_told_apart(plain: Settings, tmp_path: Path) -> None:
    path_of(plain).write_bytes(b"This is no database at all. " * 500)
    (file,) = (await look(plain))["database"]
    assert (file.level, "file is not a database" in file.detail) == ("FAIL", True)
    path_of(plain).write_bytes(b"")
    (empty,) = (await look(plain))["migrations"]
    assert (empty.level, empty.mend) == ("FAIL", "Run `ledger migrate`.")
    folder = structs.replace(plain, database_url=f"sqlite+aiosqlite:///{tmp_path}")
    (found,) = (await look(folder))["database"]
    assert (found.level, found.detail) == ("FAIL", f"{tmp_path} is not a file.")
    nowhere = await look(structs.replace(plain, database_url=f"sqlite+aiosqlite:///{tmp_path}/none/ledger.db"))
    assert (nowhere["database"][0].level, nowhere["disk"][0].level) == ("FAIL", "FAIL")
    assert not (tmp_path / "none").exists()


@on_sqlite
async def test_damage_in_the_file_is_found(plain: Settings) -> None:
    with path_of(plain).open("rb+") as file:
        file.seek(10 * 4096)
        file.write(b"\xff" * 4096)
    (found,) = (await look(plain))["database"]
    assert (found.level, "is damaged: " in found.detail, "\n" in found.detail) == ("FAIL", True, False)


@on_sqlite
async def test_a_file_that_another_program_has_to_itself_is_not_waited_for(plain: Settings) -> None:
    with closing(sqlite3.connect(path_of(plain), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("INSERT INTO loops (loop) VALUES ('mine')")
        (found,) = (await look(plain))["database"]
    assert (found.level, "database is locked" in found.detail, found.mend[:15]) == ("FAIL", True, "Another program")


def deny(monkeypatch: pytest.MonkeyPatch, path: Path, access: int) -> None:
    """Have the system refuse one kind of access to a path, as it refuses other users than the owner."""

    def allows(which: Path, mode: int) -> bool:
        return which != path or not mode & access

    monkeypatch.setattr(os, "access", allows)


@on_sqlite
@pytest.mark.parametrize(("access", "word"), [(os.R_OK, "readable"), (os.W_OK, "writable")])
async def test_a_file_of_another_user_is_named(
    plain: Settings, monkeypatch: pytest.MonkeyPatch, access: int, word: str
) -> None:
    deny(monkeypatch, path_of(plain), access)
    (found,) = (await look(plain))["database"]
    assert (found.level, found.detail) == ("FAIL", f"{path_of(plain)} is not {word} for this user.")


@on_sqlite
async def test_a_directory_must_be_writable_too(plain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = path_of(plain).parent
    deny(monkeypatch, folder, os.W_OK)
    (_, found) = (await look(plain))["disk"]
    assert (found.level, found.mend) == ("FAIL", f"Give it to the user that runs Ledger: chown USER {folder}")


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (99 * MIB, 1_000 * MIB, "FAIL"),
        (101 * MIB, 1_000 * MIB, "warn"),
        (1_023 * MIB, 2_000 * MIB, "warn"),
        (2_000 * MIB, 41_000 * MIB, "warn"),
        (2_000 * MIB, 39_000 * MIB, "ok"),
    ],
)
def test_little_room_is_a_warning_and_hardly_any_a_failure(free: int, total: int, level: Level) -> None:
    assert level_of(free, total) == level


async def test_a_server_that_is_down_is_named_without_its_password(tmp_path: Path) -> None:
    async with nobody_listening() as url:
        port = url.split(":")[2].removesuffix("/v1")
        database_url = f"postgresql+asyncpg://ann:hunter22@127.0.0.1:{port}/ledger"
        found = await look(Settings(database_url=database_url, heartbeat_md=str(tmp_path / "HEARTBEAT.md")))
    (down,) = found["database"]
    assert (down.level, f"127.0.0.1:{port}/ledger cannot be used" in down.detail) == ("FAIL", True)
    assert "Start PostgreSQL" in down.mend
    assert "hunter22" not in str(found)
    assert [each.level for each in found["turns"] + found["migrations"] + found["disk"]] == ["warn"] * 3


async def test_a_server_that_hangs_is_waited_for_five_seconds(tmp_path: Path) -> None:
    clock, accepted, found = ManualClock(START), anyio.Event(), dict[str, list[Finding]]()

    async def hang(stream: SocketStream) -> None:
        async with stream:
            accepted.set()
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra_attributes[SocketAttribute.local_port]()
    settings = Settings(
        database_url=f"postgresql+asyncpg://ann@127.0.0.1:{port}/ledger", heartbeat_md=str(tmp_path / "HEARTBEAT.md")
    )

    async def examined() -> None:
        found.update(await look(settings, clock))
        group.cancel_scope.cancel()

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, hang)
        group.start_soon(examined)
        await accepted.wait()
        clock.advance(timedelta(seconds=5))
    (hung,) = found["database"]
    assert (hung.level, "does not answer within 5 s" in hung.detail) == ("FAIL", True)


@on_postgres
async def test_a_server_that_comes_to_hang_is_waited_for_once(plain: Settings) -> None:
    clock, blocked, found = ManualClock(START), anyio.Event(), dict[str, list[Finding]]()

    async def block() -> None:
        await proxy.block()
        blocked.set()

    async def examined() -> None:
        found.update(await look(structs.replace(plain, database_url=proxy.url), clock))

    async with proxy_running(plain.database_url) as proxy:
        proxy.lose("question", b"alembic_version", block)
        async with anyio.create_task_group() as group:
            group.start_soon(examined)
            await blocked.wait()
            clock.advance(timedelta(seconds=15))
            await proxy.unblock()
    assert (found["database"][0].level, found["migrations"][0].detail) == ("ok", "It was not done after 15 s.")
    unseen = [found[check][-1] for check in ("instructions", "clock", "disk", "turns")]
    assert [each.detail[:11] for each in unseen] == ["Not checked"] * 4


@on_postgres
async def test_a_database_that_the_server_does_not_have_is_told(plain: Settings) -> None:
    found = await look(structs.replace(plain, database_url=f"{plain.database_url}_none"))
    (missing,) = found["database"]
    assert (missing.level, "does not exist" in missing.detail) == ("FAIL", True)
    assert "createdb" in missing.mend


@on_postgres
async def test_the_servers_clock_is_compared_with_the_machines(plain: Settings) -> None:
    (_, near) = (await look(plain))["clock"]
    assert (near.level, "0.0 s apart" in near.detail) == ("ok", True)
    (_, far) = (await look(plain, ManualClock(START)))["clock"]
    assert (far.level, "behind the database server's, which Ledger follows" in far.detail) == ("warn", True)


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in [name for name in sys.modules if name.startswith("tzdata")] + ["tzdata"]:
        monkeypatch.setitem(sys.modules, module, None)
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()


@on_sqlite
@pytest.mark.usefixtures("no_zones")
async def test_missing_time_zones_are_a_failure(plain: Settings) -> None:
    (found,) = (await look(plain))["clock"]
    assert (found.level, "tzdata" in found.mend) == ("FAIL", True)


async def test_a_revision_that_is_older_newer_or_none_says_what_to_do(at_revision: Database, plain: Settings) -> None:
    found: list[Finding] = []
    for revision in ("0001", "9999"):
        await stamp(at_revision, revision)
        found += (await look(plain))["migrations"]
    assert [each.level for each in found] == ["FAIL", "FAIL"]
    older, newer = found
    assert (f"this program needs {schema.head()}" in older.detail, older.mend) == (True, "Run `ledger migrate`.")
    assert "9999, which this program does not know: it is newer. Upgrade the program." in newer.detail
    assert newer.mend.startswith("Or restore")


async def test_every_command_refuses_a_newer_database(at_revision: Database, plain: Settings, tmp_path: Path) -> None:
    await stamp(at_revision, "9999")
    simulated = Namespace(days=1.0, thread=[], instructions=None)
    refusals = [
        prepare_schema(plain),
        schema.migrate(plain.database_url),
        commands.explain(plain, Namespace(thread="default")),
        commands.simulated(plain, simulated),
        *([back_up(plain, tmp_path / "backup.db")] if at_revision.is_sqlite else []),
    ]
    for refusal in refusals:
        with pytest.raises(schema.SchemaError, match=r"revision 9999.*newer.*Upgrade the program"):
            await refusal
    assert not (tmp_path / "backup.db").exists()


async def test_every_command_that_does_not_migrate_sends_an_older_database_there(
    at_revision: Database, plain: Settings
) -> None:
    await stamp(at_revision, "0001")
    simulated = Namespace(days=1.0, thread=[], instructions=None)
    refusals = [
        *([] if at_revision.is_sqlite else [prepare_schema(plain)]),
        commands.explain(plain, Namespace(thread="default")),
        commands.simulated(plain, simulated),
    ]
    for refusal in refusals:
        with pytest.raises(schema.SchemaError, match="run `ledger migrate` first"):
            await refusal


@on_sqlite
async def test_instructions_that_cannot_be_read_are_a_failure(plain: Settings) -> None:
    path, details = Path(plain.heartbeat_md), list[str]()
    for content in (b"- Caf\xe9\n", b"x" * 70_000, b"- a\n- b\x00\n"):
        path.write_bytes(content)
        (bad, _) = (await look(plain))["instructions"]
        assert bad.level == "FAIL"
        details.append(bad.detail.removeprefix(f"{path} "))
    path.unlink()
    path.mkdir()
    details.append((await look(plain))["instructions"][0].detail.removeprefix(f"{path} "))
    assert details == [
        "is not UTF-8 (byte 5).",
        "cannot be in force. The instructions have more than 65,536 bytes (64 KiB).",
        "cannot be in force. The instructions hold a NUL character on line 2: remove it.",
        "cannot be read: it is not a regular file.",
    ]
    path.rmdir()
    assert (await look(plain))["instructions"][0].level == "warn"


@on_sqlite
async def test_what_is_odd_in_the_instructions_is_told_by_line(plain: Settings) -> None:
    tasks = (
        "- name: inbox\n  interval: 4h\n  colour: red\n  prompt: Look.\n- name: bad\n  interval: soon\n  prompt: Do.\n"
    )
    Path(plain.heartbeat_md).write_text(f"tasks:\n{tasks}- name: brief\n  at: 09:00\n  prompt: Sum up.\n")
    (_, *odd, _) = (await look(plain))["instructions"]
    told = [(each.level, each.detail[:7], bool(each.mend)) for each in odd]
    assert told == [("warn", "Line 4:", True), ("FAIL", "Line 7:", True), ("ok", "Line 9:", True)], odd


@on_sqlite
async def test_a_text_with_hundreds_of_oddities_is_not_told_whole(plain: Settings) -> None:
    tasks = "".join(f"- name: t{number}\n  interval: soon\n  prompt: Do.\n" for number in range(300))
    Path(plain.heartbeat_md).write_text(f"tasks:\n{tasks}")
    found = (await look(plain))["instructions"]
    assert len(found) == 23
    assert re.fullmatch(r"Of \d{3} oddities, these were 20\.", found[21].detail)


async def test_the_text_on_disk_is_compared_with_the_version_in_force(db: Database, plain: Settings) -> None:
    said: list[tuple[Level, str]] = []
    for content in ("- Water the plants.\n", "- Feed the cat.\n", "- Feed the dog.\n"):
        found = (await look(plain))["instructions"][1]
        said.append((found.level, found.detail))
        await put_in_force(db, content)
    Path(plain.heartbeat_md).write_text("- Something new.\n")
    other = (await look(plain))["instructions"][1]
    Path(plain.heartbeat_md).unlink()
    gone = (await look(plain))["instructions"][1]
    first, second, third = (f"version {number}, saved 2026-01-05 12:00 UTC (api)." for number in (1, 2, 3))
    assert said == [
        ("warn", "No version is in force yet: heartbeats go by what a thread shows."),
        ("ok", f"The text on disk is in force: {first}"),
        ("warn", f"The file holds an earlier version. In force is {second}"),
    ]
    assert (other.level, other.detail) == ("warn", f"The file holds another text. In force is {third}")
    assert (gone.level, gone.detail) == ("ok", f"In force is {third}")


async def ask(settings: Settings, endpoint: Endpoint, clock: Clock | None = None, **changes: object) -> Finding:
    """What is found of the provider alone."""
    changed = {"llm_base_url": endpoint.url, "llm_model": "small", "llm_api_key": "sk-secret-key", **changes}
    (found,) = await provider.look(structs.replace(settings, **changed), clock or SystemClock())
    return found


@on_sqlite
async def test_a_provider_that_lists_the_model_is_well(plain: Settings, endpoint: Endpoint) -> None:
    for model in ("small", "qwen3", "qwen3:latest", "gemini"):
        found = await ask(plain, endpoint, llm_model=model)
        assert (found.level, f"lists the model {model}." in found.detail) == ("ok", True)
    assert endpoint.heads[0].startswith("GET /v1/models HTTP/1.1")
    assert "authorization: bearer sk-secret-key" in endpoint.heads[0].lower()


@on_sqlite
async def test_a_model_that_is_not_listed_is_told_with_the_nearest(plain: Settings, endpoint: Endpoint) -> None:
    found = await ask(plain, endpoint, llm_model="smal")
    assert (found.level, found.mend) == ("warn", "Set CRT_LLM_MODEL to one that it lists: small.")
    found = await ask(plain, endpoint, llm_model=None)
    assert (found.level, found.mend) == ("warn", "Set CRT_LLM_MODEL.")


@on_sqlite
@pytest.mark.parametrize(
    ("mode", "level", "said"),
    [
        (error(401, "Incorrect API key: sk-secret-key."), "FAIL", "refuses the key (401)"),
        (error(403, "Not for you."), "FAIL", "refuses the key (403)"),
        (error(404, "No such page."), "warn", "lists no models (404)"),
        (error(405, "Only POST."), "warn", "lists no models (405)"),
        (error(429, "Slow down."), "warn", "less often (429)"),
        (error(402, "Pay."), "FAIL", "answers 402"),
        (error(500, "Oh no."), "FAIL", "answers 500"),
        (error(418, "Tea?"), "warn", "answers 418"),
        (http(200, "<html>Sign in</html>", kind="text/html"), "warn", "not with a list of models"),
        (http(200, '{"data": 7}'), "warn", "not with a list of models"),
        (http(200, b'{"data": "\xff"}'), "warn", "not with a list of models"),
        (stub.reset, "FAIL", "cannot be reached"),
        (stub.cut, "FAIL", "cannot be reached"),
    ],
)
async def test_what_a_provider_answers_is_told_and_never_the_key(
    plain: Settings, endpoint: Endpoint, mode: Mode, level: Level, said: str
) -> None:
    endpoint.mode = mode
    found = await ask(plain, endpoint)
    assert (found.level, said in found.detail) == (level, True), found
    assert "sk-secret-key" not in str(found)


@on_sqlite
async def test_a_provider_that_asks_for_a_key_where_none_is_set(plain: Settings, endpoint: Endpoint) -> None:
    endpoint.mode = error(401, "No key.")
    found = await ask(plain, endpoint, llm_api_key=None)
    assert (found.level, found.mend) == ("FAIL", "Set CRT_LLM_API_KEY.")


@on_sqlite
async def test_a_provider_that_is_down_or_hangs_is_a_failure(plain: Settings, endpoint: Endpoint) -> None:
    async with nobody_listening() as url:
        down = await ask(plain, endpoint, llm_base_url=f"{url}?key=hunter22")
    assert (down.level, f"{url} cannot be reached" in down.detail, "hunter22" in str(down)) == ("FAIL", True, False)
    odd = (await look(structs.replace(plain, llm_base_url=url.replace("//", "//ann:hunter22@"))))["provider"][0]
    assert (odd.level, "hunter22" in str(odd)) == ("FAIL", False)
    clock, found = ManualClock(START), list[Finding]()
    endpoint.mode = stub.drip_body

    async def asked() -> None:
        found.append(await ask(plain, endpoint, clock))

    async with anyio.create_task_group() as group:
        group.start_soon(asked)
        await endpoint.asked.wait()
        clock.advance(timedelta(seconds=10))
    assert (found[0].level, "does not answer in time" in found[0].detail) == ("FAIL", True)


async def test_a_model_that_is_paused_is_told_with_the_reason(
    db: Database, plain: Settings, endpoint: Endpoint
) -> None:
    settings = structs.replace(plain, llm_base_url=endpoint.url, llm_model="small")
    async with db.write() as session:
        failed = await providers.count_failure(session, endpoint.url, "small", "It answered 402.", now=START)
        await providers.pause(session, failed, now=START, wait=timedelta(0))
        other = await providers.count_failure(session, "http://elsewhere/v1", "large", "It is gone.", now=START)
        await providers.pause(session, other, now=START, wait=timedelta(0))
    (_, paused) = (await look(settings))["provider"]
    assert (paused.level, paused.detail) == (
        "FAIL",
        "The model small has been paused since 2026-01-05 12:00 UTC: It answered 402.",
    )
    async with db.write() as session:
        await providers.resume(session, failed, now=START)
    assert (await look(settings))["provider"][1] == Finding("provider", "ok", "No model is paused.")


async def now_of(db: Database) -> datetime:
    return SystemClock().now() if db.is_sqlite else await db.server_time()


async def test_turns_that_nobody_takes_are_counted_with_the_oldest(db: Database, plain: Settings) -> None:
    now = await now_of(db)
    async with db.write() as session:
        for number, late in enumerate((2 * HOUR, HOUR, HOUR, timedelta(minutes=4), -HOUR)):
            await threads.create(session, NewThread(id=f"t{number}"), now=START)
            turn = await turns.create(session, "reflection", f"t{number}", now=START)
            await turns.schedule(session, turn, now - late)
        before = now - 2 * HOUR
        assert len(await turns.claim(session, "reflection", now=before, until=now - HOUR, limit=1)) == 1
    found = (await look(plain))["turns"]
    assert [each.level for each in found] == ["FAIL", "ok", "ok", "ok"]
    assert found[0].detail == (
        f"The reflection loop should run, but nobody takes its turns. 3 turns wait, since {now - HOUR:%Y-%m-%d %H:%M} "
        "UTC at the longest; 1 of them were left by a process that ended amid them."
    )
    assert "ledger work" in found[0].mend


async def test_turns_of_a_loop_that_does_not_run_are_no_failure(db: Database, plain: Settings) -> None:
    now = await now_of(db)
    async with db.write() as session:
        await threads.create(session, NewThread(id="old"), now=START)
        turn = await turns.create(session, "heartbeat", "old", now=START)
        await turns.schedule(session, turn, now - HOUR)
        await turns.know(session, "heartbeat", 1800)
    off = (await look(structs.replace(plain, heartbeat_enabled=False)))["turns"][3]
    assert (off.level, "off by CRT_HEARTBEAT_LOOP_ENABLED" in off.detail) == ("ok", True)
    async with db.write() as session:
        await turns.set_wanted(session, "heartbeat", wanted=False, before=True, now=START)
    stopped = (await look(plain))["turns"][3]
    assert (stopped.level, stopped.mend[:31]) == ("warn", "POST /api/loops/heartbeat/start")
    async with db.write() as session:
        await turns.set_wanted(session, "heartbeat", wanted=True, before=False, now=START)
    on = (await look(structs.replace(plain, heartbeat_enabled=False)))["turns"][3]
    assert (on.level, "1 turn waits" in on.detail) == ("FAIL", True)


@on_sqlite
async def test_a_check_that_breaks_leaves_the_others_alone(db: Database, plain: Settings) -> None:
    async with db.write() as session:
        await session.execute(text("DROP TABLE providers"))
        await session.execute(text("DROP TABLE instructions"))
    found = await look(structs.replace(plain, llm_base_url="http://127.0.0.1:1/v1"))
    broken = [each.detail for each in found["instructions"] + found["provider"] if "could not be made" in each.detail]
    assert broken == [
        "The check could not be made: no such table: instructions.",
        "The check could not be made: no such table: providers.",
    ]
    assert levels(found)["turns"] == {"ok"}


def test_what_others_say_is_shown_in_one_line_and_without_secrets() -> None:
    settings = Settings(
        database_url="postgresql+asyncpg://ann:h%40nter22@db/x?password=other33",
        llm_base_url="https://bob:walrus44@model/v1?key=hidden55",
        llm_api_key="sk-secret-key",
        api_token="token66",  # noqa: S106 - nobody's
    )
    said = "h%40nter22 h@nter22 other33\nwalrus44 hidden55 sk-secret-key token66 stay."
    assert told(RuntimeError(said), settings) == "… … … … … … … stay"
    assert told(TimeoutError(), settings) == "TimeoutError"


def test_findings_are_printed_in_lines_with_what_to_do_below() -> None:
    findings = [Finding("clock", "ok", "Well."), Finding("provider", "FAIL", "No\nanswer.\x07", "Start it.")]
    assert list(lines(findings)) == ["ok    clock     Well.", "FAIL  provider  No answer.", "                Start it."]
    assert summary(findings) == "1 failure, 0 warnings."


@on_sqlite
async def test_the_command_ends_with_0_unless_something_has_failed(plain: Settings, tmp_path: Path) -> None:
    results: dict[str, tuple[int, str, str]] = {}

    async def run(name: str) -> None:
        command = [sys.executable, "-m", "ledger", "doctor"]
        variables = {"CRT_DATABASE_URL": f"sqlite+aiosqlite:///{name}", "CRT_LLM_API_KEY": ""}
        ended = await anyio.run_process(command, env=variables, cwd=tmp_path, check=False)
        results[name] = ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    async with anyio.create_task_group() as group:
        for name in (path_of(plain).name, "none.db"):
            group.start_soon(run, name)
    code, printed, complained = results["none.db"]
    assert (code, complained) == (1, "ledger: 1 failure, 4 warnings.\n")
    assert printed.splitlines()[0] == f"FAIL  database      There is no file {tmp_path}/none.db."
    code, printed, complained = results["ledger.db"]
    assert (code, complained) == (0, ""), printed
    assert printed.splitlines()[-1] == "0 failures, 1 warning."
    assert sorted(file.name for file in tmp_path.iterdir()) == ["HEARTBEAT.md", "ledger.db"]
