"""A conversation from its first day to its last: what was learned of it, and that restarts change none of it."""

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from ledger.clock import ManualClock
from ledger.db import Database
from ledger.insights import profiles, scorecards
from ledger.insights.structs import Profile, Scorecard
from ledger.instructions.file import File
from ledger.journal import store as journal
from ledger.journal.structs import Entry
from ledger.llm import ChatRequest
from ledger.loops import Loop, Waker, build_loops
from ledger.mind.briefing import brief
from ledger.mind.structs import Briefing
from ledger.settings import Settings
from ledger.threads import messages
from ledger.threads import store as threads
from ledger.threads.structs import NewMessage, NewThread
from tests.conftest import START
from tests.scripted import ScriptedModel
from tests.talks import SITTINGS, said_at, sitting

Json = dict[str, Any]


class Service(Struct):
    """What of a process learns."""

    db: Database
    clock: ManualClock
    loops: tuple[Loop, ...]
    wake: Waker


class Learned(Struct):
    """All that was learned and written."""

    scorecards: list[Scorecard]
    profiles: list[Profile]
    entries: list[Entry]
    briefing: Briefing


Step = Callable[[Service], Awaitable[object]]


@asynccontextmanager
async def _service(url: str, clock: ManualClock, model: ScriptedModel | None) -> AsyncGenerator[Service]:
    db = Database(url)
    settings = Settings(database_url=url, llm_model="scripted")
    loops = build_loops(settings, db, clock, model, File("HEARTBEAT.md", db, clock))
    yield Service(db, clock, loops, Waker(loops))
    await db.close()


def _steps(*days: int) -> list[Step]:
    """All that happens on these days, or on all of them, one after the other."""
    turns = [_take(number) for number in range(3)]
    talk = [step for day in days or SITTINGS for step in (_say(day), *turns, _comment, *turns, _wait, *turns)]
    return [_open, *talk]


async def _open(service: Service) -> None:
    async with service.db.write() as session:
        await threads.create(session, NewThread("talk"), now=service.clock.now())


def _say(day: int) -> Step:
    async def step(service: Service) -> None:
        service.clock.advance(said_at(day) + timedelta(minutes=10) - service.clock.now())
        said = [msgspec.convert(message, NewMessage) for message in sitting(day)]
        async with service.db.write() as session:
            await messages.add(session, "talk", said, now=service.clock.now())
            await service.wake(session, "talk")
        service.clock.advance(timedelta(minutes=20))

    return step


def _take(number: int) -> Step:
    async def step(service: Service) -> None:
        await service.loops[number].run_once()

    return step


async def _comment(service: Service) -> None:
    """A person says something to the newest entry."""
    async with service.db.write() as session:
        await threads.lock_existing(session, "talk")
        (newest,) = await journal.newest(session, "talk", 1)
        await journal.comment(session, newest, "ann", "What about the compost?", now=service.clock.now())
        await service.wake(session, "talk")


async def _wait(service: Service) -> None:
    service.clock.advance(timedelta(minutes=40))


async def _learned(service: Service) -> Learned:
    async with service.db.read() as session:
        return Learned(
            (await scorecards.page(session, "talk", limit=200)).items,
            (await profiles.page(session, "talk", limit=200)).items,
            await journal.newest(session, "talk", 200),
            await brief(session, "talk", 800),
        )


def _without_ids(learned: Learned) -> Json:
    """What was learned, but for ids that are drawn by chance."""
    drawn = {"id", "run_id", "root", "reply_to"}
    plain: dict[str, Any] = msgspec.to_builtins(learned)
    for name in ("scorecards", "profiles", "entries"):
        plain[name] = [{key: value for key, value in item.items() if key not in drawn} for item in plain[name]]
    return plain


