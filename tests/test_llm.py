"""The port to the model, against a real provider that misbehaves in every way a provider can."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, cast

import anyio
import msgspec
import pytest
from anyio.abc import SocketStream
from msgspec import structs

from ledger.actions import Decision
from ledger.answers import read_answer
from ledger.clock import ManualClock
from ledger.completions import OpenAICompatible
from ledger.heartbeat.model import SCHEMA
from ledger.llm import ChatAnswer, ChatMessage, ChatRequest, ModelError
from tests import provider as stub
from tests.provider import Mode, Provider, error, http, provider_running, says
from tests.scripted import NOTHING, act, ask, post

LIMIT = timedelta(seconds=120)
REQUEST = ChatRequest(
    model="small",
    messages=[ChatMessage("system", "Decide."), ChatMessage("user", "Here is data: ü€")],
    max_tokens=500,
    temperature=0.7,
    schema_name="decision",
    schema=SCHEMA,
)
NO_JSON = "The provider's answer is not a chat completion"

FAILURES: dict[str, tuple[Mode, str]] = {
    "401": (error(401, "Incorrect API key."), "The provider answered 401: .*Incorrect API key"),
    "404": (error(404, "No model 'small'."), "The provider answered 404: .*No model 'small'"),
    "429": (error(429, "Slow down."), "The provider answered 429: .*Slow down"),
    "429 with Retry-After": (
        error(429, "Slow down.", headers="retry-after: 1\r\n"),
        "The provider answered 429: .*Slow down",
    ),
    "429 without a word": (http(429, ""), "The provider answered 429: nothing more"),
    "500": (error(500, "Oh no."), "The provider answered 500: .*Oh no"),
    "503 with a long page": (http(503, "<p>x</p>" * 10_000, kind="text/html"), "The provider answered 503: <p>x</p>"),
    "reset": (stub.reset, "The provider could not be reached"),
    "cut": (stub.cut, "The provider could not be reached"),
    "HTML with 200": (http(200, "<html>Sign in</html>", kind="text/html"), f"{NO_JSON}.*: <html>Sign in</html>"),
    "half JSON": (http(200, '{"choices": [{"mess'), f"{NO_JSON}.*truncated"),
    "nothing": (http(200, ""), f"{NO_JSON}.*"),
    "not UTF-8": (http(200, b'{"choices": "\xff\xfe"}'), NO_JSON),
    "without choices": (http(200, '{"id": "1"}'), f"{NO_JSON}.*missing required field `choices`"),
    "no choice": (http(200, '{"choices": []}'), "The provider's answer has no choices"),
    "choices of a wrong type": (http(200, '{"choices": "none"}'), f"{NO_JSON}.*Expected `array`"),
    "content of a wrong type": (stub.completion({"content": 7}), f"{NO_JSON}.*Expected `str . array . null`"),
    "a plain string": (http(200, '"Sure, here you are!"'), f"{NO_JSON}.*Expected `object`, got `str`"),
    "null": (http(200, "null"), f"{NO_JSON}.*Expected `object`, got `null`"),
    "refusal": (says(None, refusal="I will not."), "The model refused: I will not"),
}


@pytest.fixture
async def provider() -> AsyncGenerator[Provider]:
    async with provider_running() as found:
        yield found


@pytest.fixture
async def llm(provider: Provider, clock: ManualClock) -> AsyncGenerator[OpenAICompatible]:
    client = OpenAICompatible(base_url=provider.url, api_key="secret", timeout=LIMIT, clock=clock)
    yield client
    await client.close()


async def test_an_answer_comes_back_with_what_it_took(provider: Provider, llm: OpenAICompatible) -> None:
    provider.mode = says("Hello ü€")
    answer = await llm.complete(REQUEST)
    assert answer == ChatAnswer(
        text="Hello ü€", model="stub-1", prompt_tokens=100, completion_tokens=20, latency=timedelta(0)
    )


async def test_the_request_carries_the_key_and_asks_for_the_schema(provider: Provider, llm: OpenAICompatible) -> None:
    await llm.complete(REQUEST)
    assert "authorization: bearer secret\r\n" in provider.headers[0].lower()
    assert provider.requests == [
        {
            "model": "small",
            "messages": [
                {"role": "system", "content": "Decide."},
                {"role": "user", "content": "Here is data: ü€"},
            ],
            "max_tokens": 500,
            "temperature": 0.7,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "decision", "strict": True, "schema": SCHEMA},
            },
        }
    ]


async def test_latency_is_the_time_of_the_call(provider: Provider, llm: OpenAICompatible, clock: ManualClock) -> None:
    slow = provider.mode = stub.Slow(says("At last."))
    answers: list[ChatAnswer] = []

    async def call() -> None:
        answers.append(await llm.complete(REQUEST))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await provider.asked()
        clock.advance(timedelta(seconds=90))
        slow.go_on.set()
    assert [(answer.text, answer.latency) for answer in answers] == [("At last.", timedelta(seconds=90))]


@pytest.mark.parametrize(("mode", "sentence"), FAILURES.values(), ids=FAILURES)
async def test_a_failing_provider_is_called_once_and_named_in_a_sentence(
    provider: Provider, llm: OpenAICompatible, mode: Mode, sentence: str
) -> None:
    provider.mode = mode
    with pytest.raises(ModelError, match=sentence) as failure:
        await llm.complete(REQUEST)
    assert len(provider.requests) == 1
    assert len(str(failure.value)) < 600
    assert "\n" not in str(failure.value)

    provider.mode = says("Well again.")
    assert (await llm.complete(REQUEST)).text == "Well again."


@pytest.mark.parametrize("mode", [stub.hang, stub.drip_headers, stub.drip_body])
async def test_a_call_that_never_ends_is_ended_by_the_clock(
    provider: Provider, llm: OpenAICompatible, clock: ManualClock, mode: Mode
) -> None:
    provider.mode = mode
    failures: list[ModelError] = []

    async def call() -> None:
        with pytest.raises(ModelError) as failure:
            await llm.complete(REQUEST)
        failures.append(failure.value)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await provider.asked()
        clock.advance(LIMIT - timedelta(seconds=1))
        await anyio.wait_all_tasks_blocked()
        assert failures == []
        clock.advance(timedelta(seconds=1))
    assert str(failures[0]) == "The provider did not answer within 120 s."
    assert len(provider.requests) == 1


async def test_a_provider_that_is_down_is_said_not_to_be_reached(clock: ManualClock) -> None:
    async with stub.nobody_listening() as address:
        client = OpenAICompatible(base_url=address, api_key=None, timeout=LIMIT, clock=clock)
        with pytest.raises(ModelError, match="The provider could not be reached"):
            await client.complete(REQUEST)
        await client.close()


async def test_numbers_of_tokens_that_cannot_be_are_not_counted(provider: Provider, llm: OpenAICompatible) -> None:
    message: dict[str, object] = {"role": "assistant", "content": "Yes."}
    provider.mode = stub.completion(message, usage={"prompt_tokens": 10**30, "completion_tokens": -5})
    answer = await llm.complete(REQUEST)
    assert (answer.prompt_tokens, answer.completion_tokens) == (None, None)


async def test_an_answer_in_parts_with_odd_usage_is_read_all_the_same(
    provider: Provider, llm: OpenAICompatible
) -> None:
    parts = [{"type": "text", "text": "Ye"}, {"type": "text", "text": "s."}]
    as_text: dict[str, object] = {"prompt_tokens": "100", "completion_tokens": "7"}
    useless: dict[str, object] = {"prompt_tokens": {}}
    for usage, tokens in ((as_text, (100, 7)), (useless, (None, None))):
        provider.mode = stub.completion({"role": "assistant", "content": parts}, usage=usage)
        answer = await llm.complete(REQUEST)
        assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("Yes.", *tokens)


async def test_an_answer_without_usage_counts_no_tokens(provider: Provider, llm: OpenAICompatible) -> None:
    provider.mode = stub.completion({"role": "assistant", "content": "Yes."}, with_usage=False)
    answer = await llm.complete(REQUEST)
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("Yes.", None, None)


async def test_an_answer_without_content_is_empty_text(provider: Provider, llm: OpenAICompatible) -> None:
    provider.mode = says(None)
    assert (await llm.complete(REQUEST)).text == ""


async def test_an_answer_of_a_megabyte_comes_back_whole(provider: Provider, llm: OpenAICompatible) -> None:
    provider.mode = says("ü" * 500_000)
    assert (await llm.complete(REQUEST)).text == "ü" * 500_000


def test_the_schema_of_a_decision_is_strict() -> None:
    assert SCHEMA["type"] == "object"
    objects = [node for node in _nodes(SCHEMA) if "properties" in node]
    assert len(objects) == 6
    for node in objects:
        assert node["type"] == "object"
        assert node["required"] == list(node["properties"])
        assert node["additionalProperties"] is False
    keywords = {key for node in _nodes(SCHEMA) for key in node}
    assert not keywords & {"discriminator", "default", "title"}


def test_every_schema_of_a_decision_names_its_type() -> None:
    untyped = [node for node in _nodes(SCHEMA) if not node.keys() & {"type", "anyOf", "$ref"}]
    assert untyped == []


def test_a_property_named_title_stays_in_the_schema() -> None:
    titled = [node for node in _nodes(SCHEMA) if "properties" in node and "title" in node["properties"]]
    assert len(titled) == 1


def test_references_of_the_schema_point_to_what_is_there() -> None:
    references = {node["$ref"] for node in _nodes(SCHEMA) if "$ref" in node}
    assert references == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


DECISIONS: list[dict[str, object]] = [
    NOTHING,
    act(post()),
    act({"action": "comment", "post_id": "p1", "content": "Yes.", "parent_id": None}),
    act({"action": "comment", "post_id": "p1", "content": "Yes.", "parent_id": "c1"}),
    act(
        {"action": "vote", "post_id": "p1", "direction": "up"}, {"action": "vote", "post_id": "p2", "direction": "down"}
    ),
    act(post("One"), post("Two"), post("Three")),
    act({"action": "message", "content": "Hello."}),
    ask("Which lake?"),
    NOTHING | {"next_check": 600},
]


@pytest.mark.parametrize("decision", DECISIONS)
def test_what_the_schema_allows_is_read_as_a_decision(decision: dict[str, object]) -> None:
    _check(decision, SCHEMA)
    read = read_answer(msgspec.json.encode(decision).decode(), Decision, "a decision")
    assert msgspec.convert(decision, Decision) == read


@pytest.mark.parametrize(
    "wrong",
    [
        NOTHING | {"verdict": "perhaps"},
        NOTHING | {"mood": "fine"},
        {key: value for key, value in NOTHING.items() if key != "summary"},
        act({"action": "explode"}),
        act(post() | {"parent_id": None}),
    ],
)
def test_what_the_schema_forbids_fails_the_check(wrong: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        _check(wrong, SCHEMA)


def test_importing_the_package_loads_no_server() -> None:
    loaded = _modules("import ledger")
    assert "ledger" in loaded
    assert not loaded & {"sqlalchemy", "litestar", "openai", "uvicorn", "aiohttp"}


def test_importing_the_application_loads_no_openai() -> None:
    loaded = _modules("import ledger.app")
    assert "litestar" in loaded
    assert not loaded & {"openai", "aiohttp", "pydantic"}


def _modules(statement: str) -> set[str]:
    program = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    return set(done.stdout.split())


def _nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """All schemas in a schema: the names of properties and definitions are not among the keywords."""
    found: list[dict[str, Any]] = [schema]
    below: list[Any] = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    below += schema.get("anyOf", [])
    if "items" in schema:
        below.append(schema["items"])
    for node in below:
        found += _nodes(node)
    return found


def _check(value: object, schema: dict[str, Any]) -> None:
    """Assert what the schema asks for, as far as ours goes."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        assert any(_passes(value, option) for option in schema["anyOf"]), value
    if "enum" in schema:
        assert value in schema["enum"], value
    if "type" in schema:
        kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
        assert isinstance(value, kinds[schema["type"]]), value
    if isinstance(value, list):
        for item in cast("list[object]", value):
            _check(item, schema["items"])
    if isinstance(value, dict) and "properties" in schema:
        value = cast("dict[str, object]", value)
        assert set(value) == set(schema["required"]), value
        for name, item in value.items():
            _check(item, schema["properties"][name])


