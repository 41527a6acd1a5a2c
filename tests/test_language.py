"""HEARTBEAT.md as a language: sections, tasks, comments and fences, what counts as work, and what is in force of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.instructions.store import assemble, carry, good_tasks
from ledger.instructions.structs import Item, Mode, Own, Reading, Section, Task, Version
from ledger.instructions.text import read

SAVED = datetime(2026, 2, 1, 8, 0, tzinfo=UTC)
MAIL = "- name: mail\n  interval: 1h\n  prompt: Look at the mail\n"
PLANTS = "- name: plants\n  interval: 2d\n  prompt: Water the plants\n"


def names(reading: Reading) -> list[tuple[str | None, int, int]]:
    return [(found.name, found.line, found.end_line) for found in reading.tasks]


def errors(text: str) -> list[int]:
    reading = read(text)
    found = [*reading.problems, *(problem for task in reading.tasks for problem in task.problems)]
    return [problem.line for problem in found if problem.severity == "error"]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("## Checklist", "Checklist"),
        ("###### checklist:", "Checklist"),
        ("# ✅ CHECKLIST ✅", "Checklist"),
        ("## **Rules** ##", "Rules"),
        ("Rules\n=====", "Rules"),
        ("### 📏 rules :", "Rules"),
        ("## _Proactive Behaviors_", "Proactive Behaviors"),
        ("# Proactive behaviours!", "Proactive Behaviors"),
        ("## Rules of the house", None),
        ("#Rules", None),
        ("```\n## Rules\n```", None),
        ("<!--\n## Rules\n-->", None),
        ("Rules", None),
    ],
)
def test_sections_are_known_by_their_headings(heading: str, name: str | None) -> None:
    assert [section.name for section in read(f"Intro\n\n{heading}\n\n- Be kind\n").sections] == ([name] if name else [])


def test_a_section_ends_at_the_next_heading_that_is_not_deeper_and_its_items_carry_lines() -> None:
    text = "# Checklist\n\n1. Lies die Post\n   und antworte\n2. [x] Frag Ann\n\n## Später\n* Ruhe\n# Rules\n- 早睡\n"
    assert read(text).sections == [
        Section("Checklist", 1, 8, [Item(3, "Lies die Post und antworte"), Item(5, "Frag Ann"), Item(8, "Ruhe")]),
        Section("Rules", 9, 11, [Item(10, "早睡")]),
    ]


@pytest.mark.parametrize(
    "marker", ["tasks:", "  Tasks:", "tasks: # mine", "TASKS:", "## Tasks", "# tasks:", "### 🗓️ Tasks", "tasks: []"]
)
def test_a_line_or_a_heading_begins_the_tasks_wherever_it_stands(marker: str) -> None:
    reading = read(f"# Hi\n\n- Say hello\n\n{marker}\n\n{MAIL}")
    assert names(reading) == [("mail", 7, 9)]
    assert reading.has_work


@pytest.mark.parametrize("marker", ["", "my tasks:", "tasks: many", "<!-- tasks: -->", "Tasks are below:"])
def test_without_a_marker_a_task_is_an_ordinary_bullet_and_a_warning_says_so(marker: str) -> None:
    reading = read(f"{marker}\n{MAIL}")
    assert (names(reading), reading.has_work) == ([], True)
    assert [(problem.line, problem.severity) for problem in reading.problems] == [(2, "warning")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"tasks:\n{MAIL}{PLANTS}", [("mail", 2, 4), ("plants", 5, 7)]),
        (f"tasks:\n{MAIL}\n\n\n{PLANTS}\n\n", [("mail", 2, 4), ("plants", 8, 10)]),
        (f"tasks:\n{MAIL}\nUn peu de prose.\n\n## Au jardin\n\n{PLANTS}", [("mail", 2, 4), ("plants", 10, 12)]),
        ("tasks:\n  * interval: 1h\n    name: a\n    prompt: b\n", [("a", 2, 4)]),
        ("tasks:\n\t-\tname: a\n\t\tinterval: 1h\n\n\t\tprompt: |\n\t\t\tb\n\n\t\t\tc\n", [("a", 2, 8)]),
        (f"tasks:\n```yaml\n{MAIL}```\n", [("mail", 3, 5)]),
        (f"~~~\ntasks:\n{MAIL}~~~\n", [("mail", 3, 5)]),
        (f"tasks:\n<!--\n{MAIL}-->\n{PLANTS}", [("plants", 7, 9)]),
        (f"```\ntasks:\n<!--\n{MAIL}-->\n{PLANTS}```\n", [("plants", 8, 10)]),
        (f"<!-- tasks:\n{MAIL}-->\n", []),
        ("tasks:\n\t- name: a\n      interval: 1h\n      prompt: b\n", [("a", 2, 4)]),
        ("tasks:\n- name: a\n  <!-- interval: 5m\n  -->\n  interval: 1h\n  prompt: b <!-- c -->\n", [("a", 2, 6)]),
        ("\ufefftasks:\n- name: Почта\n  at: 09:00\n  prompt: Проверь почту\n", [("Почта", 2, 4)]),
    ],
)
def test_tasks_are_found_with_their_lines(text: str, expected: list[tuple[str, int, int]]) -> None:
    reading = read(text)
    assert names(reading) == expected
    assert all(found.task is not None and found.task.name == found.name for found in reading.tasks)
    assert names(read(text.replace("\n", "\r\n"))) == names(read(text.replace("\n", "\r"))) == expected


@pytest.mark.parametrize("bullet", ["", "  "])
def test_keys_at_column_0_after_the_tasks_belong_to_none(bullet: str) -> None:
    task = MAIL.replace("\n", f"\n{bullet}").rstrip(" ")
    reading = read(f"tasks:\n{bullet}{task}name: other\nprompt: Other things\nwindow: nonsense\n")
    assert [found.task for found in reading.tasks] == [
        Task(name="mail", prompt="Look at the mail", interval_seconds=3600)
    ]
    assert reading.has_work


@pytest.mark.parametrize("line", ["- [ ] Fahrrad putzen", "* Look: closely", "- name: Ann, always", "Gute Nacht"])
def test_what_is_no_task_after_tasks_is_work_outside_of_them(line: str) -> None:
    reading = read(f"tasks:\n{MAIL}\n## Later\n{line}\n")
    assert (names(reading), reading.has_work) == ([("mail", 2, 4)], True)
    assert not read(f"tasks:\n{MAIL}\n## Later\n- [ ]\n").has_work


def test_an_error_takes_one_task_out_and_leaves_the_others_alone() -> None:
    reading = read(f"tasks:\n{MAIL}- name: broken\n  interval: soon\n  prompt: x\n- name: bare\n{PLANTS}")
    assert [(found.name, found.task is None) for found in reading.tasks] == [
        ("mail", False),
        ("broken", True),
        ("bare", True),
        ("plants", False),
    ]
    assert [[problem.line for problem in found.problems] for found in reading.tasks] == [[], [6], [8, 8], []]
    assert (reading.has_work, reading.is_empty) == (False, False)


def test_what_looks_like_a_key_inside_a_block_of_text_is_none() -> None:
    assert errors("tasks:\n- name: |\n    interval: 1h\n    prompt: x\n") == [2, 2]


def test_of_two_tasks_with_one_name_the_first_stays_and_the_second_is_an_error() -> None:
    text = f"tasks:\n{MAIL}{MAIL.replace('1h', '5h')}"
    first, second = read(text).tasks
    assert first.task == Task(name="mail", prompt="Look at the mail", interval_seconds=3600)
    assert (second.task, second.line, errors(text)) == (None, 5, [5])


def test_tasks_past_the_hundredth_are_errors() -> None:
    text = "tasks:\n" + "".join(MAIL.replace("mail\n", f"mail {number}\n", 1) for number in range(102))
    assert errors(text) == [302, 305]
    assert [found.task is None for found in read(text).tasks] == [False] * 100 + [True] * 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("- a\n\n<!-- open\n- b", [3]),
        ("<!-- a --> b\n<!-- c\n\n-->\nd <!-- e", [5]),
        ("Write `<!--` first", []),
        ("- Tell `` `<!--` `` from others", []),
        ("```html\n<!-- not closed\n```\n", []),
        (f"tasks:\n{MAIL}".replace("Look", "Tell `<!--` from"), []),
        ("a --> b", []),
    ],
)
def test_a_comment_that_has_no_end_is_an_error_unless_it_is_code(text: str, lines: list[int]) -> None:
    assert errors(text) == lines
    assert not read(text).is_empty


def test_what_follows_a_comment_without_end_counts_as_text() -> None:
    reading = read(f"# Hi\n\n<!-- old:\n\ntasks:\n{MAIL}")
    assert names(reading) == [("mail", 6, 8)]
    assert reading.has_work


NO_WORK = (
    "", "\n \t\n\r\n", "# Heartbeat\n\n### Checklist ###\n", "\ufeff# Hallo", "# 1.\n\n## 2024", "<!-- a\n\n- b\n-->",
    "- \n* \n+ \n2. \n", "- [ ]\n* [x]\n  - [X] \n", "```\n```\n", "~~~md\n\n~~~", "---\n***\n_ _ _\n", "> \n",
    "---\ntitle: Home\ntags: [a]\n---\n# Hi", "tasks:", "## Tasks\n\n- [ ]", "tasks: []", "```md\n# Hi\n- [ ]\n```",
    "(empty)", "- (Empty)", "**Nothing yet.**", "No periodic tasks yet", "> No tasks yet.", "TODO", "N/A", "…",
    "Add tasks below when you want the agent to look at\nsomething now and then.", "_(Whatever it looks after)_",
    "- [Add a task]", "- [ ] [Add a task]", "* <your task>", "1. {{task}}", "<div>\n</div>", "- [Aufgabe hier]",
    "暂无任务", "在下方添加任务。", "定期タスクはまだありません", "(なし)", "この下にタスクを追加してください。",
    "Noch keine Aufgaben", "Füge unten Aufgaben hinzu.", "Aucune tâche pour le moment", "Añade tareas abajo.",
    "No hay tareas", "Sem tarefas", "Nessuna attività", "Пока нет задач", "아직 할 일이 없습니다",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_WORK)
def test_a_text_without_work_is_effectively_empty(text: str) -> None:
    reading = read(text)
    assert (reading.is_empty, reading.has_work, reading.tasks) == (True, False, [])


WORK = (
    "Check the mail", "- Sieh nach der Post", "- [ ] Arroser les plantes", "- [x] 检查邮件", "> メールを確認する",
    "# 1. Check mail", "## 2) Responder", "### 3、看邮件", "Setext\n======", "1. Проверь почту", "    indented code",
    "```\nCheck the mail\n```", "```sh\n# copy\nmake copy\n```", "~~~\n- [ ] Look\n~~~", "<b>Look</b>", "| a |",
    "---\n- a list\n---", "---\nprose\n---\n", "# Hi\n---\nkey: value\n---", "<!-- note --> Look", "- - Look",
    "No tasks yet. Look at the mail.", "Nothing is more important than an answer to Ann", "Empty the bin",
    "Add tasks to the board when Ann asks", "- [Read this](https://example.org)", "- `make check`", "Leere den Müll",
    "- [ ]\n- [ ]\n\n- Regarde", "Aucune excuse : réponds à Ann", "🌱", "- 7", "https://example.org", "![a](b)",
)  # fmt: skip


@pytest.mark.parametrize("text", WORK)
def test_anything_else_is_work(text: str) -> None:
    reading = read(text)
    assert (reading.is_empty, reading.has_work, reading.tasks) == (False, True, [])


def version(content: str, carried: list[Task] | None = None) -> Version:
    return Version(3, content, SAVED, "api", carried or [])


def own(content: str, mode: Mode, carried: list[Task] | None = None) -> Own:
    return Own(2, mode, content, SAVED.replace(hour=9), carried or [])


GOOD_MAIL = Task(name="mail", prompt="Look at the mail", interval_seconds=3600)
OWN_MAIL = Task(name="mail", prompt="Lies nur Rechnungen", interval_seconds=7200)
GOOD_PLANTS = Task(name="plants", prompt="Water the plants", interval_seconds=172_800)
BROKEN_MAIL = f"tasks:\n{MAIL.replace('1h', 'soon')}"


def test_the_last_good_form_of_a_broken_task_is_carried_from_version_to_version() -> None:
    first = version(f"tasks:\n{MAIL}{PLANTS}")
    assert carry(BROKEN_MAIL, None) == []
    assert carry(BROKEN_MAIL, first) == [GOOD_MAIL]
    second = version(BROKEN_MAIL, [GOOD_MAIL])
    assert good_tasks(read(second.content), second.carried) == [GOOD_MAIL]
    assert carry(BROKEN_MAIL.replace("soon", "late"), second) == [GOOD_MAIL]
    assert carry(f"tasks:\n{MAIL}", second) == carry(f"tasks:\n{PLANTS}", second) == carry("- Work", second) == []
    assert good_tasks(read(f"tasks:\n{MAIL}"), [OWN_MAIL]) == [GOOD_MAIL]
    assert good_tasks(read(BROKEN_MAIL), [GOOD_PLANTS]) == []


OWN_TEXT = "tasks:\n- name: mail\n  interval: 2h\n  prompt: Lies nur Rechnungen\n"


@pytest.mark.parametrize(
    ("shared", "its_own", "tasks", "has_work", "key"),
    [
        (version(f"- Work\ntasks:\n{MAIL}"), None, [GOOD_MAIL], True, "3"),
        (None, own(OWN_TEXT, "extend"), [OWN_MAIL], False, "0+2"),
        (version(f"- Work\ntasks:\n{MAIL}{PLANTS}"), own(OWN_TEXT, "extend"), [OWN_MAIL, GOOD_PLANTS], True, "3+2"),
        (version(f"- Work\ntasks:\n{MAIL}{PLANTS}"), own(OWN_TEXT, "replace"), [OWN_MAIL], False, "3+2"),
        (version(f"tasks:\n{PLANTS}"), own("- Arbeit", "extend"), [GOOD_PLANTS], True, "3+2"),
        (version("- Work"), own("", "replace"), [], False, "3+2"),
        (version(f"tasks:\n{MAIL}"), own(BROKEN_MAIL, "extend", [OWN_MAIL]), [OWN_MAIL], False, "3+2"),
        (version(BROKEN_MAIL), None, [], True, "3"),
    ],
)
def test_a_thread_may_extend_the_shared_instructions_or_replace_them(
    shared: Version | None, its_own: Own | None, tasks: list[Task], has_work: bool, key: str
) -> None:
    in_force = assemble(shared, its_own)
    assert sorted(in_force.tasks, key=lambda task: task.name) == tasks
    assert (in_force.has_work, in_force.key) == (has_work, key)
    assert in_force.is_empty == (not tasks and not has_work)
    assert in_force.version == (3 if shared else None)


def test_the_text_in_force_is_both_texts_in_order_and_as_new_as_the_newer_one() -> None:
    both = assemble(version("# Shared"), own("- Eigenes", "extend"))
    assert (both.text, both.saved_at) == ("# Shared\n\n- Eigenes", SAVED.replace(hour=9))
    assert assemble(version("# Shared"), own("- Eigenes", "replace")).text == "- Eigenes"


def test_no_instructions_are_not_the_same_as_empty_ones() -> None:
    nothing, empty = assemble(None, None), assemble(version(""), None)
    assert (nothing.text, nothing.is_empty, nothing.key, nothing.saved_at) == (None, False, "0", None)
    assert (empty.text, empty.is_empty, empty.key, empty.saved_at) == ("", True, "3", SAVED)


PIECES = (
    "tasks:", "## Tasks", "- name: a", "\t* name: b", "  interval: 1h", "  prompt: |", '  prompt: "', "    deep",
    "- [", "<!--", "-->", "<!-- x -->", "`", "`<!--`", "```", "~~~", "````md", "> ", "---", "===", "...", "# 1. Do",
    "## Rules", "- [ ]", "- ", "1. ", "\t", "    ", "\x00", "\x0b", "\u2028", "\ufeff", "\xa0", "&a", "*a", "!x",
    "? a", "%", "|", "天",
)  # fmt: skip
FRAGMENTS = st.lists(
    st.tuples(st.sampled_from(PIECES), st.sampled_from(["\n", "\n", "\n\n", "\r\n", "\r", " ", ""])), max_size=30
).map(lambda pieces: "".join(piece + end for piece, end in pieces))


@given(st.text() | FRAGMENTS)
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_and_everything_in_it_lies_in_order_within_its_lines(text: str) -> None:
    reading = read(text)
    last, count = 0, len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    for found in reading.tasks:
        assert last < found.line <= found.end_line <= count
        assert all(found.line <= problem.line <= found.end_line for problem in found.problems)
        assert (found.task is None) == any(problem.severity == "error" for problem in found.problems)
        last = found.end_line
    assert all(1 <= problem.line <= count for problem in reading.problems)
    for section in reading.sections:
        assert 1 <= section.line <= section.end_line <= count
        assert all(section.line < item.line <= section.end_line for item in section.items)


@given(FRAGMENTS)
@settings(max_examples=100, deadline=None)
def test_line_ends_of_any_system_read_the_same(text: str) -> None:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    assert read(text) == read(plain) == read(plain.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    "text",
    [
        "- The document is due Friday, remind Ann",
        "- If the file is missing, tell Ann",
        "- If this list is empty, order more coffee",
        "- The file holds passwords: remove them",
        "- Add reminders here for Ann and Bob",
        "- [call mom tomorrow]",
        "- Edit this file when the list of servers changes",
    ],
)
def test_what_only_begins_like_a_template_is_work(text: str) -> None:
    assert read(text).has_work


@pytest.mark.parametrize("item", ["- {name: a, interval: 1h, prompt: x}", "1. name: a\n   interval: 1h\n   prompt: x"])
def test_what_is_nearly_a_task_is_pointed_out_and_stays_work(item: str) -> None:
    found = read(f"tasks:\n{item}\n")
    assert [(problem.line, problem.severity) for problem in found.problems] == [(2, "warning")]
    assert found.has_work


def test_of_two_tasks_of_one_name_the_one_without_errors_is_in_force() -> None:
    item = "- name: a\n  prompt: x\n  interval: "
    broken, good = read(f"tasks:\n{item}soon\n{item}1h\n").tasks
    assert (broken.name, broken.task, good.name, good.task is not None) == (None, None, "a", True)
