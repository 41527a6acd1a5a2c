"""HEARTBEAT.md, and what is understood of it."""

from ledger.openapi.examples import ids
from ledger.openapi.examples.ids import Json

TEXT = """\
# Camping

## Checklist
- Answer who calls you.

```yaml
tasks:
  - name: weather
    at: "09:00"
    days: mon-fri
    prompt: Look whether the weather was spoken of.
```
"""

_OWN = "## Checklist\n- Keep a list of what we want to take along.\n"
_SAVED = "2026-02-28T18:30:00Z"
_SAVED_EPOCH = 1772303400.0

_PROBLEM: Json = {
    "line": 8,
    "severity": "advice",
    "message": "It runs in the first heartbeat at or after 09:00: up to 30m later.",
    "fix": "Have the heartbeat come more often.",
}
_ITEM: Json = {"line": 4, "text": "Answer who calls you."}
_SECTION: Json = {"name": "Checklist", "line": 3, "end_line": 13, "items": [_ITEM]}
_TASK: Json = {
    "name": "weather",
    "line": 8,
    "end_line": 11,
    "in_force": True,
    "by_last_good_form": False,
    "schedule": "at 09:00 on mon-fri",
    "prompt": "Look whether the weather was spoken of.",
    "when": None,
    "catch_up": "once",
}
_UNDERSTOOD: Json = {"line": 8, "end_line": 11, "what": "task 'weather': at 09:00 on mon-fri"}

EXAMPLES: dict[str, Json] = {
    "InstructionsProblem": _PROBLEM,
    "InstructionsFile": {
        "content": TEXT,
        "last_modified": _SAVED_EPOCH,
        "path": "/srv/ledger/HEARTBEAT.md",
        "version": 3,
        "problems": [_PROBLEM],
    },
    "InstructionsText": {"version": 3, "content": TEXT, "saved_at": _SAVED, "source": "api"},
    "InstructionsDiff": {
        "old": 2,
        "new": 3,
        "diff": "--- version 2\n+++ version 3\n@@ -3,2 +3,2 @@\n ## Checklist\n-- Look around.\n+- Answer who calls.",
    },
    "InstructionsChange": {"version": 3, "source": "api"},
    "NewInstructions": {"content": TEXT},
    "NewOwnInstructions": {"content": _OWN, "mode": "extend"},
    "OwnInstructions": {
        "thread_id": ids.THREAD,
        "mode": "extend",
        "content": _OWN,
        "version": 1,
        "saved_at": _SAVED,
        "problems": [],
    },
    "VersionSummary": {"version": 3, "saved_at": _SAVED, "source": "api", "size": len(TEXT)},
    "Item": _ITEM,
    "Section": _SECTION,
    "LintedTask": _TASK,
    "Understood": _UNDERSTOOD,
    "Lint": {
        "is_empty": False,
        "has_work": True,
        "tasks": [_TASK],
        "sections": [_SECTION],
        "understood": [_UNDERSTOOD],
        "problems": [_PROBLEM],
    },
}
