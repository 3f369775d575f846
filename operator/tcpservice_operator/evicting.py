"""Which pod is to be made anew next, where a TcpService lets the operator give running pods their sidecar.

Used by `planning` and `reconciling`. Pods are evicted one at a time, and only while all others are ready; the API
server holds that against their disruption budgets.
"""

from __future__ import annotations

from tcpservice_operator.conditions import is_accepted
from tcpservice_operator.evidence import View
from tcpservice_operator.objects import Pod


def next_to_evict(view: View) -> Pod | None:
    """Return a pod that lacks the sidecar and would get it, None while there is none, or others are not ready."""
    asked = (view.wanted.document["spec"].get("injection") or {}).get("restart") == "Evict"
    if not asked or not is_accepted(view) or not all(pod.ready and not pod.leaving for pod in view.pods):
        return None
    return next((pod for pod in view.pods if _lacks(view, pod)), None)


def _lacks(view: View, pod: Pod) -> bool:
    """Whether a pod that takes this one's place would be better off; one that nobody owns would have none."""
    return not pod.has_front(view.wanted.key) and not pod.refused and not pod.host_network and bool(pod.owner)
