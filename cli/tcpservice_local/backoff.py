"""How long a program that ended waits until it is started again: the kubelet's CrashLoopBackOff.

Used by `supervised`. At once the first time, then 10 s, doubled each time up to five minutes; a run of ten minutes
forgives everything (Kubernetes, Pod Lifecycle, "Container restarts").
"""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 10.0
LONGEST_S: Final = 300.0
FORGIVEN_S: Final = 600.0


class Backoff:
    """The waits of one program."""

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, ran: float) -> float:
        """Return the seconds to wait after a run of so many seconds."""
        if ran >= FORGIVEN_S:
            self._next = 0.0
        wait = self._next
        self._next = min(LONGEST_S, max(FIRST_S, self._next * 2))
        return wait

    def forget(self) -> None:
        """Begin anew, as when somebody restarts the program."""
        self._next = 0.0
