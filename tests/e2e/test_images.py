"""What the images bring into a pod: no more than is needed, and nobody's rights."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.cluster import HOME, Cluster
from e2e.manifests import replicas, service, tcp_service

USER = 65532
LOOK = """
import importlib.util, json, os, shutil
ours = ["tcpservice_" + name for name in ("cli", "operator", "sidecar", "traces")]
modules = ("kopf", "kubernetes", *ours, "cython", "pytest")
programs = ("gcc", "cc", "g++", "make", "tcpservice", "tcpservice-operator", "tcpservice-sidecar")
print(json.dumps({
    "user": os.getuid(),
    "modules": [name for name in modules if importlib.util.find_spec(name)],
    "programs": [name for name in programs if shutil.which(name)],
    "writable": os.access("/opt/tcpservice", os.W_OK),
}))
"""
HAS = {
    "sidecar": (["tcpservice_sidecar"], ["tcpservice-sidecar"]),
    "operator": (
        [
            "kopf", "kubernetes", "tcpservice_cli", "tcpservice_operator", "tcpservice_sidecar", "tcpservice_traces",
        ],
        ["tcpservice", "tcpservice-operator"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("image", HAS)
def test_an_image_has_what_it_needs(cluster: Cluster, image: str) -> None:
    with cluster.namespace("e2e-images") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there, count=1))
        cluster.rolled_out(there, "orders")
        place = {
            "sidecar": ("-n", there, "deployment/orders", "-c", "tcpservice-sidecar"),
            "operator": ("-n", HOME, "deployment/tcpservice-operator"),
        }[image]
        seen: dict[str, Any] = json.loads(cluster.kubectl("exec", *place, "--", "python", "-c", LOOK))
        modules, programs = HAS[image]
        assert seen == {"user": USER, "modules": modules, "programs": programs, "writable": False}
