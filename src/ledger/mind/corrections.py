"""What a person sets right in a profile: each correction is a revision, and a later one may take it back."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs

from ledger.db import Session
from ledger.insights import profiles
from ledger.insights.structs import Profile, Trait, TraitName
from ledger.mind.profile import words_of


async def pin(session: Session, thread_id: str, pins: Mapping[TraitName, float | None], *, now: datetime) -> Profile:
    """Set traits to what a person says; None gives one back to learning. The thread is locked."""
    before = await profiles.current(session, thread_id)
    traits = dict(before.traits)
    for name, value in pins.items():
        trait = traits.get(name, Trait())
        if value is None:
            traits[name] = structs.replace(trait, pinned=False)
        else:
            traits[name] = structs.replace(trait, value=value, slow=value, pinned=True, trend="stable")
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
