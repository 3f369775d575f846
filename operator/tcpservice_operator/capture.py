"""Whether the sidecar of a caller may take the name of a TcpService: only where it can send the messages somewhere.

Used by `views` for pods that are created, and by `planning` for conflicts. A caller whose name is not taken calls the
Service, exactly as it would without a sidecar.
"""

from __future__ import annotations

from tcpservice_operator.objects import Wanted
from tcpservice_operator.services import target_of
from tcpservice_operator.state import State


def conflicts(state: State, wanted: Wanted) -> list[str]:
    """Return the TcpServices that serve the same port of the same pods and come first, by name."""
    selector, target = state.selector_of(wanted), _target(state, wanted)
    return [
        "/".join(other.key)
        for other in state.wanted_in(wanted.key[0])
        if other.key < wanted.key
        and _target(state, other) == target
        and state.selector_of(other) == selector
        and selector
    ]


def why_not_captured(state: State, wanted: Wanted) -> str:
    """Return why the sidecar of a new caller must leave the name alone, nothing where it may take it.

    A TcpService without endpoints may be taken where its Service has none either: messages fail with and without a
    sidecar until the first pod is ready, and people apply a TcpService, its pods and its callers at the same time.
    """
    if not state.selector_of(wanted):
        return "the TcpService is not accepted: NoSelector"
    others = conflicts(state, wanted)
    if others:
        return f"the TcpService is not accepted: PortTaken, by {', '.join(others)}"
    if state.endpoints_of(wanted.key):
        return ""
    if wanted.problems:
        return "the TcpService is not accepted, and it has no endpoints"
    if leads_elsewhere(state, wanted):
        return "the TcpService has no endpoints, and the Service of its name leads elsewhere"
    return ""


def leads_elsewhere(state: State, wanted: Wanted) -> bool:
    """Whether messages to the Service of a TcpService's name arrive without the TcpService."""
    service = state.services.get(wanted.key)
    return service is not None and (service.external or state.has_endpoints(service))


def is_pending(state: State, wanted: Wanted) -> bool:
    """Whether a TcpService waits only for its first EndpointSlice, which comes a moment after the TcpService."""
    accepted = state.selector_of(wanted) and not wanted.problems and not conflicts(state, wanted)
    return bool(accepted) and state.endpoints_of(wanted.key) is None and leads_elsewhere(state, wanted)


def _target(state: State, wanted: Wanted) -> str | int:
    return target_of(wanted, state.services.get(wanted.key))
