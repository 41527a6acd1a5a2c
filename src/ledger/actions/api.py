"""Approvals over the API: actions that wait, approved, rejected, or seen."""

from typing import Annotated

from litestar import Controller, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from ledger import actions
from ledger.approvals import store
from ledger.approvals.structs import Approval, ApprovalStatus, Rejection
from ledger.budgets.plan import Plan
from ledger.clock import Clock
from ledger.db import Database
from ledger.settings import Settings
from ledger.threads.store import Wake
from ledger.threads.structs import Page
from ledger.wire import Cursor, Given, Limit, NoBody

ApprovalKey = Annotated[str, PathParameter(description="The id of the approval.")]
OfThread = Annotated[str | None, QueryParameter(description="Only actions on this thread.")]
WithStatus = Annotated[ApprovalStatus | None, QueryParameter(description="Only actions that stand so.")]


class ApprovalController(Controller):
    path = "/api/approvals"
    tags = ["approvals"]

    @get()
    async def list_approvals(
        self,
        db: Given[Database],
        clock: Given[Clock],
        thread_id: OfThread = None,
        status: WithStatus = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Approval]:
        """Actions that wait for a person, and those that did, the newest first."""
        async with db.read() as session:
            return await store.page(
                session, now=clock.now(), limit=limit, cursor=cursor, thread_id=thread_id, status=status
            )

    @get("/{approval_id:str}")
    async def get_approval(self, approval_id: ApprovalKey, db: Given[Database], clock: Given[Clock]) -> Approval:
        """An action that waits for a person, or did."""
        async with db.read() as session:
            return await store.get(session, approval_id, now=clock.now())

    @post("/{approval_id:str}/approve", status_code=200)
    async def approve(
        self,
        approval_id: ApprovalKey,
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
        data: NoBody = None,
    ) -> Approval:
        """Apply the action; 409 if it does not wait any more, its target is gone, or the actions budget is spent."""
        del data
        agent, plan = settings.agent_name, Plan.of(settings)
        async with db.write() as session:
            return await actions.approve(session, approval_id, agent=agent, plan=plan, now=clock.now())

    @post("/{approval_id:str}/reject", status_code=200)
    async def reject(
        self,
        approval_id: ApprovalKey,
        db: Given[Database],
        clock: Given[Clock],
        wake: Given[Wake],
        data: JSONBody[Rejection | None] = None,
    ) -> Approval:
        """Have the action never applied; with a note, the next heartbeat reads why. 409 if it does not wait now."""
        async with db.write() as session:
            approval = await store.reject(session, approval_id, data.note if data else None, now=clock.now())
            await wake(session, approval.thread_id)
        return approval
