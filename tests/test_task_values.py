"""The values of a task's keys: what each is read as, what is refused, and that a task written down reads back equal."""

import math
from random import Random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.hours import EVERY_DAY
from ledger.instructions.structs import FoundTask, Task
from ledger.instructions.text import read
from ledger.instructions.values import clock_text, days_text, interval, interval_text, schedule_text

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800


def found(*keys: str) -> FoundTask:
    """The task that has these lines; the first is on line 2."""
    (task,) = read("tasks:\n- " + "\n  ".join(keys) + "\n").tasks
    return task


def good(*keys: str) -> Task:
    task = found(*keys)
    assert task.task is not None, task.problems
    return task.task


def with_keys(*keys: str) -> Task:
    return good("name: mail", "prompt: Look at the mail", *keys)


def errors(task: FoundTask) -> list[tuple[int, str]]:
    assert (task.task is None) == any(problem.severity == "error" for problem in task.problems)
    return [(problem.line, problem.message) for problem in task.problems if problem.severity == "error"]


INTERVALS = (
    ("30m", 30 * MINUTE), ("2h", 2 * HOUR), ("1h30m", 90 * MINUTE), ("1h 30m", 90 * MINUTE), ("1d", DAY),
    ("1w", WEEK), ("1w2d3h4m", WEEK + 2 * DAY + 3 * HOUR + 4 * MINUTE), ("45", 45 * MINUTE), ("2H", 2 * HOUR),
    ("'90m'", 90 * MINUTE), ("2h  # twice a morning", 2 * HOUR), ("1m", MINUTE), ("366d", 366 * DAY),
)  # fmt: skip


@pytest.mark.parametrize(("written", "seconds"), INTERVALS)
def test_an_interval_is_a_duration_and_a_bare_number_is_minutes(written: str, seconds: int) -> None:
    task = with_keys(f"interval: {written}")
    assert (task.interval_seconds, task.once) == (seconds, False)


@pytest.mark.parametrize("written", ["once", "Once", '"once"'])
def test_a_task_may_run_once(written: str) -> None:
    task = with_keys(f"interval: {written}")
    assert (task.interval_seconds, task.once) == (None, True)


@pytest.mark.parametrize(("written", "minutes"), [("09:00", 540), ("9:05", 545), ("'17:30'", 1050), ("00:00", 0)])
def test_a_time_of_day_is_minutes_after_midnight(written: str, minutes: int) -> None:
    task = with_keys(f"at: {written}")
    assert (task.at, task.interval_seconds, task.once) == (minutes, None, False)


DAYS = (
    ("mon-fri", (0, 1, 2, 3, 4)), ("sat,sun", (5, 6)), ("sat, sun", (5, 6)), ("fri-mon", (0, 4, 5, 6)),
    ("Mon - Wed", (0, 1, 2)), ("mon-tue,thu", (0, 1, 3)), ("[tue, thu]", (1, 3)), ("Wednesday", (2,)),
    ("weekends", (5, 6)), ("mon-sun", EVERY_DAY),
)  # fmt: skip


@pytest.mark.parametrize(("written", "chosen"), DAYS)
def test_days_are_names_and_ranges_that_may_run_over_the_weekend(written: str, chosen: tuple[int, ...]) -> None:
    assert with_keys("at: 09:00", f"days: {written}").days == chosen


WINDOWS = (
    ("08:00-22:00", (480, 1320)), ("08:00 - 22:00", (480, 1320)), ("8:00\u201322:30", (480, 1350)),
    ("06:00-24:00", (360, 1440)), ("22:00-06:00", (1320, 360)),
)  # fmt: skip


@pytest.mark.parametrize(("written", "minutes"), WINDOWS)
def test_a_window_may_end_at_midnight_or_wrap_around_it(written: str, minutes: tuple[int, int]) -> None:
    assert with_keys("interval: 1h", f"window: {written}").window == minutes


def test_all_keys_together_make_one_task_in_any_order() -> None:
    keys = (
        "catch_up: skip|tz: Europe/Lisbon|when: open_questions|window: 08:00-12:00|days: mon-fri|at: 09:30|interval: 1w"
    )
    assert good(*keys.split("|"), "prompt: Ordne die offenen Fragen", "name: Fragen am Morgen") == Task(
        name="Fragen am Morgen", prompt="Ordne die offenen Fragen", interval_seconds=WEEK, at=570, window=(480, 720),
        days=(0, 1, 2, 3, 4), tz="Europe/Lisbon", when="open_questions", catch_up="skip",
    )  # fmt: skip


def test_what_is_not_said_has_defaults() -> None:
    assert with_keys("interval: 1h") == Task(name="mail", prompt="Look at the mail", interval_seconds=HOUR)


