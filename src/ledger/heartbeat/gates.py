"""Why a heartbeat does not even ask: pure functions of values."""

from datetime import datetime

from ledger.clock import zone
from ledger.heartbeat.config import hours
from ledger.heartbeat.instructions import is_effectively_empty
from ledger.heartbeat.structs import Config
from ledger.runs.structs import Reason, Trigger

SENTENCES: dict[Reason, str] = {
    "disabled": "The heartbeat of this thread is switched off.",
    "outside_hours": "The active hours are closed.",
    "instructions_empty": "HEARTBEAT.md holds no work.",
    "nothing_new": "Nothing has changed since the last decision.",
    "moved_on": "A person wrote while it was deciding, so the decision was dropped.",
}


def is_open(config: Config, now: datetime) -> bool:
    """Whether the active hours are open: start inclusive, end exclusive, over midnight when the end is earlier.

    With both equal they never open.
    """
    start, end = hours(config)
    hour = now.astimezone(zone(config.timezone)).hour
    if start <= end:
        return start <= hour < end
    return hour >= start or hour < end


def closed_by(
    config: Config, instructions: str | None, *, trigger: Trigger, now: datetime, anything_new: bool
) -> Reason | None:
    """The first gate that is closed; a run that a person asked for passes hours and nothing-new.

    `instructions` is None while there is no file, which closes nothing.
    """
    asked = trigger == "run_now"
    if not config.enabled:
        return "disabled"
    if not asked and not is_open(config, now):
        return "outside_hours"
    if instructions is not None and is_effectively_empty(instructions):
        return "instructions_empty"
    if not asked and not anything_new:
        return "nothing_new"
    return None
