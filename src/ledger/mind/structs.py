from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from ledger.insights.structs import Share

Pin = Share | UnsetType | None


class Pins(Struct, frozen=True, forbid_unknown_fields=True):
    """A number from 0 to 1 for each trait to be left alone from now on; null gives a trait back to learning."""

    verbosity: Pin = UNSET
    formality: Pin = UNSET
    emoji: Pin = UNSET
    structure: Pin = UNSET
    humor: Pin = UNSET
    seriousness: Pin = UNSET
    questions: Pin = UNSET
    pace: Pin = UNSET

    def __post_init__(self) -> None:
        if all(value is UNSET for value in structs.astuple(self)):
            raise ValueError("name at least one trait to pin")


class ProfileChange(Struct, frozen=True, forbid_unknown_fields=True):
    pin: Pins


class Revert(Struct, frozen=True, forbid_unknown_fields=True):
    revision: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    """What to go back to."""
