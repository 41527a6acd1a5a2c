from datetime import datetime

from msgspec import Struct


class Provider(Struct, frozen=True, kw_only=True):
    """A model of an endpoint that has failed once."""

    base_url: str
    """The endpoint."""
    model: str
    """The model."""
    failures: int
    """How many calls have failed in a row, on whatever threads."""
    paused_at: datetime | None
    """Since when it gets no calls but probes; null: it is not paused."""
    why: str
    """The last failure."""
    probe_at: datetime | None
    """When the next probe may be sent."""
    probes: int
    """How many probes have failed since it was paused."""
    probing_until: datetime | None
    """Until when a probe is under way, at the longest."""
    changed_at: datetime
    """When any of this was last otherwise."""

    def blocks(self, now: datetime) -> bool:
        """Whether it gets no call now, not even a probe."""
        if self.paused_at is None or self.probe_at is None:
            return False
        return self.probe_at > now or (self.probing_until is not None and self.probing_until > now)

    @property
    def sentence(self) -> str:
        since = f"{self.paused_at:%Y-%m-%d %H:%M} UTC"
        return f"The model {self.model} has been paused since {since}: {self.why}"
