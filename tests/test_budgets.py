"""Budgets kept: gates that close, calls reserved before they are made, and counted as what they were."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from msgspec import structs

from ledger import actions
from ledger.actions import PostAction
from ledger.actions.checks import Scene
from ledger.app import create_app
from ledger.budgets import store
from ledger.budgets.plan import Plan
from ledger.budgets.structs import Amounts, Limits
from ledger.clock import ManualClock
from ledger.db import Database, Session
from ledger.llm import ChatAnswer, ChatRequest
from ledger.loops.work import Record
from ledger.runs import store as runs_store
from ledger.runs.structs import RunDetail, RunFilter
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from ledger.turns.structs import Turn
from ledger.variables import Price
from tests.conftest import START, Opener, Running, on_sqlite, served
from tests.scripted import NOTHING, ModelError, Paused, ScriptedModel, Step, act, post
from tests.toy import Process, Says, Toy, eventually

Json = dict[str, Any]

SECOND = timedelta(seconds=1)
HALF_HOUR = timedelta(minutes=30)
HOUR = timedelta(hours=1)
ALONE = {"reflection_enabled": False, "personality_enabled": False, "self_reply_enabled": False}
QUIET = ("reflection", "personality", "self_reply")
PRICES = {"scripted": Price(1.0, 2.0), "dear": Price(100.0, 200.0)}
CALL = 0.00014
"""What a call of `scripted` costs: 100 tokens and 20."""

ONE_CALL = "The thread has used 1 of 1 calls today; more from Tue 2026-01-06 00:00 (UTC)."


async def _get(running: Running, path: str) -> Any:  # noqa: ANN401 - JSON
    answer = await running.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _say(running: Running, content: str, thread: str = "default") -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post(f"/api/threads/{thread}/messages", json=body)).raise_for_status()


async def _limit(running: Running, **limits: float | None) -> None:
    (await running.http.patch("/api/threads/default/budget", json=limits)).raise_for_status()


async def _spent(running: Running, thread: str | None = "default") -> Json:
    """What a thread has spent today, or all of them."""
    if thread is None:
        return (await _get(running, "/api/budget"))["spent"]
    return (await _get(running, f"/api/threads/{thread}/budget"))["thread"]["spent"]


async def _spent_on(running: Running, day: str, thread: str = "default") -> Amounts:
    """What was spent on the day that has this moment of UTC in it."""
    async with running.db.read() as session:
        found = await store.purse(session, thread, Plan(), now=datetime.fromisoformat(day).replace(tzinfo=UTC))
    return found.thread.spent


async def _runs(running: Running, thread: str = "default", loop: str = "heartbeat") -> list[Json]:
    """The runs of a loop on a thread, the one started first first."""
    return (await _get(running, f"/api/runs?loop={loop}&limit=200&thread_id={thread}"))["items"][::-1]


async def _beat(running: Running, clock: ManualClock, content: str | None = "News.", by: timedelta = HALF_HOUR) -> Json:
    """Say something, have the next heartbeat, and answer its run."""
    if content is not None:
        await _say(running, content)
    clock.advance(by)
    await running.heartbeat.run_once()
    return (await _runs(running))[-1]


async def _beat_with(running: Running, paused: Paused, *meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Take what is due, and have something happen while the model thinks."""
    async with anyio.create_task_group() as group:
        group.start_soon(running.heartbeat.run_once)
        await paused.asked.wait()
        for happen in meanwhile:
            await happen()
        paused.go_on.set()


@pytest.fixture
async def alone(opened: Opener) -> AsyncGenerator[Running]:
    """The heartbeat with the scripted model, and no other loop."""
    async with opened(**ALONE) as running:
        yield running


def _reserved(request: ChatRequest) -> int:
    return request.prompt_tokens + request.max_tokens


# What a spent budget does to heartbeats


