from collections.abc import AsyncGenerator

from ledger.client.connection import Connected
from ledger.client.pages import AT_ONCE, each
from ledger.heartbeat.structs import (
    InstructionsDiff,
    InstructionsFile,
    InstructionsText,
    NewInstructions,
    NewOwnInstructions,
    OwnInstructions,
)
from ledger.instructions.structs import Lint, Mode, VersionSummary
from ledger.threads.structs import Page


class Instructions(Connected):
    """`if_match`: the version to be replaced or deleted; `Stale` if there is another by now."""

    async def get_heartbeat_md(self) -> InstructionsFile:
        return await self._connection.get(InstructionsFile, "/api/heartbeat/heartbeat.md")

    async def save_heartbeat_md(
        self,
        *,
        content: str,
        strict: bool = False,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> InstructionsFile:
        """`strict`: raise `Invalid` for a text with errors or warnings instead of saving it."""
        return await self._connection.post(
            InstructionsFile,
            "/api/heartbeat/heartbeat.md",
            key=idempotency_key,
            body=NewInstructions(content),
            if_match=if_match,
            strict=strict,
        )

    async def lint_heartbeat_md(
        self, *, content: str, thread_id: str | None = None, idempotency_key: str | None = None
    ) -> Lint:
        return await self._connection.post(
            Lint,
            "/api/heartbeat/heartbeat.md/lint",
            key=idempotency_key,
            body=NewInstructions(content),
            thread_id=thread_id,
        )

    async def list_heartbeat_md_versions(self, *, limit: int = 50, cursor: str | None = None) -> Page[VersionSummary]:
        return await self._connection.get(
            Page[VersionSummary], "/api/heartbeat/heartbeat.md/versions", limit=limit, cursor=cursor
        )

    def heartbeat_md_versions(self) -> AsyncGenerator[VersionSummary]:
        return each(lambda cursor: self.list_heartbeat_md_versions(limit=AT_ONCE, cursor=cursor))

    async def get_heartbeat_md_version(self, version: int) -> InstructionsText:
        return await self._connection.get(InstructionsText, "/api/heartbeat/heartbeat.md/versions/{}", version)

    async def diff_heartbeat_md(self, *, old: int, new: int) -> InstructionsDiff:
        return await self._connection.get(InstructionsDiff, "/api/heartbeat/heartbeat.md/diff", old=old, new=new)

    async def restore_heartbeat_md(
        self, version: int, *, if_match: int | None = None, idempotency_key: str | None = None
    ) -> InstructionsFile:
        return await self._connection.post(
            InstructionsFile,
            "/api/heartbeat/heartbeat.md/versions/{}/restore",
            version,
            key=idempotency_key,
            if_match=if_match,
        )

    async def get_thread_instructions(self, thread_id: str) -> OwnInstructions:
        return await self._connection.get(OwnInstructions, "/api/threads/{}/heartbeat/instructions", thread_id)

    async def set_thread_instructions(
        self,
        thread_id: str,
        *,
        content: str,
        mode: Mode = "extend",
        strict: bool = False,
        if_match: int | None = None,
    ) -> OwnInstructions:
        return await self._connection.put(
            OwnInstructions,
            "/api/threads/{}/heartbeat/instructions",
            thread_id,
            body=NewOwnInstructions(content, mode),
            if_match=if_match,
            strict=strict,
        )

    async def delete_thread_instructions(self, thread_id: str, *, if_match: int | None = None) -> None:
        await self._connection.delete("/api/threads/{}/heartbeat/instructions", thread_id, if_match=if_match)
