"""HEARTBEAT_OK in what a model says: nothing to do, and nothing else is lost."""

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ledger.actions import CommentAction, Decision, PostAction, VoteAction
from ledger.clock import ManualClock
from ledger.heartbeat.model import meant
from ledger.heartbeat.token import acknowledged, strip_token, without_token
from tests.conftest import Running, on_sqlite
from tests.scripted import ScriptedModel, act, post

WORDS = st.text(alphabet=st.characters(exclude_characters="<>`"))  # what is in tags and marks is no word


@pytest.mark.parametrize(
    "text",
    [
        "HEARTBEAT_OK",
        "  HEARTBEAT_OK\n",
        "HEARTBEAT_OK.",
        "HEARTBEAT_OK!!!!",
        "HEARTBEAT_OK---",
        "HEARTBEAT_OK 🦊",
        "**HEARTBEAT_OK**",
        "_HEARTBEAT_OK_",
        "`HEARTBEAT_OK`",
        "# HEARTBEAT_OK",
        "> HEARTBEAT_OK",
        "- HEARTBEAT_OK",
        '"HEARTBEAT_OK"',
        "(HEARTBEAT_OK)",
        "<b>HEARTBEAT_OK</b>",
        '<p class="x"><code>HEARTBEAT_OK</code></p>',
        "__HEARTBEAT_OK__",
        "***HEARTBEAT_OK***",
        "**HEARTBEAT_OK.**",
        "**HEARTBEAT_OK** ✅",
        "~~HEARTBEAT_OK~~",
        "```\nHEARTBEAT_OK\n```",
        "<p>HEARTBEAT_OK</p>.",
        "- [ ] HEARTBEAT_OK",
        "HEARTBEAT_OK HEARTBEAT_OK",
    ],
)
def test_the_token_alone_in_any_dress_leaves_nothing(text: str) -> None:
    assert strip_token(text) == ("", True)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("All is well. HEARTBEAT_OK", "All is well."),
        ("All is well.\n\n**HEARTBEAT_OK**", "All is well."),
        ("All is well.\n> HEARTBEAT_OK", "All is well."),
        ("HEARTBEAT_OK (the well is dry)", "(the well is dry)"),
        ("<code>HEARTBEAT_OK</code> the well is dry", "the well is dry"),
        ("`HEARTBEAT_OK`\n\nThe well is dry.", "The well is dry."),
        ('He said "fine" HEARTBEAT_OK', 'He said "fine"'),
        ("3 HEARTBEAT_OK", "3"),
        ("HEARTBEAT_OK!!!!!", "!!!!!"),
        ("HEARTBEAT_OK 是", "是"),
        ("HEARTBEAT_OK\n- The well\n- The roof", "- The well\n- The roof"),
        ("- The well\n- The roof\n- HEARTBEAT_OK", "- The well\n- The roof"),
        ("HEARTBEAT_OK\n\n# The well", "# The well"),
        ("HEARTBEAT_OK <b>Dry</b>", "<b>Dry</b>"),
        ("```\nwell = 0\n```\n\n`HEARTBEAT_OK`", "```\nwell = 0\n```"),
        ('The well is "dry" (`deep`) _HEARTBEAT_OK_', 'The well is "dry" (`deep`)'),
        ("HEARTBEAT_OK, says HEARTBEAT_OK", ", says"),
    ],
)
def test_what_stands_beside_the_token_is_kept(text: str, left: str) -> None:
    assert strip_token(text) == (left, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The well is dry.",
        "heartbeat_ok",
        "HEARTBEAT OK",
        "Reply HEARTBEAT_OK when done.",
        "Reply **HEARTBEAT_OK** when done.",
        "Reply _HEARTBEAT_OK_ when done.",
        "HEARTBEAT_OKAY",
        "MY_HEARTBEAT_OK",
        "HEARTBEAT_OK_2",
        "2HEARTBEAT_OK",
        "GRÖSSEHEARTBEAT_OK",
        "HEARTBEAT_OK是",
        "_HEARTBEAT_OK",
    ],
)
def test_a_text_without_the_token_at_an_end_is_left_alone(text: str) -> None:
    assert strip_token(text) == (text, False)


@given(WORDS, WORDS)
def test_no_word_of_a_text_is_lost(before: str, after: str) -> None:
    words = [word for word in (before + " " + after).split() if word.isalpha()]
    left = strip_token(f"{before} HEARTBEAT_OK {after}").text
    assert all(word in left for word in words)


@given(st.text(alphabet="aé是7", min_size=1), st.text(alphabet="aé是7"), st.booleans())
def test_a_longer_word_is_no_token(one: str, other: str, first: bool) -> None:
    text = f"{one}HEARTBEAT_OK{other}" if first else f"{other}HEARTBEAT_OK{one}"
    assert strip_token(text) == (text, False)


