"""What would be better said otherwise: prose that a setting or a task says exactly, and what looks like a secret."""
# ruff: noqa: RUF001 - dashes of all kinds are meant

import re

from ledger.instructions.secrets import has_secret
from ledger.instructions.structs import FoundTask, Problem

MOST = 20
"""How many pieces of advice a text gets."""

_DAYS = "day|week|month|weekday|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_WHEN = re.compile(
    rf"\b(?:every|each) (?:\d+|other|few|half|hour|minute|morning|noon|afternoon|evening|night|{_DAYS})\b(?!-)"
    r"|\b(?:hourly|daily|nightly|weekly|monthly|(?:once|twice) (?:a|per) (?:day|week|month|hour))\b"
    r"|\bat \d{1,2}(?::\d{2})? ?(?:am|pm)\b"
    r"|\btodos (?:los|os) d[ií]as\b|\bogni (?:giorno|ora|mattina|sera)\b|\bкажд(?:ый день|ое утро|ый час)\b"
    r"|\bcada (?:\d{1,4}|d[ií]a|hora|semana|mañana|noche|manhã)\b|\ba cada \d{1,4}|\bdiariamente\b"
    r"|\b(?:toute?s les|tous les|chaque) (?:\d{1,4}|jours?|heures?|matins?|soirs?|semaines?)"
    r"|\b(?:alle \d{1,4}|täglich|stündlich|wöchentlich|jeden (?:tag|morgen|abend))\b"
    r"|[每隔] ?\d{1,4}(?: ?[-~] ?\d{1,4})?\+? ?[个個]?(?:分钟|分鐘|小时|小時|天|周|週)"
    r"|每(?:天|日|周|週|小时|小時|晚|早)"
    r"|毎(?:日|朝|晩|週|時間)|(?<!\d)\d{1,4}(?:分|時間)(?:ごと|毎)",
    re.IGNORECASE,
)
_HOURS = re.compile(
    r"\d{1,2}:\d{2}\s{0,3}(?:[-–—~至到]|to|until|and|bis|und|à|a|y)\s{0,3}\d{1,2}:\d{2}|\b\d{1,2} ?h à \d{1,2} ?h\b"
    r"|\b(?:quiet|active|working|business|office|sleeping|waking) hours\b|\blate night\b|\bdo not disturb\b"
    r"|静默(?:时段|时间)|免打扰",
    re.IGNORECASE,
)


def advice(lines: list[str], visible: list[str], tasks: list[FoundTask]) -> list[Problem]:
    """Warnings of secrets anywhere, and advice on prose outside of tasks; `visible` are the lines without comments."""
    in_tasks = {line for task in tasks for line in range(task.line, task.end_line + 1)}
    secrets: list[Problem] = []
    found: list[Problem] = []
    for number, (line, seen) in enumerate(zip(lines, visible, strict=True), 1):
        if has_secret(line):
            secrets.append(_secret(number))
        if number not in in_tasks and len(found) < MOST:
            found += _on_prose(number, seen)
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
