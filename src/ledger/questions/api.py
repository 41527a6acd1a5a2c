from typing import Annotated

from litestar import Controller, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from ledger.clock import Clock
from ledger.db import Database
from ledger.questions import store
from ledger.questions.structs import NewAnswer, Question, QuestionStatus
from ledger.threads.store import Wake
from ledger.threads.structs import Page
from ledger.wire import Cursor, Given, Limit, NoBody

QuestionKey = Annotated[str, PathParameter(description="The id of the question.")]
OfThread = Annotated[str | None, QueryParameter(description="Only questions of this thread.")]
WithStatus = Annotated[QuestionStatus | None, QueryParameter(description="Only questions that stand so.")]


class QuestionController(Controller):
    path = "/api/questions"
    tags = ["questions"]

    @get()
    async def list_questions(
        self,
        db: Given[Database],
        thread_id: OfThread = None,
        status: WithStatus = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Question]:
        """What heartbeats asked people, the newest first."""
        async with db.read() as session:
            return await store.page(session, limit=limit, cursor=cursor, thread_id=thread_id, status=status)

    @get("/{question_id:str}")
    async def get_question(self, question_id: QuestionKey, db: Given[Database]) -> Question:
        """A question that a heartbeat asked, and its answer."""
        async with db.read() as session:
            return await store.get(session, question_id)

    @post("/{question_id:str}/answer", status_code=200)
    async def answer_question(
        self,
        question_id: QuestionKey,
        data: JSONBody[NewAnswer],
        db: Given[Database],
        clock: Given[Clock],
        wake: Given[Wake],
    ) -> Question:
        """Answer in words, which the next heartbeat reads; 409 if the question is not open any more."""
        async with db.write() as session:
            question = await store.answer(session, question_id, data.answer, now=clock.now())
            await wake(session, question.thread_id)
        return question

    @post("/{question_id:str}/dismiss", status_code=200)
    async def dismiss_question(
        self, question_id: QuestionKey, db: Given[Database], clock: Given[Clock], data: NoBody = None
    ) -> Question:
        """Leave the question without an answer; 409 if it is not open any more."""
        del data
        async with db.write() as session:
            return await store.dismiss(session, question_id, now=clock.now())
