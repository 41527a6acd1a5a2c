"""A breaker for each model of a provider: what keeps failing is left alone, and asked again by one probe at a time."""

import logging
from datetime import datetime, timedelta

from msgspec import Struct

from ledger.clock import Clock
from ledger.db import Database, Session
from ledger.llm import ModelError
from ledger.loops.work import TurnHeld, spread_of
from ledger.providers import store as providers
from ledger.providers.structs import Provider

FAILURES = 5
"""How many calls in a row must fail, on whatever threads, for a provider to be paused."""

SPREAD = timedelta(minutes=1)
"""Within how long the turns that were held come back."""

log = logging.getLogger(__name__)


class Admission(Struct, frozen=True):
    """The right to one call of a model."""

    model: str
    provider: Provider | None
    """What was known of it; None: it has never failed."""
    is_probe: bool = False


class Breaker:
    """The models of one endpoint. All it knows is in the database, so that processes share it."""

    def __init__(self, db: Database, clock: Clock, base_url: str, *, lease: timedelta) -> None:
        """`lease`: what a probe may take."""
        self._db = db
        self._clock = clock
        self._base_url = base_url
        self._lease = lease

    async def require(self, session: Session, model: str, run_id: str) -> None:
        """Raises `TurnHeld` where no call would be let through now."""
        provider, now = await providers.get(session, self._base_url, model), self._clock.now()
        if provider is not None and provider.blocks(now):
            raise held(provider, run_id, now)

    async def admit(self, session: Session, model: str, run_id: str) -> Admission:
        """Let a call through, as a probe if the model is paused. Raises `TurnHeld`."""
        provider, now = await providers.get(session, self._base_url, model), self._clock.now()
        if provider is None or provider.paused_at is None:
            return Admission(model, provider)
        probe = await providers.lease_probe(session, provider, now=now, until=now + self._lease)
        if probe is None:
            raise held(provider, run_id, now)
        return Admission(model, probe, is_probe=True)

    async def succeeded(self, admission: Admission) -> None:
        """A call was answered: what failed before it no longer counts, and a model that was probed resumes."""
        provider = admission.provider
        if provider is None or (provider.failures == 0 and not admission.is_probe):
            return
        async with self._db.write() as session:
            resumed = await providers.resume(session, provider, now=self._clock.now())
        if resumed:
            log.warning("The model %s at %s works again: its turns come back soon", provider.model, self._base_url)

    async def failed(self, admission: Admission, error: ModelError) -> timedelta | None:
        """A call failed; answers how long the model is left alone, if it is: then the same turn may be the probe."""
        now, wait = self._clock.now(), error.wait or timedelta(0)
        async with self._db.write() as session:
            if admission.is_probe and admission.provider is not None:
                return await providers.stay_paused(session, admission.provider, str(error), now=now, wait=wait) - now
            provider = await providers.count_failure(session, self._base_url, admission.model, str(error), now=now)
            if provider.failures < FAILURES:
                return None
            probe_at = await providers.pause(session, provider, now=now, wait=wait)
        if probe_at is None:
            return None
        log.warning(
            "The model %s at %s has failed %d times in a row, and is left alone until a probe at %s succeeds: %s",
            provider.model,
            self._base_url,
            provider.failures,
            f"{probe_at:%H:%M:%S} UTC",
            error,
        )
        return probe_at - now

    async def abandoned(self, admission: Admission) -> None:
        """A call came to no end: if it was a probe, another may be sent."""
        if admission.is_probe and admission.provider is not None:
            async with self._db.write() as session:
                await providers.give_back(session, admission.provider)


def held(provider: Provider, run_id: str, now: datetime) -> TurnHeld:
    """What holds a turn while its model is paused: until the next probe, and up to a minute longer, by its run's id."""
    until = max(now, provider.probe_at or now) + SPREAD * spread_of(run_id)
    return TurnHeld("provider_paused", provider.sentence, until)
