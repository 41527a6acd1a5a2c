"""Budgets: read, reserved before every call, corrected afterwards, and used by actions."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from msgspec import UNSET, Struct, structs
from sqlalchemy import bindparam, delete, insert, select, tuple_, update

from ledger.budgets.plan import Plan
from ledger.budgets.structs import UNLIMITED, Amounts, Budget, BudgetChange, Limits
from ledger.budgets.tables import ServiceSpendingRow, ThreadLimitsRow, ThreadSpendingRow
from ledger.clock import local_text, zone
from ledger.columns import columns
from ledger.db import Session
from ledger.hours import local_moment
from ledger.threads import store as threads

CALLS = ("calls", "tokens", "cost")
"""What calls of a model use up."""

ACTIONS = ("actions",)

_SERVICE_ZONE = "UTC"
_DIGITS = 9
_UNLIMITED = -1
"""What stands in a thread's own limits for no limit, where null is the service's default."""
_KINDS = tuple(Amounts.__struct_fields__)
_ZERO = structs.asdict(Amounts())

Spending = type[ThreadSpendingRow] | type[ServiceSpendingRow]
_KEYS: dict[Spending, tuple[str, ...]] = {ThreadSpendingRow: ("thread_id", "day"), ServiceSpendingRow: ("day",)}
_SPENT = {
    row: select(*columns(row, Amounts)).where(*(getattr(row, name) == bindparam(name) for name in key))
    for row, key in _KEYS.items()
}
_ADDED = {
    row: update(row)
    .where(*(getattr(row, name) == bindparam(f"of_{name}") for name in key))
    .values({name: getattr(row, name) + bindparam(f"more_{name}") for name in _KINDS})
    for row, key in _KEYS.items()
}
_OWN_LIMITS = select(*columns(ThreadLimitsRow, Limits)).where(ThreadLimitsRow.thread_id == bindparam("thread_id"))


class Spent(Exception):
    """A budget allows no more of what was wanted."""

    def __init__(self, detail: str, renews_at: datetime) -> None:
        super().__init__(detail)
        self.detail = detail
        self.renews_at = renews_at


class Purse(Struct, frozen=True):
    """What a thread may spend: of its own budget, and of the service's."""

    thread_id: str
    thread: Budget
    service: Budget

    def require(self, *names: str) -> None:
        """Raises `Spent` if nothing is left of one of some kinds."""
        for budget, whose in ((self.thread, "thread"), (self.service, "service")):
            name = budget.used_up(*names)
            if name is not None:
                raise _spent_of(budget, whose, name)

    @property
    def sentence(self) -> str:
        """What the thread has used so far."""
        spent, most = self.thread.spent, self.thread.limits
        used = [f"{getattr(spent, name):,}{_of(getattr(most, name))} {name}" for name in ("calls", "tokens", "actions")]
        return f"Used today ({self.thread.timezone}): {', '.join(used)}."

    def require_actions(self, count: int) -> None:
        """Raises `Spent` if so many actions are not left."""
        for budget, whose in ((self.thread, "thread"), (self.service, "service")):
            most = budget.limits.actions
            if most is not None and budget.spent.actions + count > most:
                raise _spent_of(budget, whose, "actions")


async def forget(session: Session, *, before: date, limit: int) -> int:
    """Delete what some days before this one have used; answers of how many days of threads."""
    day = before.isoformat()
    await session.execute(delete(ServiceSpendingRow).where(ServiceSpendingRow.day < day))
    key = tuple_(ThreadSpendingRow.thread_id, ThreadSpendingRow.day)
    old = select(ThreadSpendingRow.thread_id, ThreadSpendingRow.day).where(ThreadSpendingRow.day < day)
    some = key.in_(old.limit(limit).with_for_update(skip_locked=True))
    return (await session.execute(delete(ThreadSpendingRow).where(some))).rowcount


def _of(most: int | None) -> str:
    return "" if most is None else f" of {most:,}"


def _spent_of(budget: Budget, whose: str, name: str) -> Spent:
    spent, most = getattr(budget.spent, name), getattr(budget.limits, name)
    if not most:
        what = "no calls, since they may cost nothing" if name == "cost" else f"no {name}: its limit is 0 a day"
        return Spent(f"The {whose} may have {what}.", budget.renews_at)
    used = f"{spent:.4g} of {most:.4g} that calls may cost" if name == "cost" else f"{spent:,} of {most:,} {name}"
    renewed = f"{local_text(budget.renews_at, budget.timezone)} ({budget.timezone})"
    return Spent(f"The {whose} has used {used} today; more from {renewed}.", budget.renews_at)


