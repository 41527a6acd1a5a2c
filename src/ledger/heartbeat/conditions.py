"""`when`: what must be there, beside the time, for a task to be due."""

from datetime import UTC, datetime

from msgspec import Struct

from ledger.db import Session
from ledger.heartbeat.tasks import Followed
from ledger.insights import scorecards
from ledger.posts import comments
from ledger.posts import store as posts
from ledger.posts.ranking import mentions
from ledger.threads import messages, said

_EVER = datetime.min.replace(tzinfo=UTC)
_NEWEST = 20
"""How many new messages are searched for a mention."""


class Place(Struct, frozen=True):
    """The thread a heartbeat looks at."""

    thread_id: str
    agent: str
    watermark: int
    """The newest message the last decision had read."""


async def holds(session: Session, followed: Followed, place: Place) -> bool:
    """Whether the task's `when` is true now; without one it is."""
    match followed.task.when:
        case None:
            return True
        case "new_messages":
            return await said.count(session, place.thread_id, after=followed.series.seen_seq, most=1) > 0
        case "new_posts":
            return await posts.any_of_others(session, place.thread_id, since=followed.series.ran_at or _EVER)
        case "mentioned":
            return await _is_mentioned(session, place)
        case "open_questions":
            return bool((await scorecards.current(session, place.thread_id)).open_questions)


async def _is_mentioned(session: Session, place: Place) -> bool:
    if await comments.open_mentions(session, place.thread_id, 1):
        return True
    new = await messages.newest(session, place.thread_id, _NEWEST, after=place.watermark)
    return any(message.origin == "person" and mentions(message.content, place.agent) for message in new)
