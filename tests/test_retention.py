"""What is deleted when, in batches, by whichever process gets to it."""

from datetime import datetime, timedelta

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import insert, select

from ledger.approvals import store as approvals
from ledger.approvals.structs import Approval
from ledger.approvals.tables import ApprovalRow
from ledger.budgets.tables import ServiceSpendingRow, ThreadSpendingRow
from ledger.clock import ManualClock
from ledger.db import Database
from ledger.questions.tables import QuestionRow
from ledger.retention import BATCH, EVERY, FIRST, Retention
from ledger.runs import store as runs
from ledger.runs.structs import RunDetail
from ledger.runs.tables import RunRow
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from tests.conftest import START, Opener, on_postgres, on_sqlite
from tests.toy import Process, Toy, skip

DAY = timedelta(days=1)
SPENT = {"calls": 1, "tokens": 1, "actions": 1, "cost": 0.0}


@pytest.fixture
async def thread(db: Database) -> str:
    async with db.write() as session:
        await threads.create(session, NewThread("a"), now=START)
    return "a"


async def keep(db: Database, name: str, started_at: datetime, finished_at: datetime | None = None) -> None:
    run = RunDetail(
        id=name,
        thread_id="a",
        loop="heartbeat",
        trigger="schedule",
        outcome="nothing",
        summary="Nothing.",
        started_at=started_at,
        finished_at=finished_at or started_at,
        instructions="Look.",
        instructions_version=3,
        context={"messages": ["Hello."]},
        prompt=["Decide."],
        raw_answer="{}",
        decision={"verdict": "nothing"},
    )
    async with db.write() as session:
        await runs.add(session, run)


async def kept(db: Database) -> list[str]:
    async with db.read() as session:
        return list(await session.scalars(select(RunRow.id).order_by(RunRow.id)))


async def detailed(db: Database) -> list[str]:
    async with db.read() as session:
        return list(await session.scalars(select(RunRow.id).where(RunRow.prompt.is_not(None)).order_by(RunRow.id)))


def retention(db: Database, clock: ManualClock, **changes: float | None) -> Retention:
    return Retention(Settings(**changes), db, clock)  # pyright: ignore[reportArgumentType] - some are whole numbers


@pytest.mark.usefixtures("thread")
async def test_details_go_after_30_days_and_what_came_of_them_stays(db: Database, clock: ManualClock) -> None:
    await keep(db, "old", START - 30 * DAY - timedelta(seconds=1))
    await keep(db, "young", START - 30 * DAY)
    assert (await retention(db, clock).prune())["prompts"] == 1
    async with db.read() as session:
        old, young = await runs.get(session, "old"), await runs.get(session, "young")
    assert (old.instructions, old.context, old.prompt, old.raw_answer) == (None, None, None, None)
    assert (old.summary, old.decision, old.instructions_version) == ("Nothing.", {"verdict": "nothing"}, 3)
    assert (young.instructions, young.prompt, young.raw_answer) == ("Look.", ["Decide."], "{}")
    assert (await retention(db, clock).prune())["prompts"] == 0


@pytest.mark.usefixtures("thread")
async def test_runs_go_after_400_days_counted_from_their_end(db: Database, clock: ManualClock) -> None:
    await keep(db, "folded", START - 500 * DAY, START - DAY)
    await keep(db, "old", START - 401 * DAY)
    await keep(db, "young", START - 399 * DAY)
    assert (await retention(db, clock).prune())["runs"] == 1
    assert await kept(db) == ["folded", "young"]


@pytest.mark.usefixtures("thread")
async def test_the_newest_are_kept_where_a_number_is_set(db: Database, clock: ManualClock) -> None:
    for n in range(6):
        await keep(db, f"r{n}", START - n * DAY)
    await retention(db, clock, keep_runs=4, keep_prompts=2).prune()
    assert await kept(db) == ["r0", "r1", "r2", "r3"]
    assert await detailed(db) == ["r0", "r1"]
    await retention(db, clock, keep_runs=10, keep_prompts=10).prune()
    assert len(await kept(db)) == 4


@on_sqlite
@pytest.mark.usefixtures("thread")
async def test_no_limit_keeps_everything_and_no_days_no_prompts(db: Database, clock: ManualClock) -> None:
    await keep(db, "old", START - 5_000 * DAY)
    await retention(db, clock, keep_prompts_days=None, keep_runs_days=None).prune()
    assert await detailed(db) == ["old"]
    clock.advance(timedelta(seconds=1))
    await retention(db, clock, keep_prompts_days=0.0, keep_runs_days=None).prune()
    assert (await kept(db), await detailed(db)) == (["old"], [])


@pytest.mark.usefixtures("thread")
async def test_more_than_a_batch_goes_and_two_processes_delete_each_row_once(
    db: Database, other_db: Database, clock: ManualClock
) -> None:
    count = 2 * BATCH + 10
    async with db.write() as session:
        values = {"thread_id": "a", "loop": "heartbeat", "trigger": "schedule", "outcome": "nothing", "summary": ""}
        values |= {"actions": [], "tasks": [], "dry_run": False, "slots": 1, "attempt": 0, "prompt": []}
        moments = {"started_at": START - 500 * DAY, "finished_at": START - 500 * DAY}
        await session.execute(insert(RunRow), [{"id": f"r{n}", **values, **moments} for n in range(count)])
    done: list[dict[str, int]] = []

    async def prune(database: Database) -> None:
        done.append(await retention(database, clock).prune())

    async with anyio.create_task_group() as group:
        group.start_soon(prune, db)
        group.start_soon(prune, other_db)
    done.append(await retention(db, clock).prune())
    assert (sum(each["runs"] for each in done), await kept(db)) == (count, [])


