"""The cluster as the operator knows it: kept by events, asked by `planning`.

An event replaces or removes one object and says which TcpServices it may concern; nothing is ever worked out from the
difference between two events, so that a missed one costs no more than time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from tcpservice_operator.objects import (
    Body,
    Key,
    Labels,
    Pod,
    Service,
    Wanted,
    key_of,
    read_pod,
    read_service,
    read_wanted,
)

REPLICAS_SUFFIX: Final = "-replicas"


class State:
    """All TcpServices, Services and pods that were seen."""

    def __init__(self) -> None:
        self.wanted: dict[Key, Wanted] = {}
        self.services: dict[Key, Service] = {}
        self._pods: dict[str, dict[Key, Pod]] = defaultdict(dict)

    # Events; each returns the TcpServices that are to be looked at again.

    def see_wanted(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a TcpService; all that may share its pods are concerned."""
        key = key_of(body)
        if gone:
            self.wanted.pop(key, None)
        else:
            self.wanted[key] = read_wanted(body)
        return {other for other in self.wanted if other[0] == key[0]}

    def see_service(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a Service."""
        namespace, name = key = key_of(body)
        if gone:
            self.services.pop(key, None)
        else:
            self.services[key] = read_service(body)
        concerned = {key, (namespace, name.removesuffix(REPLICAS_SUFFIX))}
        return concerned & self.wanted.keys()

    def see_pod(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a pod."""
        key = key_of(body)
        there = self._pods[key[0]]
        before = there.get(key)
        if gone:
            there.pop(key, None)
            return self._serving([before] if before else [])
        after = there[key] = read_pod(body)
        return set() if after == before else self._serving([after] if before is None else [before, after])

    # Questions

    def selector_of(self, wanted: Wanted) -> Labels:
        """Return the labels of the pods that serve: its own, or those of the Service of its name, or none."""
        own: Labels | None = wanted.document["spec"].get("selector")
        service = self.services.get(wanted.key)
        return own or (service.selector if service else {})

    def pods_of(self, wanted: Wanted) -> list[Pod]:
        """Return the pods that serve, by name."""
        selector = self.selector_of(wanted)
        there = self._pods[wanted.key[0]]
        return [there[key] for key in sorted(there) if selector and selector.items() <= there[key].labels.items()]

    def _serving(self, pods: Iterable[Pod]) -> set[Key]:
        return {
            wanted.key
            for pod in pods
            for wanted in self.wanted.values()
            if wanted.key[0] == pod.key[0]
            and (selector := self.selector_of(wanted))
            and selector.items() <= pod.labels.items()
        }
