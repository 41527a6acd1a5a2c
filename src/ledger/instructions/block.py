"""The `tasks:` block: where tasks begin and end in a text, and what their keys say."""

import difflib
import re
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml
from msgspec import structs

from ledger.hours import EVERY_DAY
from ledger.instructions.secrets import shown
from ledger.instructions.structs import FoundTask, Problem, Task
from ledger.instructions.values import DAY_SECONDS, MEANT, READ, Unreadable

MAX_TASKS = 100
_SHOWN = 40

_MARKER = re.compile(r"tasks:(?:\s*\[\s*\])?(?:\s*#.*)?", re.IGNORECASE)
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*)")
_ALMOST = re.compile(r"\s*(?:[-*+]\s+\{[^}]{0,200}name|\d{1,4}[.)]\s+name\s*:)")
_BULLET = re.compile(r"(\s*)[-*+](\s+)(?=\S)")
_KEY = re.compile(r"(?P<quote>[\"']?)(?P<key>[^\W\d][\w -]{0,60}?)(?P=quote)\s{0,9}:(?=\s|$)(?P<value>.*)")


class Block(NamedTuple):
    tasks: list[FoundTask]
    markers: list[int]
    """The lines that say that tasks follow."""
    problems: list[Problem]


class _Entry(NamedTuple):
    key: str
    line: int
    lines: list[str]
    """The value: what follows the colon, then the lines below it."""


class _Value(NamedTuple):
    text: str
    warning: str = ""


def find_tasks(lines: list[str]) -> Block:
    """The tasks in a text's lines (comments blanked out)."""
    found: list[FoundTask] = []
    markers: list[int] = []
    loose: list[Problem] = []
    in_block = at_marker = False
    index = 0
    while index < len(lines):
        line = lines[index]
        if _is_marker(line):
            in_block = at_marker = True
            markers.append(index + 1)
        elif in_block and _ALMOST.match(line):
            loose.append(_almost(index + 1))
        elif _HEADING.fullmatch(line):
            at_marker = False
        elif _BULLET.match(line):
            end = _item_end(lines, index)
            entries = _entries(lines, index, end)
            known = {entry.key for entry in entries} & READ.keys()
            if in_block and (len(known) > 1 or (known and at_marker and entries[0].key == "name")):
                found.append(_read_task(entries, index + 1, end))
                index = end
                continue
            if not in_block and {"name", "prompt"} <= known:
                loose.append(_loose(index + 1))
        index += 1
    return Block(_unique(found), markers, loose)


def _is_marker(line: str) -> bool:
    heading = _HEADING.fullmatch(line)
    return bool(_MARKER.fullmatch(line.strip())) or (heading is not None and plain(heading[1]) == "tasks")


def plain(heading: str) -> str:
    """A heading's words, without marks around them, in lower case."""
    places = [index for index, char in enumerate(heading) if char.isalnum()]
    return heading[places[0] : places[-1] + 1].lower() if places else ""


def _loose(line: int) -> Problem:
    return Problem(
        line, "warning", "This looks like a task, but no tasks: stands before it.", "Write a line `tasks:` above."
    )


def _almost(line: int) -> Problem:
    message = "This looks like a task, but is not written as one, so it is read as prose."
    return Problem(line, "warning", message, "Write `- name: …`, and each key on a line of its own.")


def _item_end(lines: list[str], start: int) -> int:
    """The line behind the item: the first one that is not blank and not indented deeper than its bullet."""
    bullet = _indent(lines[start])
    end = last = start + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > bullet):
        end += 1
        last = end if lines[end - 1].strip() else last
    return last


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _entries(lines: list[str], start: int, end: int) -> list[_Entry]:
    """The keys of an item; none if it does not begin with one. They all stand in one column, values deeper."""
    bullet = _BULLET.match(lines[start])
    first = _KEY.fullmatch(lines[start], bullet.end()) if bullet else None
    if bullet is None or first is None:
        return []
    column = min((_indent(line) for line in lines[start + 1 : end] if line.strip()), default=0)
    is_text = column > bullet.end() and first["value"].strip()[:1] in ("|", ">", '"', "'")
    entries = [_Entry(first["key"], start + 1, [first["value"]])]
    for number, line in enumerate(lines[start + 1 : end], start + 2):
        key = _KEY.fullmatch(line, column) if _indent(line) == column and not is_text else None
        if key is not None:
            entries.append(_Entry(key["key"], number, [key["value"]]))
        else:
            entries[-1].lines.append(line[max(0, column - 1) :] if is_text else line[column:])
    return entries


def _read_task(entries: list[_Entry], line: int, end_line: int) -> FoundTask:
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    name: str | None = None
    for entry in entries:
        if entry.key not in READ:
            problems.append(_unknown(entry))
        elif entry.key in values:
            problems.append(Problem(entry.line, "error", f"`{entry.key}` stands twice in this task.", "Keep one."))
        else:
            values[entry.key] = _read(entry, problems)
            name = values[entry.key] if entry.key == "name" else name
    problems += _missing(values, line) + _contradictions(values, entries, line)
    is_good = not any(problem.severity == "error" for problem in problems)
    task = _task(values) if is_good else None
    return FoundTask(name=name, line=line, end_line=end_line, task=task, problems=problems)


def _task(values: dict[str, Any]) -> Task:
    fields = {key: value for key, value in values.items() if key != "interval"}
    once = "interval" in values and values["interval"] is None
    return Task(**fields, once=once, interval_seconds=values.get("interval"))


