"""What Ledger understands of a text, line by line, and what is odd about it."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile

from msgspec import Struct

from ledger.hours import DAY_MINUTES, EVERY_DAY, Hours, Window, local_moment
from ledger.instructions.advice import advice
from ledger.instructions.structs import FoundTask, Lint, LintedTask, Problem, Reading, Task, Understood
from ledger.instructions.text import lines_of, read
from ledger.instructions.values import clock_text, interval_text, schedule_text

_SOME_WEEK = datetime(2026, 1, 5, tzinfo=UTC)
_WEEK = timedelta(days=8)


class Heart(Struct, frozen=True):
    """How the heartbeats beat that will read a text."""

    every: timedelta
    hours: Hours
    """When they are active, and in which time zone."""


def lint(text: str, heart: Heart, carried: list[Task]) -> Lint:
    """Look a text over. `carried`: the last good form of tasks that have errors in it."""
    reading = read(text)
    last_good = {task.name: task for task in carried}
    tasks = [_shown(found, last_good.get(found.name or "")) for found in reading.tasks]
    has_work = reading.has_work or not all(task.in_force for task in tasks)
    return Lint(
        is_empty=not tasks and not has_work,
        has_work=has_work,
        tasks=tasks,
        sections=reading.sections,
        understood=sorted(_understood(reading, tasks, has_work=has_work), key=lambda item: item.line),
        problems=problems(text, heart, last_good),
    )


def problems(text: str, heart: Heart, last_good: dict[str, Task]) -> list[Problem]:
    """All that is odd about a text, by line."""
    reading = read(text)
    found = [*reading.problems, *advice(lines_of(text), reading.visible, reading.tasks)]
    for task in reading.tasks:
        found += task.problems
        if task.task is not None:
            found += _timing(task.task, task.line, heart)
        elif task.name in last_good:
            message = f"The task {task.name!r} has errors: its last good form stays in force."
            found.append(Problem(task.line, "warning", message, f"That is: {schedule_text(last_good[task.name])}."))
    if reading.is_empty:
        found = [problem for problem in found if problem.severity != "advice"]  # on prose that nobody follows
        message = "There is no work in it, so heartbeats do nothing."
        found.append(Problem(0, "warning", message, "Write a checklist or tasks."))
    return sorted(found, key=lambda problem: problem.line)


def never_open(task: Task, heart: Heart) -> bool:
    """Whether the task's window and the active hours have no moment in common."""
    hours = task_hours(task, heart.hours.timezone)
    if hours.never or heart.hours.never:
        return True
    if hours.always or heart.hours.always:
        return False
    ours, theirs = _week_of(hours), _week_of(heart.hours)
    return not any(one.opens < other.closes and other.opens < one.closes for one in ours for other in theirs)


def task_hours(task: Task, timezone: str) -> Hours:
    """When a heartbeat may run a task, once it is due. Days bind one with a time of day by its slot alone."""
    start, end = task.window or (0, DAY_MINUTES)
    days = task.days if task.at is None else EVERY_DAY
    return Hours(start, end, task.tz or timezone, days)


def _week_of(hours: Hours) -> list[Window]:
    return list(takewhile(lambda window: window.opens < _SOME_WEEK + _WEEK, hours.windows(_SOME_WEEK)))


def _timing(task: Task, line: int, heart: Heart) -> list[Problem]:
    """What is odd about when a task runs."""
    every = interval_text(int(heart.every.total_seconds()))
    found: list[Problem] = []
    if task.interval_seconds is not None and timedelta(seconds=task.interval_seconds) < heart.every:
        message = f"Its interval is finer than that of the heartbeat, which is {every}: it runs once a heartbeat."
        fix = f"Write `interval: {every}`, or have the heartbeat come more often."
        found.append(Problem(line, "warning", message, fix))
    if task.at is not None:
        found.append(
            Problem(line, "advice", _lateness(task.at, task, heart, every), "Have the heartbeat come more often.")
        )
    length = timedelta(minutes=(task.window[1] - task.window[0]) % DAY_MINUTES) if task.window else timedelta(0)
    if timedelta(0) < length < heart.every:
        message = f"The window is shorter than the heartbeat's interval of {every}: it may pass between two heartbeats."
        found.append(Problem(line, "warning", message, "Widen the window."))
    if never_open(task, heart) and not (task.window and task.window[0] == task.window[1]):
        message = "The task's window and days, and the active hours, have no moment in common, so it never runs."
        found.append(Problem(line, "warning", message, "Move one of them."))
    return found


def _lateness(at: int, task: Task, heart: Heart, every: str) -> str:
    moment = local_moment(_SOME_WEEK.date(), at, task.tz or heart.hours.timezone)
    first = f"It runs in the first heartbeat at or after {clock_text(at)}"
    if heart.hours.never or heart.hours.is_open(moment):
        return f"{first}: up to {every} later."
    return f"{first}: once the active hours open, which are closed then."


def _shown(found: FoundTask, last_good: Task | None) -> LintedTask:
    task = found.task or last_good
    return LintedTask(
        name=found.name,
        line=found.line,
        end_line=found.end_line,
        in_force=task is not None,
        by_last_good_form=found.task is None and task is not None,
        schedule=schedule_text(task) if task else None,
        prompt=task.prompt if task else None,
        when=task.when if task else None,
        catch_up=task.catch_up if task else None,
    )


def _understood(reading: Reading, tasks: list[LintedTask], *, has_work: bool) -> list[Understood]:
    found = [
        Understood(section.line, section.end_line, f"section {section.name} with {len(section.items)} items")
        for section in reading.sections
    ]
    for task in tasks:
        what = f"task {task.name!r}: {task.schedule}" + (f", when {task.when}" if task.when else "")
        if task.by_last_good_form:
            what += ", its last good form"
        found.append(
            Understood(task.line, task.end_line, what if task.in_force else "a task with errors, out of force")
        )
    if reading.has_work:
        found.append(Understood(0, 0, "work outside the tasks: heartbeats also run when no task is due"))
    elif has_work:
        found.append(Understood(0, 0, "work in a task with errors: heartbeats also run when no task is due"))
    elif tasks:
        found.append(Understood(0, 0, "no work outside the tasks: heartbeats run only when one is due"))
    return found
