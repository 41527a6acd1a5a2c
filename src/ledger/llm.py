"""The model, behind one small port: a request, an answer, and what may go wrong between them."""

from datetime import timedelta
from typing import Any, Literal, Protocol, cast

import msgspec
from msgspec import Struct, structs

from ledger.tokens import clip, count_tokens, json_tokens

_SHORT = 64
"""How many characters of every text stay, however long the whole is."""

Fault = Literal["passing", "lasting", "request", "too_long", "refusal"]
"""`passing`: may be over in a while (unreachable, 408, 409, 429, 5xx, no completion). `lasting`: key, address or model
are wrong (401, 403, 404). `request`: this one is not taken (other 4xx). `too_long`: its prompt is more than the model
takes. `refusal`: the model would not answer it."""


class ModelError(Exception):
    """The provider gave no usable answer: it could not be reached, refused, or sent something else."""

    def __init__(
        self, detail: str, wait: timedelta | None = None, *, fault: Fault = "passing", may_have_cost: bool = True
    ) -> None:
        """`wait`: how long it asks to be left alone. `may_have_cost`: whether it may have counted tokens."""
        super().__init__(detail)
        self.wait = wait
        self.fault: Fault = fault
        self.may_have_cost = may_have_cost

    @property
    def blames_provider(self) -> bool:
        """Whether other requests would fail, too."""
        return self.fault in ("passing", "lasting")

    @property
    def is_final(self) -> bool:
        """Whether the same request would fail again."""
        return self.fault in ("lasting", "request", "too_long")


class ModelTimeout(ModelError):
    """The provider did not answer in time."""


class ChatMessage(Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Struct, frozen=True, kw_only=True):
    model: str
    messages: list[ChatMessage]
    max_tokens: int
    temperature: float
    schema_name: str
    schema: dict[str, Any]
    """JSON schema that the answer must follow."""

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens a provider counts for it, its schema included."""
        return json_tokens(self.schema) + sum(count_tokens(message.content) for message in self.messages)


class ChatAnswer(Struct, frozen=True, kw_only=True):
    text: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    latency: timedelta
    cut_off: bool = False
    """It ended because it had reached `max_tokens`."""


class LLM(Protocol):
    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """One answer to one request. Raises `ModelError`."""
        ...

    async def open(self) -> None:
        """Load what calls need, so that no turn's time is spent on it."""
        ...

    async def close(self) -> None: ...


def strict_schema(kind: object) -> dict[str, Any]:
    """A struct's JSON schema as OpenAI's structured outputs take it.

    The root is an object, every property is required, nothing else is allowed, every choice of words has a type, and
    keywords that strict mode does not know (`discriminator`, `default`, `title`) are left out.
    """
    schema = msgspec.json.schema(kind)
    definitions = schema.pop("$defs", {})
    root = definitions.pop(schema["$ref"].rsplit("/", 1)[1])
    return _strict(root | {"$defs": definitions})


def _strict(node: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, list):
        return [_strict(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    node = cast("dict[str, Any]", node)
    strict = {key: _strict(value) for key, value in node.items() if key not in ("discriminator", "default", "title")}
    if "enum" in strict:
        strict["type"] = "string"
    if "properties" in strict:
        strict["properties"] = {key: _strict(value) for key, value in node["properties"].items()}
        strict |= {"required": list(strict["properties"]), "additionalProperties": False}
    return strict


def shorter(request: ChatRequest) -> ChatRequest:
    """The request with its data cut to about half: every text of the JSON document in its second message is clipped.

    The shortest ones stay whole, and with them ids and names.
    """
    system, data = request.messages[:2]
    document = msgspec.json.decode(data.content)
    low, high = _SHORT, max(_SHORT, len(data.content))
    while low < high:  # the longest limit that is short enough
        middle = (low + high + 1) // 2
        fits = 2 * count_tokens(_clipped(document, middle)) <= count_tokens(data.content)
        low, high = (middle, high) if fits else (low, middle - 1)
    return structs.replace(request, messages=[system, ChatMessage(data.role, _clipped(document, low))])


def _clipped(document: object, most: int) -> str:
    return msgspec.json.encode(_clip_texts(document, most)).decode()


def _clip_texts(node: Any, most: int) -> Any:  # noqa: ANN401 - JSON
    match node:
        case str():
            return clip(node, most, len)
        case list():
            return [_clip_texts(item, most) for item in cast("list[Any]", node)]
        case dict():
            return {key: _clip_texts(value, most) for key, value in cast("dict[str, Any]", node).items()}
        case _:
            return node
