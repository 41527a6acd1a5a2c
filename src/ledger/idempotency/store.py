"""Answers by the key of their request."""

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import bindparam, delete, select, update

from ledger.columns import columns
from ledger.db import Session
from ledger.errors import Conflict
from ledger.idempotency.tables import KeptAnswerRow

LIFETIME = timedelta(hours=24)
"""How long a key means the same request."""


class Answer(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


class Known(Struct, frozen=True):
    """A request that was begun before."""

    request: str
    at: datetime
    status: int | None
    headers: dict[str, str] | None
    body: bytes | None

    @property
    def answer(self) -> Answer | None:
        if self.status is None:
            return None
        return Answer(self.status, self.headers or {}, self.body or b"")


_IS_IT = KeptAnswerRow.key == bindparam("of_key")
_KNOWN = select(*columns(KeptAnswerRow, Known)).where(_IS_IT, KeptAnswerRow.at > bindparam("since"))
_STALE = delete(KeptAnswerRow).where(_IS_IT, KeptAnswerRow.at <= bindparam("since"))
_ANSWERED = update(KeptAnswerRow).where(_IS_IT)
_GONE = delete(KeptAnswerRow).where(_IS_IT)


async def find(session: Session, key: str, *, now: datetime) -> Known | None:
    return await session.first(_KNOWN, Known, of_key=key, since=now - LIFETIME)


async def claim(session: Session, key: str, request: str, *, now: datetime) -> None:
    """Have the key stand for this request if the transaction is committed; `Conflict` if another one has it."""
    await session.execute(_STALE, {"of_key": key, "since": now - LIFETIME})
    if not await session.insert_missing(KeptAnswerRow, _row(key, request, now)):
        raise under_way()


async def keep(session: Session, key: str, request: str, answer: Answer, *, now: datetime) -> None:
    """Keep the answer, also of a request that wrote nothing."""
    await session.insert_missing(KeptAnswerRow, _row(key, request, now))
    values = {"status": answer.status, "headers": answer.headers, "body": answer.body}
    await session.execute(_ANSWERED, values | {"of_key": key})


async def release(session: Session, key: str) -> None:
    """Let the request be made again under its key: nothing came of it."""
    await session.execute(_GONE, {"of_key": key})


async def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Delete some keys that were first used before a moment; answers how many."""
    old = select(KeptAnswerRow.key).where(KeptAnswerRow.at < before).order_by(KeptAnswerRow.at)
    some = KeptAnswerRow.key.in_(old.limit(limit).with_for_update(skip_locked=True))
    return (await session.execute(delete(KeptAnswerRow).where(some))).rowcount


def under_way() -> Conflict:
    error = Conflict("A request with this Idempotency-Key is under way: try again when it has been answered.")
    error.headers["Retry-After"] = "1"
    return error


def _row(key: str, request: str, now: datetime) -> dict[str, object]:
    return {"key": key, "request": request, "at": now, "status": None, "headers": None, "body": None}
