"""How many reviews the webhook takes at the same time: a bound on their memory, and turns by client address.

Used by `webhook`. The webhook cannot verify its client, so that any pod can send reviews. The clients of one address
compete with each other only: where reviews exceed a bound, the address with the most gives way, and the API server's
reviews are answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

LARGEST: Final = 1 << 20
"""In bytes. A review of a real pod has some 10 KiB; etcd refuses objects above 1.5 MiB."""

BUDGET: Final = 8 << 20
"""In bytes, for the bodies of all reviews that were not answered. A parsed body takes up to 20 times as much."""

OVERHEAD: Final = 16 << 10
"""What a review without a body costs, in bytes of the budget: at most 512 reviews are in progress."""

READ_S: Final = 2.0
"""How long a client may take to send a body."""

AT_ONCE: Final = 16
"""How many reviews ask the API server at the same time."""


class TooLarge(Exception):
    """A body above LARGEST."""


class Refused(Exception):
    """A review that gives way to others, or whose body did not come in time; the text says which."""


class Place:
    """One review in progress."""

    def __init__(self, admission: Admission, client: str, deadline: asyncio.Timeout) -> None:
        self.client = client
        self.cost = OVERHEAD
        self.reason = f"the body did not come within {admission.read_seconds:g} s"
        self.deadline = deadline
        self._admission = admission
        self._gives_way = False

    async def read(self, chunks: AsyncIterator[bytes]) -> bytes:
        """Read a body. Raises TooLarge; the review ends with Refused where the time or the budget is exceeded."""
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > LARGEST:
                raise TooLarge
            self._admission.charge(self, OVERHEAD + len(body))
            if self._gives_way:
                await asyncio.sleep(0)  # the review ends here, even where no chunk has to be waited for
        self.deadline.reschedule(None)
        return bytes(body)

    def give_way(self) -> None:
        """End this review, at its next await."""
        self.reason = "more reviews than there is room for"
        self._gives_way = True
        self.deadline.reschedule(0.0)


class Admission:
    """The reviews in progress."""

    def __init__(self, budget: int = BUDGET, read: float = READ_S) -> None:
        self._budget = budget
        self.read_seconds = read
        self._places: dict[str, list[Place]] = {}
        self._cost = 0
        self.refused = 0

    @property
    def cost(self) -> int:
        """What all reviews in progress cost, in bytes."""
        return self._cost

    @property
    def count(self) -> int:
        """How many reviews are in progress."""
        return sum(map(len, self._places.values()))

    @asynccontextmanager
    async def enter(self, client: str) -> AsyncIterator[Place]:
        """Count one review of a client while it is handled. Raises Refused if the limits on memory do not allow it."""
        loop = asyncio.get_running_loop()
        place: Place | None = None
        try:
            async with asyncio.timeout_at(loop.time() + self.read_seconds) as deadline:
                place = Place(self, client, deadline)
                self._places.setdefault(client, []).append(place)
                self._cost += place.cost
                self._make_room()
                try:
                    yield place
                finally:
                    self._leave(place)
        except TimeoutError:
            self.refused += 1
            assert place is not None
            raise Refused(place.reason) from None

    def charge(self, place: Place, cost: int) -> None:
        """Let a review cost more; others, or the review itself, give way where that exceeds the budget."""
        if place in self._places.get(place.client, ()):
            self._cost += cost - place.cost
            place.cost = cost
            self._make_room()

    def _make_room(self) -> None:
        while self._cost > self._budget:
            most = max(self._places.values(), key=lambda places: sum(place.cost for place in places))
            # Of reviews that cost the same, the first one that came had the most time.
            place = max(most, key=lambda place: place.cost)
            self._leave(place)
            place.give_way()

    def _leave(self, place: Place) -> None:
        places = self._places.get(place.client, [])
        if place in places:
            places.remove(place)
            self._cost -= place.cost
        if not places:
            self._places.pop(place.client, None)


class Turns:
    """A semaphore whose waiters have their turns by client address, in rotation."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._free += 1
            self._next()

    async def _wait(self, client: str) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            queue = self._waiting.get(client)
            if not waiter.cancelled():  # the turn was given, and is not taken
                self._free += 1
                self._next()
            elif queue and waiter in queue:
                queue.remove(waiter)
                if not queue:
                    del self._waiting[client]
            raise

    def _next(self) -> None:
        """Give turns to the next waiters that were not cancelled."""
        while self._free and self._waiting:
            client = next(iter(self._waiting))
            queue = self._waiting.pop(client)
            waiter = queue.popleft()
            if queue:
                self._waiting[client] = queue  # behind the other clients
            # The task of a cancelled waiter may not have run since: its waiter can still be in the queue.
            if not waiter.cancelled():
                self._free -= 1
                waiter.set_result(None)
