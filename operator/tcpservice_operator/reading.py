"""Reading all objects of a kind at once: at the start, and whenever a watch had to begin anew.

Used by `app` and `handlers`. A watch that was away for too long begins with what there is, and never says what went in
the meantime: that is found by comparing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from tcpservice_operator.cluster import ApiError, Cluster
from tcpservice_operator.kinds import Kind
from tcpservice_operator.objects import Body, Key
from tcpservice_operator.state import State

_SETTLE_S: Final = 1.0
_AGAIN_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Reader:
    """Reads kinds that are due; `touch` is told of the TcpServices that are to be looked at again."""

    def __init__(self, state: State, cluster: Cluster, touch: Callable[[set[Key]], None]) -> None:
        self._state = state
        self._cluster = cluster
        self._touch = touch
        self._due: dict[tuple[str, str, str], Kind] = {}
        self._wake = asyncio.Event()

    async def read(self, kind: Kind) -> None:
        """Take all objects of a kind in, and forget those that were known before and are not there. Raises ApiError."""
        see = kind.see(self._state)
        known = {_name(body): body for body in kind.known(self._state)}
        async for body in kind.listed(self._cluster):
            known.pop(_name(body), None)
            self._touch(see(body))
        for body in known.values():
            self._touch(see(body, gone=True))

    def let_read(self, kind: Kind) -> None:
        """Let a kind be read again soon."""
        self._due[kind.resource] = kind
        self._wake.set()

    async def run(self) -> None:
        """Read what is due, again and again."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_SETTLE_S)
            self._wake.clear()
            while self._due:
                await self._read_again(self._due.popitem()[1])

    async def _read_again(self, kind: Kind) -> None:
        try:
            await self.read(kind)
        except ApiError as error:
            name = kind.resource[-1]
            _LOGGER.warning("the %s cannot be read, and are again in %g s: %s", name, _AGAIN_S, error)
            self._due[kind.resource] = kind
            await asyncio.sleep(_AGAIN_S)


def _name(body: Body) -> tuple[str, str]:
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
