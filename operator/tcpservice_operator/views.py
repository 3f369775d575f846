"""What a pod is told of: the TcpServices that it serves, and those that it calls.

Used by `publishing` for the stream, and for injection. A pod calls when it, or its namespace, has the label
`tcpservice.dev/inject: enabled`: all TcpServices of its namespace, or those that its annotation `tcpservice.dev/calls`
names, of other namespaces, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcpservice_operator.capture import is_pending, why_not_captured
from tcpservice_operator.objects import Body, Key, Pod, Wanted, read_pod
from tcpservice_operator.roles import Called, Roles, Served
from tcpservice_operator.services import target_of
from tcpservice_operator.state import State


def view_of(state: State, pod: Pod) -> frozenset[Key]:
    """Return the TcpServices that a pod serves or calls."""
    return frozenset(wanted.key for wanted in (*state.served_by(pod), *state.called_by(pod)))


def roles_of(state: State, body: Body, namespace: str) -> Roles:
    """Return what a pod that is being made, or the template of one, serves and calls."""
    pod = _made(body, namespace)
    return Roles(
        serves=tuple(_served(state, wanted) for wanted in state.served_by(pod)),
        calls=tuple(_called(state, wanted) for wanted in state.called_by(pod)),
        unknown=tuple(sorted(state.unknown_to(pod))),
        pending=any(is_pending(state, wanted) for wanted in state.called_by(pod)),
        targeted=frozenset(_targeted(state, pod)),
    )


def _served(state: State, wanted: Wanted) -> Served:
    return Served(
        key=wanted.key,
        port=wanted.sound["spec"]["port"],
        target=target_of(wanted, state.services.get(wanted.key)),
        document=wanted.sound,
    )


def _called(state: State, wanted: Wanted) -> Called:
    return Called(
        key=wanted.key,
        port=wanted.sound["spec"]["port"],
        others=tuple(_other_ports(state, wanted)),
        document=wanted.sound,
        refused=why_not_captured(state, wanted),
    )


def _targeted(state: State, pod: Pod) -> Iterator[int]:
    """Give the ports of a pod that Services target by number: its app listens there, declared or not."""
    for service in state.services_of(pod):
        for port in service.ports:
            target = port.target or port.port
            if isinstance(target, int):
                yield target


def _made(body: Body, namespace: str) -> Pod:
    metadata = {**(body.get("metadata") or {}), "namespace": namespace, "name": "", "uid": ""}
    return read_pod({"metadata": metadata, "spec": body["spec"]})


def _other_ports(state: State, wanted: Wanted) -> Iterator[int]:
    service = state.services.get(wanted.key)
    for port in service.ports if service is not None else ():
        if port.port != wanted.sound["spec"]["port"]:
            yield port.port
