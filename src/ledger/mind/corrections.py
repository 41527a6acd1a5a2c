"""What a person sets right in a profile: each correction is a revision, and a later one may take it back."""

from datetime import datetime

from msgspec import UNSET, structs

from ledger.db import Session
from ledger.insights import profiles
from ledger.insights.structs import TRAITS, Profile, Trait
from ledger.mind.profile import words_of
from ledger.mind.structs import Pins


async def pin(session: Session, thread_id: str, pins: Pins, *, now: datetime) -> Profile:
    """Set traits to what a person says, or give them back to learning. The thread is locked."""
    before = await profiles.current(session, thread_id)
    traits = dict(before.traits)
    for name in TRAITS:
        value, trait = getattr(pins, name), traits.get(name)
        if value is None and trait is not None:
            traits[name] = structs.replace(trait, pinned=False)
        elif value is not None and value is not UNSET:
            traits[name] = structs.replace(trait or Trait(), value=value, slow=value, pinned=True, trend="stable")
    if traits == before.traits:
        return before
    return await _revise(session, before, structs.replace(before, traits=traits, reverted_to=None), now)


async def revert(session: Session, thread_id: str, revision: int, *, now: datetime) -> Profile:
    """Go back to what a revision said, pins included. Raises `NotFound`. The thread is locked."""
    wanted = await profiles.revision(session, thread_id, revision)
    before = await profiles.current(session, thread_id)
    return await _revise(session, before, structs.replace(wanted, reverted_to=revision), now)


async def _revise(session: Session, before: Profile, after: Profile, now: datetime) -> Profile:
    revised = structs.replace(
        after,
        revision=before.revision + 1,
        created_at=now,
        run_id=None,
        decided_by=None,
        words=words_of(after.traits, after.words),
    )
    await profiles.add(session, revised)
    return revised
