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
from tcpservice_operator.conditions.evidence import count_of
from tcpservice_operator.conditions.network_policies import is_closed, open_command


def caller_problems(key: Key, port: int, callers: Sequence[Callers], policies: Sequence[NetworkPolicy]) -> str:
    """Return the problems of the pods that call a TcpService, separated by semicolons; empty if there are none."""
    name = "/".join(key)
    problems = (*_problems(name, port, callers), *_closed(name, port, callers, policies))
    return "; ".join(problems)


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
            f"NetworkPolicies block port {MESH_NUMBER} for {count_of(_count(closed), 'caller')}, so messages "
            f"bypass the pods' sidecars, or fail. To allow the port: {command}"
        )


def _problems(name: str, port: int, callers: Sequence[Callers]) -> Iterator[str]:
    left_out = [each for each in callers if name in each.pod.left_out]
    if left_out:
        pod = left_out[0].pod
        annotation = INJECTION_NOTES.replace(".", "\\.")
        yield (
            f"{_callers(left_out)} no alias for this TcpService, so messages bypass the caller's sidecar and go to the "
            f"Service. To see why: kubectl get pod -n {pod.key[0]} {pod.key[1]} "
            f"-o jsonpath='{{.metadata.annotations.{annotation}}}'"
        )
    older = [each for each in callers if not _knows(each.pod, name) and not each.pod.refused]
    if older:
        fix = sorted({each.pod.restart_command for each in older} - {""})
        count = _count(older)
        yield (
            f"{count_of(count, 'caller')} {'is' if count == 1 else 'are'} older than this TcpService, so messages "
            f"bypass the caller's sidecar and go to the Service. "
            + (f"To recreate the callers: {'; '.join(fix)}" if fix else "To recreate the callers, delete their pods")
        )
    refused = [each for each in callers if each.pod.refused]
    if refused:
        pod = refused[0].pod
        yield f"{_callers(refused)} no sidecar, for example {pod.key[1]}, because {pod.refused}"
    crashing = [each.pod for each in callers if each.pod.crashing and name in (each.pod.aliases or ())]
    if crashing:
        ports = ", ".join(map(str, sorted({*crashing[0].app_ports, port})))
        patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {APP_PORTS_ANNOTATION: ports}}}}})
        owner = crashing[0].workload or "OWNER"
        yield (
            f"{crashing[0].key[1]} is in a crash loop. If its app itself listens on port {port}, "
            f"list this port: kubectl patch -n {crashing[0].key[0]} {owner} -p '{patch}'"
        )


def _knows(pod: Pod, name: str) -> bool:
    """Whether a pod was created after a TcpService, with an alias for it or without."""
    return name in (pod.aliases or ()) or name in pod.left_out


def _callers(callers: Sequence[Callers]) -> str:
    count = _count(callers)
    return f"{count_of(count, 'caller')} {'has' if count == 1 else 'have'}"


def _count(callers: Sequence[Callers]) -> int:
    return sum(each.count for each in callers)