@on_postgres
@pytest.mark.usefixtures("thread")
async def test_rows_that_another_process_has_in_hand_are_left_to_it(
    db: Database, other_db: Database, clock: ManualClock
) -> None:
    for n in range(3):
        await keep(db, f"r{n}", START - 500 * DAY)
    in_hand, go_on = anyio.Event(), anyio.Event()

    async def hold() -> None:
        async with other_db.write() as session:
            await session.execute(select(RunRow.id).where(RunRow.id == "r1").with_for_update())
            in_hand.set()
            await go_on.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await in_hand.wait()
        assert (await retention(db, clock).prune())["runs"] == 2
        go_on.set()
    assert await kept(db) == ["r1"]


@pytest.mark.usefixtures("thread")
async def test_what_is_closed_goes_with_the_runs_and_what_waits_stays(db: Database, clock: ManualClock) -> None:
    old = START - 401 * DAY
    async with db.write() as session:
        asked = {"thread_id": "a", "run_id": "r", "question": "?", "asked_at": old}
        for name, status, closed_at in (
            ("open", "open", None),
            ("answered", "answered", old),
            ("dismissed", "dismissed", old),
            ("just answered", "answered", START),
        ):
            question = {"id": name, "status": status, "closed_at": closed_at, **asked}
            await session.execute(insert(QuestionRow).values(question))
        for name, expires_at in (("waits", START + DAY), ("expired", old), ("just expired", START)):
            await approvals.add(session, _approval(name, old - 7 * DAY, expires_at))
        for day in ("2024-11-29", "2024-12-01", "2026-01-05"):
            await session.execute(insert(ThreadSpendingRow).values({"thread_id": "a", "day": day, **SPENT}))
            await session.execute(insert(ServiceSpendingRow).values({"day": day, **SPENT}))
    done = await retention(db, clock).prune()
    assert (done["questions"], done["approvals"], done["days of budgets"]) == (2, 1, 1)
    async with db.read() as session:
        assert sorted(await session.scalars(select(QuestionRow.id))) == ["just answered", "open"]
        assert sorted(await session.scalars(select(ApprovalRow.id))) == ["just expired", "waits"]
        assert sorted(await session.scalars(select(ThreadSpendingRow.day))) == ["2024-12-01", "2026-01-05"]
        assert sorted(await session.scalars(select(ServiceSpendingRow.day))) == ["2024-12-01", "2026-01-05"]


def _approval(name: str, proposed_at: datetime, expires_at: datetime) -> Approval:
    return Approval(
        id=name,
        thread_id="a",
        run_id=name,
        ordinal=0,
        action={"action": "vote"},
        speaks=False,
        status="pending",
        proposed_at=proposed_at,
        expires_at=expires_at,
        closed_at=None,
        note=None,
        result=None,
    )


@on_sqlite
async def test_a_skip_starts_a_new_record_when_the_one_it_would_fold_into_is_gone(
    db: Database, clock: ManualClock
) -> None:
    toy = Toy()
    process = Process(db, clock, toy)
    await process.start("a")
    toy.does(*[skip("nothing_new")] * 3)
    for _ in range(2):
        clock.advance(timedelta(minutes=30))
        await process.loop.run_once()
    await retention(db, clock, keep_runs_days=0.0).prune()
    clock.advance(timedelta(seconds=1))
    await retention(db, clock, keep_runs_days=0.0).prune()
    assert await process.runs("a") == []
    clock.advance(timedelta(minutes=30))
    await process.loop.run_once()
    (run,) = await process.runs("a")
    assert (run.reason, run.slots) == ("nothing_new", 1)


@on_sqlite
async def test_a_process_with_loops_looks_soon_after_its_start_and_then_every_hour(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(role="loops", heartbeat_enabled=False) as back:
        async with back.db.write() as session:
            await threads.create(session, NewThread("a"), now=START)
        looked_after: list[timedelta] = []
        for _ in range(3):
            await keep(back.db, "old", START - 401 * DAY)
            before = clock.now()
            with anyio.fail_after(20):
                while await kept(back.db):
                    clock.advance(timedelta(minutes=1))
            looked_after.append(clock.now() - before)
        assert FIRST <= looked_after[0] < EVERY <= min(looked_after[1:])


@on_sqlite
async def test_what_could_not_be_deleted_is_tried_again(
    opened: Opener, clock: ManualClock, errors_logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    errors_logged.append("Old records could not be deleted")
    async with opened(role="loops", keep_runs="many") as back:  # which nobody can set
        with anyio.fail_after(20):
            while sum("could not be deleted" in record.getMessage() for record in caplog.records) < 2:
                clock.advance(timedelta(minutes=1))
                await anyio.lowlevel.checkpoint()
        assert (await back.http.get("/health/live")).status_code == 200
