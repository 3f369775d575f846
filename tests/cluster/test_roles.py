"""Processes that share the operator's work by --roles do together what one process does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.apiserver import ApiServer
from cluster.running import Operator, condition, create, empty, wait_for
from cluster.test_discovery import line, stream, token, trust
from cluster.test_webhook import install_webhook, pod, sidecars
from control.objects import tcp_service


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    api.kubectl("delete", "mutatingwebhookconfiguration", "tcpservice", "--ignore-not-found")
    empty(api)


def test_four_processes_share_the_work(api: ApiServer) -> None:
    with (
        Operator(api, "ca", "--roles", "ca") as ca,
        Operator(api, "reconcile", "--roles", "reconcile") as reconcile,
        Operator(api, "webhook", "--roles", "webhook") as webhook,
        Operator(api, "discovery", "--roles", "discovery") as discovery,
    ):
        create(api, tcp_service())
        wait_for("it is reconciled", lambda: condition(api, "Programmed") == ("True", "Programmed"), reconcile)
        install_webhook(api, webhook)

        def injected() -> bool:
            """The API server takes a moment to know a webhook."""
            api.kubectl("delete", "pods", "-n", "shop", "--all", "--grace-period=0", "--force")
            api.kubectl("apply", "-f", "-", text=json.dumps(pod("orders-a")))
            return sidecars(api, "orders-a") != []

        wait_for("the pod has its sidecar", injected, webhook)
        with stream(discovery, trust(api), f"Bearer {token(api, 'orders-a')}") as answer:
            assert answer.status == 200
            assert [each["name"] for each in line(answer)["services"]] == ["orders"]
        with stream(webhook, trust(api), "Bearer x") as answer:
            assert answer.status == 404, "streams are another process's"
        leading = [each.figure("leading") for each in (ca, reconcile, webhook, discovery)]
        assert leading == [1, 1, 0, 0], "the CA and the reconcile loop have Leases of their own"
        assert discovery.figure("writes_total") == 0
