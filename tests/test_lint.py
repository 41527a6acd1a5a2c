"""What a person is told about a text: how it is understood, line by line, and what in it is odd."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.hours import EVERY_DAY, Hours
from ledger.instructions.lint import Heart, lint
from ledger.instructions.structs import Lint, Problem, Task, Understood

HALF_HOUR = timedelta(minutes=30)
ALWAYS = Heart(HALF_HOUR, Hours())
OFFICE = Heart(HALF_HOUR, Hours(9 * 60, 17 * 60))
NIGHT = Heart(HALF_HOUR, Hours(22 * 60, 6 * 60))


def linted(text: str, heart: Heart = ALWAYS, *carried: Task) -> Lint:
    return lint(text, heart, list(carried))


def told(text: str, heart: Heart = ALWAYS) -> list[tuple[int, str]]:
    return [(problem.line, problem.severity) for problem in linted(text, heart).problems]


def with_keys(*keys: str) -> str:
    """A task on line 2, whose keys begin on line 4."""
    return "\n".join(["tasks:", "- name: mail", "  prompt: Look at the mail", *(f"  {key}" for key in keys)])


def only(text: str, heart: Heart = ALWAYS) -> Problem:
    (problem,) = linted(text, heart).problems
    return problem


def test_a_text_is_told_line_by_line() -> None:
    text = """# Mein Herz

## ✅ Checkliste? Nein: Checklist
## Checklist

- Lies die Post
- [ ] Frag Ann

## Tasks
- name: mail
  interval: 1d
  at: 09:00
  window: 08:00-12:00
  when: mentioned
  catch_up: skip
  prompt: Ordne die Post
- name: broken
  interval: soon
  prompt: x

