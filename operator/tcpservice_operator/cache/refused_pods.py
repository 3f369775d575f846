"""Pods that the API server does not let a workload create: what its controller reports in Events FailedCreate.

Used by `cluster_state` for the status, and by `main`, which looks up each reported workload. An Event names only the
workload, and may be an hour old: the labels of the pods, and whether some are still missing, are the workload's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tcpservice_operator.api.plain_objects import Body, Key, Labels, key_of
from tcpservice_operator.api.workloads import RESOURCES, Workload

_GENERATED: Final = re.compile(r'(pods "[a-z0-9.-]*-)[a-z0-9]{5}"')


class RefusedPods(Struct, frozen=True, kw_only=True):
    """The pods of one workload (`Kind/name`) that cannot be created, and why.

    `labels` are those of the pods, None until they are looked up.
    """

    namespace: str
    workload: str
    reason: str
    labels: Labels | None = None


class Refusals:
    """What is known of refused pods, by the Event that reports it."""

    def __init__(self) -> None:
        self._by_event: dict[Key, RefusedPods] = {}

    def put(self, body: Body, *, deleted: bool) -> RefusedPods | None:
        """Record an Event, or its end; return what is known of its workload, None if nothing was or is."""
        key, about = key_of(body), body.get("involvedObject") or {}
        before = self._by_event.pop(key, None)
        if deleted or about.get("kind") not in RESOURCES:
            return before
        workload = f"{about['kind']}/{about.get('name', '')}"
        reason = _GENERATED.sub(r'\1"', " ".join((body.get("message") or "").split()))
        known = next((each for each in self._by_event.values() if _is_of(each, key[0], workload)), before)
        labels = known.labels if known is not None else None
        found = RefusedPods(namespace=key[0], workload=workload, reason=reason, labels=labels)
        self._by_event[key] = found
        return found

    def keys(self) -> Collection[Key]:
        """Return the Events."""
        return self._by_event.keys()

    def unknown(self) -> set[tuple[str, str]]:
        """Return the workloads that have to be looked up, each with its namespace."""
        return {(each.namespace, each.workload) for each in self._by_event.values() if each.labels is None}

    def resolve(self, namespace: str, workload: str, found: Workload | None) -> Labels | None:
        """Record what a workload is; return the labels of its pods if it lacks some."""
        labels = found.labels if found is not None and found.present < found.wanted else None
        for key, each in list(self._by_event.items()):
            if _is_of(each, namespace, workload):
                if labels is None:
                    del self._by_event[key]
                else:
                    self._by_event[key] = replace(each, labels=labels)
        return labels

    def end(self, namespace: str, workload: str) -> None:
        """Forget a workload, as it has created a pod."""
        if self._by_event:
            self.resolve(namespace, workload, None)

    def of(self, namespace: str, selects: Callable[[Labels], bool]) -> list[RefusedPods]:
        """Return the refused pods of a namespace that a selector would select, once for each workload, by name."""
        found: Mapping[str, RefusedPods] = {
            each.workload: each
            for each in self._by_event.values()
            if each.namespace == namespace and each.labels is not None and selects(each.labels)
        }
        return [found[workload] for workload in sorted(found)]


def _is_of(refused: RefusedPods, namespace: str, workload: str) -> bool:
    return (refused.namespace, refused.workload) == (namespace, workload)
