"""The `ledger` command as a real process: started, told to stop, and refused."""

import logging
import shutil
import signal
import socket
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from sqlalchemy.engine import make_url

from ledger import __version__
from ledger.clock import ManualClock, SystemClock
from ledger.db import Database
from ledger.runs import store as runs
from ledger.runs.structs import RunFilter
from ledger.threads import store as threads
from ledger.turns import store as turns
from ledger.turns.structs import Turn
from tests import provider as stub
from tests.chaos import Service, serving, started
from tests.conftest import Opener
from tests.provider import Provider, provider_running, says
from tests.scripted import Paused, ScriptedModel, act, post

log = logging.getLogger(__name__)

LOOPS = ("REFLECTION", "PERSONALITY", "JOURNAL_SELF_REPLY", "HEARTBEAT")


@pytest.fixture
async def provider() -> AsyncGenerator[Provider]:
    async with provider_running() as found:
        yield found


@pytest.fixture
def path(tmp_path: Path, empty_sqlite: Path) -> Path:
    """An empty SQLite database."""
    return shutil.copyfile(empty_sqlite, tmp_path / "own.db")


@pytest.fixture
def variables(path: Path, provider: Provider) -> dict[str, str]:
    return {
        "CRT_DATABASE_URL": f"sqlite+aiosqlite:///{path}",
        "CRT_HEARTBEAT_LOOP_ENABLED": "true",
        "CRT_LLM_BASE_URL": provider.url,
        "CRT_LLM_MODEL": "small",
    }


async def test_a_signal_during_a_run_now_answers_503_and_puts_the_turn_back(
    tmp_path: Path, path: Path, variables: dict[str, str], provider: Provider
) -> None:
    provider.mode = stub.hang
    answers: list[httpx.Response] = []
    codes: list[int] = []
    async with serving(directory=tmp_path, **variables) as service:
        before = await _turn(path)
        async with anyio.create_task_group() as group:
            group.start_soon(_run_now, service, answers)
            await provider.asked()
            assert (await _turn(path)).lease_token is not None
            codes.append(await _stop(service))

    assert codes == [0], service.log
    (answer,) = answers
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "stopping" in answer.json()["detail"]
    assert await _turn(path) == before
    assert await _outcomes(path) == []
    assert not [line for line in service.log if " ERROR " in line or "Traceback" in line]


async def test_a_signal_during_a_scheduled_turn_puts_it_back(
    tmp_path: Path, path: Path, variables: dict[str, str], provider: Provider
) -> None:
    provider.mode = stub.hang
    slot = await _owe(path)
    async with serving(directory=tmp_path, **variables) as service:
        await provider.asked()
        code = await _stop(service)

    assert code == 0, service.log
    turn = await _turn(path)
    assert (turn.slot, turn.next_due_at, turn.attempt, turn.lease_token) == (slot, slot, 0, None)
    assert await _outcomes(path) == []


async def test_a_turn_that_was_put_back_is_taken_by_the_next_process(
    tmp_path: Path, path: Path, variables: dict[str, str], provider: Provider
) -> None:
    provider.mode = stub.hang
    await _owe(path)
    async with serving(directory=tmp_path, **variables) as service:
        await provider.asked()
        await _stop(service)
    provider.mode = stub.hang
    async with serving(directory=tmp_path, **variables) as service:
        await provider.asked(2)
        assert (await _turn(path)).lease_token is not None
        await _stop(service)
    assert await _outcomes(path) == []


async def test_grace_lets_a_scheduled_turn_end(opened: Opener, model: ScriptedModel, clock: ManualClock) -> None:
    paused = Paused(act(post()))
    model.says(paused)

    async def live_until_the_call() -> None:
        async with opened(stop_grace_seconds=600.0):
            clock.advance(timedelta(minutes=30))
            await paused.asked.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(live_until_the_call)
        await paused.asked.wait()
        await anyio.wait_all_tasks_blocked()
        paused.go_on.set()
    async with opened() as running:
        found = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert [run["outcome"] for run in found] == ["acted"]