async def test_a_spent_budget_skips_heartbeats_until_the_next_day_of_the_thread(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(**ALONE) as running:
        (await running.http.patch("/api/threads/default", json={"timezone": "America/New_York"})).raise_for_status()
        await _limit(running, calls=1)
        assert (await _beat(running, clock))["outcome"] == "nothing"
        for _ in range(3):
            await _beat(running, clock)
        first, skipped = await _runs(running)
        assert (first["outcome"], len(model.requests)) == ("nothing", 1)
        assert (skipped["outcome"], skipped["reason"], skipped["slots"]) == ("skipped", "budget_spent", 3)
        assert (skipped["decided_by"], skipped["prompt_tokens"], skipped["error"]) == (None, None, None)
        sentence = "The thread has used 1 of 1 calls today; more from Tue 2026-01-06 00:00 (America/New_York)."
        assert skipped["summary"] == sentence
        assert await _spent(running) == {"calls": 1, "tokens": 120, "actions": 0, "cost": 0.0}

        midnight = datetime(2026, 1, 6, 5, tzinfo=UTC)
        await _beat(running, clock, None, midnight - clock.now() - SECOND)
        assert len(model.requests) == 1
        assert (await _beat(running, clock, None))["outcome"] == "nothing"
        assert len(model.requests) == 2
        assert [run["slots"] for run in await _runs(running)] == [1, 28 + 4, 1]


SPENT: dict[str, tuple[Json, str]] = {
    # Settings, and what is said when one call has been made and one post written.
    "calls": ({"thread_calls_per_day": 1}, "The thread has used 1 of 1 calls today"),
    "tokens": ({"thread_tokens_per_day": 120}, "The thread has used 120 of 120 tokens today"),
    "actions": ({"thread_actions_per_day": 1}, "The thread has used 1 of 1 actions today"),
    "cost": ({"thread_cost_per_day": 0.0001}, "The thread has used 0.00014 of 0.0001 that calls may cost today"),
    "calls of all": ({"service_calls_per_day": 1}, "The service has used 1 of 1 calls today"),
    "tokens of all": ({"service_tokens_per_day": 100}, "The service has used 120 of 100 tokens today"),
    "actions of all": ({"service_actions_per_day": 1}, "The service has used 1 of 1 actions today"),
    "cost of all": ({"service_cost_per_day": 0.0001}, "The service has used 0.00014 of 0.0001 that calls may cost"),
}


@on_sqlite
@pytest.mark.parametrize("kind", SPENT)
async def test_each_kind_closes_the_gate_and_run_now_and_explain_say_so(
    opened: Opener, model: ScriptedModel, clock: ManualClock, kind: str
) -> None:
    limits, sentence = SPENT[kind]
    async with opened(**ALONE, llm_prices=PRICES, **limits) as running:
        model.says(act(post()))
        assert (await _beat(running, clock))["outcome"] == "acted"
        run = await _beat(running, clock)
        assert (run["outcome"], run["reason"]) == ("skipped", "budget_spent")
        assert run["summary"].startswith(sentence)
        assert run["summary"].endswith("more from Tue 2026-01-06 00:00 (UTC).")

        answer = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
        assert (answer["ran_successfully"], answer["error"]) == (False, run["summary"])
        await _say(running, "More.")
        found = await _get(running, "/api/threads/default/heartbeat/explain")
        closed = [(gate["gate"], gate["why"]) for gate in found["gates"] if not gate["open"]]
        assert closed == [("budget_spent", run["summary"])]
        assert (found["reason"], found["would_decide"], found["cost"]["calls"]) == ("budget_spent", False, 0)
        assert "would do nothing (budget_spent)" in found["summary"]
        budget = await _get(running, "/api/threads/default/budget")
        assert found["budgets"] == [budget["thread"], budget["service"]]
        assert len(model.requests) == 1


@on_sqlite
async def test_an_open_gate_says_what_was_used(opened: Opener, clock: ManualClock) -> None:
    async with opened(**ALONE) as running:
        await _beat(running, clock)
        found = await _get(running, "/api/threads/default/heartbeat/explain")
        (why,) = [gate["why"] for gate in found["gates"] if gate["gate"] == "budget_spent"]
        assert why == "Used today (UTC): 1 of 200 calls, 120 tokens, 0 of 48 actions."


@on_sqlite
async def test_a_budget_of_nothing_allows_nothing_and_a_raised_one_counts_at_once(
    alone: Running, model: ScriptedModel, clock: ManualClock, subtests: pytest.Subtests
) -> None:
    for kind in ("calls", "tokens", "actions", "cost"):
        with subtests.test(kind):
            await _limit(alone, **{kind: 0})
            assert (await _beat(alone, clock))["reason"] == "budget_spent"
            await _limit(alone, **{kind: None})
            assert (await _beat(alone, clock, None))["outcome"] == "nothing"
    assert len(model.requests) == 4


@on_sqlite
async def test_a_budget_of_nothing_does_not_promise_more(alone: Running, clock: ManualClock) -> None:
    await _limit(alone, calls=0)
    assert "more from" not in (await _beat(alone, clock))["summary"]


@on_sqlite
async def test_a_run_of_several_days_says_when_there_is_more_after_the_last_of_them(
    alone: Running, clock: ManualClock
) -> None:
    await _limit(alone, calls=0, actions=0)
    await _beat(alone, clock)
    run = await _beat(alone, clock, None, timedelta(days=2))
    assert (run["reason"], run["slots"]) == ("budget_spent", 97)
    assert "2026-01-06" not in run["summary"]


@on_sqlite
async def test_rules_need_no_calls_but_actions(opened: Opener, clock: ManualClock) -> None:
    async with opened(rules=True, **ALONE) as running:
        await _limit(running, calls=0, tokens=0, cost=0)
        assert (await _beat(running, clock))["decided_by"] == "rules"
        await _limit(running, actions=0)
        run = await _beat(running, clock)
        assert (run["reason"], run["summary"][:31]) == ("budget_spent", "The thread may have no actions:")
        assert await _spent(running) == {"calls": 0, "tokens": 0, "actions": 0, "cost": 0.0}


# What is counted


class Unreporting(ScriptedModel):
    """A provider that does not say how many tokens it has counted."""

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        return structs.replace(await super().complete(request), prompt_tokens=None, completion_tokens=None)


async def test_a_call_under_way_counts_as_the_most_it_can_be_and_then_as_what_it_was(
    opened: Opener, model: ScriptedModel, clock: ManualClock, db: Database
) -> None:
    async with opened(**ALONE, llm_prices=PRICES) as running:
        paused = Paused(act(post()))
        model.says(paused)
        during: list[Amounts] = []

        async def look_from_elsewhere() -> None:
            async with db.read() as session:
                found = await store.purse(session, "default", Plan(), now=clock.now())
            during.extend([found.thread.spent, found.service.spent])

        await _say(running, "Hello.")
        clock.advance(HALF_HOUR)
        await _beat_with(running, paused, look_from_elsewhere)
        (request,) = model.requests
        most = (request.prompt_tokens + 2 * request.max_tokens) / 1_000_000
        assert request.prompt_tokens > 500
        assert [(each.calls, each.tokens, each.actions) for each in during] == [(1, _reserved(request), 0)] * 2
        assert [each.cost for each in during] == [pytest.approx(most)] * 2
        after = {"calls": 1, "tokens": 120, "actions": 1, "cost": pytest.approx(CALL)}
        assert [await _spent(running), await _spent(running, None)] == [after, after]
        (run,) = await _runs(running)
        assert (run["outcome"], run["cost"]) == ("acted", pytest.approx(CALL))


@on_sqlite
async def test_where_the_provider_reports_nothing_an_estimate_counts(settings: Settings, clock: ManualClock) -> None:
    model = Unreporting()
    changed = structs.replace(settings, **ALONE, llm_prices=PRICES)
    async with served(create_app(changed, clock=clock, llm=model), {}) as running:
        run = await _beat(running, clock)
        spent = await _spent(running)
        (request,) = model.requests
        assert (run["prompt_tokens"], run["completion_tokens"]) == (None, None)
        assert request.prompt_tokens < spent["tokens"] < request.prompt_tokens + 200
        answered = spent["tokens"] - request.prompt_tokens
        cost = pytest.approx((request.prompt_tokens + 2 * answered) / 1_000_000)
        assert (run["cost"], spent["cost"]) == (cost, cost)


CALLS: dict[str, tuple[list[Step], int, int]] = {
    # The steps of a turn, how many calls count, and how many tokens; of -1 for each call what was reserved.
    "an answer": ([NOTHING], 1, 120),
    "a repaired answer": (["Hm.", NOTHING], 2, 240),
    "two useless answers": (["Hm.", "Hm."], 2, 240),
    "a shortened prompt": ([ModelError("Long.", fault="too_long", may_have_cost=False), NOTHING], 2, 120),
    "a shortened and repaired one": (
        [ModelError("Long.", fault="too_long", may_have_cost=False), "Hm.", NOTHING],
        3,
        240,
    ),
    "a failed call": ([ModelError("Down.", may_have_cost=False)], 1, 0),
    "a failed call that may have cost": ([ModelError("Down.")], 1, -1),
    "a repair that failed": (["Hm.", ModelError("Down.", may_have_cost=False)], 2, 120),
    "a refusal": ([ModelError("No.", fault="refusal")], 1, -1),
    "an unforeseen error": ([ValueError("Oops.")], 1, -1),
}


@on_sqlite
@pytest.mark.parametrize("name", CALLS)
async def test_each_call_of_a_turn_counts(
    opened: Opener, model: ScriptedModel, clock: ManualClock, errors_logged: list[str], name: str
) -> None:
    errors_logged.append("ValueError: Oops.")
    steps, calls, tokens = CALLS[name]
    async with opened(**ALONE, llm_prices=PRICES) as running:
        model.says(*steps)
        run = await _beat(running, clock)
        spent, (request, *_) = await _spent(running), model.requests
        assert (len(model.requests), spent["calls"]) == (calls, calls)
        assert spent["tokens"] == (tokens if tokens >= 0 else _reserved(request))
        known = tokens // 120 * CALL if tokens >= 0 else (request.prompt_tokens + 2 * request.max_tokens) / 1_000_000
        assert spent["cost"] == pytest.approx(known)
        assert await _spent(running, None) == spent
        assert run["cost"] == (pytest.approx(tokens // 120 * CALL) if tokens > 0 else None)


async def test_a_call_that_was_cancelled_stays_counted_as_the_most_it_can_be(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(**ALONE) as running:
        stopped = Paused(NOTHING)
        model.says("Hm.", stopped)  # the first call is answered, and its repair is cancelled
        await _say(running, "Hello.")
        clock.advance(HALF_HOUR)
        await _beat_with(running, stopped, lambda: running.http.post("/api/heartbeat/stop"))
        assert await _runs(running) == []
        first = await _spent(running)
        assert (first["calls"], first["tokens"]) == (2, 120 + _reserved(model.requests[1]))
        closed = Paused(NOTHING)
        model.says(closed)
        await running.http.post("/api/heartbeat/start")
        await closed.asked.wait()
    async with opened(**ALONE) as running:
        await running.heartbeat.run_once()
        after = await _spent(running)
        assert (after["calls"], after["tokens"]) == (4, first["tokens"] + _reserved(model.requests[2]) + 120)
        assert await _spent(running, None) == after


@on_sqlite
async def test_a_call_that_a_deadline_ends_stays_counted_as_the_most_it_can_be(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(NOTHING)
    model.says(paused)
    await _say(alone, "Hello.")
    clock.advance(HALF_HOUR)
    async with anyio.create_task_group() as group:
        group.start_soon(alone.heartbeat.run_once)
        await paused.asked.wait()
        clock.advance(timedelta(seconds=119))
    (run,) = await _runs(alone)
    spent = await _spent(alone)
    assert (run["reason"], spent["calls"], spent["tokens"]) == ("timeout", 1, _reserved(model.requests[0]))


class Unsettled(Says, frozen=True):
    """Effects that cannot be written."""

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        await super().apply(session, run)
        raise ValueError("Oops.")


async def test_a_turn_that_cannot_be_settled_still_counts_what_its_call_was(
    db: Database, clock: ManualClock, errors_logged: list[str]
) -> None:
    errors_logged.append("ValueError: Oops.")
    toy = Toy()
    process = Process(db, clock, toy)
    await process.start("a")

    async def call(turn: Turn, record: Record) -> Unsettled:
        async with db.write() as session:
            reserved = Amounts(calls=1, tokens=900)
            purse = await store.reserve(session, turn.thread_id, Plan(), reserved, now=clock.now())
        record.corrections.append((purse, Amounts(tokens=-780)))
        return Unsettled()

    toy.does(call)
    clock.advance(HALF_HOUR)
    await process.loop.run_once()
    async with db.read() as session:
        found = await store.purse(session, "a", Plan(), now=clock.now())
    assert found.thread.spent == found.service.spent == Amounts(calls=1, tokens=120)
    assert [run.reason for run in await process.runs("a")] == ["internal_error"]


@on_sqlite
async def test_a_repair_without_a_budget_is_not_asked_for_and_the_first_call_stays_on_record(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _limit(alone, calls=1)
    model.says("Hm.", act(post("Too much")))
    run = await _beat(alone, clock)
    assert (run["outcome"], run["reason"], run["slots"], run["decided_by"]) == ("skipped", "budget_spent", 0, None)
    assert (run["summary"], run["prompt_tokens"]) == (ONE_CALL, 100)
    assert (await _get(alone, f"/api/runs/{run['id']}"))["raw_answer"] == "Hm."
    assert (len(model.requests), (await _spent(alone))["tokens"]) == (1, 120)
    turn = await _get(alone, "/api/threads/default/loops/heartbeat")
    assert (turn["next_slot"], turn["next_due_at"]) == ("2026-01-05T12:30:00Z", "2026-01-05T13:30:00Z")
    await _limit(alone, calls=3)
    assert (await _beat(alone, clock, None, HOUR))["outcome"] == "acted"


@on_sqlite
async def test_a_call_is_on_record_also_if_its_repair_finds_the_budget_spent_a_second_day(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _limit(alone, calls=1)
    await _beat(alone, clock)
    assert (await _beat(alone, clock))["reason"] == "budget_spent"
    model.says("Second day.", "Never asked.")
    await _beat(alone, clock, None, datetime(2026, 1, 6, 0, 0, tzinfo=UTC) - clock.now())
    assert len(model.requests) == 2
    details = [await _get(alone, f"/api/runs/{run['id']}") for run in await _runs(alone)]
    assert "Second day." in [run["raw_answer"] for run in details]
    assert sum(run["prompt_tokens"] or 0 for run in details) == 200


@on_sqlite
async def test_a_call_counts_on_the_day_it_was_made_and_an_action_on_the_day_it_was_applied(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    await _say(alone, "Hello.")
    clock.advance(timedelta(hours=12) - 30 * SECOND)

    async def midnight() -> None:
        clock.advance(60 * SECOND)

    await _beat_with(alone, paused, midnight)
    assert await _spent_on(alone, "2026-01-05T12:00") == Amounts(calls=1, tokens=120)
    assert await _spent(alone) == {"calls": 0, "tokens": 0, "actions": 1, "cost": 0.0}


@on_sqlite
async def test_a_thread_that_moves_to_another_time_zone_during_a_call_is_counted_where_it_was_reserved(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    await _say(alone, "Hello.")
    clock.advance(HALF_HOUR)

    def move(timezone: str = "Pacific/Kiritimati") -> Awaitable[object]:
        return alone.http.patch("/api/threads/default", json={"timezone": timezone})

    await _beat_with(alone, paused, move)
    budget = (await _get(alone, "/api/threads/default/budget"))["thread"]
    assert (budget["day"], budget["spent"]) == ("2026-01-06", {"calls": 0, "tokens": 0, "actions": 1, "cost": 0.0})
    await move("UTC")
    assert await _spent(alone) == {"calls": 1, "tokens": 120, "actions": 0, "cost": 0.0}
    assert await _spent(alone, None) == {"calls": 1, "tokens": 120, "actions": 1, "cost": 0.0}


LAST_WORDS: dict[str, Exception | None] = {
    "and its answer is of no use": None,
    "and it fails": ModelError("Down."),
    "and its prompt is too long": ModelError("Long.", fault="too_long", may_have_cost=False),
}


@pytest.mark.parametrize("case", LAST_WORDS)
async def test_a_thread_deleted_during_a_call_stays_counted_for_the_service(
    alone: Running, model: ScriptedModel, clock: ManualClock, case: str
) -> None:
    await alone.http.post("/api/threads/default/heartbeat/config", json={"enabled": False})
    await alone.http.post("/api/threads", json={"id": "gone"})
    await _say(alone, "Hello.", "gone")

    async def delete(request: ChatRequest) -> str:
        del request
        (await alone.http.delete("/api/threads/gone")).raise_for_status()
        if error := LAST_WORDS[case]:
            raise error
        return "An answer that would be asked for again."

    model.says(delete)
    clock.advance(HALF_HOUR)
    await alone.heartbeat.run_once()
    (request,) = model.requests
    assert await _spent(alone, None) == {"calls": 1, "tokens": _reserved(request), "actions": 0, "cost": 0.0}
    assert alone.heartbeat.lost_claims == 1


@on_sqlite
async def test_the_thread_default_comes_back_with_its_budget_when_it_is_deleted_during_a_call(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(act(post()))
    model.says(paused)
    await _say(alone, "Hello.")
    clock.advance(HALF_HOUR)
    await _beat_with(alone, paused, lambda: alone.http.delete("/api/threads/default"))
    nothing = {"calls": 0, "tokens": 0, "actions": 0, "cost": 0.0}
    assert (await _spent(alone), (await _spent(alone, None))["calls"]) == (nothing, 1)


@on_sqlite
async def test_a_call_goes_by_the_price_of_the_model_that_is_asked(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(**ALONE, llm_prices=PRICES, thread_cost_per_day=0.02) as running:
        await _beat(running, clock)
        costs: list[float] = []
        for name in ("dear", "unpriced", "dear"):
            await running.http.post("/api/threads/default/heartbeat/config", json={"model": name})
            costs.append((await _beat(running, clock))["cost"])
        assert costs == [pytest.approx(100 * CALL), None, pytest.approx(100 * CALL)]
        assert (await _spent(running))["cost"] == pytest.approx(201 * CALL)
        run = await _beat(running, clock)
        assert run["summary"].startswith("The thread has used 0.02814 of 0.02 that calls may cost today")
        assert len(model.requests) == 4


@on_sqlite
async def test_money_given_back_leaves_nothing_below_zero(db: Database, clock: ManualClock) -> None:
    async with db.write() as session:
        await threads.create(session, NewThread(id="a"), now=START)
        given = [Amounts(calls=1, cost=cost) for cost in (0.004423, 0.000921)]
        purses = [await store.reserve(session, "a", Plan(), amounts, now=clock.now()) for amounts in given]
        for found, amounts in zip(purses, given, strict=True):
            await store.add(session, found, Amounts(cost=-amounts.cost))
        found = await store.purse(session, "a", Plan(Limits(cost=0.0)), now=clock.now())
    assert (found.thread.spent.cost >= 0, found.service.spent.cost >= 0) == (True, True)
    with pytest.raises(store.Spent):
        found.require("cost")


# Actions


@on_sqlite
async def test_actions_beyond_the_budget_are_refused_one_by_one(
    alone: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _limit(alone, actions=2)
    bad: dict[str, object] = {"action": "vote", "post_id": "none", "direction": "up"}
    model.says(act(bad, post("One", "Of the first."), post("Two", "Of a second.")))
    run = await _beat(alone, clock)
    assert ([each["success"] for each in run["actions"]], (await _spent(alone))["actions"]) == ([False, True, True], 2)
    await _limit(alone, actions=3)
    model.says(act(post("Three", "Now a third."), post("Four", "And yet another one.")))
    run = await _beat(alone, clock)
    sentence = "The thread has used 3 of 3 actions today; more from Tue 2026-01-06 00:00 (UTC)."
    assert [each["success"] for each in run["actions"]] == [True, False]
    assert run["actions"][1]["error"].endswith("of 3 actions today; more from Tue 2026-01-06 00:00 (UTC).")
    assert run["outcome"] == "acted"
    assert (await _beat(alone, clock))["summary"] == sentence


@on_sqlite
async def test_what_is_rehearsed_uses_no_actions(alone: Running, model: ScriptedModel, clock: ManualClock) -> None:
    await alone.http.post("/api/threads/default/heartbeat/config", json={"dry_run": True})
    await _limit(alone, actions=1)
    for number in range(2):
        model.says(act(post(f"{number}", "Some."), post("More", "Entirely different words.")))
        run = await _beat(alone, clock)
        assert [each["success"] for each in run["actions"]] == [True, False]
    assert (await _spent(alone), await _spent(alone, None)) == ({**await _spent(alone), "actions": 0},) * 2


async def test_of_two_threads_that_act_at_once_one_is_refused_when_the_service_has_one_action_left(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(**ALONE, service_actions_per_day=1) as running:
        await running.http.post("/api/threads", json={"id": "other"})
        both = [Paused(act(post("Here", "Of one."))), Paused(act(post("There", "And the second.")))]
        model.says(*both)
        for thread in ("default", "other"):
            await _say(running, "Hello.", thread)
        clock.advance(HALF_HOUR)
        async with anyio.create_task_group() as group:
            group.start_soon(running.heartbeat.run_once)
            for paused in both:
                await paused.asked.wait()
            for paused in both:
                paused.go_on.set()
        runs = [(await _runs(running, thread))[-1] for thread in ("default", "other")]
        assert sorted(run["outcome"] for run in runs) == ["acted", "refused"]
        (refused,) = [run for run in runs if run["outcome"] == "refused"]
        sentence = "The service has used 1 of 1 actions today; more from Tue 2026-01-06 00:00 (UTC)."
        assert (refused["reason"], refused["actions"][0]["error"]) == ("all_refused", sentence)
        assert refused["summary"] == f"No action passed its checks: {sentence}"
        assert len((await _get(running, "/api/posts"))["items"]) == 1
        assert (await _spent(running, None))["actions"] == 1


# Two processes, and many calls at once


async def test_two_processes_make_as_many_calls_together_as_the_service_may(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    limits = ALONE | {"service_calls_per_day": 3, "concurrency": 10}
    async with opened(**limits) as one, opened(**limits) as other:
        names = [f"t{number}" for number in range(9)]
        for name in names:
            await one.http.post("/api/threads", json={"id": name})
        go_on = anyio.Event()

        async def wait(request: ChatRequest) -> str:
            del request
            await go_on.wait()
            return '{"verdict": "nothing", "reasoning": "", "summary": "Done.", "actions": []}'

        model.says(*[wait] * 10)

        async def seven_are_held() -> bool:
            async with one.db.read() as session:
                return len((await runs_store.page(session, RunFilter(reason="budget_spent"), limit=10)).items) == 7

        clock.advance(HALF_HOUR)
        async with anyio.create_task_group() as group:
            for running in (one, other):
                group.start_soon(running.heartbeat.run_once)
            await eventually(seven_are_held)
            go_on.set()
        assert len(model.requests) == 3
        spent = await _spent(other, None)
        assert (spent["calls"], spent["tokens"]) == (3, 360)
        runs = [run for name in ("default", *names) for run in await _runs(one, name)]
        assert sorted(run["outcome"] for run in runs) == ["nothing"] * 3 + ["skipped"] * 7
        for run in runs:
            said = "Done." if run["outcome"] == "nothing" else "The service has used 3 of 3 calls today"
            assert run["summary"].startswith(said)


@asynccontextmanager
async def _processes(url: str, *names: str) -> AsyncGenerator[list[Database]]:
    """Three processes' connections to a database with some threads."""
    databases = [Database(url) for _ in range(3)]
    async with databases[0].write() as session:
        for name in names:
            await threads.create(session, NewThread(id=name), now=START)
    try:
        yield databases
    finally:
        for database in databases:
            await database.close()


SHARED: dict[str, tuple[Plan, int]] = {
    # What is limited, and how many calls of 100 tokens that cost 0.25 are within it.
    "calls of a thread": (Plan(Limits(calls=7)), 7),
    "tokens of a thread": (Plan(Limits(tokens=650)), 7),
    "cost of a thread": (Plan(Limits(cost=1.5)), 6),
    "calls of all": (Plan(service=Limits(calls=7)), 7),
    "tokens of all": (Plan(service=Limits(tokens=700)), 7),
    "cost of all": (Plan(service=Limits(cost=1.6)), 7),
}


async def _reserve_at_once(
    processes: list[Database], names: list[str], plan: Plan, now: datetime
) -> tuple[list[str], list[str]]:
    """Have 24 calls reserved; answers the threads of those granted and of those refused."""
    granted, refused = list[str](), list[str]()

    async def reserve(db: Database, name: str) -> None:
        try:
            async with db.write() as session:
                await store.reserve(session, name, plan, Amounts(calls=1, tokens=100, cost=0.25), now=now)
            granted.append(name)
        except store.Spent:
            refused.append(name)

    async with anyio.create_task_group() as group:
        for number in range(24):
            group.start_soon(reserve, processes[number % 3], names[number % len(names)])
    return granted, refused


async def test_what_is_reserved_at_once_stays_within_the_budget(database_url: str, subtests: pytest.Subtests) -> None:
    names = [f"t{number}" for number in range(5)]
    async with _processes(database_url, *names) as processes:
        for number, (kind, (plan, most)) in enumerate(SHARED.items()):
            with subtests.test(kind):
                now, used = START + timedelta(days=number), names[: 1 if "thread" in kind else 5]
                granted, refused = await _reserve_at_once(processes, used, plan, now)
                async with processes[0].read() as session:
                    service = (await store.of_service(session, plan, now=now)).spent
                    own = [(await store.purse(session, name, plan, now=now)).thread.spent for name in names]
                assert (len(granted), len(refused)) == (most, 24 - most)
                assert service == Amounts(calls=most, tokens=100 * most, cost=0.25 * most)
                assert [spent.calls for spent in own] == [granted.count(name) for name in names]


async def test_what_is_applied_at_once_stays_within_the_budget(database_url: str) -> None:
    plan, names = Plan(service=Limits(actions=4)), [f"t{number}" for number in range(6)]
    done: list[bool] = []

    async with _processes(database_url, *names) as processes:

        async def apply(db: Database, name: str) -> None:
            scene = Scene(thread_id=name, run_id=f"run of {name}", agent="ledger", now=START, plan=plan)
            written = [PostAction(board="general", title=f"{word} {name}", content=word) for word in ("Uno", "Due")]
            async with db.write() as session:
                await threads.lock_existing(session, name)
                found = await actions.apply(session, scene, list(written))
            done.extend(result.success for result in found)

        async with anyio.create_task_group() as group:
            for number, name in enumerate(names):
                group.start_soon(apply, processes[number % 3], name)
        async with processes[0].read() as session:
            service = (await store.of_service(session, plan, now=START)).spent
    assert (done.count(True), done.count(False), service.actions) == (4, 8, 4)


# The quiet loops


async def _take_all(running: Running) -> None:
    """Take what is due of all loops, until nothing is."""
    state = running.app.state
    for loop in (state.reflection_loop, state.personality_loop, state.journal_self_reply_loop, state.heartbeat_loop):
        await loop.run_once()


@on_sqlite
async def test_the_four_loops_share_a_threads_budget(opened: Opener, model: ScriptedModel, clock: ManualClock) -> None:
    async with opened() as running:
        await _limit(running, calls=2)
        await _say(running, "We went along the river, and then we talked about the boat.")
        clock.advance(HALF_HOUR)
        async with anyio.create_task_group() as group:
            for loop in (running.reflection, running.app.state.personality_loop, running.heartbeat):
                group.start_soon(loop.run_once)
        assert sum(len(asked) for asked in model.asked.values()) == 2
        spent = await _spent(running)
        assert (spent["calls"], spent["tokens"]) == (2, 240)
        found = [run for loop in (*QUIET, "heartbeat") for run in await _runs(running, loop=loop)]
        assert len([run for run in found if run["reason"] == "budget_spent"]) == 1


@on_sqlite
async def test_quiet_loops_wait_for_a_budget_and_lose_nothing(
    opened: Opener, model: ScriptedModel, clock: ManualClock
) -> None:
    async with opened(heartbeat_enabled=False, self_reply_chance=0.0) as running:
        insight = {"text": "They like the river.", "importance": 5, "evidence": [1]}
        model.says({"insights": [insight], "open_questions": [], "still_open": []}, to="findings")
        await _say(running, "We went along the river, and then we talked about the boat.")
        clock.advance(HALF_HOUR)
        await _take_all(running)
        (entry,) = (await _get(running, "/api/threads/default/journal?kind=reflection"))["items"]
        await _limit(running, calls=2)
        comment = {"body": "Really the river?", "author": "Ida"}
        (
            await running.http.post(f"/api/threads/default/journal/{entry['id']}/replies", json=comment)
        ).raise_for_status()
        texts = [f"Message {number} is of the boat, and of the lighthouse by the river." for number in range(4)]
        for text in texts:
            await _say(running, text)
            clock.advance(timedelta(minutes=40))
            await _take_all(running)
        for loop in QUIET:
            (run,) = [run for run in await _runs(running, loop=loop) if run["reason"] == "budget_spent"]
            assert (run["outcome"], run["slots"], run["decided_by"]) == ("skipped", 0, None)
            assert run["summary"].startswith("The thread has used 2 of 2 calls today; more from Tue")
            turn = await _get(running, f"/api/threads/default/loops/{loop}")
            assert (turn["next_slot"], turn["attempt"]) == (run["first_slot"], 0)
            assert clock.now() < datetime.fromisoformat(turn["next_due_at"]) <= clock.now() + HOUR
        assert sum(len(asked) for asked in model.asked.values()) == 2

        clock.advance(datetime(2026, 1, 6, tzinfo=UTC) - clock.now())
        await _limit(running, calls=3)
        await _take_all(running)
        assert {name: len(asked) for name, asked in model.asked.items()} == {
            "decision": 0,
            "findings": 2,
            "proposals": 2,
            "answer": 1,
        }
        for name in ("findings", "proposals"):
            shown = model.asked[name][-1].messages[1].content
            assert all(text in shown for text in texts)
        assert "Really the river?" in model.asked["answer"][0].messages[1].content


@on_sqlite
@pytest.mark.parametrize("loop", ["reflection", "personality"])
async def test_a_day_without_a_budget_leaves_one_run_and_a_look_every_hour(
    opened: Opener, model: ScriptedModel, clock: ManualClock, loop: str
) -> None:
    quiet = {"heartbeat_enabled": False} | {f"{each}_enabled": each == loop for each in QUIET}
    async with opened(**quiet) as running:
        await _limit(running, calls=0)
        await _say(running, "We went along the river.")
        clock.advance(HALF_HOUR)
        looked: set[str] = set()
        for _ in range(26):
            await _take_all(running)
            turn = await _get(running, f"/api/threads/default/loops/{loop}")
            looked.add(turn["next_due_at"])
            wait = datetime.fromisoformat(turn["next_due_at"]) - clock.now()
            assert timedelta(0) < wait <= HOUR
            clock.advance(wait)
        (run,) = await _runs(running, loop=loop)
        assert (run["reason"], run["slots"], len(looked)) == ("budget_spent", 0, 26)
        assert (await _get(running, f"/api/runs/{run['id']}"))["seen_seq"] is None
        assert clock.now() > START + timedelta(hours=24)
        assert "2026-01-06T00:00:00Z" in looked
        assert model.asked == {name: [] for name in model.asked}
        await _limit(running, calls=None)
        clock.advance(HOUR)
        await _take_all(running)
        assert [run["slots"] for run in await _runs(running, loop=loop)] == [0, 1]


@on_sqlite
async def test_a_person_who_asks_for_a_quiet_loop_is_told_that_the_budget_is_spent(
    opened: Opener, model: ScriptedModel
) -> None:
    async with opened(heartbeat_enabled=False) as running:
        await _limit(running, calls=0)
        await _say(running, "We went along the river.")
        for loop in ("reflection", "personality"):
            before = await _get(running, f"/api/threads/default/loops/{loop}")
            run = (await running.http.post(f"/api/threads/default/loops/{loop}/run-now")).json()
            assert (run["outcome"], run["reason"], run["slots"]) == ("skipped", "budget_spent", 0)
            assert await _get(running, f"/api/threads/default/loops/{loop}") == before
        assert model.asked == {name: [] for name in model.asked}


@on_sqlite
async def test_what_reflections_post_is_counted_and_beyond_the_budget_only_written_down(
    opened: Opener, clock: ManualClock
) -> None:
    async with opened(rules=True, heartbeat_enabled=False, personality_enabled=False) as running:
        await running.http.put("/api/threads/default/journal/settings", json={"posts": "always"})
        await _limit(running, actions=1)
        for text in ("We sail to the lighthouse at dawn.", "The zeppelin waits in the hangar."):
            await _say(running, text)
            await _say(running, f"Indeed. {text}")
            clock.advance(HALF_HOUR)
            await running.reflection.run_once()
        first, second = await _runs(running, loop="reflection")
        assert (first["outcome"], first["actions"][0]["success"]) == ("acted", True)
        assert (second["outcome"], second["actions"][0]["success"]) == ("acted", False)
        assert second["actions"][0]["error"].startswith("The thread has used 1 of 1 actions today")
        assert (await _spent(running))["actions"] == 1
        assert len((await _get(running, "/api/posts"))["items"]) == 1
        assert len((await _get(running, "/api/threads/default/journal?kind=reflection"))["items"]) == 2
