"""One request that waits for its responses: for one value (`Single`), or for each of a stream (`Stream`).

Made by `client`, told by `session` what came. A call ends once: with its completion, an error, or because nobody waits
for it any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from tcpservice.addresses import Address
from tcpservice.timers import TimerOwner
from tcpservice_transport.errors import Overloaded, TransportError

END: Final = object()


class Place(Protocol):
    """Where a call waits: a connection to an address."""

    @property
    def address(self) -> Address:
        """Who is to answer."""

    def forget(self, call: Call) -> None:
        """Let it wait no more."""


class Call(TimerOwner):
    """What both kinds have in common: the id under which it waits, on which session, and for how many seconds."""

    __slots__ = ("id", "patience", "session")

    session: Place
    patience: float

    def __init__(self, request_id: str) -> None:
        super().__init__()
        self.id = request_id

    def respond(self, value: object, size: int) -> None:
        """Take a response, and the size in bytes of its frame."""
        raise NotImplementedError

    def complete(self) -> None:
        """Take it that nothing more comes."""
        raise NotImplementedError

    def fail(self, error: TransportError) -> None:
        """Take an error, after which nothing more comes."""
        raise NotImplementedError


class Single(Call):
    """A request of which the last value counts; None where there is none."""

    __slots__ = ("_value", "done")

    def __init__(self, request_id: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(request_id)
        self.done: asyncio.Future[object] = loop.create_future()
        self._value: object = None

    def respond(self, value: object, size: int) -> None:  # noqa: ARG002 - one value at a time is kept
        """Keep the value."""
        self._value = value

    def complete(self) -> None:
        """Give the last value to who waits."""
        if not self.done.done():
            self.done.set_result(self._value)

    def fail(self, error: TransportError) -> None:
        """Raise the error to who waits."""
        if not self.done.done():
            self.done.set_exception(error)


class Stream(Call):
    """A request of which each value counts; those that are not taken yet are kept, up to `limit` bytes."""

    __slots__ = ("_arrived", "_limit", "_values", "_waiter", "size")

    def __init__(self, request_id: str, limit: int) -> None:
        super().__init__(request_id)
        self._values: deque[tuple[object, int]] = deque()
        self._limit = limit
        self._waiter: asyncio.Future[None] | None = None
        self.size = 0

    def respond(self, value: object, size: int) -> None:
        """Keep the value until it is taken. Raises Overloaded where too much is kept already."""
        if self.size + size > self._limit and self._values:
            raise Overloaded(
                f"{self.size} bytes of a stream wait for the app (Limits.unread), which does not take them"
            )
        self.size += size
        self._put(value, size)

    def complete(self) -> None:
        """Let the stream end after the values that are kept."""
        self._put(END, 0)

    def fail(self, error: TransportError) -> None:
        """Raise the error after the values that are kept."""
        self._put(error, 0)

    @property
    def ready(self) -> bool:
        """Whether the next value is there already."""
        return bool(self._values)

    async def next(self) -> object:
        """Return the next value, END after the last. Raises the error of the call."""
        if not self._values:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        value, size = self._values.popleft()
        self.size -= size
        if isinstance(value, TransportError):
            raise value
        return value

    def _put(self, value: object, size: int) -> None:
        self._values.append((value, size))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
