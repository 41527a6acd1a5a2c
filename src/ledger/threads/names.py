"""The agent's name is the agent's alone."""

import unicodedata

from ledger.errors import Invalid


def refuse_agents_name(what: str, name: str, agent: str) -> None:
    """Refuse a name that looks like the agent's; `what` says what it is the name of."""
    if _looks(name) == _looks(agent):
        raise Invalid(f"The {what} {name!r} is the agent's own name: use another one.")


def _looks(name: str) -> str:
    """A name without what cannot be seen in it: case, width, control and format characters."""
    shown = (mark for mark in unicodedata.normalize("NFKC", name) if unicodedata.category(mark) not in ("Cc", "Cf"))
    return "".join(shown).strip().casefold()
