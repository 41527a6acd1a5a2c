"""Providers: a row is written when one fails, is paused, probed or resumed, so that all processes know."""

from datetime import datetime, timedelta

from msgspec import structs
from sqlalchemy import ColumnElement, Update, bindparam, select, update

from ledger.columns import columns
from ledger.db import Session, returning
from ledger.events import store as events
from ledger.providers.structs import Provider
from ledger.providers.tables import ProviderRow

_COLUMNS = columns(ProviderRow, Provider)
_PROVIDER = select(*_COLUMNS)
_ONE = _PROVIDER.where(ProviderRow.base_url == bindparam("base_url"), ProviderRow.model == bindparam("model"))

_FIRST = timedelta(seconds=30)
_LONGEST = timedelta(minutes=5)


async def get(session: Session, base_url: str, model: str) -> Provider | None:
    """What is known of it; None if it has never failed."""
    return await session.first(_ONE, Provider, base_url=base_url, model=model)


async def known(session: Session) -> list[Provider]:
    """All that have failed at some time."""
    return await session.all(_PROVIDER.order_by(ProviderRow.base_url, ProviderRow.model), Provider)


async def count_failure(session: Session, base_url: str, model: str, why: str, *, now: datetime) -> Provider:
    """Count one more failure in a row."""
    blank = {"base_url": base_url, "model": model, "failures": 0, "why": why, "probes": 0, "changed_at": now}
    await session.insert_missing(ProviderRow, blank)
    failed = update(ProviderRow).where(*_key(base_url, model))
    statement = failed.values(failures=ProviderRow.failures + 1, why=why, changed_at=now)
    return (await session.all(returning(statement, _COLUMNS), Provider))[0]


async def pause(session: Session, provider: Provider, *, now: datetime, wait: timedelta) -> datetime | None:
    """Pause it, with the first probe after 30 s, or `wait` if that is longer; None if it is paused already."""
    probe_at = now + max(_FIRST, wait)
    values = {"paused_at": now, "probe_at": probe_at, "probes": 0, "probing_until": None, "changed_at": now}
    well = update(ProviderRow).where(*_key(provider.base_url, provider.model), ProviderRow.paused_at.is_(None))
    if (await session.execute(well.values(values))).rowcount != 1:
        return None
    await _tell(session, structs.replace(provider, **values), now)
    return probe_at


async def lease_probe(session: Session, provider: Provider, *, now: datetime, until: datetime) -> Provider | None:
    """Have the right to send the probe that is due, alone until then; None if it is not to be had."""
    free = ProviderRow.probing_until.is_(None) | (ProviderRow.probing_until <= now)
    due = ProviderRow.paused_at.is_not(None), ProviderRow.probe_at <= now, free
    statement = update(ProviderRow).where(*_key(provider.base_url, provider.model), *due)
    return await session.first(returning(statement.values(probing_until=until), _COLUMNS), Provider)


async def stay_paused(session: Session, probe: Provider, why: str, *, now: datetime, wait: timedelta) -> datetime:
    """End a probe that failed. The next one comes after twice the time, 5 minutes at most, or after `wait`."""
    pause = min(_FIRST * 2 ** min(probe.probes + 1, 16), _LONGEST)
    probe_at = now + max(pause, wait)
    values = {"why": why, "probe_at": probe_at, "probes": probe.probes + 1, "probing_until": None, "changed_at": now}
    if (await session.execute(_leased(probe).values(values))).rowcount == 1:
        await _tell(session, structs.replace(probe, **values), now)
    return probe_at


async def give_back(session: Session, probe: Provider) -> None:
    """Leave a probe that came to no end to others."""
    await session.execute(_leased(probe).values(probing_until=None))


async def resume(session: Session, provider: Provider, *, now: datetime) -> bool:
    """Begin to count anew, and let calls through; say whether it was paused."""
    key = _key(provider.base_url, provider.model)
    well = {"failures": 0, "paused_at": None, "probe_at": None, "probing_until": None, "changed_at": now}
    paused = update(ProviderRow).where(*key, ProviderRow.paused_at.is_not(None))
    if (await session.execute(paused.values(well))).rowcount == 1:
        await _tell(session, structs.replace(provider, **well), now)
        return True
    await session.execute(update(ProviderRow).where(*key).values(failures=0))
    return False


async def _tell(session: Session, provider: Provider, at: datetime) -> None:
    await events.tell(session, "provider", provider, thread_id=None, at=at)


def _leased(probe: Provider) -> Update:
    """An update of a provider as long as its probe is this one."""
    return update(ProviderRow).where(
        *_key(probe.base_url, probe.model), ProviderRow.probing_until == probe.probing_until
    )


def _key(base_url: str, model: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (ProviderRow.base_url == base_url, ProviderRow.model == model)
