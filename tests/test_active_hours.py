"""Heartbeats within active hours: where slots move to, and what a turn that comes too late does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.clock import ManualClock
from tests.conftest import Opener, Running, on_sqlite
from tests.scripted import ScriptedModel

Json = dict[str, Any]

HALF_HOUR = timedelta(minutes=30)
CONFIG = "/api/threads/default/heartbeat/config"


async def configure(running: Running, **fields: object) -> None:
    (await running.http.post(CONFIG, json=fields)).raise_for_status()


async def next_slot(running: Running) -> str | None:
    return (await running.http.get("/api/threads/default/loops/heartbeat")).json()["next_slot"]


async def live(running: Running, clock: ManualClock, until: datetime) -> list[str]:
    """Take every heartbeat up to a moment; answers their slots."""
    moment = await running.heartbeat.run_once()
    while moment <= until:
        clock.advance(moment - clock.now())
        moment = await running.heartbeat.run_once()
    found = (await running.http.get("/api/runs?loop=heartbeat&limit=200")).json()["items"][::-1]
    return [slot for run in found if (slot := run["first_slot"])]


async def say(running: Running) -> None:
    body = {"messages": [{"role": "user", "content": "Hello."}]}
    (await running.http.post("/api/threads/default/messages", json=body)).raise_for_status()


async def test_a_slot_in_closed_hours_moves_to_the_opening_and_leaves_no_run(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(tick_seconds=86_400) as running:
        await configure(running, every=86_400, active_hours_start="17:30", active_hours_end="20:15")
        assert await next_slot(running) == "2026-01-06T17:30:00Z"
        slots = await live(running, clock, datetime(2026, 1, 8, tzinfo=UTC))
    assert slots == ["2026-01-06T17:30:00Z", "2026-01-07T17:30:00Z"]


@on_sqlite
async def test_a_write_does_not_take_back_what_has_moved_to_an_opening(running: Running, clock: ManualClock) -> None:
    await configure(running, every=48 * 3600, active_hours_start=8, active_hours_end=10)
    assert (
        await next_slot(running) == "2026-01-08T08:00:00Z"
    )  # 48 h after the start is noon of the 7th, which is closed
    clock.advance(timedelta(hours=50))
    await say(running)
    assert await next_slot(running) == "2026-01-08T08:00:00Z"


@on_sqlite
async def test_a_turn_that_comes_after_the_hours_closed_says_so_and_moves_on(
    running: Running, clock: ManualClock, model: ScriptedModel
) -> None:
    await configure(running, every=86_400, active_hours_start=10, active_hours_end=14)
    await say(running)
    clock.advance(timedelta(hours=27))  # the slot of noon, looked at from three in the afternoon
    await running.heartbeat.run_once()
    (run,) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert (run["reason"], run["slots"], run["first_slot"]) == ("outside_hours", 1, "2026-01-06T12:00:00Z")
    assert model.requests == []
    assert await next_slot(running) == "2026-01-07T12:00:00Z"


@on_sqlite
async def test_a_missed_slot_reaches_the_next_window_that_has_none_of_its_own(
    running: Running, clock: ManualClock
) -> None:
    await configure(running, every=72 * 3600, active_hours_start=10, active_hours_end=14)
    await say(running)
    clock.advance(timedelta(hours=75))
    await running.heartbeat.run_once()
    assert await next_slot(running) == "2026-01-09T10:00:00Z"


@on_sqlite
async def test_hours_that_never_open_leave_nothing_due(running: Running, clock: ManualClock) -> None:
    await configure(running, active_hours_start="09:00", active_hours_end="09:00")
    assert await next_slot(running) is None
    clock.advance(timedelta(days=30))
    await running.heartbeat.run_once()
    assert (await running.http.get("/api/runs")).json()["items"] == []
    await configure(running, active_hours_start=None, active_hours_end=None)
    assert await next_slot(running) == "2026-02-04T12:30:00Z"


@pytest.mark.parametrize(("every", "beats"), [(1800, 24 * 2), (3600, 24), (6 * 3600, 4)])
@on_sqlite
async def test_daylight_saving_neither_drops_nor_doubles_a_slot_of_an_interval(
    opened: Opener, clock: ManualClock, every: int, beats: int
) -> None:
    clock.advance(datetime(2026, 3, 29, tzinfo=UTC) - clock.now())
    async with opened(tick_seconds=86_400) as running:
        await configure(running, every=every, timezone="Europe/Paris")
        slots = await live(running, clock, datetime(2026, 3, 30, tzinfo=UTC))
        (run, *_) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert run["slots"] + len(slots) - 1 == beats


@on_sqlite
async def test_an_hour_that_the_clocks_skip_has_its_heartbeat_just_after(opened: Opener, clock: ManualClock) -> None:
    clock.advance(datetime(2026, 3, 27, 12, tzinfo=UTC) - clock.now())
    async with opened(tick_seconds=86_400) as running:
        hours = {"active_hours_start": "02:00", "active_hours_end": "02:30", "timezone": "Europe/Paris"}
        await configure(running, every=86_400, **hours)
        await say(running)
        slots = await live(running, clock, datetime(2026, 3, 30, 12, tzinfo=UTC))
    assert slots[0] == "2026-03-29T01:00:00Z"
