"""A replica that cannot run, in words: how it ended, its last lines, what to do, and when it is started again.

Used by `lines` and `screen`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Final

from tcpservice_local.hints import hint
from tcpservice_local.pod import Pod

_SHOWN: Final = 12


class Troubles:
    """Remembers how often each replica has ended, and tells of each end once."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}

    def news(self, pods: Iterable[Pod]) -> list[str]:
        """Return what to tell about the replicas that ended since the last call."""
        found = []
        for pod in pods:
            if pod.app.ends > self._ends.get(pod.name, 0):
                found += trouble_of(pod)
            self._ends[pod.name] = pod.app.ends
        return found


def trouble_of(pod: Pod) -> list[str]:
    """Return what to tell about a replica that ended; of one that was ended by a signal, that is enough."""
    app = pod.app
    lines = [f"{pod.name} {_ending(pod)}; it is started again {_when(app.waiting)}"]
    if app.failure or (app.status or 0) >= 0:
        lines += [f"    {line}" for line in list(app.lines)[-_SHOWN:]] if not app.failure else []
        missing = "install it, or say in `command` where it is" if app.failure else None
        advice = missing or hint(list(app.lines), pod.design.app.folder)
        lines += [f"    what to do: {advice}"] if advice else []
    return lines


def _ending(pod: Pod) -> str:
    if pod.app.failure:
        return f"cannot be started in {pod.design.app.folder}: {pod.app.failure}"
    status = pod.app.status or 0
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


def _when(seconds: float) -> str:
    return f"in {seconds:.0f} s" if seconds else "at once"
