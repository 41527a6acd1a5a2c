"""The instructions over the API: read and saved, looked over, their versions, and what a thread has of its own."""

import difflib
import re
from datetime import timedelta
from typing import Annotated

from anyio import to_thread
from litestar import Controller, Response, delete, get, post, put
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter

from ledger.clock import Clock
from ledger.db import Database
from ledger.errors import Invalid, NotFound
from ledger.heartbeat import config as configs
from ledger.heartbeat.structs import (
    InstructionsDiff,
    InstructionsFile,
    InstructionsText,
    NewInstructions,
    NewOwnInstructions,
    OwnInstructions,
)
from ledger.hours import Hours
from ledger.instructions import store
from ledger.instructions.file import File
from ledger.instructions.lint import Heart, lint
from ledger.instructions.structs import Lint, Own, Problem, Task, Version, VersionSummary
from ledger.instructions.text import understand
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.threads.structs import Page, ThreadId
from ledger.turns import store as turns
from ledger.wire import Cursor, Given, Limit, NoBody, ThreadKey

VersionNumber = Annotated[int, PathParameter(description="The number of a version of HEARTBEAT.md, from 1.")]
Strict = Annotated[
    bool, QueryParameter(description="Refuse content with errors or warnings (422) instead of saving it.")
]
_IF_MATCH = r'(\*|(W/)?"?([0-9]{1,9})"?)'
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The ETag of the version that is to be replaced, or `*` for any; 412 if it is another.",
        schema_extra={"pattern": f"^{_IF_MATCH}$"},
    ),
]
ForThread = Annotated[
    ThreadId | None, QueryParameter(description="The thread whose interval and hours count; else the defaults.")
]