async def test_grace_lets_a_run_now_answer(
    tmp_path: Path, path: Path, variables: dict[str, str], provider: Provider
) -> None:
    provider.mode = slow = stub.Slow(says(act(post())))
    answers: list[httpx.Response] = []
    async with (
        serving(directory=tmp_path, CRT_STOP_GRACE_SECONDS="600", **variables) as service,
        anyio.create_task_group() as group,
    ):
        group.start_soon(_run_now, service, answers)
        await provider.asked()
        service.process.send_signal(signal.SIGTERM)
        await _refuses_connections(service)
        slow.go_on.set()
        assert await service.ended() == 0, service.log
    assert [answer.json()["ran_successfully"] for answer in answers] == [True]
    assert await _outcomes(path) == ["acted"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_does_not_wait_for_the_grace(
    tmp_path: Path, path: Path, variables: dict[str, str], provider: Provider, sign: signal.Signals
) -> None:
    provider.mode = stub.hang
    slot = await _owe(path)
    async with serving(directory=tmp_path, CRT_STOP_GRACE_SECONDS="600", **variables) as service:
        await provider.asked()
        service.process.send_signal(sign)
        await _refuses_connections(service)
        service.process.send_signal(sign)
        await service.ended()
    turn = await _turn(path)
    assert (turn.slot, turn.next_due_at, turn.lease_token) == (slot, slot, None), service.log


async def test_the_start_says_where_it_is_and_who_decides(database_url: str, tmp_path: Path) -> None:
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql" and url.password is None:
        url = url.set(password="hunter2")  # noqa: S106 - the server asks for none
    with_password = url.render_as_string(hide_password=False)
    async with serving(directory=tmp_path, CRT_DATABASE_URL=with_password) as service:
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{service.url}/health/live")).status_code == 200
        code = await _stop(service)
    log = "".join(service.log)
    assert code == 0, log
    assert f"Database {url.render_as_string(hide_password=True)}; decisions by rules" in log
    assert url.password is None or str(url.password) not in log
    for loop in LOOPS:
        assert f"[{loop}_LOOP] Started" in log


async def test_the_start_names_the_model(tmp_path: Path, variables: dict[str, str]) -> None:
    async with serving(directory=tmp_path, **variables) as service:
        await _stop(service)
    assert "decisions by model small" in "".join(service.log)


async def test_a_bad_variable_ends_with_2_and_says_what_is_right(tmp_path: Path) -> None:
    async with started("serve", directory=tmp_path, CRT_PORT="eighty") as process:
        assert await process.ended() == 2
    assert process.log == ["ledger: CRT_PORT='eighty' cannot be read: write a whole number from 0 to 65535."]


async def test_a_bad_option_is_named_as_it_was_given(tmp_path: Path) -> None:
    async with started("serve", "--port", "70000", directory=tmp_path) as process:
        assert await process.ended() == 2
    assert process.log == ["ledger: --port='70000' cannot be read: write a whole number from 0 to 65535."]


async def test_an_address_that_others_reach_is_refused_without_a_token(tmp_path: Path) -> None:
    async with started("serve", "--host", "0.0.0.0", directory=tmp_path) as process:  # noqa: S104 - it is refused
        assert await process.ended() == 2
    (line,) = process.log
    assert "CRT_API_TOKEN must be set" in line


async def test_a_removed_and_an_unknown_variable_are_warned_about(tmp_path: Path, variables: dict[str, str]) -> None:
    odd = {"CRT_HEARTBEAT_ENABLED": "true", "CRT_TICK_SECOND": "1"}
    async with serving(directory=tmp_path, **variables, **odd) as service:
        await _stop(service)
    warnings = [line for line in service.log if " WARNING " in line]
    assert len(warnings) == 2, warnings
    assert "CRT_HEARTBEAT_LOOP_ENABLED" in warnings[0]
    assert "did you mean CRT_TICK_SECONDS?" in warnings[1]


async def test_a_port_in_use_ends_with_1_and_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with started("serve", "--port", port, directory=tmp_path) as process:
            code = await process.ended()
    assert code == 1, process.log
    assert f"127.0.0.1:{port}" in process.log[-1]
    assert "already in use" in process.log[-1]
    assert "Traceback" not in "".join(process.log)


async def test_a_database_that_cannot_be_opened_ends_with_1_and_says_so(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/missing/ledger.db"
    for command in ("serve", "migrate"):
        async with started(command, directory=tmp_path, CRT_DATABASE_URL=url) as process:
            code = await process.ended()
        assert code == 1, process.log
        assert f"The database {url} cannot be used: unable to open database file" in "".join(process.log)
        assert "Traceback" not in "".join(process.log)


async def test_migrate_makes_a_database_once_and_keeps_it(tmp_path: Path) -> None:
    for _ in range(2):
        async with started("migrate", directory=tmp_path) as process:
            assert await process.ended() == 0, process.log
        assert "The database sqlite+aiosqlite:///ledger.db is up to date" in process.log[-1]
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/ledger.db")
    async with database.read() as session:
        assert await threads.state(session, "default") is None
    await database.close()


async def test_the_version_is_printed(tmp_path: Path) -> None:
    async with started("--version", directory=tmp_path) as process:
        assert process.process.stdout is not None
        assert (await process.process.stdout.receive()).decode() == f"ledger {__version__}\n"
        assert await process.ended() == 0


async def _run_now(service: Service, answers: list[httpx.Response]) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=None) as http:  # noqa: S113 - the process ends it
        answers.append(await http.post("/api/threads/default/heartbeat/run-now"))


async def _stop(service: Service) -> int:
    clock = SystemClock()
    told = clock.now()
    service.process.send_signal(signal.SIGTERM)
    code = await service.ended()
    log.info("It ended %.0f ms after the signal", (clock.now() - told).total_seconds() * 1000)
    return code


async def _refuses_connections(service: Service) -> None:
    """Wait until it listens no more: the signal has arrived."""
    port = int(service.url.rsplit(":", 1)[1])
    with anyio.fail_after(60):
        while True:
            try:
                await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
            except OSError:
                return


async def _owe(path: Path) -> datetime:
    """Have the heartbeat of the default thread owe a slot that has come; returns the slot."""
    now = SystemClock().now()
    slot = now - timedelta(minutes=1)
    database = Database(f"sqlite+aiosqlite:///{path}")
    async with database.write() as session:
        await threads.ensure_default(session, now=now)
        turn = await turns.create(session, "heartbeat", "default", now=slot - timedelta(minutes=30))
        await turns.schedule(session, turn, slot)
    await database.close()
    return slot


async def _turn(path: Path) -> Turn:
    database = Database(f"sqlite+aiosqlite:///{path}")
    async with database.read() as session:
        turn = await turns.get(session, "heartbeat", "default")
    await database.close()
    assert turn is not None
    return turn


async def _outcomes(path: Path) -> list[str]:
    database = Database(f"sqlite+aiosqlite:///{path}")
    async with database.read() as session:
        page = await runs.page(session, RunFilter("default", "heartbeat"), limit=50)
    await database.close()
    return [run.outcome for run in page.items]
