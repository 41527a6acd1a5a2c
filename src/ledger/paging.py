"""Paging by the last row seen, so that a page costs the same wherever it begins."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.expression import Tuple

from ledger.errors import Malformed

T = TypeVar("T")

AnySelect = Select[*tuple[Any, ...]]


class Keyset:
    """The order of a list by columns that name one row, and where in it a page begins.

    A page is read by `select(…, limit)`, which asks for one row more than the limit, and cut by `cut`.
    """

    def __init__(self, *keys: InstrumentedAttribute[Any], descending: bool = True) -> None:
        self._keys = keys
        self._descending = descending
        self._cursor = msgspec.json.Decoder(tuple.__class_getitem__(tuple(key.type.python_type for key in keys)))

    def select(self, statement: AnySelect, limit: int, cursor: str | None) -> AnySelect:
        if cursor is not None:
            place, keys = self._read(cursor), tuple_(*self._keys)
            statement = statement.where(keys < place if self._descending else keys > place)
        order = [key.desc() if self._descending else key.asc() for key in self._keys]
        return statement.order_by(*order).limit(limit + 1)

    def cut(self, items: list[T], limit: int) -> tuple[list[T], str | None]:
        """The page, and the cursor of the next one if there is more."""
        if len(items) <= limit:
            return items, None
        return items[:limit], cursor(*(getattr(items[limit - 1], key.key) for key in self._keys))

    def _read(self, cursor: str) -> Tuple:
        try:
            values = self._cursor.decode(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
        except (ValueError, OverflowError):
            values = None
        if values is None or not all(map(_is_storable, values)):
            raise Malformed(f"The cursor {cursor!r} is not one this list gave: use a next_cursor as it came.")
        return tuple_(*(literal(value, key.type) for value, key in zip(values, self._keys, strict=True)))


def cursor(*place: object) -> str:
    """The cursor of what stands behind the row that has these values."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _is_storable(value: object) -> bool:
    """Whether both databases take the value in a comparison; what they gave out themselves they do."""
    match value:
        case str():
            return "\x00" not in value
        case datetime():
            return value.tzinfo is not None and 1 < value.year < 9999  # noqa: PLR2004 - a moment in every time zone
        case int():
            return abs(value) < 2**31
        case _:
            return True
