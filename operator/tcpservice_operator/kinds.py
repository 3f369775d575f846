"""The kinds of objects that the operator knows: how each is taken in, and what of it is there.

Used by `handlers` and `following` (events), `app` (the first reading) and `reading`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from tcpservice.spec.schema import GROUP
from tcpservice_operator.cluster import PLURAL, VERSION
from tcpservice_operator.objects import Body, Key
from tcpservice_operator.state import State


class Kind(Struct, frozen=True):
    """One kind: `see` takes an event of an object in, `known` gives of each object as much as taking it away needs.

    `many`: there may be so many of it that no more than a page may be held at once, which kopf does not promise.
    """

    group: str
    version: str
    plural: str
    see: Callable[..., set[Key]]
    known: Callable[[State], Iterable[Body]]
    many: bool = False


KINDS: Final = (
    Kind("", "v1", "namespaces", State.see_namespace, State.known_namespaces),
    Kind("", "v1", "services", State.see_service, State.known_services),
    Kind("discovery.k8s.io", "v1", "endpointslices", State.see_slice, State.known_slices, many=True),
    Kind("networking.k8s.io", "v1", "networkpolicies", State.see_policy, State.known_policies),
    Kind("", "v1", "pods", State.see_pod, State.known_pods, many=True),
    Kind(GROUP, VERSION, PLURAL, State.see_wanted, State.known_tcp_services),
)
"""In the order in which they are read: TcpServices last, so that all they need is known by then."""
