from collections.abc import AsyncGenerator

from msgspec import UNSET

from ledger.client.connection import Connected
from ledger.client.pages import AT_ONCE, each
from ledger.insights.structs import Profile, Scorecard
from ledger.mind.structs import Briefing, Pin, Pins, ProfileChange, Revert
from ledger.threads.structs import Page


class Mind(Connected):
    """What has been learned of a thread."""

    async def get_scorecard(self, thread_id: str) -> Scorecard:
        return await self._connection.get(Scorecard, "/api/threads/{}/scorecard", thread_id)

    async def list_scorecards(self, thread_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Scorecard]:
        return await self._connection.get(
            Page[Scorecard], "/api/threads/{}/scorecard/history", thread_id, limit=limit, cursor=cursor
        )

    def scorecards(self, thread_id: str) -> AsyncGenerator[Scorecard]:
        return each(lambda cursor: self.list_scorecards(thread_id, limit=AT_ONCE, cursor=cursor))

    async def get_profile(self, thread_id: str) -> Profile:
        return await self._connection.get(Profile, "/api/threads/{}/profile", thread_id)

    async def list_profiles(self, thread_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Profile]:
        return await self._connection.get(
            Page[Profile], "/api/threads/{}/profile/history", thread_id, limit=limit, cursor=cursor
        )

    def profiles(self, thread_id: str) -> AsyncGenerator[Profile]:
        return each(lambda cursor: self.list_profiles(thread_id, limit=AT_ONCE, cursor=cursor))

    async def revert_profile(self, thread_id: str, *, revision: int, idempotency_key: str | None = None) -> Profile:
        return await self._connection.post(
            Profile, "/api/threads/{}/profile/revert", thread_id, key=idempotency_key, body=Revert(revision)
        )

    async def pin_traits(
        self,
        thread_id: str,
        *,
        verbosity: Pin = UNSET,
        formality: Pin = UNSET,
        emoji: Pin = UNSET,
        structure: Pin = UNSET,
        humor: Pin = UNSET,
        seriousness: Pin = UNSET,
        questions: Pin = UNSET,
        pace: Pin = UNSET,
    ) -> Profile:
        """Numbers from 0 to 1; None gives a trait back to learning."""
        pins = Pins(verbosity, formality, emoji, structure, humor, seriousness, questions, pace)
        return await self._connection.patch(Profile, "/api/threads/{}/profile", thread_id, body=ProfileChange(pins))

    async def get_context(self, thread_id: str, *, max_tokens: int = 800) -> Briefing:
        """What to put in front of the next model call."""
        return await self._connection.get(Briefing, "/api/threads/{}/context", thread_id, max_tokens=max_tokens)

    async def get_context_text(self, thread_id: str, *, max_tokens: int = 800) -> str:
        """The same as plain text."""
        return await self._connection.get_text(
            "/api/threads/{}/context", thread_id, max_tokens=max_tokens, format="text"
        )
