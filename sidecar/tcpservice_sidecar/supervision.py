"""Work that goes on for as long as the process does: if it ends, that is logged, and it begins again.

Used by `app` for what follows files, names and the operator. Messages do not depend on it: the last snapshot stays in
force meanwhile.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from tcpservice_sidecar.logs import Log

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0


async def keep_running(work: Callable[[], Awaitable[None]], what: str, log: Log) -> None:
    """Run `work` for ever. After a failure, wait 1 s, then twice as long each time, at most 30 s."""
    pause = FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        try:
            await work()
            reason, trace = "it returned", None
        except Exception as error:
            cause = _first(error)
            reason, trace = f"{type(cause).__name__}: {cause}", "".join(traceback.format_exception(cause))
        if time.monotonic() - began > LONGEST_PAUSE_S:
            pause = FIRST_PAUSE_S
        log.error("internal_error", f"{what} ended ({reason}); it begins again in {pause:g} s", traceback=trace)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _first(error: Exception) -> Exception:
    """Return the first error of a group: the others were cancelled by it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
