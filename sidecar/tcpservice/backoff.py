"""How long to wait before a connection that failed is tried again: exponential backoff with jitter.

Used by the `exchange` for endpoints and by the Python transport's client for its servers.
"""

from __future__ import annotations

from typing import Final

from tcpservice.rng import Rng
from tcpservice.snapshot import MILLISECOND, SECOND

FIRST_BACKOFF: Final = 100 * MILLISECOND
LONGEST_BACKOFF: Final = 10 * SECOND


def backoff(failures: int, rng: Rng, longest: int = LONGEST_BACKOFF, first: int = FIRST_BACKOFF) -> int:
    """Return how long to wait (ns) after so many failures in a row (at least one).

    The time is `first` after one failure and doubles with each further one, up to `longest`; it is then drawn from the
    upper half.
    """
    doublings = min(failures - 1, longest.bit_length())
    return rng.jitter(min(first << doublings, longest))
