"""Ends a run in which a call of the core does not return.

Used by `fleet`. The limit is processor time, so a busy machine does not trigger it; a run needs a second or two.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

LIMIT_S: Final = 20.0


class Stuck(Exception):
    """A run used far more processor time than any run needs."""


def _end(_number: int, frame: FrameType | None) -> None:
    where = (
        f" in {frame.f_code.co_qualname if hasattr(frame.f_code, 'co_qualname') else frame.f_code.co_name}"
        if frame
        else ""
    )
    raise Stuck(f"the run did not end{where}")


@contextmanager
def limited(seconds: float = LIMIT_S) -> Iterator[None]:
    """Raise Stuck in the body once it has used its processor time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
