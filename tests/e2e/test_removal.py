"""A TcpService is deleted and applied again, then the product is removed, in whatever order: nothing is lost."""

from __future__ import annotations

import os
from itertools import permutations

import pytest

from e2e.cluster import HOME, Cluster, wait_for
from e2e.load import Load
from e2e.manifests import caller, replicas, service, tcp_service

CRD = "tcpservices.tcpservice.dev"
ORDERS = list(permutations(("chart", "tcpservices", "crd")))
CORE = [("tcpservices", "crd", "chart")]
"""The order of which most depends on the operator. E2E_ALL=1 runs all six; each takes the better part of a minute."""


def remove(cluster: Cluster, what: str) -> None:
    """Remove one of the three; what went with another one is gone already."""
    match what:
        case "chart":
            cluster.helm("uninstall", "tcpservice", "-n", HOME, "--wait")
        case "tcpservices":
            cluster.kubectl("delete", "tcpservices", "-A", "--all", check=False)
        case _:
            cluster.kubectl("delete", "crd", CRD)


@pytest.mark.parametrize("order", ORDERS if os.environ.get("E2E_ALL") else CORE, ids="-".join)
def test_a_removal_loses_nothing(cluster: Cluster, order: tuple[str, ...]) -> None:
    with cluster.namespace("e2e-removal") as there:
        cluster.apply(service(there), tcp_service(there), replicas(there))
        cluster.apply(caller(there), caller(there, "plain", sidecar=False))
        cluster.rolled_out(there, "orders", "web", "plain")
        wait_for("it is served", lambda: cluster.condition(there, "orders", "Ready").get("status") == "True")
        try:
            with Load(there, seconds=45, rate=200) as load, Load(there, "plain", seconds=45, rate=200) as other:
                cluster.kubectl("delete", "tcpservice", "-n", there, "orders")
                cluster.apply(tcp_service(there))
                for what in order:
                    remove(cluster, what)
                reports = {"with a sidecar": load.report(), "without": other.report()}
        finally:
            cluster.install()
        for report in reports.values():
            assert not report.failed, reports
            assert not report.hung, reports
            assert len(report.answers) == 3, reports
