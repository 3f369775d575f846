"""Selects the next pod to evict, for TcpServices with `injection.restart: Evict`.

Used by `plan` and `reconciler`. The operator evicts one pod at a time, and only while all other pods are ready and each
workload has its desired number of ready pods. The ready pods alone are not enough evidence: if the API server refuses a
replacement (a quota, a policy), the replacement never exists, and all remaining pods are ready. The API server also
applies the disruption budgets to each eviction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.objects import Pod
from tcpservice_operator.conditions.condition_checks import is_accepted
from tcpservice_operator.conditions.evidence import Evidence

WORKLOADS: Final = ("DaemonSet", "ReplicaSet", "StatefulSet")
"""The workloads that replace a pod and whose desired number of pods can be read. A Job would start again."""


class Eviction(Struct, frozen=True, kw_only=True):
    """A pod to evict. `ready` has the number of ready pods of each workload whose pods serve, by `Kind/name`.

    The pod must not be evicted while a workload has fewer ready pods than desired.
    """

    pod: Pod
    ready: Mapping[str, int]


def next_eviction(evidence: Evidence, state: ClusterState) -> Eviction | None:
    """Return the next eviction; None if a pod is not ready, or if no replacement would get a missing sidecar."""
    asked = (evidence.tcp_service.document["spec"].get("injection") or {}).get("restart") == "Evict"
    if not asked or not is_accepted(evidence) or not all(pod.ready and not pod.leaving for pod in evidence.pods):
        return None
    pod = next((pod for pod in evidence.pods if _lacks_sidecar(evidence, pod)), None)
    if pod is None:
        return None
    ready = {owner: 0 for each in evidence.pods if (owner := each.owner).partition("/")[0] in WORKLOADS}
    for each in state.pods_in(pod.key[0]):
        if each.owner in ready and each.ready and not each.leaving:
            ready[each.owner] += 1
    return Eviction(pod=pod, ready=ready)


def _lacks_sidecar(evidence: Evidence, pod: Pod) -> bool:
    """Whether a pod lacks the sidecar and its replacement would get it."""
    replaced = pod.owner.partition("/")[0] in WORKLOADS
    return not pod.has_sidecar_for(evidence.tcp_service.key) and not pod.refused and not pod.host_network and replaced