def _passes(value: object, schema: dict[str, Any]) -> bool:
    try:
        _check(value, schema)
    except AssertionError:
        return False
    return True


def _refusing(word: str, *, unless: str | None = None) -> Mode:
    """An endpoint that refuses requests in which a word stands."""

    async def answer(stream: SocketStream, request: dict[str, Any]) -> None:
        refused = word in msgspec.json.encode(request).decode() and (unless is None or unless not in request)
        wanted = f"Unsupported parameter: '{word}'." + (f" Use '{unless}' instead." if unless else "")
        await (stub.error(400, wanted) if refused else says("Yes."))(stream, request)

    return answer


async def test_an_endpoint_without_schemas_is_asked_for_json_and_told_the_schema(
    provider: Provider, llm: OpenAICompatible
) -> None:
    provider.mode = _refusing("json_schema")
    assert (await llm.complete(REQUEST)).text == "Yes."
    assert [request["response_format"]["type"] for request in provider.requests] == ["json_schema", "json_object"]
    assert '"additionalProperties":false' in provider.requests[1]["messages"][0]["content"]
    assert (await llm.complete(REQUEST)).text == "Yes."
    assert len(provider.requests) == 3  # what it can do is remembered


async def test_an_endpoint_without_any_format_is_asked_in_words(provider: Provider, llm: OpenAICompatible) -> None:
    provider.mode = _refusing("response_format")
    assert (await llm.complete(REQUEST)).text == "Yes."
    assert len(provider.requests) == 3
    assert "response_format" not in provider.requests[2]


