from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.settings import Settings
from ledger.variables import Price

_PER = 1_000_000

Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
UNLIMITED = "unlimited"
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
    tokens: int = 0
    actions: int = 0
    cost: float = 0.0


class Budget(Struct, frozen=True, kw_only=True):
    """One day's budget, of a thread or of the whole service."""

    day: str
    """Such as 2026-01-31, by the clocks of `timezone`."""
    timezone: str
    renews_at: datetime
    spent: Amounts
    limits: Limits

    def used_up(self, *names: str) -> str | None:
        """Of some kinds the first that nothing is left of."""
        limits = ((name, getattr(self.limits, name)) for name in names)
        return next((name for name, most in limits if most is not None and getattr(self.spent, name) >= most), None)


class BudgetChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A thread's own limits: an absent field stays as it is, null goes back to the service's default."""

    calls: Count | str | UnsetType | None = UNSET
    """A number, or `unlimited`; the others likewise."""
    tokens: Count | str | UnsetType | None = UNSET
    actions: Count | str | UnsetType | None = UNSET
    cost: Cost | str | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str) and value != UNLIMITED:
                raise ValueError(f"`{name}` is {value[:20]!r}: write a number, `{UNLIMITED}`, or null for the default")


class Plan(Struct, frozen=True):
    """What the service's settings say about money."""

    thread: Limits = Limits()
    """Of every thread that has no limits of its own."""
    service: Limits = Limits()
    """Of all threads together."""
    prices: dict[str, Price] = {}

    @staticmethod
    def of(settings: Settings) -> "Plan":
        return Plan(
            Limits(
                calls=settings.thread_calls_per_day,
                tokens=settings.thread_tokens_per_day,
                actions=settings.thread_actions_per_day,
                cost=settings.thread_cost_per_day,
            ),
            Limits(
                calls=settings.service_calls_per_day,
                tokens=settings.service_tokens_per_day,
                actions=settings.service_actions_per_day,
                cost=settings.service_cost_per_day,
            ),
            settings.llm_prices,
        )

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What a call costs; None where the model has no price."""
        price = self.prices.get(model)
        return price and (prompt_tokens * price.prompt + completion_tokens * price.completion) / _PER
