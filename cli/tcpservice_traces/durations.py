"""How long something took, in words that fit a narrow column.

Used by `lines`, `labels` and whoever lists traces.
"""

from __future__ import annotations

from typing import Final

_MICROSECOND: Final = 1_000
_MILLISECOND: Final = 1_000_000
_SECOND: Final = 1_000_000_000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


def duration(nanoseconds: int) -> str:
    """Return a time with the digits that matter: `85 µs`, `0.85 ms`, `12.4 ms`, `1.25 s`, `3 m 05 s`, `2 h 10 m`."""
    if nanoseconds < 99_500:
        return f"{nanoseconds / _MICROSECOND:.0f} µs"
    if nanoseconds < 999_500_000:
        return f"{_three_digits(nanoseconds / _MILLISECOND)} ms"
    if nanoseconds < 59_950_000_000:
        return f"{_three_digits(nanoseconds / _SECOND)} s"
    seconds = round(nanoseconds / _SECOND)
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} m {seconds % _MINUTE_S:02} s"
    return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S:02} m"


def _three_digits(number: float) -> str:
    """Return a number below 1,000, in the form that it has once it is rounded."""
    if number < 9.995:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 99.95 else f"{number:.0f}"
