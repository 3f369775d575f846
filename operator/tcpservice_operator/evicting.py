"""Which pod is evicted next, where a TcpService lets the operator give running pods their sidecar.

Used by `planning` and `reconciling`. Pods are evicted one at a time, and only while all others are ready and each
workload has as many ready pods as it wants. The pods alone do not tell that: a replacement that the API server refuses
(a quota, a policy) is never created, and the pods that are left are all ready. The API server holds each eviction
against the disruption budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tcpservice_operator.conditions import is_accepted
from tcpservice_operator.evidence import View
from tcpservice_operator.objects import Pod
from tcpservice_operator.state import State

WORKLOADS: Final = ("DaemonSet", "ReplicaSet", "StatefulSet")
"""The owners that replace a pod, and of which the operator can read how many pods they want. A Job would start anew."""


class Eviction(Struct, frozen=True, kw_only=True):
    """A pod to evict; `ready` has the ready pods of each workload whose pods serve, by `Kind/name`.

    The pod must stay where a workload wants more ready pods than it has.
    """

    pod: Pod
    ready: Mapping[str, int]


def next_eviction(view: View, state: State) -> Eviction | None:
    """Return the next eviction, None where no pod lacks the sidecar and would get it, or others are not ready."""
    asked = (view.wanted.document["spec"].get("injection") or {}).get("restart") == "Evict"
    if not asked or not is_accepted(view) or not all(pod.ready and not pod.leaving for pod in view.pods):
        return None
    pod = next((pod for pod in view.pods if _lacks(view, pod)), None)
    if pod is None:
        return None
    ready = {owner: 0 for each in view.pods if (owner := each.owner).partition("/")[0] in WORKLOADS}
    for each in state.pods_in(pod.key[0]):
        if each.owner in ready and each.ready and not each.leaving:
            ready[each.owner] += 1
    return Eviction(pod=pod, ready=ready)


def _lacks(view: View, pod: Pod) -> bool:
    """Whether the replacement of a pod would have the sidecar that this one lacks."""
    replaced = pod.owner.partition("/")[0] in WORKLOADS
    return not pod.has_front(view.wanted.key) and not pod.refused and not pod.host_network and replaced
