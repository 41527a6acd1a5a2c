"""Requests to a model: instructions in one message, and all that people wrote as one JSON document in another."""

from typing import Any

import msgspec
from msgspec import Struct

from ledger.llm import ChatMessage, ChatRequest


class Task(Struct, frozen=True, kw_only=True):
    """What a model is asked for."""

    name: str
    schema: dict[str, Any]
    """JSON schema of the answer."""
    max_tokens: int
    temperature: float

    def request(self, model: str, system: str, data: dict[str, object], asked: str | None) -> ChatRequest:
        """`asked`: what the person who wants a turn now said to it; it is data, too."""
        document = data | {"asked": asked} if asked else data
        return ChatRequest(
            model=model,
            messages=[ChatMessage("system", system), ChatMessage("user", msgspec.json.encode(document).decode())],
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            schema_name=self.name,
            schema=self.schema,
        )
