"""All tables, for migrations."""

from ledger.approvals import tables as _approvals
from ledger.budgets import tables as _budgets
from ledger.columns import Row
from ledger.events import tables as _events
from ledger.heartbeat import tables as _heartbeat
from ledger.idempotency import tables as _idempotency
from ledger.insights import tables as _insights
from ledger.instructions import tables as _instructions
from ledger.journal import tables as _journal
from ledger.posts import tables as _posts
from ledger.providers import tables as _providers
from ledger.questions import tables as _questions
from ledger.runs import tables as _runs
from ledger.threads import tables as _threads
from ledger.turns import tables as _turns

__all__ = ["METADATA"]

METADATA = Row.metadata

_DECLARED = (
    _approvals,
    _budgets,
    _events,
    _heartbeat,
    _idempotency,
    _insights,
    _instructions,
    _journal,
    _posts,
    _providers,
    _questions,
    _runs,
    _threads,
    _turns,
)
