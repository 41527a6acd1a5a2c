"""Lists that come in pages, as one."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from ledger.threads.structs import Page

T = TypeVar("T")

AT_ONCE = 200
"""The most that a server gives at once."""


async def each(page: Callable[[str | None], Awaitable[Page[T]]]) -> AsyncGenerator[T]:
    """All items, page after page. `page` asks for the one at a cursor."""
    cursor = None
    while True:
        found = await page(cursor)
        for item in found.items:
            yield item
        cursor = found.next_cursor
        if cursor is None:
            return
