"""What would be better said otherwise: prose that a setting or a task says exactly, and what looks like a secret."""
# ruff: noqa: RUF001 - dashes of all kinds are meant

import re
from collections.abc import Iterable

from ledger.instructions.structs import FoundTask, Problem

MOST = 20
"""How many pieces of advice a text gets."""

_DAYS = "day|week|month|weekday|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_WHEN = re.compile(
    rf"\b(?:every|each) (?:\d+|other|few|half|hour|minute|morning|noon|afternoon|evening|night|{_DAYS})\b"
    r"|\b(?:hourly|daily|nightly|weekly|monthly|(?:once|twice) (?:a|per) (?:day|week|month|hour))\b"
    r"|\bat \d{1,2}(?::\d{2})? ?(?:am|pm)\b"
    r"|\bcada (?:\d+|d[ií]a|hora|semana|mañana|noche|manhã)\b|\ba cada \d+|\bdiariamente\b"
    r"|\b(?:toute?s les|tous les|chaque) (?:\d+|jours?|heures?|matins?|soirs?|semaines?)"
    r"|\b(?:alle \d+|täglich|stündlich|wöchentlich|jeden (?:tag|morgen|abend))\b"
    r"|[每隔] ?\d+(?: ?[-~] ?\d+)?\+? ?[个個]?(?:分钟|分鐘|小时|小時|天|周|週)|每(?:天|日|周|週|小时|小時|晚|早)"
    r"|毎(?:日|朝|晩|週|時間)|\d+(?:分|時間)(?:ごと|毎)",
    re.IGNORECASE,
)
_HOURS = re.compile(
    r"\d{1,2}:\d{2}\s*(?:[-–—~至到]|to|until|bis|à)\s*\d{1,2}:\d{2}"
    r"|\b(?:quiet|active|working|business|office|sleeping|waking) hours\b|\blate night\b|\bdo not disturb\b"
    r"|静默(?:时段|时间)|免打扰",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bxox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{30,}|\b\d{8,10}:[A-Za-z0-9_-]{35}\b"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.|-----BEGIN [A-Z ]{0,30}PRIVATE KEY"
    r"|\b[a-z]{2,12}://[^\s:/@]{1,64}:[^\s:/@]{3,64}@"
    r"|(?:password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token|bearer)[\"']?\s{0,3}[:=\s]\s{0,3}[\"']?"
    r"(?=[^\s\"']{0,80}\d)[A-Za-z0-9_\-./+]{12,}",
    re.IGNORECASE,
)


def advice(lines: Iterable[str], tasks: list[FoundTask]) -> list[Problem]:
    """Advice on prose outside of tasks, and warnings of secrets anywhere."""
    in_tasks = {line for task in tasks for line in range(task.line, task.end_line + 1)}
    secrets: list[Problem] = []
    found: list[Problem] = []
    for number, line in enumerate(lines, 1):
        if _SECRET.search(line):
            secrets.append(_secret(number))
        if number not in in_tasks and len(found) < MOST:
            found += _on_prose(number, line)
    return secrets + found


def _secret(number: int) -> Problem:
    message = "This looks like a secret, and a model is shown the whole text."
    return Problem(number, "warning", message, "Take it out, and change it where it is valid.")


def _on_prose(number: int, line: str) -> list[Problem]:
    if _HOURS.search(line):
        fix = "Set `active_hours_start` and `active_hours_end` of the thread, or a task's `window`."
        return [Problem(number, "advice", "Hours written as prose do not save the model call.", fix)]
    if _WHEN.search(line):
        message = "Time alone wakes nobody: while nothing is new, prose like this is not looked at."
        return [Problem(number, "advice", message, "Write it as a task, with `interval`, or `at` and `days`.")]
    return []
