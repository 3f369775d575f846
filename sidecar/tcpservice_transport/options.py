"""What may be set of a client or a server: times, retries, limits. Each has a default that needs no thought.

Used by `client` and `server`. Times are in seconds.
"""

from __future__ import annotations

from msgspec import Struct


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long a client waits.

    `connect`: for a connection, while dials are repeated; 0 tries each address once. `request`: for the answer of
    `send`, and for each response of `stream`; None waits for ever, as NestJS does.
    """

    connect: float = 5.0
    request: float | None = 30.0

    def __post_init__(self) -> None:
        """Refuse what can be no time."""
        _at_least("Timeouts.connect", self.connect, 0)
        if self.request is not None and not (is_number(self.request) and self.request > 0):
            raise ValueError(f"Timeouts.request: expected seconds above 0 or None, got {self.request!r}")


class Retry(Struct, frozen=True, kw_only=True):
    """What a client repeats by itself: what surely did not run, and, lost with its connection, what is `idempotent`.

    `attempts`: how often, after the first.
    """

    attempts: int = 2

    def __post_init__(self) -> None:
        """Refuse what can be no number of attempts."""
        _at_least("Retry.attempts", self.attempts, 0)


class Limits(Struct, frozen=True, kw_only=True):
    """What bounds memory.

    `frame`: the largest frame that is taken, in bytes and UTF-16 units (NestJS's own default). `in_flight`: for each
    connection, the requests of a client that wait, above which `send` raises Overloaded, and the handlers of a server
    that run, above which it is not read. `unread`: bytes of replies that all peers of a server have not taken, above
    which the server does not read those that take them slowly, and cuts off one that takes nothing for 2 seconds; and
    bytes of one stream that a client's app has not taken. `stall`: seconds after which a peer is cut off that stopped
    in the middle of a frame, as by NestJS, or that takes nothing of the replies that wait for it.
    """

    frame: int = 128 * 1024 * 1024
    in_flight: int = 4096
    unread: int = 64 * 1024 * 1024
    stall: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what would let nothing through."""
        _at_least("Limits.frame", self.frame, 1024)
        _at_least("Limits.in_flight", self.in_flight, 1)
        _at_least("Limits.unread", self.unread, 64 * 1024)
        _at_least("Limits.stall", self.stall, 0.1)


def is_number(value: object) -> bool:
    """Whether a value is a number with which one can count."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _at_least(name: str, value: float, least: float) -> None:
    if not is_number(value) or value < least:
        raise ValueError(f"{name}: expected at least {least:g}, got {value!r}")
