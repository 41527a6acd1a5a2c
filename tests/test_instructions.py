"""HEARTBEAT.md: which version is in force, and what becomes of the file on disk."""

# Small files on the test's own disk, while nothing else waits:
# ruff: noqa: ASYNC240

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.instructions.file import File
from tests.conftest import Opener, Running
from tests.scripted import ScriptedModel

Json = dict[str, Any]

HALF_HOUR = timedelta(minutes=30)
HEARTBEAT_MD = "/api/heartbeat/heartbeat.md"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One engine: it is the file that differs here."""
    return sqlite_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "HEARTBEAT.md"


async def _shown(running: Running) -> Json:
    answer = await running.http.get(HEARTBEAT_MD)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _content(running: Running) -> str:
    return (await _shown(running))["content"]


async def _save(running: Running, content: str) -> Json:
    answer = await running.http.post(HEARTBEAT_MD, json={"content": content})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _next_slot(running: Running, clock: ManualClock) -> Json:
    """The newest run of the heartbeat once its next slot has come."""
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    newest = (await running.http.get("/api/runs?loop=heartbeat&limit=1")).json()["items"][0]
    return (await running.http.get(f"/api/runs/{newest['id']}")).json()


async def test_nothing_is_asked_while_the_file_holds_no_work(
    opened: Opener, model: ScriptedModel, clock: ManualClock, file: Path
) -> None:
    file.write_text("# Nothing yet\n\n- [ ]\n")
    async with opened() as running:
        run = await _next_slot(running, clock)
    assert (run["outcome"], run["reason"], run["decided_by"]) == ("skipped", "instructions_empty", None)
    assert model.requests == []


async def test_a_missing_file_is_not_an_empty_one(opened: Opener, model: ScriptedModel, clock: ManualClock) -> None:
    async with opened() as running:
        run = await _next_slot(running, clock)
        assert (await _shown(running))["last_modified"] is None
    assert (run["outcome"], run["instructions"]) == ("nothing", None)
    assert len(model.requests) == 1


async def test_a_file_is_followed_when_a_person_edits_it(
    opened: Opener, model: ScriptedModel, clock: ManualClock, file: Path
) -> None:
    file.write_text("- The first")
    async with opened() as running:
        assert (await _next_slot(running, clock))["instructions"] == "- The first"
        file.write_text("- The second version")
        run = await _next_slot(running, clock)
        assert (run["instructions"], run["instructions_version"]) == ("- The second version", 2)
        file.write_text("# No work any more")
        assert (await _next_slot(running, clock))["reason"] == "instructions_empty"
        file.write_text("- The first")
        assert (await _next_slot(running, clock))["instructions_version"] == 4
    assert len(model.requests) == 3


async def test_a_file_that_is_touched_but_not_changed_is_no_new_version(
    opened: Opener, clock: ManualClock, file: Path
) -> None:
    file.write_text("- Work")
    async with opened() as running:
        before = await _shown(running)
        clock.advance(timedelta(minutes=1))
        file.unlink()
        assert await _shown(running) == before
        file.write_text("- Work")
        assert await _shown(running) == before


async def test_a_file_that_is_gone_leaves_its_version_in_force(opened: Opener, clock: ManualClock, file: Path) -> None:
    file.write_text("- Work")
    async with opened() as running:
        file.unlink()
        assert (await _next_slot(running, clock))["instructions"] == "- Work"
    async with opened() as running:
        assert await _content(running) == "- Work"


async def test_an_older_copy_of_the_file_at_start_does_not_undo_a_newer_version(opened: Opener, file: Path) -> None:
    file.write_text("- The first")
    async with opened() as running:
        await _save(running, "- The second version")
    file.write_text("- The first")
    async with opened() as running:
        assert await _content(running) == "- The second version"
        file.write_text("- The third, which is new")
        assert await _content(running) == "- The third, which is new"
        file.write_text("- The first")
        assert await _content(running) == "- The first"


async def test_a_file_that_is_new_at_start_is_put_in_force(opened: Opener, file: Path) -> None:
    async with opened() as running:
        await _save(running, "- The first")
    file.write_text("- Written while nobody ran")
    async with opened() as running:
        assert await _content(running) == "- Written while nobody ran"


async def test_a_file_that_appears_after_the_start_counts_as_edited(opened: Opener, file: Path) -> None:
    async with opened() as running:
        await _save(running, "- The first")
        await _save(running, "- The second version")
    file.unlink()
    async with opened() as running:
        assert await _content(running) == "- The second version"
        file.write_text("- The first")
        assert await _content(running) == "- The first"


async def test_a_byte_order_mark_is_not_part_of_the_text(opened: Opener, file: Path) -> None:
    file.write_bytes("- Größe".encode("utf-8-sig"))
    async with opened() as running:
        assert await _content(running) == "- Größe"


async def test_a_save_replaces_the_file_in_one_step(opened: Opener, file: Path, tmp_path: Path) -> None:
    file.write_text("- The first")
    file.chmod(0o640)
    async with opened() as running:
        with file.open() as reader:
            await _save(running, "- The second version")
            assert reader.read() == "- The first"
    assert file.read_text() == "- The second version"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir() if "heartbeat" in path.name.lower()] == ["HEARTBEAT.md"]


async def test_what_was_saved_is_not_read_back_as_an_edit(opened: Opener, clock: ManualClock, file: Path) -> None:
    async with opened() as running:
        saved = await _save(running, "- Work")
        clock.advance(timedelta(minutes=1))
        assert await _shown(running) == saved
    async with opened() as running:
        assert await _shown(running) == saved
    assert file.read_text() == "- Work"


async def test_a_file_that_cannot_be_written_is_reported_and_the_version_in_force_all_the_same(
    opened: Opener, tmp_path: Path
) -> None:
    async with opened(heartbeat_md=str(tmp_path / "no" / "such" / "folder.md")) as running:
        saved = await _save(running, "- Work")
        (problem,) = saved["problems"]
        assert (problem["severity"], problem["line"]) == ("error", 0)
        assert "could not be written" in problem["message"]
        assert await _content(running) == "- Work"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"- Gr\xf6\xdfe", "not UTF-8"),
        (b"- " + b"x" * 65_536, "64 KiB"),
        (b"- a\x00b", "NUL"),
        (None, "cannot be read"),
    ],
)
async def test_a_file_that_may_not_be_in_force_is_reported_and_the_old_version_stays(
    opened: Opener, clock: ManualClock, file: Path, raw: bytes | None, why: str
) -> None:
    file.write_text("- Before")
    async with opened() as running:
        file.unlink()
        if raw is None:
            file.mkdir()
        else:
            file.write_bytes(raw)
        shown = await _shown(running)
        assert shown["content"] == "- Before"
        (problem,) = shown["problems"]
        assert (problem["severity"], problem["line"]) == ("error", 0)
        assert why in problem["message"]
        assert (await _next_slot(running, clock))["instructions"] == "- Before"
        file.rmdir() if raw is None else file.unlink()
        file.write_text("- Right again, after all")
        shown = await _shown(running)
        assert (shown["content"], shown["problems"]) == ("- Right again, after all", [])


async def test_a_bad_file_at_start_does_not_stop_the_service(opened: Opener, file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    async with opened() as running:
        shown = await _shown(running)
        assert (shown["content"], shown["last_modified"]) == ("", None)
        assert "not UTF-8 (byte 0)" in shown["problems"][0]["message"]


async def test_a_bad_file_that_is_gone_is_not_reported_any_more(opened: Opener, file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    async with opened() as running:
        assert (await _shown(running))["problems"] != []
        file.unlink()
        assert (await _shown(running))["problems"] == []


async def test_a_save_mends_a_bad_file(opened: Opener, file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    async with opened() as running:
        assert (await _save(running, "- Work"))["problems"] == []
        assert (await _shown(running))["problems"] == []
    assert file.read_text() == "- Work"
    assert file.with_name("HEARTBEAT.md.unread").read_bytes() == b"\xff\xfe"


async def test_a_file_that_is_an_earlier_version_is_told_of_for_as_long_as_it_is(opened: Opener, file: Path) -> None:
    async with opened() as running:
        await _save(running, "- First")
        await _save(running, "- Second")
    file.write_text("- First")
    async with opened() as running:
        for nanoseconds in (1, 2):
            os.utime(file, ns=(nanoseconds, nanoseconds))
            (problem,) = (await _shown(running))["problems"]
            assert "earlier version" in problem["message"]


async def test_what_is_no_regular_file_is_reported_and_never_opened(opened: Opener, file: Path) -> None:
    os.mkfifo(file)
    async with opened() as running:
        (problem,) = (await _shown(running))["problems"]
    assert "not a regular file" in problem["message"]


async def test_an_older_copy_of_the_file_at_start_is_reported(opened: Opener, file: Path) -> None:
    file.write_text("- Old work\n")
    async with opened() as running:
        await _save(running, "- New work\n")
    file.write_text("- Old work\n")
    async with opened() as running:
        shown = await _shown(running)
    assert shown["content"] == "- New work\n"
    assert "earlier version" in shown["problems"][0]["message"]


async def test_an_older_copy_stays_reported_when_two_look_at_it_at_once(
    sqlite_url: str, file: Path, clock: ManualClock
) -> None:
    db = Database(sqlite_url)
    followed = File(str(file), db, clock)
    await followed.save("- Old work\n")
    await followed.save("- New work\n")
    file.write_text("- Old work\n")
    started = File(str(file), db, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(started.follow)
        group.start_soon(started.follow)
    await db.close()
    assert started.problem is not None
    assert "earlier version" in started.problem