async def _answer(request: ChatRequest) -> str:
    """What a model says whose answers depend on nothing but what it is shown."""
    data = msgspec.json.decode(request.messages[1].content)
    said = [message for message in data.get("new", []) if message["role"] == "user"]
    cited = [message["number"] for message in said[:1]]
    insights = [{"text": f"They said: {said[0]['content']}", "importance": 6, "evidence": cited}] if said else []
    proposals = [{"trait": "humor", "value": 0.9, "evidence": cited}] if said else []
    answers: dict[str, Json] = {
        "findings": {"insights": insights, "open_questions": [], "still_open": []},
        "proposals": {"proposals": proposals},
        "answer": {"verdict": "reply", "body": f"On that: {data.get('entry', {}).get('body', '')[:80]}"},
    }
    return msgspec.json.encode(answers[request.schema_name]).decode()


def _scripted() -> ScriptedModel:
    model = ScriptedModel()
    for kind in ("findings", "proposals", "answer"):
        model.says(*[_answer] * 200, to=kind)
    return model


def _copy(empty: Path, folder: Path) -> str:
    shutil.copyfile(empty, folder / "ledger.db")
    return f"sqlite+aiosqlite:///{folder}/ledger.db"


async def test_what_a_person_would_say_of_the_talk_is_what_was_learned(empty_sqlite: Path, tmp_path: Path) -> None:
    async with _service(_copy(empty_sqlite, tmp_path), ManualClock(START), None) as service:
        for step in _steps():
            await step(service)
        learned = await _learned(service)
    first, last = learned.scorecards[-1], learned.scorecards[0]
    assert {"garden", "tomatoes"} <= {topic.topic.lower() for topic in first.topics}
    assert "marathon" in {topic.topic for topic in last.topics}
    assert "marathon" in {trend.topic for trend in last.rising}
    assert {"garden", "tomatoes", "choir"} & {trend.topic for trend in last.fading}
    words = learned.profiles[0].words
    assert (words.verbosity, words.emoji, words.format) == ("concise", "off", None)  # too short to be lists
    assert {entry.kind for entry in learned.entries} == {"reflection", "personality", "self_reply", "comment"}
    bodies = [entry.body for entry in learned.entries if entry.origin == "agent"]
    assert len(set(bodies)) == len(bodies)


async def test_all_that_was_learned_cites_messages_of_the_talk(empty_sqlite: Path, tmp_path: Path) -> None:
    async with _service(_copy(empty_sqlite, tmp_path), ManualClock(START), _scripted()) as service:
        for step in _steps():
            await step(service)
        learned = await _learned(service)
        async with service.db.read() as session:
            ids = {message.id for message in await messages.newest(session, "talk", 1_000)}
    cited = [topic.evidence for card in learned.scorecards for topic in card.topics]
    cited += [trend.evidence for card in learned.scorecards for trend in (*card.rising, *card.fading)]
    cited += [insight.evidence for card in learned.scorecards for insight in card.insights]
    cited += [trait.evidence for profile in learned.profiles for trait in profile.traits.values()]
    assert all(evidence and set(evidence) <= ids for evidence in cited)
    assert all(set(entry.evidence) <= ids for entry in learned.entries)
    assert any(card.insights for card in learned.scorecards)


@pytest.mark.parametrize("rules", [True, False], ids=["rules", "model"])
async def test_a_restart_between_any_two_steps_changes_nothing_in_what_is_learned(
    empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory, rules: bool
) -> None:
    outcomes: list[Json] = []
    for restarts in (False, True):
        url, clock = _copy(empty_sqlite, tmp_path_factory.mktemp("talk")), ManualClock(START)
        model, steps = None if rules else _scripted(), _steps(0, 27, 90, 101)
        for some in [[step] for step in steps] if restarts else [steps]:
            async with _service(url, clock, model) as service:
                for step in some:
                    await step(service)
        async with _service(url, clock, model) as service:
            outcomes.append(_without_ids(await _learned(service)))
    assert outcomes[0] == outcomes[1]
