"""A replica that cannot run, in words: how it ended, its last lines, what to do, and when it is started again.

Used by `lines` and `screen`.
"""

from __future__ import annotations

import signal
from typing import Final

from tcpservice_local.hints import hint
from tcpservice_local.pod import Pod

_SHOWN: Final = 12


def trouble_of(pod: Pod) -> list[str]:
    """Return what to tell about a replica that ended."""
    app = pod.app
    lines = [f"{pod.name} {_ending(pod)}; it is started again {_when(app.waiting)}"]
    if not app.failure:
        lines += [f"    {line}" for line in list(app.lines)[-_SHOWN:]]
    advice = hint(list(app.lines), pod.design.app.folder)
    return [*lines, f"    what to do: {advice}"] if advice and app.status != -signal.SIGKILL else lines


def _ending(pod: Pod) -> str:
    if pod.app.failure:
        return f"cannot be started in {pod.design.app.folder}: {pod.app.failure}"
    status = pod.app.status or 0
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


def _when(seconds: float) -> str:
    return f"in {seconds:.0f} s" if seconds else "at once"
