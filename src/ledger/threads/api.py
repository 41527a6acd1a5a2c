from typing import Annotated

from litestar import Controller, delete, get, patch, post
from litestar.params import JSONBody, QueryParameter

from ledger.clock import Clock
from ledger.db import Database
from ledger.threads import messages, store
from ledger.threads.structs import (
    DEFAULT_THREAD,
    Added,
    Message,
    NewMessages,
    NewThread,
    Page,
    Thread,
    ThreadChange,
)
from ledger.wire import Cursor, Given, Limit, ThreadKey

NewestFirst = Annotated[bool, QueryParameter(description="Newest first instead of oldest first.")]


class ThreadController(Controller):
    path = "/api/threads"
    tags = ["threads"]

    @post()
    async def create_thread(
        self,
        data: JSONBody[NewThread],
        db: Given[Database],
        clock: Given[Clock],
        wake: Given[store.Wake],
    ) -> Thread:
        """Create a thread; 409 if there is one with this id."""
        async with db.write() as session:
            thread = await store.create(session, data, now=clock.now())
            await wake(session, thread.id)
        return thread

    @get()
    async def list_threads(self, db: Given[Database], limit: Limit = 50, cursor: Cursor = None) -> Page[Thread]:
        """All threads, by id."""
        async with db.read() as session:
            return await store.page(session, limit=limit, cursor=cursor)

    @get("/{thread_id:str}")
    async def get_thread(self, thread_id: ThreadKey, db: Given[Database]) -> Thread:
        """One thread, and how much is in it."""
        async with db.read() as session:
            return await store.get(session, thread_id)

    @patch("/{thread_id:str}")
    async def change_thread(self, thread_id: ThreadKey, data: JSONBody[ThreadChange], db: Given[Database]) -> Thread:
        """Change a thread's title or time zone; absent fields stay as they are."""
        async with db.write() as session:
            return await store.change(session, thread_id, data)

    @delete("/{thread_id:str}")
    async def delete_thread(
        self,
        thread_id: ThreadKey,
        db: Given[Database],
        clock: Given[Clock],
        wake: Given[store.Wake],
    ) -> None:
        """Delete a thread and all that is its own, posts with others' comments and votes included.

        The thread `default` is emptied and stays.
        """
        async with db.write() as session:
            await store.remove(session, thread_id, now=clock.now())
            if thread_id == DEFAULT_THREAD:
                await wake(session, thread_id)

    @post("/{thread_id:str}/messages")
    async def add_messages(
        self,
        thread_id: ThreadKey,
        data: JSONBody[NewMessages],
        db: Given[Database],
        clock: Given[Clock],
        wake: Given[store.Wake],
    ) -> Added:
        """Add up to 1,000 messages in one transaction; those the thread has already change nothing."""
        async with db.write() as session:
            added = await messages.add(session, thread_id, data.messages, now=clock.now())
            if added.added:
                await wake(session, thread_id)
        return added

    @get("/{thread_id:str}/messages")
    async def list_messages(
        self,
        thread_id: ThreadKey,
        db: Given[Database],
        limit: Limit = 50,
        cursor: Cursor = None,
        newest_first: NewestFirst = False,
    ) -> Page[Message]:
        """A thread's messages, in the order in which they arrived."""
        async with db.read() as session:
            return await messages.page(session, thread_id, limit=limit, cursor=cursor, newest_first=newest_first)
