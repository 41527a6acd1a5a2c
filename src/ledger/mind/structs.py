from typing import Annotated

from msgspec import Meta, Struct

from ledger.insights.structs import Share, TraitName


class Pins(Struct, frozen=True, forbid_unknown_fields=True):
    pin: Annotated[dict[TraitName, Share | None], Meta(min_length=1)]
    """A number from 0 to 1 for each trait to be left alone from now on; null gives a trait back to learning."""


class Revert(Struct, frozen=True, forbid_unknown_fields=True):
    revision: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    """What to go back to."""
