"""A breaker for each model of a provider: what keeps failing is left alone, and asked again by one probe at a time."""

import logging
from collections import Counter
from datetime import datetime, timedelta

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


class Breaker:
    """The models of one endpoint. What is paused is a row, so that processes share it; what fails is counted here."""

    def __init__(self, db: Database, clock: Clock, base_url: str, *, lease: timedelta) -> None:
        """`lease`: what a probe may take."""
        self._db = db
        self._clock = clock
        self._base_url = base_url
        self._lease = lease
        self._failures: Counter[str] = Counter()

    async def require(self, session: Session, model: str, run_id: str) -> None:
        """Raises `TurnHeld` where no call would be let through now."""
        provider, now = await providers.get(session, self._base_url, model), self._clock.now()
        if provider is not None and provider.blocks(now):
            raise held(provider, run_id, now)

    async def admit(self, session: Session, model: str, run_id: str) -> Provider | None:
        """Let a call through: None, or as a probe of what is answered. Raises `TurnHeld`."""
        provider = await providers.get(session, self._base_url, model)
        if provider is None or provider.paused_at is None:
            return None
        now = self._clock.now()
        if not await providers.lease_probe(session, provider, now=now, until=now + self._lease):
            raise held(provider, run_id, now)
        return provider

    async def succeeded(self, model: str, probe: Provider | None) -> None:
        """A call was answered; where that was a probe, or another process has paused the model since, it resumes."""
        was_failing = self._failures.pop(model, 0) >= FAILURES
        if probe is None and not was_failing:
            return
        async with self._db.write() as session:
            resumed = await providers.resume(session, self._base_url, model, now=self._clock.now())
        if resumed:
            log.warning("The model %s at %s works again: its turns come back within a minute", model, self._base_url)

    async def failed(self, model: str, probe: Provider | None, error: ModelError) -> timedelta | None:
        """A call failed; answers how long the provider is left alone, if it is.

        The probe's own turn is the next one to try.
        """
        now, wait = self._clock.now(), error.wait or timedelta(0)
        self._failures[model] += 1
        if probe is not None:
            async with self._db.write() as session:
                return await providers.stay_paused(session, probe, str(error), now=now, wait=wait) - now
        if self._failures[model] < FAILURES:
            return None
        async with self._db.write() as session:
            probe_at = await providers.pause(session, self._base_url, model, str(error), now=now, wait=wait)
        if probe_at is None:
            return None
        log.warning(
            "The model %s at %s has failed %d times in a row, and is left alone until a probe at %s succeeds: %s",
            model,
            self._base_url,
            self._failures[model],
            f"{probe_at:%H:%M:%S} UTC",
            error,
        )
        return probe_at - now


def held(provider: Provider, run_id: str, now: datetime) -> TurnHeld:
    """What holds a turn while its model is paused: until the next probe, and up to a minute longer, by its run's id."""
    until = max(now, provider.probe_at or now) + SPREAD * spread_of(run_id)
    return TurnHeld("provider_paused", provider.sentence, until)
