from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ledger.runs.structs import ActionResult
from ledger.threads.structs import NOT_BLANK

Policy = Literal["auto", "posts", "all"]
"""What waits for a person: nothing, every action with a text, or every action."""

ApprovalStatus = Literal["pending", "approved", "rejected", "expired"]

LIFETIME = timedelta(days=7)
"""How long an action waits before it expires."""


MAX_PENDING = 50
"""How many actions may wait on a thread."""


class Approval(Struct, frozen=True, kw_only=True):
    """An action that waits for a person, or did."""

    id: str
    """32 hex digits."""
    thread_id: str
    """The thread the action is on."""
    run_id: str
    """The run that proposed it."""
    ordinal: int
    """Which action of its run it is, from 0."""
    action: Annotated[Any, Meta(description="The action as it was proposed.")]
    speaks: bool
    """Whether it is also said in the thread."""
    status: ApprovalStatus
    """Only what is `pending` can be approved or rejected."""
    proposed_at: datetime
    """When the run proposed it."""
    expires_at: datetime
    """When it expires, if nobody has decided by then."""
    closed_at: datetime | None
    """When it was approved or rejected."""
    note: str | None
    """What a person said when rejecting it."""
    result: ActionResult | None
    """What came of it, once it was approved."""


class Rejection(Struct, frozen=True, forbid_unknown_fields=True):
    """Why an action is never to be applied."""

    note: Annotated[str, Meta(min_length=1, max_length=2_000, pattern=NOT_BLANK)] | None = None
    """Why not, or what would be better: the next heartbeat reads it."""
