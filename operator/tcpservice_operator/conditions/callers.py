"""Problems of the pods that call a TcpService: no alias, no sidecar, a closed port, or a crash loop.

Used by `condition_checks`, which appends them to the message of the condition `Injected`. A pod gets its aliases when
it is created. A caller without an alias connects to the address of the Service; the sidecars of the replicas then
balance its messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tcpservice_operator.api.names import APP_PORTS_ANNOTATION, INJECTION_NOTES
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.objects import NetworkPolicy, Pod
from tcpservice_operator.cache.pod_cache import Callers
from tcpservice_operator.cache.targets import MESH_NUMBER, MESH_PORT
from tcpservice_operator.conditions.network_policies import is_closed, open_command


def caller_problems(key: Key, port: int, callers: Sequence[Callers], policies: Sequence[NetworkPolicy]) -> str:
    """Return the problems of the pods that call a TcpService, each after a semicolon; empty if there are none."""
    name = "/".join(key)
    problems = (*_problems(name, port, callers), *_closed(name, port, callers, policies))
    return "".join(f"; {text}" for text in problems)


def _closed(name: str, port: int, callers: Sequence[Callers], policies: Sequence[NetworkPolicy]) -> Iterator[str]:
    """Yield what to do for callers whose NetworkPolicies let them reach no sidecar of other pods."""
    mesh = (MESH_NUMBER, MESH_PORT)
    closed = [
        each for each in callers if name in (each.pod.aliases or ()) and is_closed(policies, each.pod, mesh, "egress")
    ]
    if closed:
        pod = closed[0].pod
        command = open_command(policies, pod, [mesh], {port, *pod.app_ports}, "egress")
        yield (
            f"callers whose NetworkPolicies let them reach no port {MESH_NUMBER}, so that they reach apps past their "
            f"sidecars, or none: {_count(closed)}; to open it: {command}"
        )


def _problems(name: str, port: int, callers: Sequence[Callers]) -> Iterator[str]:
    left_out = [each for each in callers if name in each.pod.left_out]
    if left_out:
        yield (
            f"callers without an alias for this TcpService: {_count(left_out)}; they connect to the address of the "
            f"Service, and the annotation {INJECTION_NOTES} of {left_out[0].pod.key[1]} says why"
        )
    older = [each for each in callers if not _knows(each.pod, name) and not each.pod.refused]
    if older:
        fix = sorted({each.pod.restart_command for each in older} - {""})
        yield (
            f"callers older than this TcpService, which connect to the address of the Service: {_count(older)}; "
            f"to recreate them: " + ("; ".join(fix) or "delete them")
        )
    refused = [each for each in callers if each.pod.refused]
    if refused:
        pod = refused[0].pod
        yield f"callers that get no sidecar: {_count(refused)}; {pod.key[1]} gets no sidecar, as {pod.refused}"
    crashing = [each.pod for each in callers if each.pod.crashing and name in (each.pod.aliases or ())]
    if crashing:
        ports = ", ".join(map(str, sorted({*crashing[0].app_ports, port})))
        patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {APP_PORTS_ANNOTATION: ports}}}}})
        owner = crashing[0].workload or "OWNER"
        yield (
            f"{crashing[0].key[1]} is in a crash loop; if its app listens on port {port} itself, "
            f"declare that: kubectl patch -n {crashing[0].key[0]} {owner} -p '{patch}'"
        )


def _knows(pod: Pod, name: str) -> bool:
    """Whether a pod was created after a TcpService, with an alias for it or without."""
    return name in (pod.aliases or ()) or name in pod.left_out


def _count(callers: Sequence[Callers]) -> int:
    return sum(each.count for each in callers)
