"""Times as people read them.

Used by the summary, the screen, `ps` and `traces`.
"""

from __future__ import annotations


def milliseconds(seconds: float | None) -> str:
    """Write a time in milliseconds; nothing where there is none."""
    if seconds is None:
        return ""
    if seconds >= 10:
        return f"{seconds:.1f} s"
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"
