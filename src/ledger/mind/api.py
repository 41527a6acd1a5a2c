"""What has been learned of a thread: seen, explained by evidence, set right and taken back."""

from typing import Annotated, Literal

from litestar import Controller, Response, get, patch, post
from litestar.enums import MediaType
from litestar.params import JSONBody, QueryParameter

from ledger.clock import Clock
from ledger.db import Database
from ledger.insights import profiles, scorecards
from ledger.insights.structs import Profile, Scorecard
from ledger.mind import corrections
from ledger.mind.briefing import brief
from ledger.mind.structs import Briefing, ProfileChange, Revert
from ledger.threads import store as threads
from ledger.threads.structs import Page
from ledger.wire import Cursor, Given, Limit, ThreadKey

Budget = Annotated[int, QueryParameter(ge=50, le=32_000, description="How many tokens it may have, 50 to 32000.")]
Format = Annotated[Literal["json", "text"], QueryParameter(description="`json`, or `text` for plain text.")]


class MindController(Controller):
    path = "/api/threads/{thread_id:str}"
    tags = ["mind"]

    @get("/scorecard")
    async def get_scorecard(self, thread_id: ThreadKey, db: Given[Database]) -> Scorecard:
        """What the thread is about; revision 0 while nothing has been reflected on."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            return await scorecards.current(session, thread_id)

    @get("/scorecard/history")
    async def list_scorecards(
        self, thread_id: ThreadKey, db: Given[Database], limit: Limit = 50, cursor: Cursor = None
    ) -> Page[Scorecard]:
        """All revisions, the newest first."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            return await scorecards.page(session, thread_id, limit=limit, cursor=cursor)

    @get("/profile")
    async def get_profile(self, thread_id: ThreadKey, db: Given[Database]) -> Profile:
        """How the person likes to be spoken to; revision 0 while nothing has been learned."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            return await profiles.current(session, thread_id)

    @get("/profile/history")
    async def list_profiles(
        self, thread_id: ThreadKey, db: Given[Database], limit: Limit = 50, cursor: Cursor = None
    ) -> Page[Profile]:
        """All revisions, the newest first."""
        async with db.read() as session:
            await threads.get(session, thread_id)
            return await profiles.page(session, thread_id, limit=limit, cursor=cursor)

    @post("/profile/revert", status_code=200)
    async def revert_profile(
        self, thread_id: ThreadKey, data: JSONBody[Revert], db: Given[Database], clock: Given[Clock]
    ) -> Profile:
        """Go back to an earlier revision, pins included; learning goes on from there."""
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            return await corrections.revert(session, thread_id, data.revision, now=clock.now())

    @patch("/profile")
    async def pin_traits(
        self, thread_id: ThreadKey, data: JSONBody[ProfileChange], db: Given[Database], clock: Given[Clock]
    ) -> Profile:
        """Say where traits stand: learning leaves them alone until the pin is taken away."""
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            return await corrections.pin(session, thread_id, data.pin, now=clock.now())

    @get("/context", media_type=MediaType.JSON)
    async def get_context(
        self,
        thread_id: ThreadKey,
        db: Given[Database],
        max_tokens: Budget = 800,
        format: Format = "json",  # noqa: A002
    ) -> Response[Briefing] | Response[str]:
        """What to put in front of the next model call: profile, topics, open questions, insights and own posts."""
        async with db.read() as session:
            briefing = await brief(session, thread_id, max_tokens)
        if format == "text":
            return Response(briefing.text(), media_type=MediaType.TEXT)
        return Response(briefing)
