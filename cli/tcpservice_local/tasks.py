"""Tasks that run as long as a run: an exception in one of them is a fault of this program, and must not go unseen.

Used by everything here that keeps something running. The event loop's exception handler gets it; `tcpservice up` then
ends, where a task that died silently would leave a run that looks alive and does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task, and tell the event loop at once should it raise."""
    task = asyncio.get_running_loop().create_task(coroutine)
    task.add_done_callback(_tell)
    return task


def _tell(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        message = f"{task.get_coro()} failed"
        task.get_loop().call_exception_handler({"message": message, "exception": error, "task": task})
