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

See = Callable[..., set[Key]]


class Kind(Struct, frozen=True, kw_only=True):
    """One kind; `known` gives of each object that was seen as much as taking it away needs.

    `many`: there may be so many of it that no more than a page may be held at once, which kopf does not promise.
    """

    group: str
    version: str
    plural: str
    see: Callable[[State], See]
    known: Callable[[State], Iterable[Body]]
    many: bool = False


KINDS: Final = (
    Kind(
        group="",
        version="v1",
        plural="namespaces",
        see=lambda state: state.see_namespace,
        known=State.known_namespaces,
    ),
    Kind(
        group="",
        version="v1",
        plural="services",
        see=lambda state: state.see_service,
        known=State.known_services,
    ),
    Kind(
        group="discovery.k8s.io",
        version="v1",
        plural="endpointslices",
        see=lambda state: state.see_slice,
        known=State.known_slices,
        many=True,
    ),
    Kind(
        group="networking.k8s.io",
        version="v1",
        plural="networkpolicies",
        see=lambda state: state.see_policy,
        known=State.known_policies,
    ),
    Kind(
        group="",
        version="v1",
        plural="pods",
        see=lambda state: state.see_pod,
        known=State.known_pods,
        many=True,
    ),
    Kind(
        group=GROUP,
        version=VERSION,
        plural=PLURAL,
        see=lambda state: state.see_wanted,
        known=State.known_tcp_services,
    ),
)
"""In the order in which they are read: TcpServices last, so that all they need is known by then."""
