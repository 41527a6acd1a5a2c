from litestar import Controller, get, patch
from litestar.params import JSONBody

from ledger.budgets import store
from ledger.budgets.plan import Plan
from ledger.budgets.structs import Budget, BudgetChange, ThreadBudget
from ledger.clock import Clock
from ledger.db import Database
from ledger.settings import Settings
from ledger.threads import store as threads
from ledger.wire import Given, ThreadKey


class BudgetController(Controller):
    path = "/api"
    tags = ["budgets"]

    @get("/budget")
    async def get_budget(self, db: Given[Database], clock: Given[Clock], settings: Given[Settings]) -> Budget:
        """What the whole service may spend today, and has."""
        async with db.read() as session:
            return await store.of_service(session, Plan.of(settings), now=clock.now())

    @get("/threads/{thread_id:str}/budget")
    async def get_thread_budget(
        self, thread_id: ThreadKey, db: Given[Database], clock: Given[Clock], settings: Given[Settings]
    ) -> ThreadBudget:
        """What a thread may spend today, and has, beside what all threads together may."""
        async with db.read() as session:
            found = await store.purse(session, thread_id, Plan.of(settings), now=clock.now())
        return ThreadBudget(thread_id, found.thread, found.service)

    @patch("/threads/{thread_id:str}/budget")
    async def change_thread_budget(
        self,
        thread_id: ThreadKey,
        data: JSONBody[BudgetChange],
        db: Given[Database],
        clock: Given[Clock],
        settings: Given[Settings],
    ) -> ThreadBudget:
        """Give the thread limits of its own, for all four loops together."""
        async with db.write() as session:
            await threads.lock_existing(session, thread_id)
            await store.change_limits(session, thread_id, data)
            found = await store.purse(session, thread_id, Plan.of(settings), now=clock.now())
        return ThreadBudget(thread_id, found.thread, found.service)
