"""The journal: what the agent notes of a thread, and what people say to it."""

from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import structs

from ledger.clock import Clock
from ledger.db import Database
from ledger.journal import store
from ledger.journal.structs import Entry, EntryTree, Kind, NewReply
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.threads.names import refuse_agents_name
from ledger.threads.structs import Page
from ledger.wire import Cursor, Given, Limit, ThreadKey

EntryKey = Annotated[str, PathParameter(description="The id of the entry.")]
OfKind = Annotated[Kind | None, QueryParameter(description="Only entries of this kind.")]
View = Annotated[
    Literal["list", "tree"],
    QueryParameter(
        description="`list`: every entry; `tree`: those that answer nothing, with the answers to them, 5,000 at most."
    ),
]

_NESTED = 50


class JournalController(Controller):
    path = "/api/threads/{thread_id:str}/journal"
    tags = ["journal"]

    @get()
    async def list_entries(
        self,
        thread_id: ThreadKey,
        db: Given[Database],
        kind: OfKind = None,
        view: View = "list",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[EntryTree]:
        """Entries, the newest first; as a tree, each with its answers, the oldest first."""
        roots = view == "tree"
        async with db.read() as session:
            await threads.get(session, thread_id)
            page = await store.page(session, thread_id, kind=kind, roots=roots, limit=limit, cursor=cursor)
            answers = await store.under(session, [entry.id for entry in page.items]) if roots else []
        shown = _trees(page.items, answers) if roots else [EntryTree(**structs.asdict(entry)) for entry in page.items]
        return Page(shown, page.next_cursor)

    @get("/{entry_id:str}")
    async def get_entry(self, thread_id: ThreadKey, entry_id: EntryKey, db: Given[Database]) -> Entry:
        """One entry of the journal."""
        async with db.read() as session:
            return await store.get(session, thread_id, entry_id)

    @post("/{entry_id:str}/replies")
    async def reply_to_entry(
        self,
        thread_id: ThreadKey,
        entry_id: EntryKey,
        data: JSONBody[NewReply],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        wake: Given[threads.Wake],
    ) -> Entry:
        """Say something to an entry; the agent answers."""
        refuse_agents_name("author", data.author, settings.agent_name)
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            answered = await store.get(session, thread_id, entry_id)
            await threads.stir(session, thread_id)
            entry = await store.comment(session, answered, data.author, data.body, now=clock.now())
            await wake(session, thread_id)
        return entry


def _trees(roots: list[Entry], answers: list[Entry]) -> list[EntryTree]:
    """Each root with its answers. Deeper than 50, answers stand beside what they answer: JSON cannot nest for ever."""
    below: dict[str, list[EntryTree]] = {entry.id: [] for entry in (*roots, *answers)}
    holder = {entry.id: entry.id for entry in roots}
    for answer in answers:
        under = holder.get(answer.reply_to or "", answer.root)
        answer_holds = answer.depth < _NESTED
        holder[answer.id] = answer.id if answer_holds else under
    for answer in reversed(answers):  # an answer comes after what it answers
        under = holder.get(answer.reply_to or "", answer.root)
        below[under].insert(0, _tree(answer, below))
    return [_tree(root, below) for root in roots]


def _tree(entry: Entry, below: dict[str, list[EntryTree]]) -> EntryTree:
    return EntryTree(**structs.asdict(entry), replies=below[entry.id])
