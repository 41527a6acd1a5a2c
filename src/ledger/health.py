from msgspec import Struct


class Health(Struct, frozen=True):
    """How the process is."""

    status: str
    """`live` or `ready`."""
    stale_loops: list[str] = []
    """Loops that have not looked for due turns lately."""
