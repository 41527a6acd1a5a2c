"""The API docs page, with everything it needs served from here."""

from typing import Any

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin
from offapi import OpenAPITemplate


class DocsPage(OpenAPIRenderPlugin):
    """Scalar's page with its script inlined."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, object]) -> bytes:
        del request, openapi_schema
        return OpenAPITemplate.SCALAR.value.format(spec_url="/docs/openapi.json").encode()
