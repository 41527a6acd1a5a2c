"""The client at the real application: every operation does what it is named after, and errors are the server's own."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import httpx2
import pytest

from ledger import (
    Conflict,
    Invalid,
    LedgerClient,
    NewMessage,
    NotFound,
    Stale,
    Unauthorized,
)
from tests.conftest import START, Opener, Running, on_sqlite
from tests.scripted import ScriptedModel, act, ask, post

T = TypeVar("T")

SAID = ["Camping by the lake is great.", "Which lake is good for camping?", "I like short answers.", "Yes. Camping!"]

pytestmark = on_sqlite


@asynccontextmanager
async def connected(
    running: Running, base_url: str = "http://127.0.0.1:8000", **settings: str
) -> AsyncGenerator[LedgerClient]:
    transport = httpx2.ASGITransport(running.app)  # pyright: ignore[reportArgumentType] - httpx2 types ASGI more narrowly
    async with LedgerClient(base_url, transport=transport, token=settings.get("token")) as client:
        yield client


@pytest.fixture
async def client(opened: Opener) -> AsyncGenerator[LedgerClient]:
    """Of an application with loops only where a test asks for a turn."""
    loops = ("reflection", "personality", "self_reply", "heartbeat")
    async with opened(**{f"{loop}_enabled": False for loop in loops}) as running, connected(running) as client:
        yield client


async def _all(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def test_threads_and_messages(client: LedgerClient) -> None:
    thread = await client.create_thread(id="camping", title="Camping")
    assert (thread.id, thread.title, thread.timezone) == ("camping", "Camping", "UTC")
    assert len((await client.create_thread()).id) == 32
    said = datetime(2026, 1, 4, 10, tzinfo=UTC)
    added = await client.add_messages(
        "camping", [NewMessage("user", "Shall we go?", created_at=said), NewMessage("assistant", "Yes.", id="m2")]
    )
    assert (added.added, added.duplicates, added.messages[0].created_at) == (2, 0, said)
    assert (await client.add_messages("camping", [NewMessage("assistant", "Yes.", id="m2")])).duplicates == 1
    page = await client.list_messages("camping", limit=1, newest_first=True)
    assert [message.id for message in page.items] == ["m2"]
    (first,) = (await client.list_messages("camping", limit=1, newest_first=True, cursor=page.next_cursor)).items
    assert first == added.messages[0]
    changed = await client.change_thread("camping", timezone="Europe/Paris")
    assert (changed.title, changed.timezone) == ("Camping", "Europe/Paris")
    assert await client.get_thread("camping") == changed
    await client.delete_thread("camping")
    assert "camping" not in {thread.id for thread in (await client.list_threads()).items}
    with pytest.raises(NotFound, match="camping") as raised:
        await client.get_thread("camping")
    assert len(raised.value.request_id) == 32


async def test_posts_comments_and_votes(client: LedgerClient) -> None:
    written = await client.write_post(title="When?", content="@ledger when?", board="plans")
    assert (written.author, written.thread_id, written.mentions_agent) == ("person", "default", True)
    assert (await client.edit_post(written.id, content="When do we go?")).title == "When?"
    comment = await client.write_comment(written.id, content="In May.", author="ann")
    answer = await client.write_comment(written.id, content="June!", author="bob", parent_id=comment.id)
    assert (await client.edit_comment(answer.id, content="June.")).content == "June."
    assert (await client.get_comment(answer.id)).parent_id == comment.id
    assert {each.id for each in (await client.list_comments(written.id)).items} == {comment.id, answer.id}
    assert (await client.cast_vote(written.id, "ann", value=-1)).score == -1
    assert (await client.cast_vote(written.id, "béa & co.", value=1)).score == 0
    assert {vote.voter for vote in (await client.list_votes(written.id)).items} == {"ann", "béa & co."}
    assert (await client.take_vote_back(written.id, "ann")).score == 1
    assert [post.id for post in (await client.list_posts(sort="top", board="plans")).items] == [written.id]
    assert (await client.list_posts(board="other")).items == []
    assert [(count.board, count.post_count) for count in await client.list_boards()] == [("plans", 1)]
    assert (await client.remove_comment(comment.id)).removed_at is not None
    assert (await client.remove_post(written.id)).content == ""
    assert (await client.get_post(written.id)).removed_at is not None


async def test_what_is_listed_in_pages_is_gone_through_to_its_end(client: LedgerClient) -> None:
    messages = [NewMessage("user", f"Message {number}", id=f"m{number}") for number in range(450)]
    await client.add_messages("default", messages)
    assert [each.id for each in await _all(client.messages("default"))] == [each.id for each in messages]
    newest_first = await _all(client.messages("default", newest_first=True))
    assert [each.seq for each in newest_first] == list(range(450, 0, -1))
    post = await client.write_post(title="A title", content="Some content.")
    await client.write_post(title="Another", content="Some content.", board="other")
    await client.write_comment(post.id, content="A comment.")
    await client.cast_vote(post.id, "ann", value=1)
    await client.save_heartbeat_md(content="- Water the flowers.")
    await client.run_loop_now("default", "reflection")
    await client.run_loop_now("default", "personality")
    assert {each.title for each in await _all(client.posts())} == {"Another", "A title"}
    assert [each.id for each in await _all(client.posts(board="general"))] == [post.id]
    assert [each.content for each in await _all(client.comments(post.id))] == ["A comment."]
    assert [each.voter for each in await _all(client.votes(post.id))] == ["ann"]
    assert [each.id for each in await _all(client.threads())] == ["default"]
    assert {each.loop for each in await _all(client.runs())} == {"reflection", "personality"}
    assert [each.loop for each in await _all(client.runs(loop="reflection", since=START))] == ["reflection"]
    assert [each.revision for each in await _all(client.scorecards("default"))] == [1]
    assert [each.revision for each in await _all(client.profiles("default"))] == [1]
    assert await _all(client.entries("default")) == (await client.list_entries("default")).items != []
    assert len(await _all(client.heartbeat_md_versions())) == (await client.get_heartbeat_md()).version


async def test_what_was_learned(client: LedgerClient) -> None:
    await client.add_messages("default", [NewMessage("user", text) for text in SAID])
    assert (await client.get_scorecard("default")).revision == 0
    run = await client.run_loop_now("default", "reflection", prompt="What is it about?")
    assert (run.trigger, run.asked, await client.get_run(run.id)) == ("run_now", "What is it about?", run)
    assert (await client.list_scorecards("default")).items == [await client.get_scorecard("default")]
    await client.run_loop_now("default", "personality")
    pinned = await client.pin_traits("default", verbosity=0.25, emoji=1.0)
    assert (pinned.traits["verbosity"].value, pinned.traits["verbosity"].pinned) == (0.25, True)
    assert not (await client.pin_traits("default", verbosity=None)).traits["verbosity"].pinned
    assert (await client.revert_profile("default", revision=pinned.revision)).traits == pinned.traits
    assert (await client.list_profiles("default", limit=1)).items == [await client.get_profile("default")]
    briefing = await client.get_context("default", max_tokens=200)
    assert (briefing.max_tokens, briefing.topics != []) == (200, True)
    assert await client.get_context_text("default", max_tokens=200) == briefing.text()


async def test_the_journal(client: LedgerClient) -> None:
    await client.add_messages("default", [NewMessage("user", text) for text in SAID])
    await client.run_loop_now("default", "reflection")
    (entry,) = (await client.list_entries("default", kind="reflection")).items
    reply = await client.reply_to_entry("default", entry.id, body="Which lake?", author="ann")
    assert (reply.reply_to, await client.get_entry("default", reply.id)) == (entry.id, reply)
    (tree,) = await _all(client.entries("default", view="tree"))
    assert isinstance(tree.replies, list)
    assert [each.id for each in tree.replies] == [reply.id]
    assert (await client.get_journal_settings("default")).self_reply
    changed = await client.change_journal_settings("default", self_reply=False)
    assert (changed.self_reply, changed.posts) == (False, "trends")


async def test_loops_and_the_heartbeat(client: LedgerClient) -> None:
    assert [loop.loop for loop in await client.list_loops()] == ["reflection", "personality", "self_reply", "heartbeat"]
    assert not (await client.stop_loop("reflection")).running
    assert (await client.start_loop("reflection")).running
    assert (await client.start_heartbeat()).ok
    assert (await client.get_heartbeat_status()).running
    assert (await client.stop_heartbeat()).ok
    assert not (await client.get_heartbeat_status()).running
    assert (await client.change_thread_loop("default", "heartbeat", every=300)).every == 300
    assert not (await client.change_thread_loop("default", "heartbeat", enabled=False)).enabled
    assert (await client.get_thread_loop("default", "heartbeat")).every == 300
    config = await client.change_heartbeat_config("default", active_hours_start=8, target="last", every=None)
    assert (config.config.active_hours_start, config.config.target, config.config.every) == (8, "last", 1800)
    await client.change_heartbeat_config("default", active_hours_start=None, temperature=0.0)
    found = (await client.get_heartbeat_config("default")).config
    assert (found.active_hours_start, found.target, found.temperature) == (None, "last", 0.0)


async def test_a_heartbeat_at_once(client: LedgerClient, model: ScriptedModel) -> None:
    await client.save_heartbeat_md(content="- Say hello.")
    model.says(act(post("Hello", "Hello, all.")))
    ran = await client.run_heartbeat_now("default")
    assert (ran.ran_successfully, ran.actions[0].title) == (True, "Hello")
    assert (await client.list_heartbeat_history("default", limit=5)).total_runs == 1
    assert (await client.explain_heartbeat("default")).thread_id == "default"
    (run,) = (await client.list_runs(loop="heartbeat", outcome="acted", until=START + timedelta(days=1))).items
    (written,) = (await client.list_posts(thread_id="default")).items
    assert (written.origin, written.run_id) == ("agent", run.id)


async def test_instructions(client: LedgerClient) -> None:
    saved = await client.save_heartbeat_md(content="- Water the flowers.\n")
    assert await client.get_heartbeat_md() == saved
    newer = await client.save_heartbeat_md(content="- Feed the cat.\n", if_match=saved.version)
    with pytest.raises(Stale):
        await client.save_heartbeat_md(content="- Feed the dog.\n", if_match=saved.version)
    assert "+- Feed the cat." in (await client.diff_heartbeat_md(old=saved.version, new=newer.version)).diff
    assert (await client.get_heartbeat_md_version(saved.version)).content == "- Water the flowers.\n"
    restored = await client.restore_heartbeat_md(saved.version, if_match=newer.version)
    assert restored.content == "- Water the flowers.\n"
    versions = (await client.list_heartbeat_md_versions(limit=1)).items
    assert [each.source for each in versions] == [f"restore {saved.version}"]
    wrong = "tasks:\n- name: mail\n  interval: often\n  prompt: Look\n"
    assert (await client.lint_heartbeat_md(content=wrong, thread_id="default")).problems
    with pytest.raises(Invalid, match="Line 3"):
        await client.save_heartbeat_md(content=wrong, strict=True)
    own = await client.set_thread_instructions("default", content="- Read.\n", mode="replace")
    assert await client.get_thread_instructions("default") == own
    with pytest.raises(Stale):
        await client.delete_thread_instructions("default", if_match=own.version + 1)
    await client.delete_thread_instructions("default", if_match=own.version)
    with pytest.raises(NotFound):
        await client.get_thread_instructions("default")


async def test_questions_and_approvals(client: LedgerClient, model: ScriptedModel) -> None:
    await client.save_heartbeat_md(content="- Say hello.")
    for question in ("Which lake?", "Which month?"):
        model.says(ask(question))
        await client.run_heartbeat_now("default")
    asked = {each.question: each.id for each in await _all(client.questions(status="open"))}
    first, second = asked["Which lake?"], asked["Which month?"]
    assert (await client.answer_question(first, answer="The big one.")).answer == "The big one."
    assert (await client.dismiss_question(second)).status == "dismissed"
    with pytest.raises(Conflict):
        await client.dismiss_question(second)
    assert (await client.get_question(first)).status == "answered"
    assert (await client.list_questions(thread_id="default", status="open")).items == []
    await client.change_heartbeat_config("default", approval="all")
    model.says(act(post("One"), post("Two")))
    ran = await client.run_heartbeat_now("default")
    one, two = [result.approval_id or "" for result in ran.actions]
    assert {each.id for each in await _all(client.approvals(status="pending"))} == {one, two}
    approved = await client.approve(one)
    assert approved.result is not None
    assert (approved.status, approved.result.success) == ("approved", True)
    assert (await client.reject(two, note="Not now.")).note == "Not now."
    assert (await client.get_approval(two)).status == "rejected"
    assert (await client.list_approvals(thread_id="default", status="pending")).items == []


async def test_budgets_providers_and_health(client: LedgerClient) -> None:
    changed = await client.change_thread_budget("default", calls=50, tokens="unlimited", cost=1.5)
    assert (changed.thread.limits.calls, changed.thread.limits.tokens, changed.thread.limits.cost) == (50, None, 1.5)
    assert await client.get_thread_budget("default") == changed
    assert await client.get_budget() == changed.service
    assert await client.list_providers() == []
    assert ((await client.is_live()).status, (await client.is_ready()).status) == ("live", "ready")


async def test_what_the_server_refuses_is_raised_as_what_it_is(client: LedgerClient) -> None:
    with pytest.raises(Invalid, match="title"):
        await client.write_post(title="", content="Some content.")
    with pytest.raises(Invalid, match="messages"):
        await client.add_messages("default", [])
    with pytest.raises(Conflict, match="default"):
        await client.create_thread(id="default")
    with pytest.raises(Invalid, match="limit"):
        await client.list_posts(limit=0)
    with pytest.raises(ValueError, match="a number, `unlimited`, or null"):
        await client.change_thread_budget("default", calls="many")  # pyright: ignore[reportArgumentType]


async def test_a_call_that_is_repeated_by_its_key_happens_once(client: LedgerClient) -> None:
    first = await client.write_post(title="When?", content="When do we go?", idempotency_key="mine")
    assert await client.write_post(title="When?", content="When do we go?", idempotency_key="mine") == first
    with pytest.raises(Invalid, match="key"):
        await client.write_post(title="Where?", content="Where do we go?", idempotency_key="mine")
    assert len(await _all(client.posts())) == 1


async def test_the_token_is_sent(opened: Opener) -> None:
    async with opened(api_token="secret") as running:  # noqa: S106 - of this test alone
        async with connected(running, token="secret") as client:  # noqa: S106
            assert (await client.get_thread("default")).id == "default"
        async with connected(running) as client:
            with pytest.raises(Unauthorized):
                await client.get_thread("default")
