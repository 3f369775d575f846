"""The kinds of objects that the operator watches: how the state applies their events, and which objects it knows.

Used by `kopf_watch` and `watching` (events), `main` (the first list) and `listing`. An operator that watches named
namespaces has a list and a watch for each kind and namespace, each with a version of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from tcpservice.spec.schema import GROUP
from tcpservice_operator.api.names import PLURAL, VERSION
from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.cache.cluster_state import ClusterState


class Kind(Struct, frozen=True):
    """One kind. `apply_event` applies an event; `known` returns the known objects, to find deleted ones after a list.

    `by_kopf`: kopf watches the kind. The others have a `Watcher` of their own, which lists and watches in one order, so
    that no list brings an older state back, and which holds only one page of a list in memory.
    """

    group: str
    version: str
    plural: str
    apply_event: Callable[..., set[Key]]
    known: Callable[[ClusterState], Iterable[Body]]
    by_kopf: bool = False


KINDS: Final = (
    Kind("", "v1", "namespaces", ClusterState.apply_namespace_event, ClusterState.known_namespaces),
    Kind("", "v1", "services", ClusterState.apply_service_event, ClusterState.known_services),
    Kind("discovery.k8s.io", "v1", "endpointslices", ClusterState.apply_slice_event, ClusterState.known_slices),
    Kind("networking.k8s.io", "v1", "networkpolicies", ClusterState.apply_policy_event, ClusterState.known_policies),
    Kind("", "v1", "events", ClusterState.apply_refusal_event, ClusterState.known_refusals),
    Kind("", "v1", "pods", ClusterState.apply_pod_event, ClusterState.known_pods),
    Kind(GROUP, VERSION, PLURAL, ClusterState.apply_tcp_service_event, ClusterState.known_tcp_services, by_kopf=True),
)
"""In the order in which they are listed. TcpServices are last, because their status depends on all other kinds."""


class Collection(Struct, frozen=True):
    """The objects of a kind in one namespace, or in all (""). Of the kind `namespaces`, it is the one of that name."""

    kind: Kind
    namespace: str = ""

    def known(self, state: ClusterState) -> dict[tuple[str, str], Body]:
        """Return the known objects, by namespace and name."""
        found = {name_of(body): body for body in self.kind.known(state)}
        return {name: body for name, body in found.items() if self.namespace in ("", name[0] or name[1])}

    def __str__(self) -> str:
        return f"{self.kind.plural} in {self.namespace}" if self.namespace else self.kind.plural


def collections(namespaces: Sequence[str]) -> list[Collection]:
    """Return the collections of the named namespaces, or of all if none is named, in the order of KINDS."""
    return [Collection(kind, namespace) for kind in KINDS for namespace in namespaces or ("",)]


def name_of(body: Body) -> tuple[str, str]:
    """Return the namespace of an object, empty if it belongs to none, and its name."""
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
