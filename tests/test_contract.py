"""Those who call the API are not surprised: what breaks them is told in the changelog."""

import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contract import Json, breaking_changes

ROOT = Path(__file__).parents[1]
DOCUMENT, CHANGELOG = "openapi.json", "CHANGELOG.md"


def document() -> Json:
    """A small one: a tent is pitched, and shown."""
    shown = {"size": {"type": "integer"}, "note": _text(nullable=True), "is": {"type": "string", "const": "tent"}}
    tent: Json = {"type": "object", "properties": shown | {"made": {"type": "string", "format": "date-time"}}}
    new: Json = {
        "type": "object",
        "properties": {"size": {"type": "number", "maximum": 8, "default": 2}, "kind": _words("dome", "tipi")},
    }
    tent["required"], new["required"] = ["size", "note"], ["size"]
    parameter = {"name": "night", "in": "query", "schema": {"type": "integer", "minimum": 1}}
    pitch: Json = {
        "parameters": [parameter],
        "requestBody": {"content": {"application/json": {"schema": _ref("NewTent")}}},
        "responses": {
            "201": {"content": {"application/json": {"schema": _ref("Tent")}}, "headers": {"ETag": {}}},
            "409": {},
        },
    }
    schemas = {"Tent": tent, "NewTent": new}
    return {"paths": {"/tents": {"post": pitch}}, "components": {"schemas": schemas}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(*, nullable: bool = False) -> Json:
    return {"type": ["string", "null"] if nullable else "string"}


def _words(*words: str) -> Json:
    return {"type": "string", "enum": [*words]}


def _set(changed: Json, path: str, value: object) -> None:
    *way, last = path.split(" ")
    place: Any = changed
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    if value is None:
        del place[last]
    else:
        place[last] = value


TENT, NEW = "components schemas Tent", "components schemas NewTent"
PITCH = "paths /tents post"
BREAKING: list[tuple[str, object, str]] = [
    (f"{PITCH}", None, "POST /tents is gone."),
    (f"{PITCH} parameters", [], "POST /tents, query parameter `night`, is gone."),
    (f"{PITCH} parameters 0 required", True, "POST /tents, query parameter `night`, is required now."),
    (f"{PITCH} parameters 0 schema minimum", 2, "POST /tents, query parameter `night`: minimum is 2 now."),
    (f"{PITCH} parameters 0 schema", _text(), "POST /tents, query parameter `night`: takes no integer any more."),
    (f"{PITCH} requestBody required", True, "POST /tents requires a body now."),
    (f"{PITCH} requestBody", None, "POST /tents takes no body any more."),
    (f"{PITCH} responses", {"200": {}}, "POST /tents does not answer 201 any more."),
    (f"{NEW} properties kind", None, "POST /tents, body: `kind` is gone."),
    (f"{NEW} properties kind", _words("dome"), "POST /tents, body, `kind`: takes no `tipi` any more."),
    (f"{NEW} properties size maximum", 4, "POST /tents, body, `size`: maximum is 4 now."),
    (f"{NEW} properties size type", "integer", "POST /tents, body, `size`: takes no number any more."),
    (f"{NEW} required", ["size", "kind"], "POST /tents, body: `kind` is required now."),
    (f"{TENT} properties note", None, "POST /tents, answer: `note` is gone."),
    (f"{TENT} properties size type", "number", "POST /tents, answer, `size`: may now be number."),
    (f"{TENT} properties size type", ["integer", "null"], "POST /tents, answer, `size`: may now be null."),
    (f"{TENT} required", ["size"], "POST /tents, answer: `note` may be missing now."),
    (
        f"{TENT} properties made",
        {"type": "string", "format": "date"},
        "POST /tents, answer, `made`: format is date now.",
    ),
    (f"{TENT} properties is", {"type": "string", "const": "hut"}, "POST /tents, answer, `is`: const is hut now."),
    (f"{NEW} properties size default", 3, "POST /tents, body, `size`: is 3 now where it is left out."),
    (f"{PITCH} responses 201 headers", {}, "POST /tents: its answer has no ETag any more."),
]


@pytest.mark.parametrize(("path", "value", "sentence"), BREAKING, ids=[sentence for *_, sentence in BREAKING])
def test_a_change_that_breaks_callers_is_found(path: str, value: object, sentence: str) -> None:
    changed = deepcopy(document())
    _set(changed, path, value)
    assert breaking_changes(document(), changed) == [sentence]


def test_a_new_parameter_that_is_required_breaks_callers() -> None:
    changed = deepcopy(document())
    changed["paths"]["/tents"]["post"]["parameters"].append(
        {"name": "place", "in": "header", "schema": _text(), "required": True}
    )
    assert breaking_changes(document(), changed) == ["POST /tents, header parameter `place`, is new and required."]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("paths /pegs", {"get": {"responses": {}}}),
        (f"{PITCH} responses 410", {}),
        (f"{PITCH} parameters 0 schema minimum", 0),
        (f"{PITCH} parameters 0 schema", {}),
        (f"{NEW} properties colour", _text()),
        (f"{NEW} properties size maximum", 10),
        (f"{NEW} properties kind", _words("dome", "tipi", "yurt")),
        (f"{NEW} properties kind", _text()),
        (f"{NEW} required", []),
        (f"{TENT} properties colour", _text()),
        (f"{TENT} properties note", _text()),
        (f"{TENT} description", "A house of cloth."),
    ],
)
def test_a_change_that_callers_need_not_know_of_is_none(path: str, value: object) -> None:
    changed = deepcopy(document())
    _set(changed, path, value)
    assert breaking_changes(document(), changed) == []