@given(st.text(alphabet="!.?…-*🦊✅"))
def test_up_to_four_marks_behind_the_token_say_nothing_and_five_are_kept(marks: str) -> None:
    left = strip_token(f"HEARTBEAT_OK {marks}").text
    assert left == (marks if len(marks) > 4 else "")


def test_an_answer_that_is_the_token_decides_nothing_and_one_with_more_says_so() -> None:
    plain, more = acknowledged("**HEARTBEAT_OK**"), acknowledged("The well is dry. HEARTBEAT_OK")
    assert plain is not None
    assert more is not None
    assert (plain.verdict, plain.actions, plain.summary) == ("nothing", [], "Nothing to do.")
    assert (more.verdict, "kept in the run" in more.summary) == ("nothing", True)
    assert "The well is dry." in more.reasoning
    assert "well" not in more.summary
    assert acknowledged("The well is dry.") is None


@pytest.mark.parametrize(
    ("title", "content"), [("HEARTBEAT_OK", "What it means."), ("Words", "Say HEARTBEAT_OK to be left alone.")]
)
def test_a_single_action_that_speaks_of_the_token_is_an_action(title: str, content: str) -> None:
    decision = meant(msgspec.json.encode({"action": "post", "board": "b", "title": title, "content": content}).decode())
    assert decision is not None
    assert decision.actions == [PostAction(board="b", title=title, content=content)]


@pytest.mark.parametrize(
    ("summary", "verdict", "shown"),
    [
        ("HEARTBEAT_OK", "nothing", "Nothing to do."),
        ("HEARTBEAT_OK", "act", ""),
        ("Looked at the well. HEARTBEAT_OK", "nothing", "Looked at the well."),
        ("Told them that HEARTBEAT_OK is a word.", "act", "Told them that HEARTBEAT_OK is a word."),
        ("", "nothing", "Nothing to do."),
    ],
)
def test_a_summary_is_shown_without_the_token(summary: str, verdict: Literal["nothing", "act"], shown: str) -> None:
    vote = [VoteAction(post_id="p", direction="up")] if verdict == "act" else []
    decision = Decision(verdict=verdict, reasoning="Why not.", summary=summary, actions=[*vote])
    assert without_token(decision) == structs.replace(decision, summary=shown)


@pytest.mark.parametrize("content", ["  Indented.\n", "Say HEARTBEAT_OK twice. ", "HEARTBEAT_OKAY\n", ""])
def test_content_without_the_token_at_an_end_stays_to_the_letter(content: str) -> None:
    actions = [PostAction(board="b", title="t", content=content), CommentAction(post_id="p", content=content)]
    decision = Decision(verdict="act", reasoning="Why not.", summary="Told.", actions=[*actions])
    assert without_token(decision) == decision


def test_actions_stay_and_the_token_is_nowhere_a_person_could_see_it() -> None:
    decision = Decision(
        verdict="act",
        reasoning="Why not.",
        summary="HEARTBEAT_OK",
        actions=[
            PostAction(board="notes", title="Well", content="The well is dry.\n\nHEARTBEAT_OK"),
            CommentAction(post_id="p", content="HEARTBEAT_OK"),
            VoteAction(post_id="p", direction="up"),
        ],
    )
    told, empty, vote = without_token(decision).actions
    assert isinstance(told, PostAction)
    assert isinstance(empty, CommentAction)
    assert (told.content, empty.content, vote) == ("The well is dry.", "", decision.actions[2])


@on_sqlite
async def test_a_turn_with_the_token_is_decided_and_kept_as_it_was_said(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    del clock
    model.says(
        "HEARTBEAT_OK.",
        "You have 3 letters. HEARTBEAT_OK",
        act(post("Letters", "HEARTBEAT_OK")),
        act(post("Letters", "HEARTBEAT_OK Three came.")),
        f"HEARTBEAT_OK\n\n{msgspec.json.encode(act(post('Stamps', 'One is blue.'))).decode()}\nHEARTBEAT_OK",
        *["Three came."] * 2,
    )
    runs: list[dict[str, Any]] = []
    for _ in range(6):
        ran = await running.http.post("/api/threads/default/loops/heartbeat/run-now")
        runs.append((await running.http.get(f"/api/runs/{ran.json()['id']}")).json())
    assert [run["outcome"] for run in runs] == ["nothing", "nothing", "refused", "acted", "acted", "failed"]
    assert runs[1]["raw_answer"] == "You have 3 letters. HEARTBEAT_OK"
    assert "letters" not in runs[1]["summary"]
    assert "content is empty" in runs[2]["actions"][0]["error"]
    written = (await running.http.get("/api/posts")).json()["items"]
    assert sorted(item["content"] for item in written) == ["One is blue.", "Three came."]
