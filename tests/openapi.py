"""What an example of the document must be."""

from typing import Any

import msgspec
from msgspec import Struct


def require_example(example: object, kind: Any) -> None:  # noqa: ANN401 - a type as it is written
    """It is taken as the type, strictly, and an answer holds all that would be sent of it, and nothing else."""
    decoded = msgspec.convert(example, kind)
    is_body = isinstance(decoded, Struct) and type(decoded).__struct_config__.forbid_unknown_fields
    assert is_body or msgspec.to_builtins(decoded) == example, kind