async def test_a_reasoning_model_gets_its_own_limit_and_no_temperature(
    provider: Provider, llm: OpenAICompatible
) -> None:
    provider.mode = _refusing("max_tokens", unless="max_completion_tokens")
    assert (await llm.complete(REQUEST)).text == "Yes."
    assert provider.requests[1]["max_completion_tokens"] == REQUEST.max_tokens
    assert "max_tokens" not in provider.requests[1]
    provider.mode = _refusing("temperature")
    assert (await llm.complete(REQUEST)).text == "Yes."
    assert "temperature" not in provider.requests[-1]
    assert "max_completion_tokens" in provider.requests[-1]


async def test_what_one_model_cannot_do_is_not_held_against_another(provider: Provider, llm: OpenAICompatible) -> None:
    provider.mode = _refusing("json_schema")
    await llm.complete(REQUEST)
    await llm.complete(structs.replace(REQUEST, model="other"))
    assert [request["response_format"]["type"] for request in provider.requests] == ["json_schema", "json_object"] * 2


async def test_a_complaint_about_something_else_is_an_error_at_once(provider: Provider, llm: OpenAICompatible) -> None:
    provider.mode = stub.error(400, "This model's maximum context length is 8192 tokens.")
    with pytest.raises(ModelError, match="maximum context length"):
        await llm.complete(REQUEST)
    assert len(provider.requests) == 1


async def test_what_is_said_to_a_tool_nobody_offered_is_the_answer(provider: Provider, llm: OpenAICompatible) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "decide", "arguments": '{"verdict": "nothing"}'}}
    provider.mode = says(None, tool_calls=[call])
    assert (await llm.complete(REQUEST)).text == '{"verdict": "nothing"}'