@pytest.mark.parametrize("written", ["new_messages", "new_posts", "mentioned", "open_questions"])
def test_a_task_may_have_a_gate_of_its_own(written: str) -> None:
    assert with_keys("interval: 1h", f"when: {written}").when == written


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("interval", value) for value in ("soon", "daily", "0", "0m", "-5", "1.5h", "30m1h", "2h2h", "367d", "10s")),
        *(("interval", value) for value in ("\u0663\u0660m", "9999999d", "[1h]", "")),
        *(("at", value) for value in ("24:00", "9", "09:60", "9am", "25:10", "[09:00]")),
        *(("days", value) for value in ("funday", "mon-xyz", "lunes", "1-5", "mon-tue-wed")),
        *(("window", value) for value in ("08:00", "24:00-08:00", "08:00-25:00", "morning", "08:00-22:00-23:00")),
        *(("tz", value) for value in ("Mars/Olympus", "local", "../etc/passwd")),
        *(("when", value) for value in ("always", "new messages")),
        *(("catch_up", value) for value in ("twice", "true")),
        *(("name", value) for value in ("", '""', "n" * 101, '"a\\eb"', "\u200b", "...")),
        *(("prompt", value) for value in ("''", "p" * 8_001, '"never closed', "'it's'")),
    ],
)
def test_a_value_that_is_not_understood_is_an_error_on_its_line_and_says_what_would_be_right(
    key: str, value: str
) -> None:
    keys = {"name": "mail", "prompt": "Look", "interval": "1d"} | {key: value}
    task = found(*(f"{name}: {text}" for name, text in keys.items()))
    assert [line for line, _ in errors(task)] == [2 + list(keys).index(key)]
    (problem,) = (problem for problem in task.problems if problem.severity == "error")
    assert f"`{key}`" in problem.message
    assert problem.fix != ""


@pytest.mark.parametrize(
    ("value", "fix"), [("hourly", "1h"), ("daily", "1d"), ("weekly", "1w"), ("monthly", "30d"), ("one-time", "once")]
)
def test_an_interval_in_words_is_answered_with_the_duration_that_is_near(value: str, fix: str) -> None:
    (problem,) = found("name: mail", "prompt: Look", f"interval: {value}").problems
    assert problem.fix.endswith(f"perhaps {fix}.")


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (("prompt: Look", "interval: 1h"), "`name`"),
        (("name: mail", "interval: 1h"), "`prompt`"),
        (("name: mail", "prompt: Look"), "when"),
    ],
)
def test_what_is_missing_is_an_error_of_the_whole_task(keys: tuple[str, ...], named: str) -> None:
    ((line, message),) = errors(found(*keys))
    assert line == 2
    assert named in message


def test_a_key_that_stands_twice_is_an_error_at_the_second_one() -> None:
    task = found("name: mail", "interval: 1h", "prompt: Look", "interval: 2h")
    assert [line for line, _ in errors(task)] == [5]


@pytest.mark.parametrize(
    ("every", "is_good"), [("90m", False), ("12h", False), ("1d", True), ("2d", True), ("1w", True)]
)
def test_a_time_of_day_goes_only_with_whole_days(every: str, is_good: bool) -> None:
    task = found("name: mail", "prompt: Look", "at: 09:00", f"interval: {every}")
    assert [line for line, _ in errors(task)] == ([] if is_good else [4])


UNKNOWN = (
    ("promt", "prompt"), ("intervall", "interval"), ("every", "interval"), ("timezone", "tz"), ("Name", "name"),
    ("windows", "window"), ("catch-up", "catch_up"), ("schedule", "interval"),
)  # fmt: skip


@pytest.mark.parametrize(("written", "near"), UNKNOWN)
def test_an_unknown_key_spoils_nothing_and_is_answered_with_the_nearest_known_one(written: str, near: str) -> None:
    task = found("name: mail", "prompt: Look", f"{written}: x: [y", "interval: 1h")
    assert task.task == Task(name="mail", prompt="Look", interval_seconds=HOUR)
    (problem,) = task.problems
    assert (problem.line, problem.severity) == (4, "warning")
    assert repr(written) in problem.message
    assert f"`{near}`" in problem.fix


def test_an_unknown_key_that_is_near_to_none_is_answered_with_all_of_them() -> None:
    (problem,) = found("name: mail", "prompt: Look", "interval: 1h", "colour: blue").problems
    assert (problem.line, problem.severity) == (5, "warning")
    assert all(key in problem.fix for key in ("name", "interval", "prompt", "at", "days", "window", "tz", "when"))


PROMPTS = (
    ("Schau nach der Post", "Schau nach der Post"), ("'It''s late: go # home'", "It's late: go # home"),
    ("yes", "yes"), (r'"Zwei\tSpalten\nund \u00e4hnliches"', "Zwei\tSpalten\nund \u00e4hnliches"), ("0o17", "0o17"),
    ("|\n  First this.\n\n    - then: that\n  # and this", "First this.\n\n  - then: that\n# and this"),
    (">-\n  Mira el correo\n  y responde.\n\n  Gracias.", "Mira el correo y responde.\nGracias."),
    ("\n  メールを見て、\n  返事をする", "メールを見て、 返事をする"),
    ('"Look\n  at: what is new"', "Look at: what is new"),
    ("|\n  name: not a key\n  - name: no task\n  at: noon", "name: not a key\n- name: no task\nat: noon"),
    ("@team *bold* `code`", "@team *bold* `code`"), ("Note: answer Ann", "Note: answer Ann"),
)  # fmt: skip


