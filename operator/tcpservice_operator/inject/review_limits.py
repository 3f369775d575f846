"""Limits on the reviews that the webhook handles at the same time: a memory budget, shared fairly by client address.

Used by `webhook`. The webhook cannot authenticate its client, so any pod can send reviews. Clients with the same
address compete only with each other: if the reviews exceed the budget, the address that uses most is refused first. So
the reviews of the API server get through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

LARGEST: Final = 1 << 20
"""The largest body, in bytes. A review of a real pod has some 10 KiB; etcd refuses objects above 1.5 MiB."""

BUDGET: Final = 8 << 20
"""The most bytes of the bodies of all reviews in progress. A parsed body takes up to 20 times as much memory."""

OVERHEAD: Final = 16 << 10
"""The cost of a review without a body, in bytes of the budget: so at most 512 reviews are in progress."""

READ_S: Final = 2.0
"""How long a client may take to send a body, in seconds."""


class TooLarge(Exception):
    """A body is larger than LARGEST."""


class ReviewRefused(Exception):
    """A review exceeds the memory budget, or its body was too slow; the text says which."""


class Review:
    """One review in progress."""

    def __init__(self, budget: ReviewBudget, client: str, deadline: asyncio.Timeout) -> None:
        self.client = client
        self.cost = OVERHEAD
        self.reason = f"the request body did not arrive within {budget.read_seconds:g} s"
        self.deadline = deadline
        self._review_budget = budget
        self._is_refused = False

    async def read(self, chunks: AsyncIterator[bytes]) -> bytes:
        """Read a body. Raises TooLarge; ReviewRefused ends the review if the time or the budget is exceeded."""
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > LARGEST:
                raise TooLarge
            self._review_budget.charge(self, OVERHEAD + len(body))
            if self._is_refused:
                await asyncio.sleep(0)  # the review ends here, even if all chunks have arrived already
        self.deadline.reschedule(None)
        return bytes(body)

    def refuse(self) -> None:
        """End this review with ReviewRefused, at its next await."""
        self.reason = "the admission reviews in progress exceed the memory limit of the webhook"
        self._is_refused = True
        self.deadline.reschedule(0.0)


class ReviewBudget:
    """The reviews in progress, and their memory budget in bytes."""

    def __init__(self, budget: int = BUDGET, read: float = READ_S) -> None:
        self._budget = budget
        self.read_seconds = read
        self._reviews: dict[str, list[Review]] = {}
        self._cost = 0
        self.refused = 0

    @property
    def cost(self) -> int:
        """The cost of all reviews in progress, in bytes."""
        return self._cost

    @property
    def count(self) -> int:
        """The number of reviews in progress."""
        return sum(map(len, self._reviews.values()))

    @asynccontextmanager
    async def enter(self, client: str) -> AsyncIterator[Review]:
        """Count one review of a client while it is handled. Raises ReviewRefused if the memory budget is exceeded."""
        loop = asyncio.get_running_loop()
        review: Review | None = None
        try:
            async with asyncio.timeout_at(loop.time() + self.read_seconds) as deadline:
                review = Review(self, client, deadline)
                self._reviews.setdefault(client, []).append(review)
                self._cost += review.cost
                self._make_room()
                try:
                    yield review
                finally:
                    self._leave(review)
        except TimeoutError:
            self.refused += 1
            assert review is not None
            raise ReviewRefused(review.reason) from None

    def charge(self, review: Review, cost: int) -> None:
        """Raise the cost of a review. If the budget is exceeded, refuse reviews of the client that uses most."""
        if review in self._reviews.get(review.client, ()):
            self._cost += cost - review.cost
            review.cost = cost
            self._make_room()

    def _make_room(self) -> None:
        while self._cost > self._budget:
            most = max(self._reviews.values(), key=lambda reviews: sum(review.cost for review in reviews))
            # Of reviews with the same cost, the oldest is refused: it had the most time.
            review = max(most, key=lambda review: review.cost)
            self._leave(review)
            review.refuse()

    def _leave(self, review: Review) -> None:
        reviews = self._reviews.get(review.client, [])
        if review in reviews:
            reviews.remove(review)
            self._cost -= review.cost
        if not reviews:
            self._reviews.pop(review.client, None)