# Rules
1. 静かに
"""
    found = linted(text)
    assert found.understood == [
        Understood(0, 0, "work outside the tasks: heartbeats also run when no task is due"),
        Understood(4, 8, "section Checklist with 2 items"),
        Understood(10, 16, "task 'mail': every 1d at 09:00 between 08:00 and 12:00, when mentioned"),
        Understood(17, 19, "a task with errors, out of force"),
        Understood(21, 23, "section Rules with 1 items"),
    ]
    assert [(problem.line, problem.severity) for problem in found.problems] == [(10, "advice"), (18, "error")]
    mail, broken = found.tasks
    assert (mail.name, mail.line, mail.end_line, mail.in_force, mail.by_last_good_form) == ("mail", 10, 16, True, False)
    assert (mail.prompt, mail.when, mail.catch_up) == ("Ordne die Post", "mentioned", "skip")
    assert mail.schedule == "every 1d at 09:00 between 08:00 and 12:00"
    assert (broken.name, broken.in_force, broken.schedule, broken.prompt) == ("broken", False, None, None)


@pytest.mark.parametrize(
    ("text", "is_empty", "has_work"),
    [
        ("# Hi\n- [ ]", True, False),
        ("- Work", False, True),
        (with_keys("interval: 1h"), False, False),
        (with_keys("interval: 1h") + "\n\n- Work", False, True),
        (with_keys("interval: soon"), False, True),
    ],
)
def test_it_is_told_when_heartbeats_run(text: str, is_empty: bool, has_work: bool) -> None:
    found = linted(text)
    assert (found.is_empty, found.has_work) == (is_empty, has_work)
    assert any((problem.line, problem.severity) == (0, "warning") for problem in found.problems) == is_empty
    assert [line.what.split()[0] for line in found.understood if line.line == 0] == (
        [] if is_empty else ["work" if has_work else "no"]
    )


def test_a_broken_task_stays_in_force_by_its_last_good_form() -> None:
    before = Task(name="mail", prompt="Old words", interval_seconds=7200, when="new_posts")
    other = Task(name="other", prompt="Elsewhere", once=True)
    found = linted(with_keys("interval: soon", "when: never"), ALWAYS, other, before)
    (task,) = found.tasks
    assert (task.in_force, task.by_last_good_form, task.schedule) == (True, True, "every 2h")
    assert (task.prompt, task.when) == ("Old words", "new_posts")
    assert found.has_work is False
    assert found.understood[-1] == Understood(2, 5, "task 'mail': every 2h, when new_posts, its last good form")
    assert [(problem.line, problem.severity) for problem in found.problems] == [
        (2, "warning"),
        (4, "error"),
        (5, "error"),
    ]
    assert "every 2h" in found.problems[0].fix


def test_a_good_task_goes_by_its_text_whatever_was_carried() -> None:
    before = Task(name="mail", prompt="Old words", interval_seconds=7200)
    (task,) = linted(with_keys("interval: 1h"), ALWAYS, before).tasks
    assert (task.by_last_good_form, task.schedule, task.prompt) == (False, "every 1h", "Look at the mail")


@pytest.mark.parametrize(
    ("window", "heart", "never"),
    [
        ("08:00-08:00", ALWAYS, True),
        ("00:00-24:00", ALWAYS, False),
        ("22:00-06:00", ALWAYS, False),
        ("18:00-20:00", OFFICE, True),
        ("17:00-09:00", OFFICE, True),
        ("16:00-18:00", OFFICE, False),
        ("17:00-10:00", OFFICE, False),
        ("06:00-22:00", NIGHT, True),
        ("05:00-07:00", NIGHT, False),
        ("23:00-01:00", NIGHT, False),
        ("09:00-17:00", Heart(HALF_HOUR, Hours(600, 600)), True),
        ("09:00-17:00", Heart(HALF_HOUR, Hours(540, 1020, "Asia/Tokyo")), False),
        ("09:00-17:00\n  tz: UTC", Heart(HALF_HOUR, Hours(540, 1020, "Asia/Tokyo")), True),
        ("09:00-17:00\n  days: sat-sun", Heart(HALF_HOUR, Hours(540, 1020, "UTC", (0, 1, 2))), True),
        ("22:00-02:00\n  days: mon", Heart(HALF_HOUR, Hours(60, 120, "UTC", (1,))), False),
        ("22:00-02:00\n  days: tue", Heart(HALF_HOUR, Hours(60, 120, "UTC", (1,))), True),
        ("09:00-10:00\n  days: sun", Heart(HALF_HOUR, Hours(540, 600, "UTC", (6,))), False),
    ],
)
def test_a_window_that_can_never_fire_is_warned_about(window: str, heart: Heart, never: bool) -> None:
    found = linted(with_keys("interval: 1h", f"window: {window}"), heart).problems
    assert [problem.severity for problem in found] == ["warning"] * never
    assert all("never runs" in problem.message and problem.line in (2, 5) for problem in found)


@pytest.mark.parametrize(
    ("every", "length", "is_short"), [(30, "09:00-09:29", True), (30, "09:00-09:30", False), (60, "23:40-00:20", True)]
)
def test_a_window_shorter_than_the_heartbeats_interval_may_pass_unseen(every: int, length: str, is_short: bool) -> None:
    heart = Heart(timedelta(minutes=every), Hours())
    assert told(with_keys("interval: 1h", f"window: {length}"), heart) == [(2, "warning")] * is_short


@pytest.mark.parametrize(
    ("interval", "every", "is_finer"), [("10m", 30, True), ("29", 30, True), ("30m", 30, False), ("1d", 30, False)]
)
def test_an_interval_finer_than_the_heartbeats_is_warned_about(interval: str, every: int, is_finer: bool) -> None:
    text, heart = with_keys(f"interval: {interval}"), Heart(timedelta(minutes=every), Hours())
    assert told(text, heart) == [(2, "warning")] * is_finer
    assert not is_finer or "30m" in only(text, heart).fix


@pytest.mark.parametrize(("minutes", "late"), [(30, "30m"), (90, "1h30m"), (15, "15m")])
def test_a_time_of_day_says_how_late_it_can_be(minutes: int, late: str) -> None:
    problem = only(with_keys("at: 09:05"), Heart(timedelta(minutes=minutes), Hours()))
    assert (problem.line, problem.severity) == (2, "advice")
    assert f"09:05: up to {late} later" in problem.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tasks:\n- name: a\n  promt: b\n  interval: 1h", [(2, "error"), (3, "warning")]),
        (with_keys("interval: 1h", "color: red"), [(5, "warning")]),
        (with_keys("interval: 1h") + "\n" + with_keys("interval: 2h"), [(6, "error")]),
        (with_keys("interval: soon", "at: late"), [(4, "error"), (5, "error")]),
        ("- Look\n<!-- at this", [(2, "error")]),
        ("- name: a\n  prompt: b\n  interval: 1h", [(1, "warning")]),
        (with_keys("at: 09:00", "days: mon", "interval: 2w"), [(2, "warning"), (2, "advice")]),
    ],
)
def test_what_is_odd_is_told_at_its_line(text: str, expected: list[tuple[int, str]]) -> None:
    assert sorted(told(text)) == sorted(expected)
    assert [line for line, _ in told(text)] == sorted(line for line, _ in expected)
    assert all(problem.message and problem.fix for problem in linted(text).problems)


@pytest.mark.parametrize(
    ("before", "secret"),
    [
        ("password: ", "blue7kitten9garden"),
        ("API_KEY=", "a1b2c3d4e5f6g7h8"),
        ("use ", "sk-Zq3Xw8Lm5Tn2Rb7Vk4Yp"),
        ("- Token ", "ghp_A1b2C3d4E5f6G7h8I9j0K1l2"),
        ("Авторизация: Bearer ", "q1w2e3r4t5y6u7i8"),
        ("見る: ", "https://ann:pa55word@example.org"),
        ("", "AKIAZQ3XW8LM5TN2RB7V"),
        ("<!-- ", "xoxb-2048-1024-aBcDeF -->"),
        ("", "-----BEGIN EC PRIVATE KEY-----"),
    ],
)
def test_what_looks_like_a_secret_is_warned_about_and_not_repeated(before: str, secret: str) -> None:
    text = f"- Look\n\n{before}{secret}"
    assert told(text) == [(3, "warning")]
    assert secret not in str(linted(text).problems)
    (found,) = linted(f"{with_keys('interval: 1h')}\n  prompt2: |\n    {before}{secret}").problems[1:]
    assert (found.line, found.severity) == (6, "warning")
    assert secret not in f"{found.message} {found.fix}"


@pytest.mark.parametrize(
    "prose",
    [
        *("Look at the mail every 2 hours", "Each morning, greet Ann", "Post a digest twice a week", "Tidy up at 9 pm"),
        *("Jeden Morgen die Post lesen", "Alle 30 Minuten nachsehen", "Chaque matin, lis le courrier", "cada 2 horas"),
        *(
            "a cada 3 dias",
            "toutes les 2 heures",
            "每天看一次邮件",
            "每隔30分钟检查",
            "毎朝メールを見る",
            "30分ごとに確認",
        ),
        *("Be silent 22:00-07:00", "Nur 08:00 bis 18:00 schreiben", "Respect my quiet hours", "在22:00到07:00之间休息"),
    ],
)
def test_hours_and_intervals_as_prose_get_advice(prose: str) -> None:
    assert told(f"# Hi\n\n- {prose}") == [(3, "advice")]


@pytest.mark.parametrize(
    "prose",
    ["Everything counts", "Read each post", "Meet at 9 Hill Street", "Ratio 3:45", "Nicht alle lesen", "每个人"],
)
def test_prose_without_hours_gets_none(prose: str) -> None:
    assert told(f"- {prose}") == []


def test_prose_inside_a_task_gets_no_advice() -> None:
    assert told(with_keys("interval: 1h").replace("Look", "Every morning, look")) == []


def test_there_are_at_most_20_pieces_of_advice_on_prose_but_every_secret_is_told() -> None:
    text = "- Every day\n" * 50 + "password: blue7kitten9garden\n" * 30
    assert told(text).count((51, "warning")) == 1
    assert [severity for _, severity in told(text)] == ["advice"] * 20 + ["warning"] * 30


PIECES = (
    b"tasks:\n", b"- name: a\n", b"  interval: 1m\n", b"  at: 09:00\n", b"  prompt: x\n", b"  window: 8:00-8:00\n",
    b"<!--", b"-->", b"```\n", b"## Rules\n", b"- [ ]\n", b"every day\r\n", b"\r", b"\t", b"\xff", b"\xe5\xa4", b"\x00",
)  # fmt: skip
FRAGMENTS = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)
HEARTS = st.builds(
    Heart,
    st.integers(1, 1440).map(lambda minutes: timedelta(minutes=minutes)),
    st.builds(
        Hours,
        st.integers(0, 1439),
        st.integers(0, 1440),
        st.sampled_from(["UTC", "Pacific/Apia", "America/St_Johns"]),
        st.sampled_from([EVERY_DAY, (0, 1, 2), (6,)]),
    ),
)


@given(st.binary(max_size=200) | FRAGMENTS, HEARTS)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_answered_with_lines_that_exist(raw: bytes, heart: Heart) -> None:
    text = raw.decode(errors="replace")
    count = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    found = linted(text, heart)
    lines = [problem.line for problem in found.problems]
    assert lines == sorted(lines)
    assert all(0 <= line <= count for line in lines)
    assert all(0 <= one.line <= one.end_line <= count for one in found.understood)
    assert all(1 <= task.line <= task.end_line <= count for task in found.tasks)
    assert found.is_empty == (not found.tasks and not found.has_work)
