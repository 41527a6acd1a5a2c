"""Which problems an operation may answer."""

from ledger import errors
from ledger.errors import LedgerError
from ledger.openapi.operations import Operation

UNGUARDED = "is_live"
"""The one operation that asks for no token, and not the database either."""

_ALWAYS: tuple[type[LedgerError], ...] = (LedgerError, errors.Misdirected, errors.Invalid)
_GUARDED = (errors.Unauthorized, errors.Unavailable)
_CHANGING = (errors.Forbidden, errors.Full)
_WITH_BODY = (errors.Malformed, errors.TooLarge, errors.NotJson)

CONFLICTS = {
    "create_thread": "The thread exists already.",
    "edit_post": "The post was removed.",
    "remove_post": "The post was removed already.",
    "write_comment": "The post was removed.",
    "edit_comment": "The comment was removed.",
    "remove_comment": "The comment was removed already.",
    "cast_vote": "The post was removed.",
    "take_vote_back": "The post was removed.",
    "run_loop_now": "A turn of the same loop and thread is under way.",
    "run_heartbeat_now": "A heartbeat of the thread is under way.",
    "approve": "The action does not wait any more, or cannot be applied now.",
    "reject": "The action does not wait any more.",
    "answer_question": "The question is not open any more.",
    "dismiss_question": "The question is not open any more.",
}
"""What is in the way (409), by operation; in the way of any POST may be the same one, by its `Idempotency-Key`."""

_NAMING = ("write_post", "lint_heartbeat_md", "diff_heartbeat_md", "events", "loop_messages")
"""Operations that name something that may not exist elsewhere than in their path."""

_FOLLOWING = ("get_heartbeat_md", "list_heartbeat_md_versions", "explain_heartbeat")
"""Operations that look for a new HEARTBEAT.md on the disk, and keep it as a version."""


def problems(operation: Operation) -> list[type[LedgerError]]:
    """In the order of their status."""
    places = {parameter.place for parameter in operation.parameters}
    found = [*_ALWAYS]
    if operation.name != UNGUARDED:
        found += _GUARDED
    if operation.method != "get":
        found += _CHANGING
    elif operation.name in _FOLLOWING:
        found.append(errors.Full)
    if operation.body is not None:
        found += _WITH_BODY
    if places & {"path", "query"} and errors.Malformed not in found:
        found.append(errors.Malformed)
    if "path" in places or operation.name in _NAMING:
        found.append(errors.NotFound)
    if operation.name in CONFLICTS or operation.method == "post":
        found.append(errors.Conflict)
    if any(parameter.name == "If-Match" for parameter in operation.parameters):
        found.append(errors.Stale)
    return sorted(found, key=lambda kind: kind.status)


TOLD: dict[type[LedgerError], tuple[str, str]] = {
    LedgerError: (
        "Something went wrong in the server; its log says more under the `request_id`.",
        "Something went wrong in the server; its log says more under this request id.",
    ),
    errors.Malformed: (
        "The request cannot be read: an address or a body that is none, or a cursor that no page gave.",
        "The cursor 'abc' is not one this list gave: use a next_cursor as it came.",
    ),
    errors.Unauthorized: (
        "No token, or a wrong one, where the server asks for one.",
        "Send the token of this server: Authorization: Bearer TOKEN.",
    ),
    errors.Forbidden: (
        "A page of another origin asks for a change.",
        "Pages of 'https://elsewhere.example' may not do this: add it to CRT_CORS_ORIGINS.",
    ),
    errors.NotFound: ("Nothing has this name.", "There is no thread 'fishing'."),
    errors.Conflict: (
        "Not now: something else is under way, or was done already.",
        "There is a thread 'camping' already.",
    ),
    errors.Stale: (
        "Somebody else has changed it since the version that `If-Match` names.",
        "The version of HEARTBEAT.md is 4, not 3: somebody else has changed it. Read it again, and send its ETag.",
    ),
    errors.TooLarge: ("More than this server takes.", "The body is larger than 4 MiB: send less at once."),
    errors.NotJson: (
        "A body that is not JSON.",
        "The body must be JSON: send it with Content-Type: application/json.",
    ),
    errors.Misdirected: (
        "The Host header names another server.",
        "This server is not 'ledger.example': add it to CRT_ALLOWED_HOSTS if it is.",
    ),
    errors.Invalid: (
        "The request can be read, but is not what the operation takes.",
        "`treadid` is not a parameter of this operation: it takes thread_id, limit, cursor.",
    ),
    errors.Unavailable: (
        "The server is stopping, or its database cannot be reached: try again.",
        "The database cannot be used just now: try again.",
    ),
    errors.Full: (
        "The disk, or the database on it, has no room. Nothing was changed.",
        "The database, or the disk it is on, is full: make room, and try again. Nothing was changed.",
    ),
}
"""Of each problem what it means, and how one of its kind is told."""
