"""How long a replica that failed is left alone.

Used by the `exchange`: a replica that refused, broke the protocol or fell silent is not chosen, and not dialled again,
for a time that doubles with each failure in a row. With every replica failing, all are chosen again (see
`Backend.refresh`): a wrong suspicion must not be an outage.
"""

from __future__ import annotations

from typing import Final

from tcpservice.chance import Chance
from tcpservice.snapshot import MILLISECOND, SECOND

FIRST_BACKOFF: Final = 100 * MILLISECOND
LONGEST_BACKOFF: Final = 10 * SECOND
_DOUBLINGS: Final = (LONGEST_BACKOFF // FIRST_BACKOFF).bit_length()


def backoff(failures: int, chance: Chance) -> int:
    """Return the nanoseconds to wait after that many failures in a row (at least one), with jitter."""
    return chance.jitter(min(FIRST_BACKOFF << min(failures - 1, _DOUBLINGS), LONGEST_BACKOFF))
