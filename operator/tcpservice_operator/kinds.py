"""The kinds of objects that the operator knows: how each is watched, listed, taken in, and what of it is there.

Used by `handlers` (events), `app` (the first reading) and `reading`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from msgspec import Struct

from tcpservice.spec.schema import GROUP
from tcpservice_operator.cluster import PLURAL, VERSION, Cluster
from tcpservice_operator.objects import Body, Key
from tcpservice_operator.state import State

See = Callable[..., set[Key]]


class Kind(Struct, frozen=True, kw_only=True):
    """One kind; `known` gives of each object that was seen as much as taking it away needs."""

    resource: tuple[str, str, str]
    listed: Callable[[Cluster], AsyncIterator[Body]]
    see: Callable[[State], See]
    known: Callable[[State], Iterable[Body]]


KINDS: Final = (
    Kind(
        resource=("", "v1", "namespaces"),
        listed=Cluster.list_namespaces,
        see=lambda state: state.see_namespace,
        known=State.known_namespaces,
    ),
    Kind(
        resource=("", "v1", "services"),
        listed=Cluster.list_services,
        see=lambda state: state.see_service,
        known=State.known_services,
    ),
    Kind(
        resource=("discovery.k8s.io", "v1", "endpointslices"),
        listed=Cluster.list_slices,
        see=lambda state: state.see_slice,
        known=State.known_slices,
    ),
    Kind(
        resource=("networking.k8s.io", "v1", "networkpolicies"),
        listed=Cluster.list_policies,
        see=lambda state: state.see_policy,
        known=State.known_policies,
    ),
    Kind(
        resource=("", "v1", "pods"),
        listed=Cluster.list_pods,
        see=lambda state: state.see_pod,
        known=State.known_pods,
    ),
    Kind(
        resource=(GROUP, VERSION, PLURAL),
        listed=Cluster.list_tcp_services,
        see=lambda state: state.see_wanted,
        known=State.known_tcp_services,
    ),
)
"""In the order in which they are read: TcpServices last, so that all they need is known by then."""
