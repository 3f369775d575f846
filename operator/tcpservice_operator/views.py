"""What a pod is told of: the TcpServices that it serves, and those that it calls.

Used by `publishing`. A pod calls when it, or its namespace, has the label `tcpservice.dev/inject: enabled`: all
TcpServices of its namespace, or those that its annotation `tcpservice.dev/calls` names, of other namespaces, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcpservice_operator.objects import INJECT, Key, Pod
from tcpservice_operator.state import State


def view_of(state: State, pod: Pod) -> frozenset[Key]:
    """Return the TcpServices that a pod serves or calls."""
    return frozenset((*_served(state, pod), *_called(state, pod)))


def _served(state: State, pod: Pod) -> Iterator[Key]:
    for wanted in state.wanted_in(pod.key[0]):
        selector = state.selector_of(wanted)
        if selector and selector.items() <= pod.labels.items():
            yield wanted.key


def _called(state: State, pod: Pod) -> Iterator[Key]:
    namespace = pod.key[0]
    if (pod.inject or state.namespaces.get(namespace, {}).get(INJECT)) != "enabled":
        return
    if pod.calls is None:
        yield from (wanted.key for wanted in state.wanted_in(namespace))
        return
    for word in pod.calls.split(","):
        name, _, elsewhere = word.strip().partition(".")
        key = (elsewhere or namespace, name)
        if key in state.wanted:
            yield key
