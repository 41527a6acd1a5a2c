"""Questions that heartbeats ask people: asked, seen, answered or dismissed once, and what the agent is told of them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from ledger.clock import ManualClock
from tests.conftest import Running, on_sqlite
from tests.scripted import NOTHING, Paused, ScriptedModel, act, ask, post

Json = dict[str, Any]

HALF_HOUR = timedelta(minutes=30)
CONFIG = "/api/threads/default/heartbeat/config"


async def _ask(running: Running, model: ScriptedModel, question: str, thread: str = "default") -> Json:
    """Have the model ask, and answer what the panel is told."""
    model.says(ask(question))
    answer = await running.http.post(f"/api/threads/{thread}/heartbeat/run-now")
    answer.raise_for_status()
    return answer.json()


async def _questions(running: Running, query: str = "") -> list[Json]:
    return (await running.http.get(f"/api/questions{query}")).json()["items"]


async def _texts(running: Running, query: str = "") -> list[str]:
    return [found["question"] for found in await _questions(running, query)]


async def _id_of(running: Running, model: ScriptedModel, question: str) -> str:
    await _ask(running, model, question)
    (found,) = [found for found in await _questions(running, "?status=open") if found["question"] == question]
    return found["id"]


async def _answer(running: Running, question_id: str, answer: str = "The big one.") -> httpx.Response:
    return await running.http.post(f"/api/questions/{question_id}/answer", json={"answer": answer})


async def _dismiss(running: Running, question_id: str) -> httpx.Response:
    return await running.http.post(f"/api/questions/{question_id}/dismiss")


async def _say(running: Running, content: str) -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (await running.http.post("/api/threads/default/messages", json=body)).raise_for_status()


async def _heartbeats(running: Running) -> list[Json]:
    """The heartbeats that came by themselves, the first one first."""
    found = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"][::-1]
    return [run for run in found if run["trigger"] == "schedule"]


def _told(model: ScriptedModel) -> list[Json]:
    """What the model was told of its questions when it was asked last."""
    return msgspec.json.decode(model.requests[-1].messages[1].content)["data"]["own_questions"]


async def test_a_question_is_asked_and_stands_in_the_run_and_the_panel(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    done = await _ask(running, model, "Which lake, the big <one>? 🏕")
    assert (done["ran_successfully"], done["error"], done["actions"]) == (True, None, [])
    assert done["decision_summary"] == "I must know more."
    (run,) = (await running.http.get("/api/runs?outcome=waiting&reason=needs_person")).json()["items"]
    (found,) = await _questions(running)
    moment = f"{clock.now():%FT%TZ}"
    assert found == {
        "id": found["id"],
        "thread_id": "default",
        "run_id": run["id"],
        "question": "Which lake, the big <one>? 🏕",
        "status": "open",
        "asked_at": moment,
        "answer": None,
        "closed_at": None,
    }
    assert (await running.http.get(f"/api/questions/{found['id']}")).json() == found
    history = (await running.http.get("/api/threads/default/heartbeat/history")).json()
    assert [(one["summary"], one["success"]) for one in history["activities"]] == [("I must know more.", True)]


async def test_a_question_is_answered_or_dismissed_once(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    one, other = await _id_of(running, model, "Which lake?"), await _id_of(running, model, "Which day?")
    clock.advance(timedelta(minutes=5))
    answered, dismissed = (await _answer(running, one)).json(), (await _dismiss(running, other)).json()
    moment = f"{clock.now():%FT%TZ}"
    assert (answered["status"], answered["answer"], answered["closed_at"]) == ("answered", "The big one.", moment)
    assert (dismissed["status"], dismissed["answer"], dismissed["closed_at"]) == ("dismissed", None, moment)
    for question, before in ((one, answered), (other, dismissed)):
        for again in (await _answer(running, question, "Another."), await _dismiss(running, question)):
            assert again.status_code == 409
            assert again.json()["detail"] == f"The question '{question}' was {before['status']} already."
        assert (await running.http.get(f"/api/questions/{question}")).json() == before


async def test_of_two_who_answer_at_once_one_is_first(running: Running, model: ScriptedModel) -> None:
    question = await _id_of(running, model, "Which lake?")
    answers: list[httpx.Response] = []

    async def say(text: str) -> None:
        answers.append(await _answer(running, question, text))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(say, f"Lake {number}.")
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    (first,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert await _questions(running) == [first]


async def test_questions_are_listed_by_thread_and_status_and_page(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await running.http.post("/api/threads", json={"id": "other"})
    await running.http.post("/api/threads/other/heartbeat/config", json={"enabled": True})
    for number in range(4):
        await _ask(running, model, f"Number {number}?", "other" if number == 2 else "default")
        clock.advance(timedelta(seconds=1 if number else 0))  # two of the same moment
    assert set(await _texts(running)) == {f"Number {number}?" for number in range(4)}
    assert (await _texts(running))[:2] == ["Number 3?", "Number 2?"]
    by_text = {found["question"]: found["id"] for found in await _questions(running)}
    await _answer(running, by_text["Number 0?"])
    await _dismiss(running, by_text["Number 3?"])
    assert await _texts(running, "?status=open&thread_id=default") == ["Number 1?"]
    assert await _texts(running, "?status=answered") == ["Number 0?"]
    assert await _texts(running, "?status=dismissed") == ["Number 3?"]
    assert await _texts(running, "?thread_id=other") == ["Number 2?"]
    assert await _texts(running, "?thread_id=nowhere") == []
    listed, cursor = list[str](), ""
    while cursor is not None:
        page = (await running.http.get(f"/api/questions?limit=1{cursor and f'&cursor={cursor}'}")).json()
        listed += [found["question"] for found in page["items"]]
        cursor = page["next_cursor"]
    assert listed == await _texts(running)


WRONG_ANSWERS: list[object] = [
    {"answer": ""},
    {"answer": " \n\t\u3000"},
    {"answer": "a" * 5_001},
    {"answer": None},
    {"answer": 7},
    {"answer": "a\x00b"},
    {"answer": "Yes.", "status": "answered"},
    {"text": "Yes."},
    {},
    [],
    None,
]


@on_sqlite
async def test_an_answer_that_is_none_is_refused_and_leaves_the_question_open(
    running: Running, model: ScriptedModel, subtests: pytest.Subtests
) -> None:
    question = await _id_of(running, model, "Which lake?")
    for wrong in WRONG_ANSWERS:
        with subtests.test(body=str(wrong)[:40]):
            answer = await running.http.post(f"/api/questions/{question}/answer", json=wrong)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    for path, body in (("answer", None), ("dismiss", {"why": "Because."})):
        answer = await running.http.request("POST", f"/api/questions/{question}/{path}", json=body)
        assert answer.status_code == 422
    assert await _texts(running, "?status=open") == ["Which lake?"]
    longest = "ü" * 5_000
    assert (await _answer(running, question, longest)).json()["answer"] == longest


async def test_what_is_not_there_is_not_found_and_what_cannot_be_asked_for_is_refused(
    refusing: Running, subtests: pytest.Subtests
) -> None:
    calls: list[tuple[str, str, object, int]] = [
        ("GET", "/nothing", None, 404),
        ("POST", "/nothing/answer", {"answer": "Yes."}, 404),
        ("POST", "/nothing/dismiss", None, 404),
        ("GET", "?status=closed", None, 422),
        ("GET", "?limit=0", None, 422),
        ("GET", "?limit=201", None, 422),
        ("GET", "?cursor=nonsense", None, 400),
        ("POST", "", {"question": "Which?"}, 405),
        ("DELETE", "/nothing", None, 405),
    ]
    for method, path, body, status in calls:
        with subtests.test(f"{method} {path}"):
            answer = await refusing.http.request(method, f"/api/questions{path}", json=body)
            assert answer.status_code == status


async def test_the_same_question_is_not_asked_twice_while_it_is_open_nor_within_a_day(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await running.heartbeat.stop()
    question = await _id_of(running, model, "Which lake?")
    done = await _ask(running, model, "Which lake?")
    assert done["ran_successfully"]
    assert await _texts(running) == ["Which lake?"]
    await running.http.post("/api/threads", json={"id": "other"})
    await _ask(running, model, "Which lake?", "other")
    assert await _texts(running) == ["Which lake?"] * 2
    await _dismiss(running, question)
    clock.advance(timedelta(hours=24) - timedelta(microseconds=1))
    await _ask(running, model, "Which lake?")
    assert await _texts(running, "?thread_id=default") == ["Which lake?"]
    clock.advance(timedelta(microseconds=1))
    await _ask(running, model, "Which lake?")
    assert await _texts(running, "?thread_id=default") == ["Which lake?"] * 2
    assert await _texts(running, "?thread_id=default&status=open") == ["Which lake?"]


@on_sqlite
async def test_a_nul_in_a_question_is_left_out_and_makes_no_other_question(
    running: Running, model: ScriptedModel
) -> None:
    for text in ("Which\x00 lake?", "Which lake?", "Which lake?\x00"):
        await _ask(running, model, text)
    assert await _texts(running) == ["Which lake?"]


@on_sqlite
async def test_an_answer_is_news_and_the_next_heartbeat_reads_it(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(ask("Which lake?"))
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    (question,) = await _questions(running)
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert len(model.requests) == 1
    await _answer(running, question["id"])
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    reasons = ["needs_person", "nothing_new", "decided_nothing"]
    assert [(run["reason"], run["slots"]) for run in await _heartbeats(running)] == [(reason, 1) for reason in reasons]
    assert _told(model) == [
        {
            "question": "Which lake?",
            "status": "answered",
            "answer": "The big one.",
            "asked_at": question["asked_at"],
        }
    ]


@on_sqlite
async def test_a_dismissal_is_no_news_but_the_next_heartbeat_reads_it(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    model.says(ask("Which lake?"))
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert _told(model) == []
    (question,) = await _questions(running)
    await _dismiss(running, question["id"])
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert [run["reason"] for run in await _heartbeats(running)] == ["needs_person", "nothing_new"]
    await running.http.post("/api/threads/default/heartbeat/run-now")
    assert [(each["question"], each["status"], each["answer"]) for each in _told(model)] == [
        ("Which lake?", "dismissed", None)
    ]


@on_sqlite
async def test_an_open_question_is_shown_to_who_asked_it(running: Running, model: ScriptedModel) -> None:
    await _ask(running, model, "Which lake?")
    await running.http.post("/api/threads/default/heartbeat/run-now")
    assert [(each["question"], each["status"]) for each in _told(model)] == [("Which lake?", "open")]


@on_sqlite
async def test_an_answer_is_read_whatever_else_was_closed_since(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    asked = [await _id_of(running, model, f"Number {number}?") for number in range(7)]
    for question in asked:
        clock.advance(timedelta(seconds=1))
        await (_answer(running, question) if question == asked[0] else _dismiss(running, question))
    await running.http.post("/api/threads/default/heartbeat/run-now")
    assert ("Number 0?", "The big one.") in [(each["question"], each["answer"]) for each in _told(model)]


async def _while_it_thinks(running: Running, paused: Paused, happen: Callable[[], Awaitable[object]]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(running.heartbeat.run_once)
        await paused.asked.wait()
        await happen()
        paused.go_on.set()


@on_sqlite
async def test_an_answer_while_it_thinks_drops_nothing_and_is_news_for_the_next(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    question = await _id_of(running, model, "Which lake?")
    await _say(running, "Let us go camping.")
    paused = Paused(act(post("Kept")))
    model.says(paused)
    clock.advance(HALF_HOUR)
    await _while_it_thinks(running, paused, lambda: _answer(running, question))
    assert [(run["outcome"], run["slots"]) for run in await _heartbeats(running)] == [("acted", 1)]
    assert _told(model)[0]["status"] == "open"
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert [run["outcome"] for run in await _heartbeats(running)] == ["acted", "nothing"]
    assert _told(model)[0]["answer"] == "The big one."


@on_sqlite
async def test_a_question_of_a_decision_that_is_dropped_is_not_asked(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    paused = Paused(ask("Which lake?"))
    model.says(paused, NOTHING)
    clock.advance(HALF_HOUR)
    await _while_it_thinks(running, paused, lambda: _say(running, "The big one."))
    assert {run["reason"] for run in await _heartbeats(running)} == {"moved_on", "decided_nothing"}
    assert await _questions(running) == []


@on_sqlite
async def test_questions_go_with_their_thread(running: Running, model: ScriptedModel) -> None:
    await running.http.post("/api/threads", json={"id": "other"})
    await _ask(running, model, "Which lake?", "other")
    question = await _id_of(running, model, "Which day?")
    await running.http.delete("/api/threads/other")
    assert await _texts(running) == ["Which day?"]
    await running.http.delete("/api/threads/default")
    assert await _texts(running) == []
    assert (await _answer(running, question)).status_code == 404


@on_sqlite
async def test_a_dry_run_asks_nobody(running: Running, model: ScriptedModel) -> None:
    await running.http.post(CONFIG, json={"dry_run": True})
    done = await _ask(running, model, "Which lake?")
    assert (done["ran_successfully"], await _questions(running)) == (True, [])
    (run,) = (await running.http.get("/api/runs?loop=heartbeat")).json()["items"]
    assert (run["outcome"], run["reason"], run["dry_run"]) == ("waiting", "needs_person", True)


@on_sqlite
async def test_a_question_waits_while_heartbeats_go_on(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    await _ask(running, model, "Which lake?")
    await _say(running, "Let us go camping.")
    model.says(act(post("Meanwhile")))
    clock.advance(HALF_HOUR)
    await running.heartbeat.run_once()
    assert [run["outcome"] for run in await _heartbeats(running)] == ["acted"]
    assert await _texts(running, "?status=open") == ["Which lake?"]
