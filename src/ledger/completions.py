"""A model behind an OpenAI-compatible endpoint, awaited, with a limit on every call."""

import importlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct, structs

from ledger.clock import Clock
from ledger.db import outside_transaction
from ledger.llm import ChatAnswer, ChatRequest, Fault, ModelError, ModelTimeout

CONNECT_SECONDS = 5.0
"""How long a connection to the provider may take to open."""

_SHOWN = 300
_LONGEST_WAIT = timedelta(days=1)
_SECONDS = re.compile(r"\d{1,9}(?:\.\d+)?", re.ASCII)
_PASSING = (408, 409, 425, 429)
_LASTING = (401, 402, 403, 404, 405, 407)
_TOO_LONG = re.compile(
    r"context.(length|window|size)|maximum.context|too many (input )?tokens|(prompt|input|request) is too (long|large)"
    r"|reduce the length|max_prompt_tokens",
    re.IGNORECASE,
)
_COMPLAINTS = (400, 404, 422, 501)
"""With these, endpoints refuse what they do not know of a request."""

_IMPOSSIBLE_TOKENS = 2**31
_SECRET = 8
"""How many characters a key must have to be one, and not a word."""

_NO_KEY = "none"  # local servers ask for no key, but the client insists on one


class _Function(Struct):
    arguments: str = ""


class _ToolCall(Struct):
    function: _Function | None = None


class _Part(Struct):
    text: str = ""


class _Message(Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None

    @property
    def text(self) -> str:
        """What it says; some models call a tool nobody offered, and say it there."""
        calls = [call.function.arguments for call in self.tool_calls or [] if call.function]
        said = "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content
        return said or "\n".join(calls)


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(Struct):
    """What is read of a chat completion; the rest of the answer is left alone."""

    choices: list[_Choice]
    usage: msgspec.Raw = msgspec.Raw()
    model: str | None = None


class Dialect(Struct, frozen=True):
    """What of a request an endpoint understands; the first is tried first, and what it refuses is left out."""

    form: Literal["json_schema", "json_object", "text"] = "json_schema"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    has_temperature: bool = True

    def simpler(self, complaint: str) -> "Dialect | None":
        """The dialect to try after an endpoint has complained; None if the complaint is about something else."""
        said = complaint.lower()
        if self.limit == "max_tokens" and "max_completion_tokens" in said:
            return structs.replace(self, limit="max_completion_tokens")
        if self.has_temperature and "temperature" in said:
            return structs.replace(self, has_temperature=False)
        if any(word in said for word in ("response_format", "json_schema", "json_object", "structured output")):
            following: dict[str, Dialect] = {
                "json_schema": structs.replace(self, form="json_object"),
                "json_object": structs.replace(self, form="text"),
            }
            return following.get(self.form)
        return None


class OpenAICompatible:
    """OpenAI, Ollama, vLLM and whoever else speaks chat completions at `base_url`."""

    def __init__(self, *, base_url: str | None, api_key: str | None, timeout: timedelta, clock: Clock) -> None:
        """`timeout` bounds one call from the connection to the last byte."""
        self._base_url = base_url
        self._api_key = api_key or _NO_KEY
        self._timeout = timeout
        self._clock = clock
        self._lock = anyio.Lock()
        self._openai: Any = None
        self._raw: Any = None
        self._client: Any = None
        self._dialects: dict[str, Dialect] = {}
        """By model, as far as the endpoint has complained."""

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        outside_transaction("a model call")
        client = await self._connected()
        began = self._clock.now()
        try:
            with self._clock.deadline(self._timeout):
                response = await self._post(client, request)
        except self._openai.APIStatusError as error:
            raise _refused(error, self._hide(error.response.text), self._clock.now()) from error
        except self._openai.APITimeoutError as error:
            said = "The provider could not be reached, or did not answer in time."
            raise ModelError(said, may_have_cost=not _is_unconnected(error)) from error
        except self._openai.APIConnectionError as error:
            said = f"The provider could not be reached: {error.__cause__ or error}."
            raise ModelError(said, may_have_cost=not _is_unconnected(error)) from error
        except self._openai.OpenAIError as error:
            raise ModelError(f"The call to the provider failed: {error}") from error
        except TimeoutError:
            raise ModelTimeout(f"The provider did not answer within {self._timeout.total_seconds():g} s.") from None
        try:
            return _answer(request, response.content, self._clock.now() - began)
        except ModelError as error:
            raise ModelError(self._hide(str(error)), fault=error.fault) from None

    async def _post(self, client: Any, request: ChatRequest) -> Any:  # noqa: ANN401 - openai is imported late
        """Post the request in the simplest dialect that the endpoint has asked for so far."""
        while True:
            dialect = self._dialects.get(request.model, Dialect())
            try:
                # The raw response, because the client's own typed one costs more than all the rest of a call.
                return await client.post("/chat/completions", cast_to=self._raw, body=_body(request, dialect))
            except self._openai.APIStatusError as error:
                simpler = dialect.simpler(error.response.text) if error.status_code in _COMPLAINTS else None
                if simpler is None:
                    raise
                self._dialects[request.model] = simpler

    def _hide(self, said: str) -> str:
        """What a provider said, without the key: some quote the one that they refuse."""
        return said.replace(self._api_key, "…") if len(self._api_key) >= _SECRET else said

    async def open(self) -> None:
        await self._connected()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> Any:  # noqa: ANN401 - the client's type is known only once it is imported
        async with self._lock:
            if self._client is None:
                # Importing it takes a third of a second, which would block the event loop.
                self._openai = await anyio.to_thread.run_sync(importlib.import_module, "openai")
                self._raw = importlib.import_module("httpx2").Response
                self._client = self._openai.AsyncOpenAI(
                    base_url=self._base_url,
                    api_key=self._api_key,
                    timeout=self._openai.Timeout(self._timeout.total_seconds(), connect=CONNECT_SECONDS),
                    max_retries=0,
                    http_client=self._openai.DefaultAioHttpClient(),
                )
        return self._client


def _body(request: ChatRequest, dialect: Dialect) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(request, dialect),
        dialect.limit: request.max_tokens,
    }
    if dialect.has_temperature:
        body["temperature"] = request.temperature
    if dialect.form == "json_schema":
        schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif dialect.form == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def _messages(request: ChatRequest, dialect: Dialect) -> list[dict[str, str]]:
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    if dialect.form != "json_schema":
        # Where the endpoint does not hold the model to the schema, the prompt does, first since it never changes.
        schema = msgspec.json.encode(request.schema).decode()
        asked = f"Answer with one JSON object and nothing else. It follows this JSON schema:\n{schema}"
        messages[0]["content"] = f"{asked}\n\n{messages[0]['content']}"
    return messages