def _read(entry: _Entry, problems: list[Problem]) -> Any:  # noqa: ANN401 - what the key's reader gives
    """The entry's value; None, with a problem, if it is not understood."""
    try:
        value = _scalar(entry)
        if value.warning and entry.key in ("name", "prompt"):
            problems.append(Problem(entry.line, "warning", value.warning, "Put the text in quotes."))
        return READ[entry.key](value.text.strip())
    except Unreadable as right:
        problems.append(
            Problem(
                entry.line,
                "error",
                f"`{entry.key}` is not understood: {_shown(entry)}.",
                f"{right}."[:1].upper() + f"{right}."[1:],
            )
        )
        return None


def _scalar(entry: _Entry) -> _Value:
    """The value as YAML has it; a line that is no YAML is taken as it stands."""
    raw = entry.lines[0].strip()
    is_one_line = not any(line.strip() for line in entry.lines[1:])
    try:
        node = yaml.compose("\n".join([f"value:{entry.lines[0]}", *entry.lines[1:]]), Loader=yaml.SafeLoader)
        value = node.value[0][1] if isinstance(node, yaml.MappingNode) else None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        value, why = None, _yaml_reason(error)
    else:
        why = "YAML reads it as something else than text"
    if entry.key == "days" and isinstance(value, yaml.SequenceNode):
        return _Value(",".join(str(item.value) for item in value.value))
    if isinstance(value, yaml.ScalarNode) and (value.style or raw[:1] not in ("!", "&")):
        is_cut = value.style is None and " #" in raw and is_one_line
        return _Value(value.value, "What follows # is a comment and not read." if is_cut else "")
    if is_one_line and raw[:1] not in ('"', "'"):
        return _Value(raw, f"This is not YAML ({why}); it is read as it stands.")
    raise Unreadable(f"put the text in quotes, or indent it below `{entry.key}: |` ({why})")


def _yaml_reason(error: Exception) -> str:
    return (getattr(error, "problem", None) or "it is nested too deeply").replace("\n", " ")


def _shown(entry: _Entry) -> str:
    text = entry.lines[0].strip() or (entry.lines[1].strip() if len(entry.lines) > 1 else "")
    return shown(textwrap.shorten(text, _SHOWN, placeholder=" …")) if text else "it is empty"


def _unknown(entry: _Entry) -> Problem:
    near = MEANT.get(entry.key.lower()) or next(iter(difflib.get_close_matches(entry.key.lower(), READ, 1, 0.6)), None)
    fix = f"Perhaps you mean `{near}`." if near else f"Known keys are {', '.join(READ)}."
    return Problem(entry.line, "warning", f"The key {shown(entry.key)} is unknown, so it does nothing.", fix)


def _missing(values: dict[str, Any], line: int) -> list[Problem]:
    problems = [
        Problem(line, "error", f"The task has no `{key}`.", f"Add `{key}: …`.")
        for key in ("name", "prompt")
        if key not in values
    ]
    if "interval" not in values and "at" not in values:
        problems.append(
            Problem(
                line, "error", "The task does not say when.", "Add `interval: 30m` (or 2h, 1d, once), or `at: 09:00`."
            )
        )
    return problems


def _contradictions(values: dict[str, Any], entries: Iterable[_Entry], line: int) -> list[Problem]:
    lines = {entry.key: entry.line for entry in entries}
    seconds, at, window = values.get("interval"), values.get("at"), values.get("window")
    problems: list[Problem] = []
    if at is not None and seconds is not None and seconds % DAY_SECONDS:
        message = "`at` names a time of day, and the interval is not one of whole days."
        problems.append(Problem(lines["at"], "error", message, "Write 1d, 2d or 1w, or leave one of both out."))
    if window is not None and window[0] == window[1]:
        message = "The window opens and closes at the same time, so the task never runs."
        problems.append(Problem(lines["window"], "warning", message, "Write two different times, such as 08:00-22:00."))
    elif window is not None and at is not None and not _within(at, window):
        skips = values.get("catch_up") == "skip"
        message = "`at` lies outside the window, so the task " + (
            "never runs." if skips else "waits for the window to open."
        )
        problems.append(Problem(lines["at"], "warning", message, "Move one of both."))
    if at is not None and values.get("days", EVERY_DAY) != EVERY_DAY and seconds and seconds > 7 * DAY_SECONDS:
        message = "Of the days named, the interval leaves most out."
        problems.append(Problem(line, "warning", message, "Check that this is meant."))
    return problems


def _within(at: int, window: tuple[int, int]) -> bool:
    start, end = window
    return start <= at < end if start < end else at >= start or at < end


def _unique(found: list[FoundTask]) -> list[FoundTask]:
    """With an error at each task whose name another has, the first without errors keeping it; and past the limit."""
    owners: dict[str, FoundTask] = {}
    for task in found:
        if task.name is not None and (task.name not in owners or (task.task and not owners[task.name].task)):
            owners[task.name] = task
    checked: list[FoundTask] = []
    for task in found:
        problem: Problem | None = None
        owner = owners.get(task.name or "", task)
        if len(checked) >= MAX_TASKS:
            problem = Problem(task.line, "error", f"There are more than {MAX_TASKS} tasks.", "Keep fewer.")
        elif owner is not task:
            message = f"The name {shown(task.name or '')} is taken by the task on line {owner.line}."
            problem = Problem(task.line, "error", message, "Give it another name.")
        if problem is not None:
            checked.append(structs.replace(task, task=None, name=None, problems=[*task.problems, problem]))
        else:
            checked.append(task)
    return checked