async def purse(session: Session, thread_id: str, plan: Plan, *, now: datetime) -> Purse:
    """Raises `NotFound` for an unknown thread."""
    timezone = (await threads.get(session, thread_id)).timezone
    own = await session.first(_OWN_LIMITS, Limits, thread_id=thread_id)
    named = {name: value for name, value in structs.asdict(own or Limits()).items() if value is not None}
    limits = structs.asdict(plan.thread) | {name: None if value < 0 else value for name, value in named.items()}
    day, renews_at = _day(timezone, now)
    spent = await _spent(session, ThreadSpendingRow, {"thread_id": thread_id, "day": day})
    own_budget = Budget(day=day, timezone=timezone, renews_at=renews_at, spent=spent, limits=Limits(**limits))
    return Purse(thread_id, own_budget, await of_service(session, plan, now=now))


async def of_service(session: Session, plan: Plan, *, now: datetime) -> Budget:
    day, renews_at = _day(_SERVICE_ZONE, now)
    spent = await _spent(session, ServiceSpendingRow, {"day": day})
    return Budget(day=day, timezone=_SERVICE_ZONE, renews_at=renews_at, spent=spent, limits=plan.service)


async def reserve(session: Session, thread_id: str, plan: Plan, amounts: Amounts, *, now: datetime) -> Purse:
    """Count a call before it is made; answers whose budgets it was counted on. Raises `Spent`, `NotFound`.

    What two processes reserve at once cannot come to more than there is.
    """
    await threads.lock_existing(session, thread_id)
    found = await purse(session, thread_id, plan, now=now)
    found.require(*CALLS)
    await add(session, found, amounts)
    # Another process may have counted on the service's row since it was read; now it is locked.
    service = await of_service(session, plan, now=now)
    before = structs.replace(service, spent=_less(service.spent, amounts))
    structs.replace(found, service=before).require(*CALLS)
    return found


async def lock_actions(session: Session, thread_id: str, plan: Plan, *, now: datetime) -> Purse:
    """What is left for actions, and stays so until the transaction ends. The thread is locked."""
    day, _ = _day(_SERVICE_ZONE, now)
    if plan.service.actions is not None:
        await _add(session, ServiceSpendingRow, {"day": day}, Amounts())
    return await purse(session, thread_id, plan, now=now)


async def add(session: Session, purse: Purse, amounts: Amounts) -> None:
    """Count amounts, which may be negative, on the days of a purse. The thread is locked."""
    key = {"thread_id": purse.thread_id, "day": purse.thread.day}
    await _add(session, ThreadSpendingRow, key, amounts)
    await _add(session, ServiceSpendingRow, {"day": purse.service.day}, amounts)


async def change_limits(session: Session, thread_id: str, change: BudgetChange) -> None:
    """Change what the request names of a thread's own limits. The thread is locked."""
    own = await session.first(_OWN_LIMITS, Limits, thread_id=thread_id)
    named = {
        name: _UNLIMITED if value == UNLIMITED else value
        for name, value in structs.asdict(change).items()
        if value is not UNSET
    }
    await session.execute(delete(ThreadLimitsRow).where(ThreadLimitsRow.thread_id == thread_id))
    after = structs.asdict(own or Limits()) | named
    await session.execute(insert(ThreadLimitsRow).values(after | {"thread_id": thread_id}))


def _day(timezone: str, now: datetime) -> tuple[str, datetime]:
    """The day by the clocks of a zone, and when the next one begins."""
    day: date = now.astimezone(zone(timezone)).date()
    return day.isoformat(), local_moment(day + timedelta(days=1), 0, timezone)


async def _spent(session: Session, row: Spending, key: Mapping[str, str]) -> Amounts:
    found = await session.first(_SPENT[row], Amounts, **key) or Amounts()
    # What is given back of a sum of floats leaves some dust, of which a limit of 0 must not be made.
    return structs.replace(found, cost=max(0.0, round(found.cost, _DIGITS)))


async def _add(session: Session, row: Spending, key: Mapping[str, str], amounts: Amounts) -> None:
    more = {f"more_{name}": getattr(amounts, name) for name in _KINDS}
    more |= {f"of_{name}": value for name, value in key.items()}
    while (await session.execute(_ADDED[row], more)).rowcount == 0:
        await session.insert_missing(row, {**_ZERO, **key})


def _less(spent: Amounts, amounts: Amounts) -> Amounts:
    return Amounts(**{name: getattr(spent, name) - getattr(amounts, name) for name in _KINDS})