def _wait(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long the provider asks to be left alone: seconds or a date (RFC 9110, section 10.2.3), at most a day."""
    text = headers.get("retry-after", "").strip()
    try:
        asked = timedelta(seconds=float(text)) if _SECONDS.fullmatch(text) else parsedate_to_datetime(text) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(asked, timedelta(0)), _LONGEST_WAIT)


def _is_unconnected(error: BaseException) -> bool:
    """Whether no connection came about, so that nothing was sent."""
    return type(error.__cause__).__name__.startswith("Connect")


def _refused(error: Any, said: str, now: datetime) -> ModelError:  # noqa: ANN401 - openai is imported late
    status = error.status_code
    detail = f"The provider answered {status}: {_readable(said) or 'nothing more'}"
    return ModelError(detail, _wait(error.response.headers, now), fault=_fault(status, said), may_have_cost=False)


def _fault(status: int, said: str) -> Fault:
    if status in _PASSING or status >= 500:  # noqa: PLR2004
        return "passing"
    if status in _LASTING:
        return "lasting"
    return "too_long" if _TOO_LONG.search(said) else "request"


def _answer(request: ChatRequest, raw: bytes, latency: timedelta) -> ChatAnswer:
    try:
        completion = msgspec.json.decode(raw, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = _readable(raw[:_SHOWN].decode(errors="replace"))
        raise ModelError(f"The provider's answer is not a chat completion ({error}): {said}") from None
    if not completion.choices:
        raise ModelError("The provider's answer has no choices.")
    message = completion.choices[0].message
    if message.refusal:
        raise ModelError(f"The model refused: {message.refusal[:_SHOWN]}", fault="refusal")
    usage = _usage(completion.usage)
    return ChatAnswer(
        text=message.text,
        cut_off=completion.choices[0].finish_reason == "length",
        model=completion.model or request.model,
        prompt_tokens=_count(usage.prompt_tokens),
        completion_tokens=_count(usage.completion_tokens),
        latency=latency,
    )


def _usage(raw: msgspec.Raw) -> _Usage:
    """What an answer says it has used; nothing, where that cannot be read: it is no reason to drop the answer."""
    try:
        return msgspec.json.decode(raw, type=_Usage | None, strict=False) or _Usage()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Usage()


def _count(tokens: int | None) -> int | None:
    """A number of tokens, if it can be one."""
    return tokens if tokens is not None and 0 <= tokens < _IMPOSSIBLE_TOKENS else None


def _readable(text: str) -> str:
    """The beginning of what a provider said, in one line and without control characters."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())[:_SHOWN]
