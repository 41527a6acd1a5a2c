"""Questions: asked by heartbeats, answered or dismissed once by a person."""

from datetime import datetime, timedelta

from msgspec import structs
from sqlalchemy import delete, insert, select, update

from ledger.columns import columns
from ledger.db import Session, new_id
from ledger.errors import Conflict, NotFound
from ledger.paging import Keyset
from ledger.questions.structs import MAX_OPEN, Question, QuestionStatus
from ledger.questions.tables import QuestionRow
from ledger.threads import store as threads
from ledger.threads.structs import Page

_QUESTION = select(*columns(QuestionRow, Question))
_WINDOW = timedelta(hours=24)
_NEWEST = Keyset(QuestionRow.asked_at, QuestionRow.id)


async def ask(session: Session, thread_id: str, text: str, *, run_id: str, now: datetime) -> None:
    """Ask, unless too many questions are open, or the same one is, or was closed within a day. The thread is locked."""
    recent = (QuestionRow.status == "open") | (QuestionRow.closed_at > now - _WINDOW)
    same = QuestionRow.thread_id == thread_id, QuestionRow.question == text, recent
    is_known = await session.first(_QUESTION.where(*same).limit(1), Question) is not None
    if is_known or len(await newest(session, thread_id, "open", MAX_OPEN)) == MAX_OPEN:
        return
    question = Question(
        id=new_id(),
        thread_id=thread_id,
        run_id=run_id,
        question=text,
        status="open",
        asked_at=now,
        answer=None,
        closed_at=None,
    )
    await session.execute(insert(QuestionRow).values(structs.asdict(question)))


async def get(session: Session, question_id: str) -> Question:
    question = await session.first(_QUESTION.where(QuestionRow.id == question_id), Question)
    if question is None:
        raise NotFound(f"There is no question {question_id!r}.")
    return question


async def page(
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    thread_id: str | None = None,
    status: QuestionStatus | None = None,
) -> Page[Question]:
    """Questions, the newest first."""
    statement = _QUESTION
    if thread_id is not None:
        statement = statement.where(QuestionRow.thread_id == thread_id)
    if status is not None:
        statement = statement.where(QuestionRow.status == status)
    return Page(*_NEWEST.cut(await session.all(_NEWEST.select(statement, limit, cursor), Question), limit))


async def newest(session: Session, thread_id: str, status: QuestionStatus, limit: int) -> list[Question]:
    """A thread's questions that stand so: those that were asked last, or closed last, first."""
    statement = _QUESTION.where(QuestionRow.thread_id == thread_id, QuestionRow.status == status)
    order = (QuestionRow.asked_at if status == "open" else QuestionRow.closed_at).desc()
    return await session.all(statement.order_by(order, QuestionRow.id.desc()).limit(limit), Question)


async def answer(session: Session, question_id: str, text: str, *, now: datetime) -> Question:
    """Answer an open question, which is news for the thread. Raises `Conflict` for one that is closed."""
    question = await _close(session, question_id, "answered", text, now)
    await threads.stir(session, question.thread_id)
    return question


async def dismiss(session: Session, question_id: str, *, now: datetime) -> Question:
    """Leave an open question without an answer, which is no news. Raises `Conflict` for one that is closed."""
    return await _close(session, question_id, "dismissed", None, now)


async def _close(
    session: Session, question_id: str, status: QuestionStatus, text: str | None, now: datetime
) -> Question:
    await threads.lock_existing(session, (await get(session, question_id)).thread_id)
    question = await get(session, question_id)
    if question.status != "open":
        raise Conflict(f"The question {question_id!r} was {question.status} already.")
    values = {"status": status, "answer": text, "closed_at": now}
    await session.execute(update(QuestionRow).where(QuestionRow.id == question_id).values(values))
    return structs.replace(question, status=status, answer=text, closed_at=now)


async def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Delete some that were asked before a moment and are closed, the oldest first; answers how many."""
    old = select(QuestionRow.id).where(QuestionRow.asked_at < before, QuestionRow.status != "open")
    some = old.order_by(QuestionRow.asked_at).limit(limit).with_for_update(skip_locked=True)
    return (await session.execute(delete(QuestionRow).where(QuestionRow.id.in_(some)))).rowcount
