from datetime import datetime
from typing import Literal

from msgspec import Struct

from ledger.hours import EVERY_DAY

When = Literal["new_messages", "new_posts", "mentioned", "open_questions"]
"""A task's own gate: what must be there, too. `new_messages`, `new_posts` (or comments): by others, since the task last
ran. `mentioned`: somebody calls the agent and has no answer. `open_questions`: the scorecard has some."""

CatchUp = Literal["once", "skip"]
"""What becomes of a slot that no heartbeat came for: `once`, it is caught up; `skip`, it is passed over."""

SectionName = Literal["Checklist", "Rules", "Proactive Behaviors"]

Mode = Literal["extend", "replace"]
"""What a thread's own instructions do to the shared ones."""

Severity = Literal["error", "warning", "advice"]
"""`error`: it does not do what it says. `warning`: it probably does not mean what it says. `advice`: it would be better
said otherwise."""


class Problem(Struct, frozen=True):
    """Something that is wrong with instructions, or might be."""

    line: int
    """From 1; 0 is the text as a whole."""
    severity: Severity
    """`error`: it does not do what it says; `warning`: it may not mean what it says; `advice`: say it otherwise."""
    message: str
    """What is wrong."""
    fix: str = ""
    """What would be right."""


class Task(Struct, frozen=True, kw_only=True):
    """One task of a `tasks:` block."""

    name: str
    prompt: str
    interval_seconds: int | None = None
    """null: it runs once, or every day that `at` names."""
    once: bool = False
    at: int | None = None
    """Minutes after local midnight."""
    days: tuple[int, ...] = EVERY_DAY
    """Monday is 0."""
    window: tuple[int, int] | None = None
    """Minutes after local midnight: the first open one and the first closed one."""
    tz: str | None = None
    """null: the thread's time zone."""
    when: When | None = None
    catch_up: CatchUp = "once"


class FoundTask(Struct, frozen=True, kw_only=True):
    """A task as it stands in the text."""

    name: str | None
    line: int
    end_line: int
    task: Task | None
    """null: it has errors."""
    problems: list[Problem]


class Item(Struct, frozen=True):
    """One item of a section."""

    line: int
    """From 1."""
    text: str
    """What it says."""


class Section(Struct, frozen=True):
    """A section that Ledger knows by name."""

    name: SectionName
    """Its heading."""
    line: int
    """Where it begins, from 1."""
    end_line: int
    """Where it ends."""
    items: list[Item]
    """Its list items."""


class Reading(Struct, frozen=True, kw_only=True):
    """What Ledger understands of a text."""

    visible: list[str]
    """Its lines with comments blanked out."""
    tasks: list[FoundTask]
    sections: list[Section]
    has_work: bool
    """Whether anything outside the tasks is work."""
    problems: list[Problem]
    """Of the text itself; those of a task stand with it."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do at all."""
        return not self.has_work and not self.tasks


class InstructionsChange(Struct, frozen=True):
    """That instructions have a new version."""

    version: int
    """Its number, from 1."""
    source: str
    """Of HEARTBEAT.md: `api`, `disk`, or the version it was restored from, such as `restore 3`.

    Of a thread's own: `extend`, `replace`, or `deleted`."""


class VersionSummary(Struct, frozen=True):
    """One version of HEARTBEAT.md, without its text."""

    version: int
    """Its number, from 1."""
    saved_at: datetime
    """When it came into force."""
    source: str
    """`api`, `disk`, or the version it was restored from, such as `restore 3`."""
    size: int
    """In characters."""


class Version(Struct, frozen=True):
    """One version of the shared instructions."""

    version: int
    content: str
    saved_at: datetime
    source: str
    carried: list[Task] = []
    """The last good form of tasks that have errors here."""


class Own(Struct, frozen=True):
    """A thread's own instructions."""

    version: int
    mode: Mode | Literal["deleted"]
    content: str
    saved_at: datetime
    carried: list[Task] = []

    @property
    def is_deleted(self) -> bool:
        return self.mode == "deleted"


class InForce(Struct, frozen=True, kw_only=True):
    """What one thread's heartbeat follows."""

    text: str | None
    """All of it, for the model; null: there are no instructions, which is not the same as empty ones."""
    version: int | None
    """Of the shared instructions."""
    key: str
    """Another one whenever anything in it is another."""
    saved_at: datetime | None
    tasks: list[Task]
    """Those in force, also by their last good form."""
    has_work: bool
    """Whether anything outside the tasks is work."""

    @property
    def is_empty(self) -> bool:
        return self.text is not None and not self.has_work and not self.tasks


class LintedTask(Struct, frozen=True, kw_only=True):
    """What is understood of one task."""

    name: str | None
    """null: it has none that can be read."""
    line: int
    """Where it begins, from 1."""
    end_line: int
    """Where it ends."""
    in_force: bool
    """Whether heartbeats do it."""
    by_last_good_form: bool
    """It has errors, and an earlier version of it is in force."""
    schedule: str | None
    """When it runs, in words; null: it is out of force."""
    prompt: str | None
    """What is to be done; null: it is out of force."""
    when: str | None
    """What else must be there, such as `new_messages`; null: nothing."""
    catch_up: str | None
    """What becomes of a slot that no heartbeat came for: `once` or `skip`."""


class Understood(Struct, frozen=True):
    """What some lines were understood as."""

    line: int
    """From 1; 0 is the text as a whole."""
    end_line: int
    """The last of these lines."""
    what: str
    """In words."""


class Lint(Struct, frozen=True, kw_only=True):
    """What is understood of a text, and what is odd about it."""

    is_empty: bool
    """There is nothing to do: heartbeats do not call the model."""
    has_work: bool
    """Something outside the tasks is work; if not, heartbeats only run when a task is due."""
    tasks: list[LintedTask]
    """Its tasks, in order."""
    sections: list[Section]
    """The sections that Ledger knows by name."""
    understood: list[Understood]
    """Line by line, what heartbeats make of it."""
    problems: list[Problem]
    """What is odd about it, with what would be right."""
