"""An example of every struct, by the name of its component, and of every parameter: all of one story, and fixed."""

from ledger.openapi.examples import events, ids, instructions, mind, money, threads, turns
from ledger.openapi.examples.ids import Json
from ledger.paging import cursor


def _page(example: Json) -> Json:
    return {"items": [example], "next_cursor": None}


_ONES: dict[str, Json] = (
    threads.EXAMPLES | turns.EXAMPLES | instructions.EXAMPLES | mind.EXAMPLES | money.EXAMPLES | events.EXAMPLES
)

EXAMPLES = _ONES | {f"{name}Page": _page(example) for name, example in _ONES.items()}

TEXTS = {"get_context": mind.BRIEFING_TEXT}
"""Of answers that are plain text, by operation."""


def of_parameter(operation: str, name: str) -> object:
    """A name that several operations have means the same in all, unless one has an example of its own."""
    return _PARAMETERS.get(f"{operation}.{name}", _PARAMETERS.get(name))


_PARAMETERS: dict[str, object] = {
    "thread_id": ids.THREAD,
    "post_id": ids.POST,
    "comment_id": ids.COMMENT,
    "entry_id": ids.ENTRY,
    "approval_id": ids.APPROVAL,
    "question_id": ids.QUESTION,
    "run_id": ids.HEARTBEAT_RUN,
    "loop": "heartbeat",
    "version": 1,
    "voter": "ann",
    "limit": 50,
    "cursor": cursor("2026-03-01T10:05:00Z", ids.POST),
    "list_threads.cursor": cursor(ids.THREAD),
    "list_votes.cursor": cursor("ann"),
    "list_messages.cursor": cursor(2),
    "list_entries.cursor": cursor(2),
    "list_profiles.cursor": cursor(2),
    "list_scorecards.cursor": cursor(2),
    "list_heartbeat_md_versions.cursor": cursor(2),
    "newest_first": True,
    "sort": "new",
    "board": "general",
    "outcome": "acted",
    "reason": "nothing_new",
    "since": ids.CREATED,
    "until": ids.LATER,
    "kind": "reflection",
    "view": "tree",
    "max_tokens": 800,
    "format": "json",
    "strict": True,
    "If-Match": '"3"',
    "old": 1,
    "new": 1,
    "list_approvals.status": "pending",
    "list_questions.status": "open",
    "kinds": ["run", "post"],
    "after": ids.EVENT,
    "Last-Event-ID": ids.EVENT,
    "interval_seconds": 2.5,
}