class InstructionsController(Controller):
    path = "/api"
    tags = ["instructions"]

    @get("/heartbeat/heartbeat.md")
    async def get_heartbeat_md(
        self, db: Given[Database], file: Given[File], settings: Given[Settings]
    ) -> Response[InstructionsFile]:
        """The instructions in force, and what is odd about them."""
        await file.follow()
        return await _file(db, file, settings)

    @post("/heartbeat/heartbeat.md", status_code=200)
    async def save_heartbeat_md(
        self,
        data: JSONBody[NewInstructions],
        db: Given[Database],
        file: Given[File],
        settings: Given[Settings],
        strict: Strict = False,
        if_match: IfMatch = None,
    ) -> Response[InstructionsFile]:
        """Put new instructions in force, then write the file; what is wrong with either comes back as `problems`.

        A task with errors stays out of force, and its last good form in.
        """
        store.check(data.content)
        if strict:
            _refuse((await _lint(data.content, _default(settings), [])).problems)
        await file.save(data.content, expected=_version(if_match))
        return await _file(db, file, settings)

    @post("/heartbeat/heartbeat.md/lint", status_code=200)
    async def lint_heartbeat_md(
        self,
        data: JSONBody[NewInstructions],
        db: Given[Database],
        settings: Given[Settings],
        thread_id: ForThread = None,
    ) -> Lint:
        """What would be understood of a text, line by line, and what is odd about it; nothing is saved."""
        store.check(data.content)
        async with db.read() as session:
            current = await store.newest(session)
        heart = _default(settings) if thread_id is None else await _heart(db, settings, thread_id)
        carried = await to_thread.run_sync(store.carry, data.content, current)
        return await _lint(data.content, heart, carried)

    @get("/heartbeat/heartbeat.md/versions")
    async def list_heartbeat_md_versions(
        self, db: Given[Database], file: Given[File], limit: Limit = 50, cursor: Cursor = None
    ) -> Page[VersionSummary]:
        """All versions, the newest first."""
        await file.follow()
        async with db.read() as session:
            return await store.page(session, limit=limit, cursor=cursor)

    @get("/heartbeat/heartbeat.md/versions/{version:int}")
    async def get_heartbeat_md_version(self, version: VersionNumber, db: Given[Database]) -> InstructionsText:
        """One version of the instructions, whole."""
        found = await _get(db, version)
        return InstructionsText(found.version, found.content, found.saved_at, found.source)

    @get("/heartbeat/heartbeat.md/diff")
    async def diff_heartbeat_md(
        self,
        old: Annotated[int, QueryParameter(description="The version to compare from.")],
        new: Annotated[int, QueryParameter(description="The version to compare to.")],
        db: Given[Database],
    ) -> InstructionsDiff:
        """What changed from one version to another, as a unified diff."""
        before, after = await _get(db, old), await _get(db, new)
        return InstructionsDiff(old, new, await to_thread.run_sync(_diff, before, after))

    @post("/heartbeat/heartbeat.md/versions/{version:int}/restore", status_code=200)
    async def restore_heartbeat_md(
        self,
        version: VersionNumber,
        db: Given[Database],
        file: Given[File],
        settings: Given[Settings],
        data: NoBody = None,
        if_match: IfMatch = None,
    ) -> Response[InstructionsFile]:
        """Put an earlier version in force again, as a new one."""
        del data
        found = await _get(db, version)
        await file.save(found.content, source=f"restore {version}", expected=_version(if_match))
        return await _file(db, file, settings)

    @get("/threads/{thread_id:str}/heartbeat/instructions")
    async def get_thread_instructions(
        self, thread_id: ThreadKey, db: Given[Database], settings: Given[Settings]
    ) -> Response[OwnInstructions]:
        """What the thread has of its own; 404 if it follows HEARTBEAT.md alone."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            own = await store.own(session, thread_id)
        if own is None:
            raise NotFound(f"The thread {thread_id!r} has no instructions of its own.")
        return await _own(db, settings, thread_id, own)

    @put("/threads/{thread_id:str}/heartbeat/instructions")
    async def set_thread_instructions(
        self,
        thread_id: ThreadKey,
        data: JSONBody[NewOwnInstructions],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        strict: Strict = False,
        if_match: IfMatch = None,
    ) -> Response[OwnInstructions]:
        """Give the thread instructions of its own, which extend HEARTBEAT.md or stand in its place."""
        store.check(data.content)
        if strict:
            _refuse((await _lint(data.content, await _heart(db, settings, thread_id), [])).problems)
        await understand(data.content)  # before the transaction, which compares it with the text before
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            own = await store.save_own(
                session, thread_id, data.content, data.mode, now=clock.now(), expected=_version(if_match)
            )
        return await _own(db, settings, thread_id, own)

    @delete("/threads/{thread_id:str}/heartbeat/instructions")
    async def delete_thread_instructions(
        self, thread_id: ThreadKey, db: Given[Database], clock: Given[Clock], if_match: IfMatch = None
    ) -> None:
        """Have the thread follow HEARTBEAT.md alone again."""
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            await store.delete_own(session, thread_id, now=clock.now(), expected=_version(if_match))


async def _get(db: Database, version: int) -> Version:
    async with db.read() as session:
        return await store.get(session, version)


async def _file(db: Database, file: File, settings: Settings) -> Response[InstructionsFile]:
    async with db.read() as session:
        version = await store.newest(session)
    found = (await _lint(version.content, _default(settings), version.carried)).problems if version else []
    if file.problem is not None:
        found = [*found, Problem(0, "error", file.problem, "Mend the file or its permissions, or save the text here.")]
    number = version.version if version else 0
    shown = InstructionsFile(
        content=version.content if version else "",
        last_modified=version.saved_at.timestamp() if version else None,
        path=str(file.path),
        version=number,
        problems=found,
    )
    return Response(shown, headers={"ETag": f'"{number}"'})


async def _own(db: Database, settings: Settings, thread_id: str, own: Own) -> Response[OwnInstructions]:
    found = await _lint(own.content, await _heart(db, settings, thread_id), own.carried)
    shown = OwnInstructions(thread_id, own.mode, own.content, own.version, own.saved_at, found.problems)
    return Response(shown, headers={"ETag": f'"{own.version}"'})


async def _lint(content: str, heart: Heart, carried: list[Task]) -> Lint:
    return await to_thread.run_sync(lint, content, heart, carried)


def _default(settings: Settings) -> Heart:
    return Heart(timedelta(seconds=settings.heartbeat_seconds), Hours())


async def _heart(db: Database, settings: Settings, thread_id: str) -> Heart:
    async with db.read() as session:
        await threads.get(session, thread_id)
        turn = await turns.get(session, "heartbeat", thread_id)
        config = await configs.of_thread(session, thread_id, turn, settings.heartbeat_seconds)
    return Heart(timedelta(seconds=config.every), configs.hours(config))


def _refuse(problems: list[Problem]) -> None:
    grave = [problem for problem in problems if problem.severity != "advice"]
    if grave:
        raise Invalid(" ".join(f"Line {problem.line}: {problem.message} {problem.fix}".strip() for problem in grave))


def _version(if_match: str | None) -> int | None:
    """The version an `If-Match` header names; None if any will do."""
    if if_match is None:
        return None
    found = re.fullmatch(_IF_MATCH, if_match.strip())
    if found is None:
        raise Invalid(f'If-Match is {if_match}: send the ETag of the version that is to be replaced, such as "3".')
    return int(found[3]) if found[3] else None


def _diff(old: Version, new: Version) -> str:
    names = [f"version {version.version}" for version in (old, new)]
    lines = difflib.unified_diff(old.content.splitlines(), new.content.splitlines(), names[0], names[1], lineterm="")
    return "\n".join(lines)
