"""Waiting for conditions, and messages over plain sockets, as the acceptance tests need them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until(holds: Callable[[], object], what: str, *, within: float = 20.0, every: float = 0.05) -> None:
    """Wait until something holds; fail with `what` where it does not in time."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(every)


def stays(holds: Callable[[], object], what: str, *, seconds: float, every: float = 0.05) -> None:
    """Fail with `what` as soon as something no longer holds within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not holds():
            raise AssertionError(f"no longer: {what}")
        time.sleep(every)
