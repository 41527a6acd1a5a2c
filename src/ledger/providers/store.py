"""Providers: a row is written when one is paused, probed or resumed, so that all processes know."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update

from ledger.columns import columns
from ledger.db import Session
from ledger.providers.structs import Provider
from ledger.providers.tables import ProviderRow

_PROVIDER = select(*columns(ProviderRow, Provider))

_FIRST = timedelta(seconds=30)
_LONGEST = timedelta(minutes=5)


async def get(session: Session, base_url: str, model: str) -> Provider | None:
    """What is known of it; None if it was never paused."""
    return await session.first(_PROVIDER.where(*_key(base_url, model)), Provider)


async def known(session: Session) -> list[Provider]:
    """All that have been paused at some time."""
    return await session.all(_PROVIDER.order_by(ProviderRow.base_url, ProviderRow.model), Provider)


async def pause(
    session: Session, base_url: str, model: str, why: str, *, now: datetime, wait: timedelta
) -> datetime | None:
    """Pause it, with the first probe after 30 s, or `wait` if that is longer; None if it was paused already."""
    probe_at = now + max(_FIRST, wait)
    values = {
        "paused_at": now,
        "why": why,
        "probe_at": probe_at,
        "probes": 0,
        "probing_until": None,
        "changed_at": now,
    }
    if await session.insert_missing(ProviderRow, values | {"base_url": base_url, "model": model}):
        return probe_at
    well = update(ProviderRow).where(*_key(base_url, model), ProviderRow.paused_at.is_(None))
    return probe_at if (await session.execute(well.values(values))).rowcount == 1 else None


async def lease_probe(session: Session, provider: Provider, *, now: datetime, until: datetime) -> bool:
    """Have the right to send the probe that is due, alone until then."""
    free = ProviderRow.probing_until.is_(None) | (ProviderRow.probing_until <= now)
    statement = update(ProviderRow).where(
        *_key(provider.base_url, provider.model), ProviderRow.paused_at.is_not(None), ProviderRow.probe_at <= now, free
    )
    return (await session.execute(statement.values(probing_until=until))).rowcount == 1


async def stay_paused(session: Session, provider: Provider, why: str, *, now: datetime, wait: timedelta) -> datetime:
    """End a probe that failed. The next one comes after twice the time, 5 minutes at most, or after `wait`."""
    pause = min(_FIRST * 2 ** min(provider.probes + 1, 16), _LONGEST)
    probe_at = now + max(pause, wait)
    values = {
        "why": why,
        "probe_at": probe_at,
        "probes": provider.probes + 1,
        "probing_until": None,
        "changed_at": now,
    }
    still = *_key(provider.base_url, provider.model), ProviderRow.paused_at.is_not(None)
    await session.execute(update(ProviderRow).where(*still).values(values))
    return probe_at


async def resume(session: Session, base_url: str, model: str, *, now: datetime) -> bool:
    """Let calls through again; say whether it was paused."""
    values = {"paused_at": None, "probe_at": None, "probing_until": None, "changed_at": now}
    statement = update(ProviderRow).where(*_key(base_url, model), ProviderRow.paused_at.is_not(None))
    return (await session.execute(statement.values(values))).rowcount == 1


def _key(base_url: str, model: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (ProviderRow.base_url == base_url, ProviderRow.model == model)
