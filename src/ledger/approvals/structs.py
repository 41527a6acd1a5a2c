from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ledger.runs.structs import ActionResult

Policy = Literal["auto", "posts", "all"]
"""What waits for a person: nothing, every action with a text, or every action."""

ApprovalStatus = Literal["pending", "approved", "rejected", "expired"]

LIFETIME = timedelta(days=7)
"""How long an action waits before it expires."""


MAX_PENDING = 50
"""How many actions may wait on a thread."""


class Approval(Struct, frozen=True, kw_only=True):
    id: str
    thread_id: str
    run_id: str
    """The run that proposed it."""
    ordinal: int
    """Which action of its run it is, from 0."""
    action: Annotated[Any, Meta(description="The action as it was proposed.")]
    speaks: bool
    """Whether it is also said in the thread."""
    status: ApprovalStatus
    proposed_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    """When it was approved or rejected."""
    note: str | None
    """What a person said when rejecting it."""
    result: ActionResult | None
    """What came of it, once it was approved."""


class Rejection(Struct, frozen=True, forbid_unknown_fields=True):
    note: Annotated[str, Meta(min_length=1, max_length=2_000, pattern=r"\S")] | None = None
    """Why not, or what would be better: the next heartbeat reads it."""
