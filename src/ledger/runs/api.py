from datetime import UTC, datetime
from typing import Annotated

from litestar import Controller, get
from litestar.params import PathParameter, QueryParameter

from ledger.db import Database
from ledger.errors import Invalid
from ledger.runs import store
from ledger.runs.structs import Outcome, Reason, Run, RunDetail, RunFilter
from ledger.threads.structs import FIRST_YEAR, LAST_YEAR, Page
from ledger.turns.structs import LoopName
from ledger.wire import Cursor, Given, Limit

RunKey = Annotated[str, PathParameter(description="The id of the run.")]
OfThread = Annotated[str | None, QueryParameter(description="Only runs of this thread.")]
OfLoop = Annotated[LoopName | None, QueryParameter(description="Only runs of this loop.")]
WithOutcome = Annotated[Outcome | None, QueryParameter(description="Only runs that ended so.")]
WithReason = Annotated[Reason | None, QueryParameter(description="Only runs that did not act for this reason.")]
Since = Annotated[
    datetime | None,
    QueryParameter(description="Only runs that started at this moment or later, in the year 2 to 9998."),
]
Until = Annotated[datetime | None, QueryParameter(description="Only runs that started before this moment.")]


def _checked(name: str, moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Invalid(f"`{name}` is out of range: write a year from {FIRST_YEAR} to {LAST_YEAR}.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class RunController(Controller):
    path = "/api/runs"
    tags = ["runs"]

    @get()
    async def list_runs(
        self,
        db: Given[Database],
        thread_id: OfThread = None,
        loop: OfLoop = None,
        outcome: WithOutcome = None,
        reason: WithReason = None,
        since: Since = None,
        until: Until = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Run]:
        """Runs, the one started last first. Moments without an offset are UTC."""
        wanted = RunFilter(thread_id, loop, outcome, reason, _checked("since", since), _checked("until", until))
        async with db.read() as session:
            return await store.page(session, wanted, limit=limit, cursor=cursor)

    @get("/{run_id:str}")
    async def get_run(self, run_id: RunKey, db: Given[Database]) -> RunDetail:
        """A run whole: instructions, context, prompt, raw answer, decision, and what became of each action."""
        async with db.read() as session:
            return await store.get(session, run_id)
