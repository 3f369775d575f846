"""The garbage collector's settings for a process that serves for weeks.

Used by `app` once everything is in place. The exchange frees its records without the collector, so collections find
next to nothing. What exists when serving begins is frozen: no collection looks at it again. Collections come after
many allocations only, since each walks through all messages in flight.
"""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (20_000, 20, 20)


def settle() -> None:
    """Freeze what exists, and collect rarely from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
