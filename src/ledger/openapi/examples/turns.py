"""Loops, turns, runs, and the heartbeat of a thread."""

from ledger.openapi.examples import ids
from ledger.openapi.examples.ids import Json
from ledger.openapi.examples.instructions import TEXT
from ledger.openapi.examples.money import BUDGETS

_ACTION: Json = {
    "action": "comment",
    "success": True,
    "post_id": ids.POST,
    "comment_id": ids.COMMENT,
    "message_id": None,
    "approval_id": None,
    "title": "When?",
    "direction": None,
    "dry_run": False,
    "error": None,
}

_TASK: Json = {
    "name": "weather",
    "slot": ids.SLOT,
    "outcome": "reported",
    "report": "Nobody has spoken of the weather yet.",
}

_RUN: Json = {
    "id": ids.HEARTBEAT_RUN,
    "thread_id": ids.THREAD,
    "loop": "heartbeat",
    "trigger": "schedule",
    "outcome": "acted",
    "reason": None,
    "summary": ids.SUMMARY,
    "error": None,
    "decided_by": "model",
    "actions": [_ACTION],
    "tasks": [_TASK],
    "dry_run": False,
    "asked": None,
    "first_slot": ids.SLOT,
    "last_slot": ids.SLOT,
    "slots": 1,
    "attempt": 0,
    "started_at": ids.BEGAN,
    "finished_at": ids.ENDED,
    "lateness_seconds": 0.412,
    "model": ids.MODEL,
    "prompt_tokens": 1712,
    "completion_tokens": 64,
    "latency_seconds": 3.2,
    "cost": None,
    "next_check_at": None,
}

_DECISION: Json = {
    "verdict": "act",
    "reasoning": "Ann asks when, and the thread says May.",
    "summary": ids.SUMMARY,
    "actions": [{"action": "comment", "post_id": ids.POST, "content": ids.ANSWERED}],
    "tasks": [{"name": "weather", "report": _TASK["report"]}],
}

_DETAIL: Json = {
    "instructions": TEXT,
    "instructions_version": 3,
    "seen_seq": 3,
    "context": {"thread_title": "Camping", "new_messages": 3, "last_seq": 3, "may_speak": False},
    "prompt": [{"role": "system", "content": "You are ledger, the companion of a thread."}],
    "raw_answer": '{"verdict": "act", "summary": "Answered Ann: camping is planned for May."}',
    "decision": _DECISION,
}

_CONFIG: Json = {
    "enabled": True,
    "every": 1800,
    "target": "none",
    "active_hours_start": "08:00",
    "active_hours_end": 22,
    "timezone": "Europe/Paris",
    "model": None,
    "max_tokens": 500,
    "temperature": 0.7,
    "dry_run": False,
    "approval": "auto",
}

_GATE: Json = {"gate": "disabled", "open": True, "why": "It is switched on."}
_SLOT: Json = {"utc": ids.NEXT, "local": "Sun 2026-03-01 11:58", "tasks": []}
_SHOWN: Json = {
    "name": "weather",
    "schedule": "at 09:00 on mon-fri",
    "next_slot": "2026-03-02T08:00:00Z",
    "is_due": False,
    "when": None,
    "last_ran_at": ids.ENDED,
    "last_outcome": "reported",
}
_COST: Json = {
    "decided_by": "model",
    "model": ids.MODEL,
    "calls": 1,
    "prompt_tokens": 1712,
    "max_completion_tokens": 500,
}

_LOOP: Json = {
    "loop": "heartbeat",
    "enabled": True,
    "running": True,
    "interval_seconds": 1800,
    "last_pass_at": ids.ENDED,
    "turns_running": 0,
}

EXAMPLES: dict[str, Json] = {
    "ActionResult": _ACTION,
    "TaskResult": _TASK,
    "Run": _RUN,
    "RunDetail": _RUN | _DETAIL,
    "RunRequest": {"prompt": "Look at the dates again."},
    "LoopState": _LOOP,
    "LoopSwitch": {"loop": "heartbeat", "running": True, "every_seconds": 3600},
    "ThreadLoop": {
        "loop": "heartbeat",
        "thread_id": ids.THREAD,
        "enabled": True,
        "every": 1800,
        "next_slot": ids.NEXT,
        "next_due_at": ids.NEXT,
        "attempt": 0,
    },
    "ThreadLoopChange": {"enabled": True, "every": 3600},
    "Config": _CONFIG,
    "ConfigChange": {"every": 3600, "active_hours_start": "08:00", "active_hours_end": 22, "timezone": "Europe/Paris"},
    "ThreadConfig": {
        "thread_id": ids.THREAD,
        "config": _CONFIG,
        "last_run": ids.EPOCH,
        "last_summary": ids.SUMMARY,
        "problems": [],
    },
    "Status": {"enabled": True, "running": True, "interval_seconds": 1800},
    "Done": {"ok": True, "message": "The heartbeat loop is running."},
    "RunNow": {
        "thread_id": ids.THREAD,
        "ran_successfully": True,
        "timestamp": ids.EPOCH,
        "decision_summary": ids.SUMMARY,
        "actions": [_ACTION],
        "execution_time_seconds": 3.5,
        "error": None,
    },
    "Activity": {"timestamp": ids.EPOCH, "summary": ids.SUMMARY, "actions": [_ACTION], "success": True},
    "History": {
        "activities": [{"timestamp": ids.EPOCH, "summary": ids.SUMMARY, "actions": [_ACTION], "success": True}],
        "total_runs": 1,
    },
    "GateShown": _GATE,
    "SlotShown": _SLOT,
    "TaskShown": _SHOWN,
    "Cost": _COST,
    "Explanation": {
        "thread_id": ids.THREAD,
        "now": "2026-03-01T10:40:00Z",
        "timezone": "Europe/Paris",
        "summary": "The next heartbeat is due Sun 2026-03-01 11:58. If it ran now, it would decide.",
        "running": True,
        "enabled": True,
        "is_due": False,
        "next_slot": ids.NEXT,
        "next_due_at": ids.NEXT,
        "attempt": 0,
        "would_decide": True,
        "reason": None,
        "gates": [_GATE],
        "changes": ["People or applications wrote or voted 1 times."],
        "tasks": [_SHOWN],
        "slots": [_SLOT],
        "cost": _COST,
        "budgets": [*BUDGETS],
        "instructions_version": 3,
        "problems": [],
    },
    "Health": {"status": "ready", "stale_loops": []},
}
