"""Why a heartbeat does not even ask: pure functions of values."""

from datetime import datetime
from typing import NamedTuple

from ledger.budgets.store import ACTIONS, CALLS, Purse, Spent
from ledger.heartbeat.config import hours
from ledger.heartbeat.structs import Config
from ledger.instructions.structs import InForce
from ledger.providers.structs import Provider
from ledger.runs.structs import Reason, Trigger

SENTENCES: dict[Reason, str] = {
    "disabled": "The heartbeat of this thread is switched off.",
    "outside_hours": "The active hours are closed.",
    "instructions_empty": "The instructions hold no work.",
    "no_task_due": "No task of the instructions is due, and nothing else in them is work.",
    "nothing_new": "Nothing has changed since the last decision.",
    "budget_spent": "Today's budget is spent.",
    "provider_paused": "The model is paused, because its provider kept failing.",
    "moved_on": "A person wrote while it was deciding, so the decision was dropped.",
}


class Gate(NamedTuple):
    reason: Reason
    """Why the heartbeat does not act, if the gate is closed."""
    is_open: bool
    why: str = ""
    """What else there is to say of it."""


def gates(
    config: Config, instructions: InForce, *, trigger: Trigger, now: datetime, is_due: bool, anything_new: bool
) -> list[Gate]:
    """The gates of work, in the order they are looked at. A run that a person asked for passes all but two of them.

    `is_due`: some task is. Where there are no instructions the gates that ask about them are open.
    """
    asked = trigger == "run_now"
    has_work = instructions.has_work or instructions.text is None
    return [
        Gate("disabled", config.enabled),
        Gate("outside_hours", asked or hours(config).is_open(now)),
        Gate("instructions_empty", not instructions.is_empty),
        Gate("no_task_due", asked or has_work or is_due),
        Gate("nothing_new", asked or anything_new or is_due),
    ]


def means(purse: Purse, provider: Provider | None, *, by_model: bool, now: datetime) -> list[Gate]:
    """The gates of money and of the provider, which every run must pass; rules cost nothing but actions."""
    kinds = (*CALLS, *ACTIONS) if by_model else ACTIONS
    try:
        purse.require(*kinds)
        budget = Gate("budget_spent", is_open=True, why=purse.sentence)
    except Spent as spent:
        budget = Gate("budget_spent", is_open=False, why=spent.detail)
    if provider is None or provider.paused_at is None or not by_model:
        return [budget, Gate("provider_paused", is_open=True, why="" if by_model else "No model is asked.")]
    return [budget, Gate("provider_paused", is_open=not provider.blocks(now), why=provider.sentence)]
