from collections.abc import AsyncGenerator, Sequence

from msgspec import UNSET, UnsetType

from ledger.client.connection import Connected
from ledger.client.pages import AT_ONCE, each
from ledger.threads.structs import Added, Message, NewMessage, NewMessages, NewThread, Page, Thread, ThreadChange


class Threads(Connected):
    async def create_thread(
        self,
        *,
        id: str | UnsetType = UNSET,  # noqa: A002 - as the field is called
        title: str = "",
        timezone: str = "UTC",
        idempotency_key: str | None = None,
    ) -> Thread:
        body = NewThread(id, title, timezone)
        return await self._connection.post(Thread, "/api/threads", key=idempotency_key, body=body)

    async def list_threads(self, *, limit: int = 50, cursor: str | None = None) -> Page[Thread]:
        return await self._connection.get(Page[Thread], "/api/threads", limit=limit, cursor=cursor)

    def threads(self) -> AsyncGenerator[Thread]:
        return each(lambda cursor: self.list_threads(limit=AT_ONCE, cursor=cursor))

    async def get_thread(self, thread_id: str) -> Thread:
        return await self._connection.get(Thread, "/api/threads/{}", thread_id)

    async def change_thread(
        self, thread_id: str, *, title: str | UnsetType = UNSET, timezone: str | UnsetType = UNSET
    ) -> Thread:
        return await self._connection.patch(Thread, "/api/threads/{}", thread_id, body=ThreadChange(title, timezone))

    async def delete_thread(self, thread_id: str) -> None:
        await self._connection.delete("/api/threads/{}", thread_id)

    async def add_messages(
        self, thread_id: str, messages: Sequence[NewMessage], *, idempotency_key: str | None = None
    ) -> Added:
        body = NewMessages(list(messages))
        return await self._connection.post(Added, "/api/threads/{}/messages", thread_id, key=idempotency_key, body=body)

    async def list_messages(
        self, thread_id: str, *, limit: int = 50, cursor: str | None = None, newest_first: bool = False
    ) -> Page[Message]:
        return await self._connection.get(
            Page[Message],
            "/api/threads/{}/messages",
            thread_id,
            limit=limit,
            cursor=cursor,
            newest_first=newest_first,
        )

    def messages(self, thread_id: str, *, newest_first: bool = False) -> AsyncGenerator[Message]:
        return each(
            lambda cursor: self.list_messages(thread_id, limit=AT_ONCE, cursor=cursor, newest_first=newest_first)
        )
