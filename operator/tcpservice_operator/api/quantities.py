"""Kubernetes' notation for amounts of CPU and memory: `50m`, `64Mi`.

Used by `inject`. The parser is written here because `tcpservice inject` runs without Kubernetes' client installed.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

_NOTATION: Final = re.compile(
    r"([+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}))(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i))?"
)
_POWERS: Final = {"n": -3, "u": -2, "m": -1, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_THOUSAND: Final = 1000
_BINARY: Final = 1024


def parse_quantity(text: str) -> Decimal:
    """Return an amount in CPUs or bytes. Raises ValueError."""
    parts = _NOTATION.fullmatch(str(text))
    if parts is None:
        raise ValueError(f"expected a quantity such as 100m or 64Mi, got {text!r}")
    number, exponent, suffix = parts.groups()
    if exponent:
        return Decimal(number).scaleb(int(exponent))
    if not suffix:
        return Decimal(number)
    return Decimal(number) * Decimal(_BINARY if suffix.endswith("i") else _THOUSAND) ** _POWERS[suffix[0]]


def format_quantity(name: str, amount: Decimal) -> str:
    """Write an amount of `cpu` (in thousandths of a CPU) or `memory` (in bytes), rounded up."""
    if name == "cpu":
        return f"{int((amount * _THOUSAND).to_integral_value(ROUND_CEILING))}m"
    return str(int(amount.to_integral_value(ROUND_CEILING)))
