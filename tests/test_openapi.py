"""The OpenAPI document: whole, true, and the same in every process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import msgspec
import pytest
from msgspec import Struct

from ledger import errors
from ledger.app import Ledger, routed
from ledger.client.sse import Stream
from ledger.errors import LedgerError
from ledger.instructions.store import MAX_BYTES
from ledger.openapi.docstrings import attribute_docstrings
from ledger.openapi.document import TAGS, document, printed, schemas
from ledger.openapi.examples import EXAMPLES, of_parameter
from ledger.openapi.operations import JSON, Operation, operations
from ledger.openapi.problems import CONFLICTS, TOLD, problems
from ledger.openapi.schemas import Json, Schemas
from ledger.settings import Settings
from ledger.stream.api import EVENT_STREAM
from ledger.stream.structs import Event
from tests.conftest import Running
from tests.openapi import require_example

FILE = Path(__file__).parents[1] / "openapi.json"
PROGRAM = "import sys; from ledger.__main__ import main; sys.exit(main(['openapi']))"
ERRORS = [LedgerError, *(kind for kind in LedgerError.__subclasses__() if kind.__module__ == LedgerError.__module__)]


class Whole(NamedTuple):
    app: Ledger
    operations: list[Operation]
    schemas: Schemas
    document: Json


@pytest.fixture(scope="module")
def whole() -> Whole:
    app = routed(Settings())
    found, known = operations(app), schemas()
    return Whole(app, found, known, document(found, known))


def test_the_file_is_what_the_code_makes(whole: Whole) -> None:
    assert FILE.read_text(encoding="utf-8") == printed(whole.app), "run `ledger openapi > openapi.json`"


def test_it_is_the_same_in_every_process() -> None:
    first, second = (_printed_by_a_process(hash_seed) for hash_seed in ("1", "2"))
    assert first == second == FILE.read_bytes()


def _printed_by_a_process(hash_seed: str) -> bytes:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "CRT_DATABASE_URL": "nonsense"}  # noqa: TID251 - that of the child
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, env=environment).stdout  # noqa: S603 - our own words


def test_every_operation_says_what_it_is(whole: Whole) -> None:
    handlers = {operation.name for operation in whole.operations}
    assert len(handlers) == len(whole.operations)
    for operation in _shown(whole.document):
        assert operation["operationId"] in handlers
        assert operation["summary"]
        assert operation["description"].endswith((".", "`")), operation["operationId"]
        assert operation["tags"][0] in TAGS


def test_tags_stand_in_their_order_and_are_all_used(whole: Whole) -> None:
    assert [tag["name"] for tag in whole.document["tags"]] == [*TAGS]
    assert {operation.tag for operation in whole.operations} == TAGS.keys()
    assert all(tag["description"] for tag in whole.document["tags"])
    shown = [operation["tags"][0] for operation in _shown(whole.document)]
    assert shown == sorted(shown, key=[*TAGS].index)


def test_every_parameter_is_described_and_has_an_example_that_is_taken(whole: Whole) -> None:
    for operation in whole.operations:
        for parameter in operation.parameters:
            assert parameter.description, (operation.name, parameter.name)
            example = of_parameter(operation.name, parameter.name)
            assert example is not None, (operation.name, parameter.name)
            msgspec.convert(example, parameter.kind, strict=False)
    for operation in _shown(whole.document):
        for parameter in operation.get("parameters", []):
            assert (_resolved(whole.document, parameter))["examples"]


async def test_the_cursor_in_the_example_of_a_list_is_one_that_it_takes(whole: Whole, refusing: Running) -> None:
    for operation in whole.operations:
        needed = {each.name: str(of_parameter(operation.name, each.name)) for each in operation.parameters}
        if cursor := needed.get("cursor"):
            answer = await refusing.http.get(operation.path.format(**needed), params={"cursor": cursor})
            assert answer.status_code in {200, 404}, f"{operation.name}: {answer.text}"


def test_what_types_do_not_tell_is_told_where_it_is_checked(whole: Whole) -> None:
    components = whole.document["components"]
    change = components["schemas"]["ConfigChange"]["properties"]
    start, end = (change[name]["anyOf"][1]["pattern"] for name in ("active_hours_start", "active_hours_end"))
    assert [bool(re.search(pattern, "24:00")) for pattern in (start, end)] == [False, True]
    assert change["timezone"]["format"] == "iana-time-zone"
    assert components["schemas"]["ProfileChange"]["properties"]["pin"]["minProperties"] == 1
    assert components["schemas"]["NewInstructions"]["properties"]["content"]["maxLength"] == MAX_BYTES
    key = components["parameters"]["IdempotencyKey"]["schema"]["pattern"]
    assert [text for text in ("", " ", "k", "a b", "caf\u00e9") if re.search(key, text)] == ["k", "a b"]
    vote = whole.document["paths"]["/api/posts/{post_id}/votes/{voter}"]["put"]["parameters"]
    assert [each["schema"].get("maxLength") for each in vote] == [None, 64]


@pytest.mark.parametrize(
    ("etag", "is_taken"), [('"3"', True), ('W/"3"', True), ("3", True), ("*", True), ('"x"', False), ('W/""', False)]
)
def test_the_document_tells_which_etags_are_taken(whole: Whole, etag: str, is_taken: bool) -> None:
    parameters = whole.document["paths"]["/api/heartbeat/heartbeat.md"]["post"]["parameters"]
    (if_match,) = (each for each in parameters if each.get("name") == "If-Match")
    assert bool(re.search(if_match["schema"]["pattern"], etag)) == is_taken


def test_every_struct_and_property_is_described(whole: Whole) -> None:
    for name, component in whole.document["components"]["schemas"].items():
        assert component.get("description"), name
        for field, schema in component.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{field} is not described: write a docstring under it"


def test_every_struct_has_an_example_which_is_one_of_it(whole: Whole) -> None:
    for name, kind in whole.schemas.kinds.items():
        example = whole.document["components"]["schemas"][name]["examples"][0]
        require_example(example, kind)


def test_examples_are_of_structs_that_there_are(whole: Whole) -> None:
    unknown = {name for name in EXAMPLES if not name.endswith("Page")} - whole.document["components"]["schemas"].keys()
    assert not unknown


def test_every_body_and_answer_has_an_example_of_its_type(whole: Whole) -> None:
    for operation in whole.operations:
        shown = whole.document["paths"][operation.path][operation.method]
        if operation.body is not None:
            require_example(shown["requestBody"]["content"][JSON]["example"], operation.body)
        for media, kind in operation.answers.items():
            example = shown["responses"][str(operation.status)]["content"][media]["example"]
            if media == EVENT_STREAM:
                (told,) = Stream().feed(example.encode())
                example = msgspec.json.decode(told.data)
            require_example(example, kind)


def test_whatever_a_body_holds_refuses_unknown_fields_and_names_what_it_takes(whole: Whole) -> None:
    taken = schemas()
    for operation in whole.operations:
        if operation.body is not None:
            taken.of(operation.body)
    for name, kind in taken.kinds.items():
        assert kind.__struct_config__.forbid_unknown_fields, name
    assert all(component["additionalProperties"] is False for component in taken.components.values())


def test_what_is_always_sent_is_required_and_nothing_else_is_sent(whole: Whole) -> None:
    components = whole.document["components"]["schemas"]
    assert components["Post"]["required"] == [*components["Post"]["properties"]]
    assert components["Post"]["additionalProperties"] is False
    assert "paused" not in components["Status"]["required"]  # left out where it is empty
    assert "replies" not in components["EntryTree"]["required"]  # unset in lists
    assert components["Problem"]["required"] == ["title", "status"]


def test_every_reference_leads_somewhere(whole: Whole) -> None:
    for node in _nodes(whole.document):
        if "$ref" in node:
            assert _resolved(whole.document, node)
        for target in node.get("discriminator", {}).get("mapping", {}).values():
            assert _resolved(whole.document, {"$ref": target})


def test_nothing_of_python_or_the_framework_shows(whole: Whole) -> None:
    text = printed(whole.app)
    for trace in (r"\\A", r"\\Z", "ValidationException", '"title": "Body"', "litestar", "msgspec", str(FILE.parent)):
        assert trace not in text


def test_limits_and_patterns_are_those_that_are_enforced(whole: Whole) -> None:
    new = whole.document["components"]["schemas"]["NewThread"]["properties"]
    assert new["id"]["pattern"] == "^[A-Za-z0-9_-]{1,64}$"
    limit = next(each for each in _parameters(whole, "list_posts") if each["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert new["title"] | {"description": ""} == {"type": "string", "maxLength": 200, "default": "", "description": ""}
    assert whole.document["components"]["schemas"]["Post"]["properties"]["created_at"]["format"] == "date-time"
    assert whole.document["components"]["schemas"]["Post"]["properties"]["edited_at"]["type"] == ["string", "null"]


def test_structs_told_apart_by_a_tag_have_a_discriminator(whole: Whole) -> None:
    event = whole.document["components"]["schemas"]["Event"]
    mapping = {str(kind.__struct_config__.tag): f"#/components/schemas/{kind.__name__}" for kind in get_args(Event)}
    assert event["discriminator"] == {"propertyName": "kind", "mapping": mapping}
    assert [option["$ref"] for option in event["oneOf"]] == [*mapping.values()]
    post = whole.document["components"]["schemas"]["PostEvent"]
    assert post["properties"]["kind"]["const"] == "post"
    assert "kind" in post["required"]


def test_problems_are_those_of_the_error_tree(whole: Whole) -> None:
    assert [*TOLD] == sorted(ERRORS, key=ERRORS.index)
    responses = whole.document["components"]["responses"]
    for kind in ERRORS:
        content = responses[kind.__name__]["content"]["application/problem+json"]
        told = msgspec.convert(content["example"], errors.Problem)
        assert (told.status, told.title) == (kind.status, kind.title)
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_operation_tells_which_problems_it_may_answer(whole: Whole) -> None:
    for operation in whole.operations:
        shown = whole.document["paths"][operation.path][operation.method]["responses"]
        told = {status for status in shown if status != str(operation.status)}
        assert told == {str(kind.status) for kind in problems(operation)}
        assert {"421", "422", "500"} <= told
        assert ("401" in told) == ("503" in told) == (operation.name != "is_live")
        assert ("404" in told) >= ("{" in operation.path)
        assert ("415" in told) == ("413" in told) == (operation.body is not None)
        assert ("507" in told) >= (operation.method != "get")
    assert CONFLICTS.keys() <= {operation.name for operation in whole.operations}


def test_the_token_is_optional_and_never_asked_of_who_looks_whether_it_lives(whole: Whole) -> None:
    assert whole.document["security"] == [{}, {"bearer": []}]
    assert whole.document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert whole.document["paths"]["/health/live"]["get"]["security"] == []


class Tent(Struct):
    """A tent.

    Of cloth.
    """

    size: int
    """How many
    sleep in it."""
    colour: str
    weight: float
    """In kilograms."""


class Tipi(Tent):
    poles: int
    """How many it has."""
    weight: float
    """Without its poles."""


def test_what_stands_under_attributes_is_read_of_a_class_and_its_bases() -> None:
    assert attribute_docstrings(Tent) == {"size": "How many sleep in it.", "weight": "In kilograms."}
    assert attribute_docstrings(Tipi) == {
        "size": "How many sleep in it.",
        "weight": "Without its poles.",
        "poles": "How many it has.",
    }
    assert attribute_docstrings(int) == {}


def _shown(document: Json) -> Iterator[Json]:
    return (operation for methods in document["paths"].values() for operation in methods.values())


def _parameters(whole: Whole, name: str) -> list[Json]:
    return next(each["parameters"] for each in _shown(whole.document) if each["operationId"] == name)


def _resolved(document: Json, node: Json) -> Json:
    found: Any = document
    for step in node["$ref"].removeprefix("#/").split("/") if "$ref" in node else ():
        found = found[step]
    return found if "$ref" in node else node


def _nodes(node: Any) -> Iterator[Json]:  # noqa: ANN401 - anything that JSON holds
    if isinstance(node, dict):
        yield cast("Json", node)
    for each in cast("Json", node).values() if isinstance(node, dict) else cast("list[Any]", node):
        if isinstance(each, dict | list):
            yield from _nodes(each)
