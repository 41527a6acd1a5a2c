"""What a check found, and words from elsewhere that may be shown."""

import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote, quote_plus, unquote

from msgspec import Struct
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ledger.settings import Settings

Level = Literal["ok", "warn", "FAIL"]
"""`FAIL`: a person must do something. `warn`: nothing is broken, or it could not be seen."""

_IN_URL = re.compile(r"(?<=:)[^/?#:]+(?=@)|(?<=password=)[^&#]+|(?<=key=)[^&#]+|(?<=token=)[^&#]+")
"""A password before the host, and what the names of a query's values call secret; in whatever is given for a URL."""


class Finding(Struct, frozen=True):
    check: str
    level: Level
    detail: str
    mend: str = ""
    """What to do about it."""


def told(error: BaseException, settings: Settings) -> str:
    """What an error says, in one line and without the secrets of the settings."""
    said = str(error.orig if isinstance(error, DBAPIError) else getattr(error, "strerror", None) or error)
    for secret in _secrets(settings):
        said = said.replace(secret, "…")
    return " ".join(said.split()).rstrip(".") or type(error).__name__


def _secrets(settings: Settings) -> Iterator[str]:
    yield from filter(None, (settings.llm_api_key, settings.api_token))
    if password := make_url(settings.database_url).password:
        yield from (password, quote(password), quote_plus(password))
    for url in (settings.database_url, settings.llm_base_url or ""):
        for secret in _IN_URL.findall(url):
            yield from (secret, unquote(secret))
