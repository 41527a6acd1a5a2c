"""Questions: asked by heartbeats, answered or dismissed once by a person."""

from datetime import datetime, timedelta

from msgspec import structs
from sqlalchemy import bindparam, delete, insert, select, update

from ledger.columns import columns
from ledger.db import Session, new_id
from ledger.errors import Conflict, NotFound
from ledger.events import store as events
from ledger.paging import Keyset
from ledger.questions.structs import MAX_OPEN, Question, QuestionStatus
from ledger.questions.tables import QuestionRow
from ledger.threads import store as threads
from ledger.threads.structs import Page

_QUESTION = select(*columns(QuestionRow, Question))
_WINDOW = timedelta(hours=24)
_NEWEST = Keyset(QuestionRow.asked_at, QuestionRow.id)

_OF_THREAD = _QUESTION.where(QuestionRow.thread_id == bindparam("thread_id"))
_SAME = _OF_THREAD.where(
    QuestionRow.question == bindparam("text"),
    (QuestionRow.status == "open") | (QuestionRow.closed_at > bindparam("since")),
).limit(1)
_STANDING = _OF_THREAD.where(QuestionRow.status == bindparam("status"))
_LAST_ASKED = _STANDING.order_by(QuestionRow.asked_at.desc(), QuestionRow.id.desc()).limit(bindparam("most"))
_LAST_CLOSED = _STANDING.order_by(QuestionRow.closed_at.desc(), QuestionRow.id.desc()).limit(bindparam("most"))
_NEW = insert(QuestionRow)


async def ask(session: Session, thread_id: str, text: str, *, run_id: str, now: datetime) -> None:
    """Ask, unless too many questions are open, or the same one is, or was closed within a day. The thread is locked."""
    same = await session.first(_SAME, Question, thread_id=thread_id, text=text, since=now - _WINDOW)
    if same is not None or len(await newest(session, thread_id, "open", MAX_OPEN)) == MAX_OPEN:
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
    await session.execute(_NEW, structs.asdict(question))
    await _tell(session, question, now)


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
    statement = _LAST_ASKED if status == "open" else _LAST_CLOSED
    return await session.all(statement, Question, thread_id=thread_id, status=status, most=limit)


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
    closed = structs.replace(question, status=status, answer=text, closed_at=now)
    await _tell(session, closed, now)
    return closed


async def _tell(session: Session, question: Question, at: datetime) -> None:
    await events.tell(session, "question", question, thread_id=question.thread_id, at=at)


async def forget(session: Session, *, before: datetime, limit: int) -> int:
    """Delete some that were closed before a moment, the oldest first; answers how many."""
    # Asked before that as well, which an index finds.
    old = select(QuestionRow.id).where(QuestionRow.asked_at < before, QuestionRow.closed_at < before)
    some = old.order_by(QuestionRow.asked_at).limit(limit).with_for_update(skip_locked=True)
    return (await session.execute(delete(QuestionRow).where(QuestionRow.id.in_(some)))).rowcount
