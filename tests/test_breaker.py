"""A provider that keeps failing is left alone by all threads and processes, probed, and resumed; no slot is lost."""

import logging
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest

from ledger.clock import ManualClock
from ledger.llm import ChatRequest, ModelError
from ledger.providers import store as providers
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import NOTHING, QUIET, Paused, ScriptedModel, Step

MINUTE = timedelta(minutes=1)
HALF_MINUTE = timedelta(seconds=30)
PATIENT = {"tick_seconds": 86_400.0, "heartbeat_seconds": 60}
"""So that a pass says when the next turn is due, however far that is."""

QUIET_OFF = {"reflection_enabled": False, "personality_enabled": False, "self_reply_enabled": False}
DOWN = ModelError("The provider answered 500: Oh no.", may_have_cost=False)


class Switch:
    """A model's answers as long as it is down, and when it is well again."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model = model
        self.error: ModelError | None = DOWN
        self.calls: list[ChatRequest] = []
        model.otherwise = self

    async def __call__(self, request: ChatRequest) -> Step:
        self.calls.append(request)
        if self.error is not None:
            raise self.error
        return QUIET[request.schema_name]


@pytest.fixture
def switch(model: ScriptedModel) -> Switch:
    return Switch(model)


@pytest.fixture
async def living(opened: Opener) -> AsyncGenerator[Running]:
    async with opened(**PATIENT, **QUIET_OFF) as running:
        yield running


async def _threads(running: Running, count: int) -> list[str]:
    """Threads that somebody has written to, all due at once."""
    names = [f"t{number:03}" for number in range(count)]
    for name in names:
        (await running.http.post("/api/threads", json={"id": name})).raise_for_status()
        await _say(running, name)
    (await running.http.post("/api/threads/default/heartbeat/config", json={"enabled": False})).raise_for_status()
    return names


async def _say(running: Running, thread: str, content: str = "Hello.") -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post(f"/api/threads/{thread}/messages", json=body)).raise_for_status()


async def _live(running: Running, clock: ManualClock, until: datetime) -> None:
    """Take every turn when it is due."""
    moment = await running.heartbeat.run_once()
    while moment <= until:
        clock.advance(max(moment - clock.now(), timedelta(0)))
        moment = await running.heartbeat.run_once()
    clock.advance(until - clock.now())


async def _runs(running: Running, **wanted: str) -> list[dict[str, Any]]:
    """The runs of heartbeats, oldest first."""
    found = await running.http.get("/api/runs", params={"loop": "heartbeat", "limit": 200, **wanted})
    return found.json()["items"][::-1]


async def _paused(running: Running) -> list[dict[str, Any]]:
    return (await running.http.get("/api/heartbeat/status")).json().get("paused", [])


def _changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ledger.loops.breaker"]


async def test_five_failures_in_a_row_on_whatever_threads_pause_the_model(
    living: Running, switch: Switch, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await _threads(living, 12)
    clock.advance(MINUTE)
    await living.heartbeat.run_once()

    assert 5 <= len(switch.calls) <= 8  # those under way when the fifth failed are not called back
    held = await _runs(living, reason="provider_paused")
    assert len(held) == 12 - len(switch.calls)
    assert {(run["outcome"], run["slots"], run["decided_by"]) for run in held} == {("skipped", 0, None)}
    assert "Oh no." in held[0]["summary"]
    (pause,) = await _paused(living)
    assert (pause["model"], pause["paused_at"], pause["probes"]) == ("scripted", "2026-01-05T12:01:00Z", 0)
    assert pause["probe_at"] == "2026-01-05T12:01:30Z"
    assert "Oh no." in pause["why"]
    assert (await living.http.get("/api/providers")).json() == [pause]
    (line,) = _changes(caplog)
    assert "times in a row" in line


@on_sqlite
async def test_while_it_is_paused_one_probe_at_a_time_is_sent_less_and_less_often(
    living: Running, switch: Switch, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await _threads(living, 12)
    clock.advance(MINUTE)
    await living.heartbeat.run_once()
    switch.calls.clear()
    gaps: list[timedelta] = []
    paused_at = clock.now()
    for _ in range(6):
        before = clock.now()
        while not switch.calls:
            await _live(living, clock, clock.now() + timedelta(seconds=5))
        gaps.append(clock.now() - before)
        switch.calls.clear()
    for gap, expected in zip(gaps, [30, 60, 120, 240, 300, 300], strict=True):
        # Which thread probes is a matter of chance, and so is by how much it is later.
        assert expected - 5 <= gap.total_seconds() <= expected + 30
    (pause,) = await _paused(living)
    assert (datetime.fromisoformat(pause["paused_at"]), pause["probes"]) == (paused_at, 6)
    assert len(_changes(caplog)) == 1


@on_sqlite
async def test_a_thread_alone_probes_as_often_however_long_it_has_failed(
    living: Running, switch: Switch, clock: ManualClock
) -> None:
    await _threads(living, 1)
    moments: list[datetime] = []
    while len(moments) < 12:
        moment = await living.heartbeat.run_once()
        if len(switch.calls) > len(moments):
            moments.append(clock.now())
        clock.advance(moment - clock.now())
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    assert [round(gap) for gap in gaps[4:]] == [30, 60, 120, 240, 300, 300, 300]


@on_sqlite
async def test_failures_are_counted_over_all_processes_and_a_success_anywhere_begins_anew(
    opened: Opener, model: ScriptedModel
) -> None:
    async with opened(**PATIENT, **QUIET_OFF) as one, opened(**PATIENT, **QUIET_OFF) as other:
        for running in (one, other, one, other):
            model.says(DOWN)
            await running.http.post("/api/threads/default/heartbeat/run-now")
        await one.http.post("/api/threads/default/heartbeat/run-now")
        for running in (other, one, other, one):
            model.says(DOWN)
            await running.http.post("/api/threads/default/heartbeat/run-now")
        assert await _paused(one) == []
        model.says(DOWN)
        await other.http.post("/api/threads/default/heartbeat/run-now")
        assert [pause["failures"] for pause in await _paused(one)] == [5]


@on_sqlite
async def test_after_one_success_all_come_back_within_a_minute_and_no_slot_is_lost(
    living: Running, switch: Switch, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    names = await _threads(living, 12)
    clock.advance(MINUTE)
    await _live(living, clock, START + 4 * MINUTE)
    switch.error = None
    switch.calls.clear()
    while not switch.calls:
        await _live(living, clock, clock.now() + timedelta(seconds=1))
    back = clock.now()
    assert await _paused(living) == []
    await _live(living, clock, back + MINUTE)

    settled = [run for run in await _runs(living) if run["slots"]]
    first = {name: next(run for run in settled if run["thread_id"] == name) for name in names}
    assert {run["first_slot"] for run in first.values()} == {"2026-01-05T12:01:00Z"}
    assert all(run["slots"] >= 4 for run in first.values())
    moments = sorted(datetime.fromisoformat(run["started_at"]) for run in first.values())
    held = [moment for moment in moments if moment > back]
    assert len(set(held)) > 2, "they are spread out"
    assert held[-1] <= back + MINUTE
    assert [line.split(" ", 1)[0] for line in _changes(caplog)] == ["The", "The"]
    for name in names:
        covered = sum(run["slots"] for run in settled if run["thread_id"] == name)
        last = max(run["last_slot"] for run in settled if run["thread_id"] == name)
        assert covered == (datetime.fromisoformat(last) - START) / MINUTE


@on_sqlite
async def test_a_success_in_between_starts_the_count_anew(living: Running, model: ScriptedModel) -> None:
    model.says(*[DOWN] * 4, NOTHING, *[DOWN] * 4, NOTHING)
    for number in range(10):
        await _say(living, "default", f"Number {number}.")
        await living.http.post("/api/threads/default/heartbeat/run-now")
    assert len(model.requests) == 10
    assert await _paused(living) == []


@on_sqlite
async def test_what_is_the_requests_fault_or_a_useless_answer_pauses_nothing(
    living: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    faults: dict[str, Step] = {
        "request": ModelError("The provider answered 400: `x`.", fault="request"),
        "refusal": ModelError("The model refused.", fault="refusal"),
        "useless": "Nonsense.",
    }
    for name, step in faults.items():
        with subtests.test(name):
            model.says(*[step] * 14)
            for _ in range(7):
                await living.http.post("/api/threads/default/heartbeat/run-now")
            model.steps["decision"].clear()
            assert await _paused(living) == []


@on_sqlite
async def test_a_key_that_is_wrong_pauses_the_model_like_a_provider_that_is_down(
    living: Running, model: ScriptedModel
) -> None:
    model.says(*[ModelError("The provider answered 401: No.", fault="lasting")] * 5)
    for _ in range(5):
        await living.http.post("/api/threads/default/heartbeat/run-now")
    assert [pause["why"] for pause in await _paused(living)] == ["The provider answered 401: No."]


@on_sqlite
async def test_a_provider_that_asks_for_more_time_is_probed_later(living: Running, model: ScriptedModel) -> None:
    model.says(*[ModelError("The provider answered 429.", timedelta(minutes=10))] * 5)
    for _ in range(5):
        await living.http.post("/api/threads/default/heartbeat/run-now")
    (pause,) = await _paused(living)
    assert pause["probe_at"] == "2026-01-05T12:10:00Z"


@on_sqlite
async def test_a_person_who_asks_by_hand_reads_that_it_is_paused_and_may_be_the_probe(
    living: Running, switch: Switch, clock: ManualClock
) -> None:
    for _ in range(5):
        await living.http.post("/api/threads/default/heartbeat/run-now")
    answer = (await living.http.post("/api/threads/default/heartbeat/run-now")).json()
    assert answer["ran_successfully"] is False
    assert answer["error"] == (
        "The model scripted has been paused since 2026-01-05 12:00 UTC: The provider answered 500: Oh no."
    )
    assert len(switch.calls) == 5
    gates = {
        gate["gate"]: gate for gate in (await living.http.get("/api/threads/default/heartbeat/explain")).json()["gates"]
    }
    assert (gates["provider_paused"]["open"], gates["provider_paused"]["why"]) == (False, answer["error"])

    clock.advance(HALF_MINUTE)
    switch.error = None
    assert (await living.http.post("/api/threads/default/heartbeat/run-now")).json()["ran_successfully"] is True
    assert await _paused(living) == []


async def test_two_processes_share_the_pause_and_the_probe(
    opened: Opener, model: ScriptedModel, switch: Switch, clock: ManualClock
) -> None:
    now = "/heartbeat/run-now"
    async with opened(**PATIENT, **QUIET_OFF) as one, opened(**PATIENT, **QUIET_OFF) as other:
        await _threads(one, 2)
        for _ in range(5):
            await one.http.post(f"/api/threads/t000{now}")
        await other.http.post(f"/api/threads/t000{now}")
        assert len(switch.calls) == 5
        assert len(await _paused(other)) == 1

        clock.advance(HALF_MINUTE)
        probe = Paused(NOTHING)
        model.says(probe)
        async with anyio.create_task_group() as group:
            group.start_soon(one.http.post, f"/api/threads/t000{now}")
            await probe.asked.wait()
            refused = (await other.http.post(f"/api/threads/t001{now}")).json()
            assert "has been paused" in refused["error"]
            probe.go_on.set()
        assert await _paused(other) == []
        switch.error = None
        assert (await other.http.post(f"/api/threads/t001{now}")).json()["ran_successfully"] is True


async def test_a_probe_that_is_cancelled_is_left_to_others(
    living: Running, model: ScriptedModel, switch: Switch, clock: ManualClock
) -> None:
    await _fail_until_probe(living, clock)
    endless = Paused(NOTHING)
    model.says(endless)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(living.heartbeat.run_for_thread, "t000")
            await endless.asked.wait()
            scope.cancel()
    switch.error = None
    assert (await living.http.post("/api/threads/t001/heartbeat/run-now")).json()["ran_successfully"] is True


async def test_a_probe_whose_process_died_is_left_to_others_when_its_lease_ends(
    living: Running, switch: Switch, clock: ManualClock
) -> None:
    await _fail_until_probe(living, clock)
    async with living.db.write() as session:
        (provider,) = await providers.known(session)
        assert await providers.lease_probe(session, provider, now=clock.now(), until=clock.now() + 2 * MINUTE)
    switch.error = None
    assert "has been paused" in (await living.http.post("/api/threads/t001/heartbeat/run-now")).json()["error"]
    clock.advance(2 * MINUTE)
    assert (await living.http.post("/api/threads/t001/heartbeat/run-now")).json()["ran_successfully"] is True


async def _fail_until_probe(running: Running, clock: ManualClock) -> None:
    """Have the model paused, and the first probe due."""
    await _threads(running, 2)
    await running.heartbeat.stop()
    for _ in range(5):
        await running.http.post("/api/threads/t000/heartbeat/run-now")
    clock.advance(HALF_MINUTE)


@on_sqlite
async def test_a_call_that_hangs_until_the_turn_ends_counts_as_a_failure(
    living: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _threads(living, 5)
    hanging = [Paused(NOTHING) for _ in range(5)]
    model.says(*hanging)
    clock.advance(MINUTE)
    async with anyio.create_task_group() as group:
        group.start_soon(living.heartbeat.run_once)
        for paused in hanging:
            await paused.asked.wait()
        clock.advance(timedelta(seconds=115))
    assert {(run["outcome"], run["reason"]) for run in await _runs(living)} == {("failed", "timeout")}
    (pause,) = await _paused(living)
    assert "did not answer within the 114 s that a turn has" in pause["why"]


@on_sqlite
async def test_threads_with_another_model_go_on(living: Running, switch: Switch) -> None:
    await _threads(living, 2)
    (await living.http.post("/api/threads/t000/heartbeat/config", json={"model": "other"})).raise_for_status()
    for _ in range(5):
        await living.http.post("/api/threads/t001/heartbeat/run-now")
    switch.error = None
    assert (await living.http.post("/api/threads/t000/heartbeat/run-now")).json()["ran_successfully"] is True
    assert [pause["model"] for pause in await _paused(living)] == ["scripted"]


@on_sqlite
async def test_the_quiet_loops_wait_as_well_and_read_everything_afterwards(
    opened: Opener, switch: Switch, clock: ManualClock
) -> None:
    async with opened(**PATIENT, reflection_seconds=60) as running:
        for _ in range(5):
            await running.http.post("/api/threads/default/heartbeat/run-now")
        await _say(running, "default", "We sail at dawn.")
        clock.advance(MINUTE / 3)
        answer = await running.http.post("/api/threads/default/loops/reflection/run-now")
        assert (answer.json()["outcome"], answer.json()["reason"]) == ("skipped", "provider_paused")
        clock.advance(MINUTE)
        switch.error = None
        await running.http.post("/api/threads/default/heartbeat/run-now")
        await running.reflection.run_once()
        clock.advance(2 * MINUTE)
        await running.reflection.run_once()
        scorecard = (await running.http.get("/api/threads/default/scorecard")).json()
        assert (scorecard["revision"], scorecard["last_seq"]) == (1, 1)


@on_sqlite
async def test_ten_minutes_of_outage_reach_the_provider_with_probes_alone(
    living: Running, switch: Switch, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    names = await _threads(living, 12)
    clock.advance(MINUTE)
    await _live(living, clock, START + 11 * MINUTE)
    assert len(switch.calls) <= 8 + 5  # what was under way, and probes after 0.5, 1.5, 3.5 and 7.5 minutes, and a spare
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) <= 8 + 5 + 1
    assert (await living.http.get("/health/ready")).status_code == 200

    switch.error = None
    await _live(living, clock, START + 18 * MINUTE)
    settled = [run for run in await _settled(living) if run["slots"]]
    for name in names:
        of_thread = sorted((run for run in settled if run["thread_id"] == name), key=lambda run: run["first_slot"])
        assert of_thread[0]["first_slot"] == "2026-01-05T12:01:00Z"
        assert of_thread[0]["slots"] >= 10, "it catches up once"
        assert sum(run["slots"] for run in of_thread) == (_last(of_thread) - START) / MINUTE
        assert _last(of_thread) >= START + 17 * MINUTE


async def _settled(running: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"loop": "heartbeat", "limit": 200} | ({"cursor": cursor} if cursor else {})
        page = (await running.http.get("/api/runs", params=params)).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _last(runs: list[dict[str, Any]]) -> datetime:
    return max(datetime.fromisoformat(run["last_slot"]) for run in runs)


@on_sqlite
async def test_a_provider_that_had_little_time_is_not_blamed_for_it(
    living: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    async def dawdle(_: ChatRequest) -> str:
        clock.advance(timedelta(seconds=100))
        return "Of no use."

    async def hang(_: ChatRequest) -> str:
        clock.advance(timedelta(seconds=15))
        await anyio.Event().wait()
        raise AssertionError

    await living.heartbeat.stop()
    for _ in range(6):
        model.says(dawdle, hang)
        ran = await living.http.post("/api/threads/default/heartbeat/run-now")
        assert "did not answer within the 14.0 s that were left" in ran.json()["error"]
    assert (await living.http.get("/api/providers")).json() == []
