from collections.abc import AsyncGenerator
from typing import Literal

from msgspec import UNSET, UnsetType

from ledger.client.connection import Connected
from ledger.client.pages import AT_ONCE, each
from ledger.journal.structs import (
    Entry,
    EntryTree,
    JournalSettings,
    JournalSettingsChange,
    Kind,
    NewReply,
    PostsWhen,
)
from ledger.threads.structs import Page

View = Literal["list", "tree"]


class Journal(Connected):
    async def list_entries(
        self,
        thread_id: str,
        *,
        kind: Kind | None = None,
        view: View = "list",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[EntryTree]:
        return await self._connection.get(
            Page[EntryTree],
            "/api/threads/{}/journal",
            thread_id,
            kind=kind,
            view=view,
            limit=limit,
            cursor=cursor,
        )

    def entries(self, thread_id: str, *, kind: Kind | None = None, view: View = "list") -> AsyncGenerator[EntryTree]:
        return each(lambda cursor: self.list_entries(thread_id, kind=kind, view=view, limit=AT_ONCE, cursor=cursor))

    async def get_entry(self, thread_id: str, entry_id: str) -> Entry:
        return await self._connection.get(Entry, "/api/threads/{}/journal/{}", thread_id, entry_id)

    async def reply_to_entry(
        self,
        thread_id: str,
        entry_id: str,
        *,
        body: str,
        author: str = "person",
        idempotency_key: str | None = None,
    ) -> Entry:
        return await self._connection.post(
            Entry,
            "/api/threads/{}/journal/{}/replies",
            thread_id,
            entry_id,
            key=idempotency_key,
            body=NewReply(body, author),
        )

    async def get_journal_settings(self, thread_id: str) -> JournalSettings:
        return await self._connection.get(JournalSettings, "/api/threads/{}/journal/settings", thread_id)

    async def change_journal_settings(
        self,
        thread_id: str,
        *,
        self_reply: bool | UnsetType = UNSET,
        posts: PostsWhen | UnsetType = UNSET,
    ) -> JournalSettings:
        body = JournalSettingsChange(self_reply, posts)
        return await self._connection.put(JournalSettings, "/api/threads/{}/journal/settings", thread_id, body=body)
