"""The scan in its Python form, which runs where `scan.pyx` is not compiled; both do the same.

Used by `frames` and everywhere else in the wire.
"""

from __future__ import annotations

from tcpservice.wire.reference import Frame, advance, cut, holds, is_plain, part, units

__all__ = ["Frame", "advance", "cut", "holds", "is_plain", "part", "units"]
