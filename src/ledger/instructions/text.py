"""A text of instructions, read: comments, sections, tasks, and whether anything in it is work."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import yaml
from anyio import to_thread
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ledger.instructions.block import Block, find_tasks, plain
from ledger.instructions.structs import FoundTask, Item, Problem, Reading, Section, SectionName
from ledger.instructions.templates import is_template

_SECTIONS: dict[str, SectionName] = {
    "checklist": "Checklist",
    "rules": "Rules",
    "proactive behaviors": "Proactive Behaviors",
    "proactive behaviours": "Proactive Behaviors",
}
_NUMBERED = re.compile(r"\d+\s*[.)\uff0e\u3001]\s*\S")
_CHECKBOX = re.compile(r"\[[ xX]?\](?=\s|$)")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>")
_KEPT = 64
_SHORT = 4_000
_NESTED = 3

_markdown = MarkdownIt("commonmark")


async def understand(text: str) -> Reading:
    """Read a text; a long one in a thread of its own, since some take seconds and the event loop must not wait."""
    return read(text) if len(text) <= _SHORT else await to_thread.run_sync(read, text)


@lru_cache(_KEPT)
def read(text: str) -> Reading:
    """Understand a text: any text is valid, and what is odd about it is told as problems."""
    lines = lines_of(text)
    tokens = _markdown.parse("\n".join(lines))
    view, problems = _without_comments(lines, tokens)
    view = [line.expandtabs(4) if line[:1].isspace() else line for line in view]
    block = find_tasks(view)
    return Reading(
        visible=view,
        tasks=block.tasks,
        sections=list(_sections(_headed(lines, view, tokens, problems), block.tasks)),
        has_work=_is_work("\n".join(_beside(view, lines, tokens, block))),
        problems=problems + block.problems,
    )


def lines_of(text: str) -> list[str]:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _beside(view: list[str], lines: list[str], tokens: list[Token], block: Block) -> list[str]:
    """The lines beside tasks, front matter and fence markers."""
    rest = list(view)
    _blank(rest, 0, _front_matter_end(view))
    for number in block.markers:
        _blank(rest, number - 1, number)
    for task in block.tasks:
        _blank(rest, task.line - 1, task.end_line)
    for start, end in _fences(tokens):
        _blank(rest, start, start + 1)
        _blank(rest, end - 1, end if _closes(lines, (start, end)) else end - 1)
    return rest


def _blank(lines: list[str], start: int, end: int) -> None:
    for index in range(start, end):
        lines[index] = ""


def _fences(tokens: list[Token]) -> list[tuple[int, int]]:
    """The first line of each fence, and the one behind it."""
    return [(token.map[0], token.map[1]) for token in tokens if token.type == "fence" and token.map]


def _closes(lines: list[str], fence: tuple[int, int]) -> bool:
    last = lines[fence[1] - 1].strip(" \t>")
    return fence[1] - 1 > fence[0] and len(last) > 2 and set(last) in ({"`"}, {"~"})  # noqa: PLR2004 - three make a fence


def _headed(lines: list[str], view: list[str], tokens: list[Token], problems: list[Problem]) -> list[str]:
    """The lines to look for headings in: without comments and front matter, and with fences, whose code has none."""
    headed = list(view)
    _blank(headed, 0, _front_matter_end(view))
    for start, end in _fences(tokens):
        headed[start:end] = lines[start:end]
    for unclosed in problems:
        headed[unclosed.line - 1] = headed[unclosed.line - 1].replace("<!--", "")
    return headed


def _without_comments(lines: list[str], tokens: list[Token]) -> tuple[list[str], list[Problem]]:
    """The lines with comments blanked out, and the comments that have no end; what looks like one in code is none."""
    fences = _fences(tokens)
    outside = list(lines)
    for fence in fences:
        _blank(outside, *fence)
    _hide_code_spans(outside, tokens)
    spans, problems = _comments(outside, 0)
    for start, end in fences:
        spans += _comments(lines[start:end], start)[0]
    view = list(lines)
    for line, start, end in spans:
        view[line] = view[line][:start] + " " * (end - start) + view[line][end:]
    return view, problems


def _hide_code_spans(lines: list[str], tokens: list[Token]) -> None:
    """Make what code spans hold unrecognizable, each at its place, if it looks like a comment."""
    for token in tokens:
        if token.map and token.type in ("inline", "code_block"):
            start, end = token.map
            paragraph = "\n".join(lines[start:end])
            if "<!--" in paragraph and "`" in paragraph:
                lines[start:end] = _CODE_SPAN.sub(lambda span: span[0].replace("<!--", "xxxx"), paragraph).split("\n")


def _comments(lines: list[str], offset: int) -> tuple[list[tuple[int, int, int]], list[Problem]]:
    """What comments take of each line, as line (counted from `offset`), start and end; and those that have no end."""
    spans: list[tuple[int, int, int]] = []
    index = start = 0
    while index < len(lines):
        start = lines[index].find("<!--", start)
        if start < 0:
            index, start = index + 1, 0
            continue
        last = next(
            (line for line in range(index, len(lines)) if _end(lines[line], start + 4 if line == index else 0)), None
        )
        if last is None:
            problem = Problem(
                index + 1 + offset, "error", "The comment that begins here has no end.", "Close it with -->."
            )
            return spans, [problem]
        end = _end(lines[last], start + 4 if last == index else 0)
        for line in range(index, last + 1):
            stretch = (start if line == index else 0, end if line == last else len(lines[line]))
            spans.append((line + offset, *stretch))
        index, start = last, end
    return spans, []


def _end(line: str, start: int) -> int:
    """Where a comment ends in a line; 0 if it does not."""
    return line.find("-->", start) + len("-->") if line.find("-->", start) >= 0 else 0


def _front_matter_end(lines: list[str]) -> int:
    """The line behind a YAML header at the top of the file; 0 if there is none."""
    if lines[0].rstrip() != "---":
        return 0
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() in ("---", "..."):
            return index + 1 if _is_mapping("\n".join(lines[1:index])) else 0
    return 0


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.compose(text, Loader=yaml.SafeLoader), yaml.MappingNode)
    except (yaml.YAMLError, RecursionError, ValueError):
        return False


def _sections(lines: list[str], tasks: list[FoundTask]) -> Iterator[Section]:
    tokens = _markdown.parse("\n".join(lines))
    in_tasks = {line for task in tasks for line in range(task.line, task.end_line + 1)}
    headings = [
        (token.map[0], token.map[1], token.tag, following.content)
        for token, following in pairwise(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map
    ]
    items = [item for item in _items(tokens) if item.line not in in_tasks]
    places = [item.line for item in items]
    for index, (line, start, tag, title) in enumerate(headings):
        name = _SECTIONS.get(plain(title))
        if name is not None:
            end = next((other for other, _, other_tag, _ in headings[index + 1 :] if other_tag <= tag), len(lines))
            yield Section(name, line + 1, end, items[bisect_right(places, start) : bisect_right(places, end)])


def _items(tokens: list[Token]) -> Iterator[Item]:
    for item, paragraph, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (item.type, paragraph.type) == ("list_item_open", "paragraph_open") and inline.map:
            yield Item(inline.map[0] + 1, " ".join(_CHECKBOX.sub("", inline.content, count=1).split()))


def _is_work(text: str, depth: int = 0) -> bool:
    """Whether a text holds anything to do: not headings, rules, empty items, nor what stands in templates."""
    tokens = _markdown.parse(text)
    for before, token in pairwise([Token("", "", 0), *tokens]):
        if token.type == "inline":
            if before.type == "heading_open" and before.markup.startswith("#"):
                if _NUMBERED.match(token.content):
                    return True
            elif _says_something(token.content):
                return True
        elif token.type == "html_block":
            if _says_something(_TAG.sub(" ", token.content)):
                return True
        elif token.type in ("code_block", "fence") and _is_code_work(token.content, depth):
            return True
    return False


def _is_code_work(text: str, depth: int) -> bool:
    return _is_work(text, depth + 1) if depth < _NESTED else bool(text.strip())


def _says_something(text: str) -> bool:
    return not is_template(_CHECKBOX.sub("", _TAG.sub(" ", text).strip(), count=1))
