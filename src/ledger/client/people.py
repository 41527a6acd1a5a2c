"""What waits for a person: questions and approvals."""

from collections.abc import AsyncGenerator

from ledger.approvals.structs import Approval, ApprovalStatus, Rejection
from ledger.client.connection import Connected
from ledger.client.pages import AT_ONCE, each
from ledger.questions.structs import NewAnswer, Question, QuestionStatus
from ledger.threads.structs import Page


class Questions(Connected):
    async def list_questions(
        self,
        *,
        thread_id: str | None = None,
        status: QuestionStatus | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Question]:
        return await self._connection.get(
            Page[Question], "/api/questions", thread_id=thread_id, status=status, limit=limit, cursor=cursor
        )

    def questions(
        self, *, thread_id: str | None = None, status: QuestionStatus | None = None
    ) -> AsyncGenerator[Question]:
        return each(
            lambda cursor: self.list_questions(thread_id=thread_id, status=status, limit=AT_ONCE, cursor=cursor)
        )

    async def get_question(self, question_id: str) -> Question:
        return await self._connection.get(Question, "/api/questions/{}", question_id)

    async def answer_question(self, question_id: str, *, answer: str, idempotency_key: str | None = None) -> Question:
        return await self._connection.post(
            Question, "/api/questions/{}/answer", question_id, key=idempotency_key, body=NewAnswer(answer)
        )

    async def dismiss_question(self, question_id: str, *, idempotency_key: str | None = None) -> Question:
        return await self._connection.post(Question, "/api/questions/{}/dismiss", question_id, key=idempotency_key)


class Approvals(Connected):
    async def list_approvals(
        self,
        *,
        thread_id: str | None = None,
        status: ApprovalStatus | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Approval]:
        return await self._connection.get(
            Page[Approval], "/api/approvals", thread_id=thread_id, status=status, limit=limit, cursor=cursor
        )

    def approvals(
        self, *, thread_id: str | None = None, status: ApprovalStatus | None = None
    ) -> AsyncGenerator[Approval]:
        return each(
            lambda cursor: self.list_approvals(thread_id=thread_id, status=status, limit=AT_ONCE, cursor=cursor)
        )

    async def get_approval(self, approval_id: str) -> Approval:
        return await self._connection.get(Approval, "/api/approvals/{}", approval_id)

    async def approve(self, approval_id: str, *, idempotency_key: str | None = None) -> Approval:
        return await self._connection.post(Approval, "/api/approvals/{}/approve", approval_id, key=idempotency_key)

    async def reject(
        self, approval_id: str, *, note: str | None = None, idempotency_key: str | None = None
    ) -> Approval:
        return await self._connection.post(
            Approval, "/api/approvals/{}/reject", approval_id, key=idempotency_key, body=Rejection(note)
        )
