"""The API docs page, with everything it needs served from here."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Ledger API</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><script id="api-reference" data-url="/docs/openapi.json"></script><script>%s</script></body>
</html>
"""


class DocsPage(OpenAPIRenderPlugin):
    """Scalar's page, its script inlined."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request, openapi_schema
        return _page()


@cache
def _page() -> bytes:
    # Only the file is taken: importing its package builds three pages, for a tenth of a second at every start.
    package = find_spec("offapi")
    assert package is not None  # noqa: S101 - it is a dependency
    assert package.origin is not None  # noqa: S101
    script = Path(package.origin).with_name("scalar.js").read_text(encoding="utf-8")
    return (_PAGE % script.replace("</script", "<\\/script")).encode()
