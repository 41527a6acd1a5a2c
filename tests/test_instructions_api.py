"""The instructions over the API: looked over, versioned, guarded against a second editor, and a thread's own."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.clock import ManualClock
from tests.conftest import Running, on_sqlite
from tests.scripted import ScriptedModel

Json = dict[str, Any]

HOUR = timedelta(hours=1)
MD = "/api/heartbeat/heartbeat.md"
OWN = "/api/threads/default/heartbeat/instructions"
GOOD = "tasks:\n- name: mail\n  interval: 1h\n  prompt: Look for mail.\n"
BROKEN = "tasks:\n- name: mail\n  interval: soon\n  prompt: Look again.\n"


async def save(running: Running, content: str, etag: str | None = None) -> httpx.Response:
    headers = {} if etag is None else {"If-Match": etag}
    return await running.http.post(MD, json={"content": content}, headers=headers)


async def get(running: Running, path: str) -> Json:
    answer = await running.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def prompted(running: Running, model: ScriptedModel) -> str:
    """What the model is told when a heartbeat runs now."""
    (await running.http.post("/api/threads/default/heartbeat/run-now")).raise_for_status()
    return model.requests[-1].messages[0].content


async def test_a_second_editor_is_refused_until_the_newest_version_was_read(running: Running) -> None:
    first = await save(running, "- One")
    assert first.headers["ETag"] == '"1"'
    assert (await running.http.get(MD)).headers["ETag"] == '"1"'
    assert (await save(running, "- Two", '"1"')).headers["ETag"] == '"2"'
    late = await save(running, "- Other", '"1"')
    assert (late.status_code, late.headers["content-type"]) == (412, "application/problem+json")
    assert 'If-Match: "2"' in late.json()["detail"]
    assert (await get(running, MD))["content"] == "- Two"
    for etag in ("*", 'W/"2"'):
        assert (await save(running, "- Two", etag)).status_code == 200
    assert (await save(running, "- Three", '"x"')).status_code == 422


async def test_an_edit_on_disk_is_a_version_that_a_save_with_an_older_etag_does_not_overwrite(
    running: Running, tmp_path: Path
) -> None:
    await save(running, "- Saved")
    (tmp_path / "HEARTBEAT.md").write_text("- Edited by hand")
    assert (await save(running, "- Saved again", '"1"')).status_code == 412
    assert (await save(running, "- Saved without looking")).status_code == 200
    versions = (await get(running, f"{MD}/versions"))["items"]
    assert [(version["version"], version["source"], version["size"]) for version in versions] == [
        (3, "api", 23),
        (2, "disk", 16),
        (1, "api", 7),
    ]
    assert (await get(running, f"{MD}/versions/2"))["content"] == "- Edited by hand"


async def test_versions_are_compared_and_restored_as_new_ones(running: Running, tmp_path: Path) -> None:
    for content in ("# Work\n- One\n- Two\n", "# Work\n- One\n- Three\n", "# Nothing"):
        await save(running, content)
    diff = (await get(running, f"{MD}/diff?old=1&new=2"))["diff"].split("\n")
    assert diff == ["--- version 1", "+++ version 2", "@@ -1,3 +1,3 @@", " # Work", " - One", "-- Two", "+- Three"]
    assert (await get(running, f"{MD}/diff?old=2&new=2"))["diff"] == ""
    stale = await running.http.post(f"{MD}/versions/1/restore", headers={"If-Match": '"2"'})
    assert stale.status_code == 412
    restored = (await running.http.post(f"{MD}/versions/1/restore", headers={"If-Match": '"3"'})).json()
    assert (restored["version"], restored["content"]) == (4, "# Work\n- One\n- Two\n")
    assert (tmp_path / "HEARTBEAT.md").read_text() == "# Work\n- One\n- Two\n"
    page = await get(running, f"{MD}/versions?limit=2")
    assert [version["source"] for version in page["items"]] == ["restore 1", "api"]
    rest = await get(running, f"{MD}/versions?limit=2&cursor={page['next_cursor']}")
    assert [version["version"] for version in rest["items"]] == [2, 1]
    for path in (f"{MD}/versions/9", f"{MD}/diff?old=1&new=9"):
        assert (await running.http.get(path)).json()["detail"] == "There is no version 9 of the instructions."
    assert (await running.http.get(f"{MD}/diff?old=1")).status_code == 422


async def test_a_restore_does_not_overwrite_an_edit_on_disk_that_was_not_read(running: Running, tmp_path: Path) -> None:
    for content in ("- One", "- Two"):
        await save(running, content)
    file = tmp_path / "HEARTBEAT.md"
    file.write_text("- Edited by hand")
    stale = await running.http.post(f"{MD}/versions/1/restore", headers={"If-Match": '"2"'})
    assert (stale.status_code, 'If-Match: "3"' in stale.json()["detail"]) == (412, True)
    assert file.read_text() == "- Edited by hand"
    assert (await running.http.get(MD)).headers["ETag"] == '"3"'
    restored = await running.http.post(f"{MD}/versions/1/restore", headers={"If-Match": '"3"'})
    assert (restored.status_code, restored.headers["ETag"], file.read_text()) == (200, '"4"', "- One")
    again = await running.http.post(f"{MD}/versions/4/restore", headers={"If-Match": '"4"'})
    assert (again.status_code, again.headers["ETag"]) == (200, '"4"')
    items = (await get(running, f"{MD}/versions"))["items"]
    assert [item["source"] for item in items] == ["restore 1", "disk", "api", "api"]


async def test_of_two_editors_at_the_same_moment_one_is_refused(running: Running, subtests: pytest.Subtests) -> None:
    for method, path, etag in (("POST", MD, '"0"'), ("POST", MD, '"1"'), ("PUT", OWN, '"0"'), ("PUT", OWN, '"1"')):
        with subtests.test(path=path, etag=etag):
            bodies = [{"content": f"- {etag} {name}"} for name in ("Ann", "Ben")]
            request, headers = running.http.request, {"If-Match": etag}
            both = await asyncio.gather(*(request(method, path, json=body, headers=headers) for body in bodies))
            assert sorted(answer.status_code for answer in both) == [200, 412]
            (kept,) = (answer.json()["content"] for answer in both if answer.status_code == 200)
            assert (await get(running, path))["content"] == kept


@on_sqlite
async def test_lint_tells_what_would_be_understood_and_saves_nothing(running: Running) -> None:
    text = f"# Checklist\n- Ask Ann\n\n{GOOD}  promt: x\n"
    found = (await running.http.post(f"{MD}/lint", json={"content": text})).json()
    assert [(item["line"], item["what"]) for item in found["understood"]] == [
        (0, "work outside the tasks: heartbeats also run when no task is due"),
        (1, "section Checklist with 1 items"),
        (5, "task 'mail': every 1h"),
    ]
    assert [(problem["line"], problem["severity"], problem["fix"]) for problem in found["problems"]] == [
        (8, "warning", "Perhaps you mean `prompt`.")
    ]
    assert (await get(running, MD))["version"] == 0


@on_sqlite
async def test_lint_for_a_thread_goes_by_its_interval_and_hours(running: Running) -> None:
    config = {"every": 7_200, "active_hours_start": 8, "active_hours_end": 20}
    (await running.http.post("/api/threads/default/heartbeat/config", json=config)).raise_for_status()
    text = GOOD + "  window: 22:00-23:30\n"
    assert (await running.http.post(f"{MD}/lint", json={"content": text})).json()["problems"] == []
    found = (await running.http.post(f"{MD}/lint?thread_id=default", json={"content": text})).json()
    said = " ".join(problem["message"] for problem in found["problems"])
    assert "finer than that of the heartbeat, which is 2h" in said
    assert "have no moment in common" in said
    assert (await running.http.post(f"{MD}/lint?thread_id=nobody", json={"content": ""})).status_code == 404


@on_sqlite
async def test_a_broken_task_keeps_its_last_good_form_through_edits_and_restores(running: Running) -> None:
    await save(running, GOOD)
    broken = (await save(running, BROKEN)).json()
    assert [problem["severity"] for problem in broken["problems"]] == ["warning", "error"]
    assert "its last good form stays in force" in broken["problems"][0]["message"]
    still = (await running.http.post(f"{MD}/lint", json={"content": BROKEN + "  at: 9\n"})).json()
    assert [(task["schedule"], task["prompt"], task["by_last_good_form"]) for task in still["tasks"]] == [
        ("every 1h", "Look for mail.", True)
    ]
    await save(running, "# Nothing")
    gone = (await running.http.post(f"{MD}/lint", json={"content": BROKEN})).json()
    assert (gone["tasks"][0]["in_force"], gone["has_work"]) == (False, True)


async def test_the_model_is_given_the_last_good_form_of_a_broken_task(
    running: Running, model: ScriptedModel, clock: ManualClock
) -> None:
    (await running.http.post("/api/heartbeat/stop")).raise_for_status()
    await save(running, GOOD)
    await save(running, BROKEN)
    told = await prompted(running, model)
    assert BROKEN in told
    assert told.endswith('Tasks due now:\n[{"name":"mail","prompt":"Look for mail."}]')
    await save(running, "# Nothing")
    for version in (1, 2):
        (await running.http.post(f"{MD}/versions/{version}/restore")).raise_for_status()
    clock.advance(HOUR)
    assert (await prompted(running, model)).endswith('[{"name":"mail","prompt":"Look for mail."}]')

    own = GOOD.replace("Look for mail.", "Only Ann's mail.")
    (await running.http.put(OWN, json={"content": own})).raise_for_status()
    shown = await running.http.put(OWN, json={"content": BROKEN})
    clock.advance(HOUR)
    assert [problem["severity"] for problem in shown.json()["problems"]] == ["warning", "error"]
    assert (await get(running, OWN))["problems"] == shown.json()["problems"]
    assert (await prompted(running, model)).endswith('[{"name":"mail","prompt":"Only Ann\'s mail."}]')


@on_sqlite
async def test_strict_refuses_errors_and_warnings_and_lets_advice_pass(
    running: Running, subtests: pytest.Subtests
) -> None:
    for content, status in ((BROKEN, 422), (GOOD + "  color: red\n", 422), ("- Look every morning", 200), (GOOD, 200)):
        for path in (f"{MD}?strict=true", f"{OWN}?strict=true"):
            with subtests.test(content, path=path):
                method = "PUT" if path.startswith(OWN) else "POST"
                answer = await running.http.request(method, path, json={"content": content})
                assert answer.status_code == status
                assert status == 200 or answer.json()["detail"].startswith("Line ")


async def test_a_thread_has_instructions_of_its_own_beside_the_shared_ones_or_in_their_place(
    running: Running, model: ScriptedModel
) -> None:
    await save(running, f"- Shared work.\n\n{GOOD}")
    assert (await running.http.get(OWN)).status_code == 404
    own = "tasks:\n- name: mail\n  interval: 1d\n  prompt: Only Ann's mail.\n"
    set_ = await running.http.put(OWN, json={"content": own})
    assert (set_.status_code, set_.headers["ETag"], set_.json()["mode"]) == (200, '"1"', "extend")
    told = await prompted(running, model)
    assert "- Shared work." in told
    assert told.endswith('Tasks due now:\n[{"name":"mail","prompt":"Only Ann\'s mail."}]')

    replaced = {"content": "- Own work.", "mode": "replace"}
    assert (await running.http.put(OWN, json=replaced, headers={"If-Match": '"7"'})).status_code == 412
    assert (await running.http.put(OWN, json=replaced, headers={"If-Match": '"1"'})).json()["version"] == 2
    told = await prompted(running, model)
    assert ("- Own work." in told, "- Shared work." in told) == (True, False)
    assert (await get(running, OWN))["content"] == "- Own work."

    assert (await running.http.delete(OWN)).status_code == 204
    assert (await running.http.delete(OWN)).status_code == 404
    assert "- Shared work." in await prompted(running, model)


async def test_own_instructions_are_replaced_or_deleted_only_by_who_has_read_them(running: Running) -> None:
    assert (await running.http.put(OWN, json={"content": "- One"}, headers={"If-Match": '"0"'})).status_code == 200
    late = await running.http.put(OWN, json={"content": "- Other"}, headers={"If-Match": '"0"'})
    assert (late.status_code, 'If-Match: "1"' in late.json()["detail"]) == (412, True)
    assert (await running.http.put(OWN, json={"content": "- Two"}, headers={"If-Match": '"1"'})).headers[
        "ETag"
    ] == '"2"'
    assert (await running.http.delete(OWN, headers={"If-Match": '"1"'})).status_code == 412
    shown = await running.http.get(OWN)
    assert (shown.headers["ETag"], shown.json()["content"]) == ('"2"', "- Two")
    assert (await running.http.delete(OWN, headers={"If-Match": '"2"'})).status_code == 204
    assert (await running.http.get(OWN)).status_code == 404


@on_sqlite
async def test_own_instructions_are_those_of_one_thread(running: Running, model: ScriptedModel) -> None:
    await save(running, f"- Shared work.\n\n{GOOD}")
    (await running.http.post("/api/threads", json={"id": "other"})).raise_for_status()
    (await running.http.put(OWN, json={"content": "- Own work.", "mode": "replace"})).raise_for_status()
    told = await prompted(running, model)
    assert ("Shared" in told, told.endswith("No task is due now.")) == (False, True)
    (await running.http.post("/api/threads/other/heartbeat/run-now")).raise_for_status()
    told = model.requests[-1].messages[0].content
    assert ("- Shared work." in told, "- Own work." in told, "Look for mail." in told) == (True, False, True)
    (await running.http.put(OWN, json={"content": "# Nothing to add"})).raise_for_status()
    assert "- Shared work." in await prompted(running, model)


@on_sqlite
async def test_an_empty_text_in_place_of_the_shared_one_silences_one_thread(
    running: Running, model: ScriptedModel
) -> None:
    await save(running, "- Shared work.")
    (await running.http.put(OWN, json={"content": "# Quiet here\n", "mode": "replace"})).raise_for_status()
    run = (await running.http.post("/api/threads/default/heartbeat/run-now")).json()
    assert (run["ran_successfully"], run["error"]) == (False, "The instructions hold no work.")
    (skipped,) = (await get(running, "/api/runs?loop=heartbeat"))["items"]
    assert (skipped["outcome"], skipped["reason"]) == ("skipped", "instructions_empty")
    assert model.requests == []


@on_sqlite
async def test_own_instructions_that_cannot_be_kept_leave_the_old_ones(running: Running) -> None:
    (await running.http.put(OWN, json={"content": "é" * 32_768})).raise_for_status()
    nul = await running.http.put(OWN, json={"content": "- One\n- Two\x00"})
    assert (nul.status_code, "NUL" in nul.json()["detail"]) == (422, True)
    assert (await running.http.put(OWN, json={"content": "é" * 32_768 + "x"})).status_code == 413
    kept = await get(running, OWN)
    assert (kept["version"], kept["content"]) == (1, "é" * 32_768)


async def test_an_if_match_that_is_no_etag_of_a_version_changes_nothing(
    refusing: Running, subtests: pytest.Subtests
) -> None:
    for etag in ('""', '"x"', '"-1"', '"1.0"', '"1", "2"', '"1234567890"'):
        for method, path in (("POST", MD), ("PUT", OWN), ("DELETE", OWN)):
            with subtests.test(etag, method=method, path=path):
                answer = await refusing.http.request(
                    method, path, json=None if method == "DELETE" else {"content": "- x"}, headers={"If-Match": etag}
                )
                assert (answer.status_code, "If-Match" in answer.json()["detail"]) == (422, True)
    assert (await get(refusing, MD))["version"] == 0
    assert (await refusing.http.get(OWN)).status_code == 404


async def test_what_cannot_be_kept_is_refused_by_every_way_in(refusing: Running, subtests: pytest.Subtests) -> None:
    bodies: list[tuple[Json, int]] = [
        ({"content": "x" * 65_537}, 413),
        ({"content": "a\x00b"}, 422),
        ({}, 422),
        ({"content": "x", "extra": 1}, 422),
    ]
    for body, status in bodies:
        for method, path in (("POST", f"{MD}/lint"), ("PUT", OWN)):
            with subtests.test(path=path, status=status):
                assert (await refusing.http.request(method, path, json=body)).status_code == status
    mode = await refusing.http.put(OWN, json={"content": "x", "mode": "append"})
    assert (mode.status_code, "mode" in mode.json()["detail"]) == (422, True)
    for method in ("GET", "PUT", "DELETE"):
        answer = await refusing.http.request(
            method, "/api/threads/nobody/heartbeat/instructions", json={"content": "x"} if method == "PUT" else None
        )
        assert answer.status_code == 404


async def test_a_thread_s_own_text_never_has_a_number_twice(running: Running, model: ScriptedModel) -> None:
    await running.http.put(OWN, json={"content": "- First"})
    await prompted(running, model)
    (await running.http.delete(OWN)).raise_for_status()
    assert (await running.http.put(OWN, json={"content": "- Late"}, headers={"If-Match": '"1"'})).status_code == 412
    again = (await running.http.put(OWN, json={"content": "- Second"})).json()
    assert again["version"] == 3
    assert (await running.http.put(OWN, json={"content": "- Second"})).json()["version"] == 3
    found = await get(running, "/api/threads/default/heartbeat/explain")
    assert found["changes"] == ["The instructions were changed: version 0+3 after 0+1."]


async def test_a_number_that_no_version_can_have_is_not_found(refusing: Running) -> None:
    for path in (f"{MD}/versions/99999999999999999999", f"{MD}/versions/2147483648", f"{MD}/diff?old=1&new=2147483648"):
        assert (await refusing.http.get(path)).status_code == 404
