"""The scan: the compiled twin where it was built, else the Python reference; both do the same.

Used by `frames` and everywhere else in the wire. `TWIN` says which of the two runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcpservice.wire.reference import TWIN, Frame, advance, cut, units
else:
    try:
        from tcpservice.wire._scan import TWIN, Frame, advance, cut, units
    except ImportError:
        from tcpservice.wire.reference import TWIN, Frame, advance, cut, units

__all__ = ["TWIN", "Frame", "advance", "cut", "units"]
