"""Reading all objects of a kind at once: at the start, and whenever a watch had to begin anew.

Used by `app`, `handlers` and `following`. A watch that was away for too long begins with what there is, and never says
what went in the meantime: that is found by comparing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, Protocol

from tcpservice_operator.cluster import ApiError, Page
from tcpservice_operator.kinds import Kind
from tcpservice_operator.objects import Body, Key
from tcpservice_operator.state import State

Touch = Callable[[set[Key]], None]
"""Let TcpServices be looked at again; called for every event, as who is told of what may have changed, too."""

_SETTLE_S: Final = 1.0
_AGAIN_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Lists(Protocol):
    """Who knows all objects."""

    def pages(self, plural: str) -> AsyncIterator[Page]:
        """Give all objects of a kind, page by page. Raises ApiError."""


class Reader:
    """Reads kinds that are due."""

    def __init__(self, state: State, lists: Lists, touch: Touch) -> None:
        self._state = state
        self._lists = lists
        self._touch = touch
        self._due: dict[str, Kind] = {}
        self.versions: dict[str, str] = {}
        self._wake = asyncio.Event()

    async def read(self, kind: Kind) -> None:
        """Take all objects of a kind in, and forget those that were known before and are not there.

        `versions` then has that of the list, from which a watch can go on. Raises ApiError.
        """
        see, version = partial(kind.see, self._state), ""
        known = {_name(body): body for body in kind.known(self._state)}
        async for page in self._lists.pages(kind.plural):
            version = version or page.version
            for body in page.items:
                known.pop(_name(body), None)
                self._touch(see(body))
        for body in known.values():
            self._touch(see(body, gone=True))
        self.versions[kind.plural] = version

    def let_read(self, kind: Kind) -> None:
        """Let a kind be read again soon."""
        self._due[kind.plural] = kind
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
            _LOGGER.warning("the %s cannot be read, and are again in %g s: %s", kind.plural, _AGAIN_S, error)
            self._due[kind.plural] = kind
            await asyncio.sleep(_AGAIN_S)


def _name(body: Body) -> tuple[str, str]:
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
