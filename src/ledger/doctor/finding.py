"""What a check found, and words from elsewhere that may be shown."""

import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import unquote

from msgspec import Struct
from sqlalchemy.exc import DBAPIError

from ledger.settings import Settings

Level = Literal["ok", "warn", "FAIL"]
"""`FAIL`: a person must do something. `warn`: nothing is broken, or it could not be seen."""

_IN_URL = re.compile(r"(?<=:)[^/?#:]+(?=@)|(?<==)[^&#]+")
"""A password, and the values of a query; in whatever is given for a URL."""


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
    for url in (settings.database_url, settings.llm_base_url or ""):
        for secret in _IN_URL.findall(url):
            yield from (secret, unquote(secret))
