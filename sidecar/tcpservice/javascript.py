"""What JavaScript makes of JSON text: the parts of ECMAScript on which NestJS's reading of a message rests.

Used by `pattern` (routes), and by `wire` where a value has to be known. Python's own `json` differs from
`JSON.parse` in small ways (it takes `NaN`, keeps integers exact, limits their digits); this module closes them.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Final, NoReturn


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_TOO_DEEP: Final = "the JSON is nested too deeply"
_DECODER = json.JSONDecoder(parse_int=float, parse_float=float, parse_constant=_refuse)
_LOOSE_DECODER = json.JSONDecoder(strict=False, parse_int=float, parse_float=float, parse_constant=_refuse)


def parse(text: str) -> object:
    """Do what `JSON.parse` does: numbers become floats (`1e999` infinity), the last of repeated keys wins.

    Raises ValueError where JSON.parse throws, and for text nested some hundred levels deep, which JavaScript would
    take: no text reaches this that `wire.nesting` has not measured.
    """
    try:
        value: object = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return value


def parse_loosely(text: str) -> object:
    """Parse JSON in whose strings control characters may stand, as in NestJS's routes; None for what is none."""
    try:
        value: object = _LOOSE_DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value


def parse_at(text: str, start: int) -> tuple[object, int]:
    """Parse the one value that begins at `start`; return it and where it ends. Raises as `parse` does."""
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def as_number(number: float) -> float:
    """Make of a Python number what JavaScript has in its place: a double, infinite beyond the largest."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def number_text(number: float) -> str:
    """Write a number as `String(number)` does: the shortest digits that read back, exponents from 1e21 and 1e-7 on."""
    number = as_number(number)
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    _, digits, exponent = Decimal(repr(abs(number))).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)
    return ("-" if number < 0 else "") + _place_point(text, point)


def _place_point(digits: str, point: int) -> str:
    """Write 0.`digits` times ten to the `point` by the rules of ECMA-262, Number::toString."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{mantissa}e{point - 1:+d}"


def truthy(value: object) -> bool:
    """`Boolean(value)` of a parsed JSON value: empty objects and arrays are true, unlike in Python."""
    return isinstance(value, dict | list) or (bool(value) and value == value)
