"""The docs page: served from here, and what its forms are filled with works."""

from ledger.app import routed
from ledger.openapi.document import document, encoded, schemas
from ledger.openapi.examples import of_parameter
from ledger.openapi.operations import JSON, Operation, operations
from ledger.openapi.schemas import Json
from ledger.settings import Settings
from tests.conftest import Opener, Running
from tests.openapi import require_example

ENDLESS = ("events", "loop_messages")
NOT_THERE_YET = ("get_thread_instructions", "delete_thread_instructions")
_ORDER = ("put", "patch", "post", "get", "delete")


async def test_it_is_served_as_it_is_printed(refusing: Running) -> None:
    served = await refusing.http.get("/docs/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.content == encoded(routed(Settings()))
    page = await refusing.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert 'data-url="/docs/openapi.json"' in page.text
    assert "withDefaultFonts: false" in page.text  # they would come from elsewhere


async def test_the_page_takes_whatever_query_it_is_opened_with(refusing: Running) -> None:
    assert (await refusing.http.get("/docs?theme=dark")).status_code == 200


async def test_what_the_page_fills_in_works_on_a_fresh_server(opened: Opener) -> None:
    found = operations(routed(Settings()))
    shown = document(found, schemas())
    tried = sorted(filter(_is_common, found), key=lambda each: _ORDER.index(each.method))
    assert len(tried) > 35
    async with opened(rules=True) as running:
        for operation in tried:
            path, query, body = _filled_in(operation, shown)
            answer = await running.http.request(operation.method, path, params=query, json=body)
            assert answer.status_code == operation.status, f"{operation.name}: {answer.text}"
            if kind := operation.answers.get(JSON):
                require_example(answer.json(), kind)


def _filled_in(operation: Operation, document: Json) -> tuple[str, dict[str, str], object]:
    """Path, query and body as the page's form has them: what is optional is not sent."""
    needed = [each for each in operation.parameters if each.required]
    examples = {each.name: str(of_parameter(operation.name, each.name)) for each in needed}
    query = {each.name: examples[each.name] for each in needed if each.place == "query"}
    shown = document["paths"][operation.path][operation.method]
    body = shown["requestBody"]["content"][JSON]["example"] if operation.body is not None else None
    return operation.path.format(**examples), query, body


def _is_common(operation: Operation) -> bool:
    """It asks for nothing that is not there yet, and ends."""
    in_path = {each.name for each in operation.parameters if each.place == "path"}
    return in_path <= {"thread_id", "loop", "version"} and operation.name not in (*ENDLESS, *NOT_THERE_YET)