def test_a_component_may_have_another_name() -> None:
    changed = deepcopy(document())
    changed["components"]["schemas"]["Shelter"] = changed["components"]["schemas"].pop("Tent")
    _set(changed, f"{PITCH} responses 201 content application/json schema", _ref("Shelter"))
    assert breaking_changes(document(), changed) == []


def test_a_struct_that_holds_others_of_its_kind_is_compared_once() -> None:
    before = document()
    _set(before, f"{TENT} properties inside", {"type": "array", "items": _ref("Tent")})
    after = deepcopy(before)
    _set(after, f"{TENT} properties note", None)
    assert breaking_changes(before, after) == ["POST /tents, answer: `note` is gone."]


def test_one_more_kind_of_several_is_no_break_and_one_less_that_is_taken_is() -> None:
    before, after = document(), document()
    kinds = {"oneOf": [_ref("Tent"), _ref("NewTent")]}
    for way in ("requestBody content", "responses 201 content"):
        _set(after, f"{PITCH} {way} application/json schema", kinds)
        _set(before, f"{PITCH} {way} application/json schema", kinds)
    more = deepcopy(after)
    more["components"]["schemas"]["Tarp"] = {"type": "object"}
    _set(more, f"{PITCH} responses 201 content application/json schema", {"oneOf": [*kinds["oneOf"], _ref("Tarp")]})
    assert breaking_changes(before, more) == []
    _set(after, f"{PITCH} requestBody content application/json schema", {"oneOf": [_ref("Tent"), _ref("Tarp")]})
    after["components"]["schemas"]["Tarp"] = {"type": "object"}
    assert breaking_changes(before, after) == ["POST /tents, body: takes no NewTent any more."]


def test_a_commit_that_breaks_callers_says_so_in_the_changelog() -> None:
    if _git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip(f"The history of {DOCUMENT} is NOT checked: this clone does not hold all of it")
    commits = _git("log", "--format=%H", "--", DOCUMENT).split()
    if not commits:
        pytest.skip(f"The history of {DOCUMENT} is NOT checked: no commit holds it")
    for commit in commits:
        before, after = _shown(f"{commit}^", DOCUMENT), _shown(commit, DOCUMENT)
        if before and after:
            _require(before, after, _git("show", "--format=", "--unified=0", commit, "--", CHANGELOG), commit[:10])


def test_a_change_that_is_not_committed_yet_says_so_too() -> None:
    before = _shown("HEAD", DOCUMENT)
    if not before:
        pytest.skip(f"{DOCUMENT} is NOT compared: the last commit does not hold it")
    _require(before, (ROOT / DOCUMENT).read_text(), _git("diff", "--unified=0", "HEAD", "--", CHANGELOG), "this tree")


def _require(before: str, after: str, changelog: str, where: str) -> None:
    found = breaking_changes(msgspec.json.decode(before), msgspec.json.decode(after))
    told = any(line.startswith("+") and "Breaking" in line for line in changelog.splitlines())
    assert told or not found, f'{where} needs a line with the word "Breaking" in {CHANGELOG}: {" ".join(found)}'


def _shown(commit: str, path: str) -> str:
    """A file as a commit has it; empty if it has none."""
    done = _run("show", f"{commit}:{path}")
    return done.stdout if done.returncode == 0 else ""


def _git(*arguments: str) -> str:
    done = _run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip(f"The history of {DOCUMENT} is NOT checked: there is no git, or no repository")
    return subprocess.run([git, "-C", ROOT, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - our own words
