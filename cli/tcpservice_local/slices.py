"""Where the replicas are, as the EndpointSlices that all sidecars of this machine read.

Used by `fleet`. Every replica is reached through its own sidecar (the port is named `mesh`), so one that leaves can
say so. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from tcpservice.spec.slices import SERVICE_LABEL
from tcpservice_local.fleet_plan import ServicePlan


class Endpoint(Struct, frozen=True, kw_only=True):
    """A replica of a service: where its sidecar waits for others, and whether messages should go there."""

    service: str
    pod: str
    port: int
    ready: bool
    leaving: bool


def slices_of(services: Iterable[ServicePlan], endpoints: Iterable[Endpoint]) -> list[dict[str, Any]]:
    """Write a slice for each replica of each service, as each has a port of its own here."""
    known = {service.key: service for service in services}
    return [_slice(known[endpoint.service], endpoint) for endpoint in endpoints if endpoint.service in known]


def _slice(service: ServicePlan, endpoint: Endpoint) -> dict[str, Any]:
    conditions = {"ready": endpoint.ready and not endpoint.leaving, "terminating": endpoint.leaving}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service.name}-{endpoint.pod}",
            "namespace": service.namespace,
            "labels": {SERVICE_LABEL: service.name},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["127.0.0.1"],
                "conditions": {**conditions, "serving": endpoint.ready},
                "targetRef": {"kind": "Pod", "name": endpoint.pod, "uid": f"{service.namespace}/{endpoint.pod}"},
            }
        ],
        "ports": [{"name": "mesh", "port": endpoint.port}],
    }
