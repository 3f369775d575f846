"""Workloads, such as a ReplicaSet or a Job: the labels of their pods, and how many pods they want and have.

Used by `kube.kube_client`, which reads them, and by `cache.refused_pods`.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tcpservice_operator.api.plain_objects import Body, Labels

FAILED_CREATE: Final = "FailedCreate"
"""The reason of the Events with which a controller reports that the API server refuses a pod."""

RESOURCES: Final = {
    "DaemonSet": ("apps", "daemonsets"),
    "Job": ("batch", "jobs"),
    "ReplicaSet": ("apps", "replicasets"),
    "StatefulSet": ("apps", "statefulsets"),
}
"""By kind: the group and the resource."""


class Workload(Struct, frozen=True):
    """A workload: the labels of its pods, and how many pods it wants and has."""

    labels: Labels
    wanted: int
    present: int


def read_workload(kind: str, body: Body) -> Workload:
    """Make the record of a workload. A Job that is not complete wants one pod at least."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    labels: Labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if kind == "Job":
        return Workload(labels, int("completionTime" not in status), status.get("active") or 0)
    if kind == "DaemonSet":
        present = status.get("currentNumberScheduled") or 0
        return Workload(labels, status.get("desiredNumberScheduled") or 0, present)
    replicas = spec.get("replicas")
    return Workload(labels, 1 if replicas is None else replicas, status.get("replicas") or 0)
