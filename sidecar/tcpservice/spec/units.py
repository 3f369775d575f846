"""The notations for quantities that people write in manifests and flags: `250ms`, `16Mi`.

Used by `schema` (the patterns), by `assemble` and by the shells' flags (the parsers). Durations are those of Gateway
API (GEP-2257), sizes those of Kubernetes (`resource.Quantity`) as far as they make sense for bytes.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil
from typing import Final

DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
QUANTITY_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,9})?([kMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$"

_NANOSECONDS: Final = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000}
_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|h|m|s)")
_QUANTITY_PARTS: Final = re.compile(r"([0-9.]+)(.*)")
_POWERS: Final[dict[str, int]] = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def parse_duration(text: str) -> int:
    """Give the nanoseconds of a duration such as `250ms`, `5s` or `1h30m`. Raises ValueError."""
    if re.fullmatch(DURATION_PATTERN, text) is None:
        raise ValueError(f"expected a duration such as 250ms, got {text!r}")
    return sum(int(count) * _NANOSECONDS[unit] for count, unit in _DURATION_PART.findall(text))


def parse_quantity(text: str) -> int:
    """Give the bytes of a size such as `4Mi`, `500k` or `1024`; fractions of a byte round up. Raises ValueError."""
    if re.fullmatch(QUANTITY_PATTERN, text) is None:
        raise ValueError(f"expected a size such as 4Mi, got {text!r}")
    parts = _QUANTITY_PARTS.fullmatch(text)
    assert parts is not None
    number, suffix = parts.groups()
    return ceil(Fraction(number) * _multiplier(suffix))


def _multiplier(suffix: str) -> int:
    if not suffix:
        return 1
    if suffix[1:].isdigit():
        return int(10 ** int(suffix[1:]))
    base = 1024 if suffix.endswith("i") else 1000
    return int(base ** _POWERS[suffix[0]])
