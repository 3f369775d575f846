"""The pods of the cluster, found by their labels, by what they call, and by what their sidecars know.

Used by `cluster_state`. Pods are the most numerous objects, so each question has an index. Pods of one workload that
are alike as callers are one group: what a TcpService's status says of its callers costs a look at each workload, not at
each pod.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import TypeVar

from msgspec import Struct

from tcpservice_operator.api.plain_objects import Key, Labels
from tcpservice_operator.cache.label_index import LabelIndex
from tcpservice_operator.cache.objects import Pod


class Callers(Struct, frozen=True):
    """Pods of one workload that are alike as callers: one of them, and how many they are."""

    pod: Pod
    count: int


K = TypeVar("K")
V = TypeVar("V")
_Alike = tuple[object, ...]
"""All that a status says of a caller. Pods without a workload are groups of their own."""


class PodCache:
    """The pods by namespace and name. Pods are values: a changed pod replaces the one before."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[Key, Pod]] = defaultdict(dict)
        self._labels = LabelIndex()
        self._groups: dict[_Alike, dict[Key, Pod]] = {}
        self._calling_all: dict[str, set[_Alike]] = {}
        self._naming: dict[Key, set[_Alike]] = {}
        self._asking: dict[Key, set[Key]] = {}
        self._sidecars = Counter[str]()

    def put(self, key: Key, pod: Pod | None) -> None:
        """Replace a pod, or remove it if `pod` is None."""
        before = self._pods[key[0]].pop(key, None)
        if before is not None:
            self._labels.remove(key, before.labels)
            self._leave_group(before)
            for tcp_service in before.asked_to_serve():
                _discard(self._asking, tcp_service, key)
            self._count_sidecar(before, -1)
        if pod is not None:
            self._pods[key[0]][key] = pod
            self._labels.add(key, pod.labels)
            self._join_group(pod)
            for tcp_service in pod.asked_to_serve():
                self._asking.setdefault(tcp_service, set()).add(key)
            self._count_sidecar(pod, 1)

    def get(self, key: Key) -> Pod | None:
        """Return a pod, None if it is not known."""
        return self._pods[key[0]].get(key) if key[0] in self._pods else None

    def __iter__(self) -> Iterator[Key]:
        """Yield the key of each pod."""
        for there in self._pods.values():
            yield from there

    def in_namespace(self, namespace: str) -> Collection[Pod]:
        """Return the pods of a namespace."""
        return self._pods[namespace].values() if namespace in self._pods else ()

    def selected(self, namespace: str, selector: Labels) -> list[Pod]:
        """Return the pods that a selector selects, by name; none if it is empty."""
        there = self._pods.get(namespace, {})
        return [there[key] for key in sorted(self._labels.selected(namespace, selector))]

    def naming(self, tcp_service: Key) -> Iterator[Pod]:
        """Yield the pods, of any namespace, whose annotation lists a TcpService as called."""
        for alike in self._naming.get(tcp_service, ()):
            yield from self._groups[alike].values()

    def asking_to_serve(self, tcp_service: Key) -> Collection[Key]:
        """Return the pods whose annotation lists a TcpService as served."""
        return self._asking.get(tcp_service, ())

    def calling_all(self, namespace: str) -> Iterator[Pod]:
        """Yield the pods of a namespace that have no such annotation; whether they call is for others to say."""
        for alike in self._calling_all.get(namespace, ()):
            yield from self._groups[alike].values()

    def callers(self, tcp_service: Key) -> Iterator[Callers]:
        """Yield the pods of its namespace that call a TcpService if they call any; none that are being deleted."""
        namespace = tcp_service[0]
        for alike in (*self._calling_all.get(namespace, ()), *self._naming.get(tcp_service, ())):
            group = self._groups[alike]
            pod = next(iter(group.values()))
            if pod.key[0] == namespace and not pod.leaving:
                yield Callers(pod, len(group))

    def has_sidecar_with(self, tcp_service: Key) -> bool:
        """Whether any sidecar serves or calls a TcpService."""
        return self._sidecars["/".join(tcp_service)] > 0

    def _join_group(self, pod: Pod) -> None:
        alike = _alike(pod)
        group = self._groups.get(alike)
        if group is None:
            group = self._groups[alike] = {}
            called = pod.called()
            if called is None:
                self._calling_all.setdefault(pod.key[0], set()).add(alike)
            for tcp_service in called or ():
                self._naming.setdefault(tcp_service, set()).add(alike)
        group[pod.key] = pod

    def _leave_group(self, pod: Pod) -> None:
        alike = _alike(pod)
        group = self._groups[alike]
        del group[pod.key]
        if not group:
            del self._groups[alike]
            called = pod.called()
            if called is None:
                _discard(self._calling_all, pod.key[0], alike)
            for tcp_service in called or ():
                _discard(self._naming, tcp_service, alike)

    def _count_sidecar(self, pod: Pod, change: int) -> None:
        for name in pod.known_to_sidecar:
            self._sidecars[name] += change
            if not self._sidecars[name]:
                del self._sidecars[name]


def _discard(sets: dict[K, set[V]], key: K, value: V) -> None:
    """Remove a value from a set, and a set that is empty then: names come from annotations, so there may be any."""
    sets[key].discard(value)
    if not sets[key]:
        del sets[key]


def _alike(pod: Pod) -> _Alike:
    return (
        pod.key[0], pod.calls, pod.inject, pod.leaving, pod.workload or pod.uid,
        pod.aliases, pod.left_out, pod.refused, pod.crashing,
    )  # fmt: skip
