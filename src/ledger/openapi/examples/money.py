"""What a day may cost, models that fail, and what waits for a person."""

from ledger.openapi.examples import ids
from ledger.openapi.examples.ids import Json

_AMOUNTS: Json = {"calls": 4, "tokens": 7104, "actions": 1, "cost": 0.0}
_LIMITS: Json = {"calls": 200, "tokens": None, "actions": 48, "cost": None}
_BUDGET: Json = {
    "day": "2026-03-01",
    "timezone": "Europe/Paris",
    "renews_at": "2026-03-01T23:00:00Z",
    "spent": _AMOUNTS,
    "limits": _LIMITS,
}
_SERVICE: Json = _BUDGET | {
    "timezone": "UTC",
    "renews_at": "2026-03-02T00:00:00Z",
    "limits": {"calls": 2000, "tokens": None, "actions": None, "cost": None},
}
BUDGETS = (_BUDGET, _SERVICE)
"""Of the thread, and of all threads together."""

EXAMPLES: dict[str, Json] = {
    "Amounts": _AMOUNTS,
    "Limits": _LIMITS,
    "Budget": _SERVICE,
    "ThreadBudget": {"thread_id": ids.THREAD, "thread": _BUDGET, "service": _SERVICE},
    "BudgetChange": {"calls": 50, "tokens": "unlimited", "actions": None},
    "Provider": {
        "base_url": "http://127.0.0.1:11434/v1",
        "model": ids.MODEL,
        "failures": 5,
        "paused_at": ids.ENDED,
        "why": "The provider did not answer within 60 s.",
        "probe_at": "2026-03-01T10:28:33.912000Z",
        "probes": 0,
        "probing_until": None,
        "changed_at": ids.ENDED,
    },
    "Question": {
        "id": ids.QUESTION,
        "thread_id": ids.THREAD,
        "run_id": ids.HEARTBEAT_RUN,
        "question": "Which week of May suits you both?",
        "status": "answered",
        "asked_at": ids.ENDED,
        "answer": "The second.",
        "closed_at": ids.LATER,
    },
    "NewAnswer": {"answer": "The second."},
    "Approval": {
        "id": ids.APPROVAL,
        "thread_id": ids.THREAD,
        "run_id": ids.HEARTBEAT_RUN,
        "ordinal": 0,
        "action": {"action": "comment", "post_id": ids.POST, "content": ids.ANSWERED},
        "speaks": False,
        "status": "pending",
        "proposed_at": ids.ENDED,
        "expires_at": "2026-03-08T10:28:03.912000Z",
        "closed_at": None,
        "note": None,
        "result": None,
    },
    "Rejection": {"note": "Ask which week first."},
    "Problem": {
        "title": "Not Found",
        "status": 404,
        "detail": "There is no thread 'fishing'.",
        "instance": "/api/threads/fishing",
        "request_id": "5f0c9e6d2b7a4f18a3c1d4e8b6907a52",
    },
}