@pytest.mark.parametrize(("written", "prompt"), PROMPTS)
def test_a_prompt_may_be_plain_quoted_or_a_block(written: str, prompt: str) -> None:
    lines = f"prompt: {written}".split("\n")
    assert good("name: mail", *lines, "interval: 1h").prompt == prompt
    assert good("interval: 1h", "name: mail", *lines).prompt == prompt


ODD_PROMPTS = (
    ("Read #general aloud", "Read"), ("Note: answer Ann", "Note: answer Ann"), ("[x", "[x"),
    ("[Ann, Bo]", "[Ann, Bo]"), ("{do: this}", "{do: this}"), ("!!python/name:os.system", "!!python/name:os.system"),
    ("*everyone", "*everyone"),
)  # fmt: skip


@pytest.mark.parametrize(("written", "prompt"), ODD_PROMPTS)
def test_a_prompt_that_yaml_reads_otherwise_is_warned_about(written: str, prompt: str) -> None:
    task = found("name: mail", f"prompt: {written}", "interval: 1h")
    assert task.task is not None
    assert task.task.prompt == prompt
    assert [(problem.line, problem.severity) for problem in task.problems] == [(3, "warning")]


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (Task(name="a", prompt="b", once=True), "once"),
        (Task(name="a", prompt="b", interval_seconds=5400), "every 1h30m"),
        (Task(name="a", prompt="b", at=545, days=(0, 1, 2, 5), tz="UTC"), "at 09:05 on mon-wed,sat (UTC)"),
        (
            Task(name="a", prompt="b", interval_seconds=WEEK, at=0, window=(0, 1440)),
            "every 1w at 00:00 between 00:00 and 24:00",
        ),
    ],
)
def test_a_schedule_is_told_in_its_own_terms(task: Task, text: str) -> None:
    assert schedule_text(task) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(MINUTE, "1m"), (90 * MINUTE, "1h30m"), (DAY, "1d"), (WEEK + DAY, "1w1d"), (90, "1m30s")]
)
def test_an_interval_is_written_in_the_largest_units(seconds: int, text: str) -> None:
    assert interval_text(seconds) == text


@given(st.integers(1, 366 * 24 * 60))
def test_an_interval_that_is_written_down_reads_back_the_same(minutes: int) -> None:
    assert interval(interval_text(minutes * MINUTE)) == minutes * MINUTE


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: "<!--" not in text)
MINUTES = st.integers(0, 1439)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    at = draw(st.none() | MINUTES)
    days = st.integers(1, 366).map(lambda count: count * DAY)
    minutes = st.integers(1, 366 * 24 * 60).map(lambda count: count * MINUTE)
    once = draw(st.booleans())
    return Task(
        name=draw(WORDS.map(lambda text: " ".join(text.split())[:100].strip()).filter(_is_a_name)),
        prompt=draw(WORDS.map(str.strip).filter(bool)),
        once=once,
        interval_seconds=None if once else draw(minutes if at is None else st.none() | days),
        at=at,
        days=draw(st.sets(st.integers(0, 6), min_size=1).map(lambda chosen: tuple(sorted(chosen)))),
        window=draw(st.none() | st.tuples(MINUTES, st.integers(0, 1440))),
        tz=draw(st.sampled_from([None, "UTC", "Asia/Kathmandu", "America/St_Johns"])),
        when=draw(st.sampled_from([None, "new_messages", "new_posts", "mentioned", "open_questions"])),
        catch_up=draw(st.sampled_from(["once", "skip"])),
    )


def _is_a_name(text: str) -> bool:
    return text.isprintable() and any(char.isalnum() for char in text)


def quoted(text: str) -> str:
    return yaml.dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()


def written(task: Task) -> dict[str, str]:
    keys = {
        "name": quoted(task.name),
        "interval": "once" if task.once else interval_text(task.interval_seconds or 0) or None,
        "at": None if task.at is None else clock_text(task.at),
        "days": days_text(task.days),
        "window": None if task.window is None else "-".join(map(clock_text, task.window)),
        "tz": task.tz,
        "when": task.when,
        "catch_up": task.catch_up,
        "prompt": quoted(task.prompt),
    }
    return {key: value for key, value in keys.items() if value is not None}


@given(st.lists(tasks(), min_size=1, max_size=4, unique_by=lambda task: task.name), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_tasks_that_are_written_down_read_back_equal(expected: list[Task], shuffled: Random) -> None:
    lines = ["tasks:"]
    for task in expected:
        keys = list(written(task).items())
        shuffled.shuffle(keys)
        lines += [f"  {'-' if not index else ' '} {key}: {value}" for index, (key, value) in enumerate(keys)]
    reading = read("\n".join(lines))
    assert [found.task for found in reading.tasks] == expected
    assert (reading.has_work, reading.problems) == (False, [])
