"""Lists a collection of objects: at the start, and after a watch began again.

Used by `main`, `kopf_watch` and `watching`. A watch that begins again does not report the objects that were deleted in
between. A list finds them by comparison with the known objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, Protocol

from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.kinds import Collection, name_of
from tcpservice_operator.kube.kube_client import ApiError, Page

Touch = Callable[[set[Key]], None]
"""Requests a reconcile of TcpServices. Called after every event: with an empty set if only views may have changed."""

_SETTLE_S: Final = 1.0
_MOST_PAUSES: Final = 10
"""After so many pauses of _SETTLE_S it lists, though requests still come: kopf makes one for each object of its lists.

A list for each of them would slow kopf down, which would then make its requests one by one.
"""

_RETRY_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Lists(Protocol):
    """Lists objects."""

    def pages(self, plural: str, namespace: str) -> AsyncIterator[Page]:
        """Yield the objects of a kind in a namespace, or in all (""), page by page. Raises ApiError."""


class Lister:
    """Lists collections, on request again. `versions` has the resourceVersion of each collection's last list."""

    def __init__(self, state: ClusterState, lists: Lists, touch: Touch) -> None:
        self._state = state
        self._lists = lists
        self._touch = touch
        self._due: set[Collection] = set()
        self.versions: dict[Collection, str] = {}
        self._wake = asyncio.Event()

    async def list(self, collection: Collection) -> None:
        """Apply all objects of a collection, and remove the known objects that the list does not have.

        A watch can continue from the version that is then in `versions`. Raises ApiError.
        """
        kind = collection.kind
        apply_event, version = partial(kind.apply_event, self._state), ""
        known = collection.known(self._state)
        async for page in self._lists.pages(kind.plural, collection.namespace):
            version = version or page.version
            for body in page.items:
                known.pop(name_of(body), None)
                self._touch(apply_event(body))
        for body in known.values():
            self._touch(apply_event(body, deleted=True))
        self.versions[collection] = version

    def list_soon(self, collection: Collection) -> None:
        """Request that a collection is listed again, once there was no request for _SETTLE_S."""
        self._due.add(collection)
        self._wake.set()

    async def run(self) -> None:
        """List the requested collections, without end."""
        while True:
            await self._wake.wait()
            for _ in range(_MOST_PAUSES):
                self._wake.clear()
                await asyncio.sleep(_SETTLE_S)
                if not self._wake.is_set():
                    break
            due, self._due = self._due, set()
            for collection in due:
                await self._list_again(collection)

    async def _list_again(self, collection: Collection) -> None:
        try:
            await self.list(collection)
        except ApiError as error:
            _LOGGER.warning("could not list %s, next attempt in %g s: %s", collection, _RETRY_S, error)
            self.list_soon(collection)
            await asyncio.sleep(_RETRY_S)
