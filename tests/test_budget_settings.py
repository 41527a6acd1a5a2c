"""The limits of a day: as the environment and people set them, and the days they are for."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.budgets import store
from ledger.budgets.plan import Plan
from ledger.budgets.structs import Amounts, Limits
from ledger.clock import ManualClock
from ledger.db import Database
from ledger.settings import load
from ledger.threads import store as threads
from ledger.threads.structs import NewThread
from ledger.variables import VARIABLES, Price, SettingError
from tests.conftest import START, Opener, Running, on_sqlite

Json = dict[str, Any]

SECOND = timedelta(seconds=1)
OWN = "/api/threads/default/budget"
COUNTS = [each.name for each in VARIABLES if each.name.endswith(("CALLS_PER_DAY", "TOKENS_PER_DAY", "ACTIONS_PER_DAY"))]
COSTS = [each.name for each in VARIABLES if each.name.endswith("COST_PER_DAY")]
FIELDS = {each.name: each.field for each in VARIABLES}


def test_by_default_a_thread_has_200_calls_and_48_actions_a_day_and_nothing_else_is_limited() -> None:
    plan = Plan.of(load({})[0])
    assert plan == Plan(Limits(calls=200, actions=48), Limits(), {})


def test_a_limit_is_a_number_or_unlimited(subtests: pytest.Subtests) -> None:
    assert (len(COUNTS), len(COSTS)) == (6, 2)
    read = {"unlimited": None, " Unlimited ": None, "0": 0, "1000000000000": 1_000_000_000_000}
    for name, (text, value) in ((name, case) for name in COUNTS for case in read.items()):
        with subtests.test(f"{name}={text}"):
            assert getattr(load({name: text})[0], FIELDS[name]) == value
    read = {"unlimited": None, "0": 0.0, "1.25": 1.25, "1e9": 1e9}
    for name, (text, value) in ((name, case) for name in COSTS for case in read.items()):
        with subtests.test(f"{name}={text}"):
            assert getattr(load({name: text})[0], FIELDS[name]) == value


def test_a_limit_that_is_none_is_refused_with_what_is_right(subtests: pytest.Subtests) -> None:
    never = ("none", "null", "-1", "nan", "inf", "1e999", "many", "1,000", "10 calls", "∞")
    cases = [(name, text, "a whole number from 0 to ") for name in COUNTS for text in (*never, "1.5", "1000000000001")]
    cases += [(name, text, "a number from 0 to ") for name in COSTS for text in (*never, "-0.01", "1000000001")]
    for name, text, right in cases:
        with subtests.test(f"{name}={text}"):
            with pytest.raises(SettingError) as refused:
                load({name: text})
            said = str(refused.value)
            assert said.startswith(f"{name}={text!r} cannot be read: write {right}")
            assert said.endswith(", or unlimited.")


def test_prices_are_read_as_json() -> None:
    prices = load(
        {"CRT_LLM_PRICES": ' {"small": {"prompt": 1, "completion": 0}, "a/b:c": {"completion":2.5,"prompt":0.25}}'}
    )
    assert prices[0].llm_prices == {"small": Price(1.0, 0.0), "a/b:c": Price(0.25, 2.5)}
    assert load({"CRT_LLM_PRICES": "{}"})[0].llm_prices == {}


@pytest.mark.parametrize(
    "text",
    [
        "cheap",
        "{",
        '{"m": {"prompt": 1, "completion": 2}} and more',
        "null",
        "[]",
        "0.25",
        '{"m": 0.25}',
        '{"m": null}',
        '{"m": [1, 2]}',
        '{"m": {"prompt": 1}}',
        '{"m": {"completion": 1}}',
        '{"m": {"prompt": 1, "completion": 2, "cached": 3}}',
        '{"m": {"prompt": -0.01, "completion": 2}}',
        '{"m": {"prompt": 1, "completion": -2}}',
        '{"m": {"prompt": NaN, "completion": 2}}',
        '{"m": {"prompt": 1, "completion": Infinity}}',
        '{"m": {"prompt": 1e999, "completion": 2}}',
        '{"m": {"prompt": "1", "completion": 2}}',
        '{"m": {"prompt": true, "completion": 2}}',
        '{"m": {"prompt": null, "completion": 2}}',
        "{'m': {'prompt': 1, 'completion': 2}}",
    ],
)
def test_prices_that_are_none_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingError) as refused:
        load({"CRT_LLM_PRICES": text})
    assert str(refused.value).startswith(f"CRT_LLM_PRICES={text!r} cannot be read: write JSON such as ")
    assert '{"MODEL": {"prompt": 0.25, "completion": 2.0}}' in str(refused.value)


def test_a_price_that_is_too_high_to_count_with_is_refused() -> None:
    with pytest.raises(SettingError, match="CRT_LLM_PRICES"):
        load({"CRT_LLM_PRICES": '{"m": {"prompt": 1e308, "completion": 1e308}}'})


def test_what_a_call_costs_goes_by_a_million_tokens_and_is_unknown_without_a_price() -> None:
    plan = Plan(prices={"small": Price(0.25, 2.0), "free": Price(0.0, 0.0)})
    assert plan.cost("small", 1_000_000, 500_000) == pytest.approx(1.25)
    assert (plan.cost("free", 1_000, 1_000), plan.cost("other", 1_000, 1_000)) == (0.0, None)


async def _shown(running: Running, path: str = OWN) -> Json:
    answer = await running.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_thread_has_the_default_limits_until_it_has_its_own(opened: Opener) -> None:
    async with opened(thread_tokens_per_day=9_000, service_cost_per_day=2.5) as running:
        nothing = {"calls": 0, "tokens": 0, "actions": 0, "cost": 0.0}
        service = {
            "day": "2026-01-05",
            "timezone": "UTC",
            "renews_at": "2026-01-06T00:00:00Z",
            "spent": nothing,
            "limits": {"calls": None, "tokens": None, "actions": None, "cost": 2.5},
        }
        defaults = {"calls": 200, "tokens": 9_000, "actions": 48, "cost": None}
        assert await _shown(running, "/api/budget") == service
        own = service | {"limits": defaults}
        assert await _shown(running) == {"thread_id": "default", "thread": own, "service": service}

        changes: list[tuple[Json, Json]] = [
            ({"calls": 5, "cost": 1}, {"calls": 5, "cost": 1.0}),
            ({}, {"calls": 5, "cost": 1.0}),
            ({"actions": 0}, {"calls": 5, "cost": 1.0, "actions": 0}),
            ({"calls": 10**12, "cost": None}, {"calls": 10**12, "actions": 0}),
            ({"calls": None, "tokens": None, "actions": None}, {}),
            ({"calls": "unlimited", "cost": "unlimited"}, {"calls": None, "cost": None}),
            ({"calls": None}, {"cost": None}),
        ]
        for change, named in changes:
            answer = await running.http.patch(OWN, json=change)
            assert (answer.status_code, answer.json()["thread"]["limits"]) == (200, defaults | named)
            assert (await _shown(running)) == answer.json()


REFUSED: dict[str, tuple[str, str]] = {
    "negative": ('{"calls": -1}', ">= 0"),
    "negative cost": ('{"cost": -0.01}', ">= 0"),
    "huge": ('{"tokens": 1000000000001}', "<= 1000000000000"),
    "huge beyond 64 bits": ('{"actions": 99999999999999999999999}', "$.actions"),
    "huge cost": ('{"cost": 1e10}', "<= 1000000000"),
    "text": ('{"calls": "5"}', "`calls` is '5': write a number, `unlimited`, or null for the default"),
    "a part of a call": ('{"calls": 1.5}', "got `float`"),
    "true": ('{"actions": true}', "got `bool`"),
    "a list": ('{"tokens": [1]}', "got `array`"),
    "an unknown field": ('{"call": 5}', "unknown field `call`"),
    "one of another kind": ('{"calls": 5, "spent": {"calls": 0}}', "unknown field `spent`"),
    "no object": ("7", "got `int`"),
    "no body": ("", "takes a JSON body"),
}  # fmt: skip - one case a line


async def test_limits_that_are_none_are_refused(refusing: Running, subtests: pytest.Subtests) -> None:
    headers = {"Content-Type": "application/json"}
    for name, (body, why) in REFUSED.items():
        with subtests.test(name):
            answer = await refusing.http.patch(OWN, content=body, headers=headers)
            assert (answer.status_code, why in answer.json()["detail"]) == (422, True), answer.text
    for body in ('{"cost": NaN}', '{"cost": 1e999}', "{"):
        with subtests.test(body):
            answer = await refusing.http.patch(OWN, content=body, headers=headers)
            assert answer.status_code in {400, 422}, answer.text
    assert (await _shown(refusing))["thread"]["limits"] == {"calls": 200, "tokens": None, "actions": 48, "cost": None}


async def test_an_unknown_thread_has_no_budget(refusing: Running) -> None:
    path = "/api/threads/nobody/budget"
    for answer in (await refusing.http.get(path), await refusing.http.patch(path, json={"calls": 1})):
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no thread 'nobody'.")


async def test_a_thread_takes_its_budget_with_it_when_it_is_deleted(running: Running, clock: ManualClock) -> None:
    await running.http.post("/api/threads", json={"id": "again"})
    path, plan = "/api/threads/again/budget", Plan()
    await running.http.patch(path, json={"calls": 7})
    async with running.db.write() as session:
        await store.reserve(session, "again", plan, Amounts(calls=1, tokens=50), now=clock.now())
    assert (await _shown(running, path))["thread"]["spent"]["calls"] == 1
    (await running.http.delete("/api/threads/again")).raise_for_status()
    await running.http.post("/api/threads", json={"id": "again"})
    found = await _shown(running, path)
    assert (found["thread"]["limits"]["calls"], found["thread"]["spent"]["calls"]) == (200, 0)
    assert found["service"]["spent"] == {"calls": 1, "tokens": 50, "actions": 0, "cost": 0.0}


DAYS = [
    # The day by the clocks there, when it begins, and when it ends.
    ("Europe/Berlin", "2026-03-28", "2026-03-27T23:00Z", "2026-03-28T23:00Z"),
    ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),  # 23 hours
    ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),  # 25 hours
    ("Pacific/Kiritimati", "2026-01-06", "2026-01-05T10:00Z", "2026-01-06T10:00Z"),
    ("Pacific/Pago_Pago", "2026-01-04", "2026-01-04T11:00Z", "2026-01-05T11:00Z"),
    ("Asia/Kathmandu", "2026-01-05", "2026-01-04T18:15Z", "2026-01-05T18:15Z"),
    ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00Z", "2026-04-24T21:00Z"),  # begins at 01:00
    ("America/Havana", "2026-11-01", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),  # sees midnight twice
    ("America/Santiago", "2026-04-04", "2026-04-04T03:00Z", "2026-04-05T04:00Z"),  # sees 23:00 twice
    ("UTC", "2026-12-31", "2026-12-31T00:00Z", "2027-01-01T00:00Z"),
]


@on_sqlite
async def test_a_threads_day_goes_by_its_own_clocks_and_the_services_by_utc(
    db: Database, subtests: pytest.Subtests
) -> None:
    plan = Plan(Limits(calls=1))
    for number, (timezone, day, begins, ends) in enumerate(DAYS):
        first, after = datetime.fromisoformat(begins), datetime.fromisoformat(ends)
        with subtests.test(f"{timezone} {day}"):
            name = f"t{number}"
            async with db.write() as session:
                await threads.create(session, NewThread(id=name, timezone=timezone), now=START)
                await store.reserve(session, name, plan, Amounts(calls=1), now=first)
            async with db.read() as session:
                last = await store.purse(session, name, plan, now=after - SECOND)
                following = await store.purse(session, name, plan, now=after)
            assert (last.thread.day, last.thread.renews_at, last.thread.spent.calls) == (day, after, 1)
            assert (following.thread.day > day, following.thread.spent.calls) == (True, 0)
            assert following.service.day == f"{after:%Y-%m-%d}"
            assert following.service.renews_at > after


async def test_a_thread_in_another_time_zone_is_shown_with_its_own_day(running: Running) -> None:
    await running.http.post("/api/threads", json={"id": "far", "timezone": "Pacific/Kiritimati"})
    found = await _shown(running, "/api/threads/far/budget")
    assert [
        (found[whose]["day"], found[whose]["timezone"], found[whose]["renews_at"]) for whose in ("thread", "service")
    ] == [
        ("2026-01-06", "Pacific/Kiritimati", "2026-01-06T10:00:00Z"),
        ("2026-01-05", "UTC", "2026-01-06T00:00:00Z"),
    ]
