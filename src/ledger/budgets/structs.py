from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
UNLIMITED = "unlimited"
Unlimited = Annotated[str, Meta(extra_json_schema={"const": UNLIMITED})]
Cost = Annotated[float, Meta(ge=0, le=1_000_000_000)]


class Limits(Struct, frozen=True, kw_only=True):
    """What may be spent in a day; null: as much as you like, 0: nothing."""

    calls: int | None = None
    """Calls of a model."""
    tokens: int | None = None
    """Of prompts and answers together."""
    actions: int | None = None
    """Posts, comments, votes and messages of the agent."""
    cost: float | None = None
    """Of models whose prices are known, in the currency of `CRT_LLM_PRICES`."""


class Amounts(Struct, frozen=True, kw_only=True):
    """What was spent. A process that died may leave it too high, never too low."""

    calls: int = 0
    """Calls of a model."""
    tokens: int = 0
    """Of prompts and answers together."""
    actions: int = 0
    """Posts, comments, votes and messages of the agent."""
    cost: float = 0.0
    """Of models whose prices are known, in the currency of `CRT_LLM_PRICES`."""


class Budget(Struct, frozen=True, kw_only=True):
    """One day's budget, of a thread or of the whole service."""

    day: str
    """Such as 2026-01-31, by the clocks of `timezone`."""
    timezone: str
    """The thread's time zone; of the service: UTC."""
    renews_at: datetime
    """The next midnight there."""
    spent: Amounts
    """What was spent on this day."""
    limits: Limits
    """What may be spent on a day."""

    def used_up(self, *names: str) -> str | None:
        """Of some kinds the first that nothing is left of."""
        limits = ((name, getattr(self.limits, name)) for name in names)
        return next((name for name, most in limits if most is not None and getattr(self.spent, name) >= most), None)


class BudgetChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A thread's own limits: an absent field stays as it is, null goes back to the service's default."""

    calls: Count | Unlimited | UnsetType | None = UNSET
    """A number, or `unlimited`; the others likewise."""
    tokens: Count | Unlimited | UnsetType | None = UNSET
    """Tokens a day."""
    actions: Count | Unlimited | UnsetType | None = UNSET
    """Actions a day."""
    cost: Cost | Unlimited | UnsetType | None = UNSET
    """Cost a day, in the currency of `CRT_LLM_PRICES`."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str) and value != UNLIMITED:
                raise ValueError(f"`{name}` is {value[:20]!r}: write a number, `{UNLIMITED}`, or null for the default")


class ThreadBudget(Struct, frozen=True):
    """What a thread may spend today: what is left of both budgets."""

    thread_id: str
    """The thread."""
    thread: Budget
    """Its own budget."""
    service: Budget
    """That of all threads together."""
