"""The messages of one service that wait for an endpoint: a queue for each caller, whose callers take turns.

Used by `attempts`, which fills and empties it, and by `endings`. The order of a caller's messages holds; callers are
independent of each other, as if each had its own connection. A caller with a thousand waiting messages, or whose
connection to the endpoint is congested, does not delay other callers.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcpservice.exchange.records import DownstreamConnection, Message


class Waiting:
    """`count` messages, by caller. `unseen` is how many callers are to be looked at since there was room last."""

    __slots__ = ("_callers", "count", "unseen")

    def __init__(self) -> None:
        self._callers: dict[DownstreamConnection, OrderedDict[Message, None]] = {}
        self.count = 0
        self.unseen = 0

    def begin_round(self) -> None:
        """Note that there may be room again: all callers are to be looked at."""
        self.unseen = len(self._callers)

    def has(self, caller: DownstreamConnection) -> bool:
        """Whether messages of a caller wait."""
        return caller in self._callers

    def add(self, message: Message) -> None:
        """Add a message at the place among its caller's that its arrival gives it."""
        self.count += 1
        caller = message.downstream
        queue = self._callers.get(caller)
        if queue is None:
            queue = self._callers[caller] = OrderedDict()
        earlier = not queue or next(reversed(queue)).sequence < message.sequence
        queue[message] = None
        if not earlier:
            self._callers[caller] = OrderedDict.fromkeys(sorted(queue, key=_arrival))

    def remove(self, message: Message) -> bool:
        """Remove a message; return whether it was there."""
        caller = message.downstream
        queue = self._callers.get(caller)
        if queue is None or message not in queue:
            return False
        del queue[message]
        self.count -= 1
        if not queue:
            del self._callers[caller]
        return True

    def first(self, caller: DownstreamConnection) -> Message | None:
        """Return the message of a caller that arrived first; None where none waits."""
        queue = self._callers.get(caller)
        return next(iter(queue)) if queue else None

    def callers(self, most: int) -> list[DownstreamConnection]:
        """Return the callers whose turn is next, so many at most."""
        return list(islice(self._callers, most))

    def had_its_turn(self, caller: DownstreamConnection) -> None:
        """Let a caller be the last to have its next turn."""
        queue = self._callers.pop(caller, None)
        if queue is not None:
            self._callers[caller] = queue

    def messages(self) -> list[Message]:
        """Return all messages."""
        return [message for queue in self._callers.values() for message in queue]


def _arrival(message: Message) -> int:
    return message.sequence
