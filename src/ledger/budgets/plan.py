"""What the service's settings say about money."""

from msgspec import Struct

from ledger.budgets.structs import Limits
from ledger.settings import Settings
from ledger.variables import Price

_PER = 1_000_000


class Plan(Struct, frozen=True):
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
