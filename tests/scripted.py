"""A model that says what a test tells it to."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import msgspec

from ledger.llm import ChatAnswer, ChatRequest, ModelError

Step = str | dict[str, object] | Exception | Callable[[ChatRequest], Awaitable[str]]

NOTHING: dict[str, object] = {
    "verdict": "nothing",
    "reasoning": "There is nothing to do.",
    "summary": "Nothing to do.",
    "actions": [],
    "tasks": [],
    "question": None,
    "next_check": None,
}


QUIET: dict[str, dict[str, object]] = {
    "decision": NOTHING,
    "findings": {"insights": [], "open_questions": [], "still_open": []},
    "proposals": {"proposals": []},
    "answer": {"verdict": "nothing", "body": ""},
}
"""For each kind of request the answer that does nothing."""


def useless(step: Step, reason: str) -> list[Step]:
    """The steps of a turn that fails for a reason: an answer that is no value is asked for twice."""
    return [step] * (2 if reason == "answer_invalid" else 1)


def act(*actions: dict[str, object], summary: str = "Did something.") -> dict[str, object]:
    """An answer that acts."""
    return NOTHING | {"verdict": "act", "reasoning": "It is time.", "summary": summary, "actions": list(actions)}


def ask(question: str) -> dict[str, object]:
    """An answer that asks a person."""
    return NOTHING | {"verdict": "needs_person", "summary": "I must know more.", "question": question}


def post(title: str = "A title", content: str = "Some content.", board: str = "general") -> dict[str, object]:
    return {"action": "post", "board": board, "title": title, "content": content}


class ScriptedModel:
    """Gives the answers it was told, in order, and then always the one that does nothing; keeps what it was asked."""

    def __init__(self) -> None:
        self.steps: dict[str, list[Step]] = {name: [] for name in QUIET}
        self.asked: dict[str, list[ChatRequest]] = {name: [] for name in QUIET}
        self.otherwise: Callable[[ChatRequest], Awaitable[Step]] = _quiet
        """What to answer when nothing was told."""

    @property
    def requests(self) -> list[ChatRequest]:
        """Those for decisions of the heartbeat."""
        return self.asked["decision"]

    def says(self, *steps: Step, to: str = "decision") -> None:
        """What to answer next to one kind of request: text, a value, an error to raise, or a function to await."""
        self.steps[to] += steps

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        self.asked[request.schema_name].append(request)
        steps = self.steps[request.schema_name]
        step = steps.pop(0) if steps else await self.otherwise(request)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, str):
            text = step
        elif isinstance(step, dict):
            text = msgspec.json.encode(step).decode()
        else:
            text = await step(request)
        return ChatAnswer(
            text=text, model=request.model, prompt_tokens=100, completion_tokens=20, latency=timedelta(seconds=1)
        )

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def _quiet(request: ChatRequest) -> Step:
    return QUIET[request.schema_name]


class Paused:
    """A step that waits in the middle of a model call until the test has done something meanwhile."""

    def __init__(self, answer: dict[str, object]) -> None:
        self.asked = anyio.Event()
        self.go_on = anyio.Event()
        self._answer = answer

    async def __call__(self, request: ChatRequest) -> str:
        del request
        self.asked.set()
        await self.go_on.wait()
        return msgspec.json.encode(self._answer).decode()


__all__ = ["NOTHING", "ModelError", "Paused", "ScriptedModel", "act", "ask", "post", "useless"]
