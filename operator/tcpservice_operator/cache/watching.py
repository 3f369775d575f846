"""Watches every kind but TcpServices: a list, page by page, then its changes one by one, in one order.

Used by `main`. A list that runs beside a watch can bring back what the watch has seen deleted. Here one task lists and
watches a collection, so each event is newer than the one before. kopf also holds every object of a list at once, 70 KiB
for each pod at its peak (measured with 10,000 pods); this module holds one page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, Protocol

from tcpservice_operator.api.plain_objects import Body
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.kinds import Collection
from tcpservice_operator.cache.listing import Lister, Touch
from tcpservice_operator.kube.kube_client import ApiError

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Changes(Protocol):
    """Watches objects."""

    def changes(self, plural: str, namespace: str, version: str) -> AsyncIterator[Body]:
        """Yield the events after a version until the API server ends the watch. Raises ApiError; 410: it is too old."""


class Watcher:
    """Watches one collection, from the version of the lister's last list.

    `hear` is called for each event and bookmark.
    """

    def __init__(
        self, collection: Collection, state: ClusterState, changes: Changes, lister: Lister, touch: Touch,
        hear: Callable[[], None],
    ) -> None:  # fmt: skip
        self._collection = collection
        self._apply_event = partial(collection.kind.apply_event, state)
        self._changes = changes
        self._lister = lister
        self._versions = lister.versions
        self._touch = touch
        self._hear = hear

    async def run(self) -> None:
        """Watch without end. After an error response, list the collection again, which also finds deleted objects."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                if self._collection not in self._versions:
                    await self._lister.list(self._collection)
                await self._watch()
                pause = _FIRST_PAUSE_S
            except ApiError as error:
                if error.status:  # the API server responded: the version is too old, or a list will report the error
                    self._versions.pop(self._collection, None)
                    pause = _FIRST_PAUSE_S
                _LOGGER.info("restarting the watch of %s in %g s: %s", self._collection, pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _watch(self) -> None:
        collection, versions = self._collection, self._versions
        changes = self._changes.changes(collection.kind.plural, collection.namespace, versions[collection])
        async for event in changes:
            body: Body = event["object"]
            self._hear()
            versions[collection] = body["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._touch(self._apply_event(body, deleted=event["type"] == "DELETED"))
