"""The API docs page, with everything it needs served from here."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Controller, Request, Response, get
from litestar.enums import MediaType

from ledger.openapi.document import encoded

_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Ledger API</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><script id="api-reference" data-url="/docs/openapi.json"></script><script>
document.getElementById("api-reference").dataset.configuration = JSON.stringify({
  servers: [{url: location.origin}], agent: {disabled: true}, mcp: {disabled: true}, hideClientButton: true,
  showDeveloperTools: "never", telemetry: false, withDefaultFonts: false,
})
</script><script>%s</script></body>
</html>
"""
"""It asks nobody but this server: not for fonts, and not for what Scalar offers beside."""


class DocsController(Controller):
    path = "/docs"
    include_in_schema = False

    @get(media_type=MediaType.HTML, sync_to_thread=True)
    def show_page(self) -> bytes:
        """Scalar's page, its script inlined."""
        return _page()

    @get("/openapi.json", sync_to_thread=True)
    def show_document(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The OpenAPI document; it is made when it is first asked for."""
        return Response(encoded(request.app), media_type=MediaType.JSON)


@cache
def _page() -> bytes:
    # Only the file is taken: importing its package builds three pages, for a tenth of a second at every start.
    package = find_spec("offapi")
    assert package is not None  # noqa: S101 - it is a dependency
    assert package.origin is not None  # noqa: S101
    script = Path(package.origin).with_name("scalar.js").read_text(encoding="utf-8")
    return (_PAGE % script.replace("</script", "<\\/script")).encode()
