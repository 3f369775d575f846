"""What is watched of a sidecar from outside: order, closes without a cause, and dials without a pause.

Used by `sidecar_model`, which tells what the exchange does. Nothing here knows the exchange itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Final

from simulation.ledger import Message, seconds
from simulation.network import NEVER, End
from simulation.scenario import IDEMPOTENT
from simulation.world import World
from tcpservice.snapshot import SECOND

_SERIAL: Final = re.compile(rb'"pattern":"(?!tcps)[^"]*","data":(\d+)')

CAUSE_SLACK: Final = 8 * SECOND
"""A close may come this much later than the limit it follows: requests that are pending then have 5 s left."""

DIALS_WINDOW: Final = 10 * SECOND
MOST_DIALS: Final = 50
"""An endpoint that never sends a byte is dialled at most so often in a window.

Pauses that double from 100 ms need less, even if they grow to half a second only.
"""


class Watch:
    """One sidecar, seen from outside. `served` counts the messages written to each endpoint."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self.app = ""
        self.served: dict[str, int] = {}
        self._order: dict[tuple[End | None, str], tuple[int, int]] = {}
        self._newest: dict[End | None, int] = {}
        self._disturbed = NEVER
        self._failing: dict[str, deque[int]] = {}

    def disturb(self) -> None:
        """Note that endpoints failed or changed, so messages on their way may overtake others on another way."""
        self._disturbed = self._world.clock.now

    # Order

    def written(self, end: End, data: bytes, is_only_endpoint: Callable[[str], bool]) -> None:
        """Check the order of messages that are written to an endpoint for the first time.

        From a caller's sidecar, messages of one connection are compared in the order of sending; from the sidecar of a
        replica to its app, in the order in which they stood on the connection between the two sidecars. A message that
        a replica refused may be sent there again, but not to an app that has had a later one of the same caller. While
        no sidecar can be reached, an inbound listener sends messages to its own app as to any other endpoint.
        """
        messages, address = self._world.ledger.messages, end.remote
        for text in _SERIAL.findall(data):
            serial = int(text)
            message = messages[serial]
            link = message.link
            if address == self.app and link is not None:
                message.app_writes += 1
                if message.app_writes == 1 and message.hops == 1:
                    self._compare(link, address, link.ranks[serial], serial, None)
                elif message.app_writes == 1 and message.sidecars[link.remote] > 1:
                    self._check_sent_again(message, address)
                self._newest[message.end] = max(serial, self._newest.get(message.end, 0))
            else:
                self.served[address] = self.served.get(address, 0) + 1
                message.hops += 1
                message.sidecars[address] += 1
                message.link = end
                end.ranks[serial] = end.position
                end.position += 1
                if message.hops == 1:
                    self._compare(message.end, address, serial, serial, is_only_endpoint)

    def _compare(
        self,
        downstream: End | None,
        address: str,
        rank: int,
        serial: int,
        is_only_endpoint: Callable[[str], bool] | None,
    ) -> None:
        order = self._order.get((downstream, address))
        if order is None or rank > order[0]:
            self._order[downstream, address] = rank, serial
            return
        message = self._world.ledger.messages[serial]
        if is_only_endpoint is None or message.sent > self._disturbed or is_only_endpoint(address):
            other = self._world.ledger.messages[order[1]]
            name = downstream.name if downstream is not None else "?"
            self._world.ledger.violate(
                "messages of one connection reach an endpoint in order",
                f"{self._name} wrote {message} (from {name}) to {address} after {other}, which was sent later",
            )

    def _check_sent_again(self, message: Message, address: str) -> None:
        newest = self._newest.get(message.end, 0)
        if message.pattern is not IDEMPOTENT and newest > message.serial:
            self._world.ledger.violate(
                "a refused message is not sent again behind later ones",
                f"{self._name} wrote {message} to {address} after {self._world.ledger.messages[newest]}",
            )

    # Connections

    def closed(self, end: End, stall: int) -> None:
        """Check that the sidecar had a cause to close a downstream connection."""
        peer, connection = end.peer, end.connection
        if peer.closed or peer.finished or connection.clogged or connection.severed:
            return
        if self._world.clock.now - max(end.cause, peer.cause) > stall + CAUSE_SLACK:
            self._world.ledger.violate(
                "a healthy connection stays open",
                f"{self._name} closed its connection with {end.remote} without a cause",
            )

    def answered(self, address: str) -> None:
        """Note that an endpoint sent something."""
        self._failing.pop(address, None)

    def dialled(self, address: str) -> None:
        """Check that an endpoint that never sends anything is left alone for longer and longer."""
        now = self._world.clock.now
        dials = self._failing.setdefault(address, deque())
        dials.append(now)
        while dials[0] < now - DIALS_WINDOW:
            dials.popleft()
        if len(dials) > MOST_DIALS:
            self._world.ledger.violate(
                "an endpoint that fails is dialled less and less",
                f"{self._name} dialled {address} {len(dials)} times in {seconds(now - dials[0])}, without one answer",
            )
