"""`tcpservice check` with a real API server, as somebody with all rights types it, and as somebody with none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.apiserver import ApiServer
from cluster.running import Operator, empty, wait_for
from cluster.test_webhook import NAMED, install_webhook
from control.objects import tcp_service


@pytest.fixture(autouse=True)
def _clean(api: ApiServer) -> Iterator[None]:
    yield
    api.kubectl("delete", "mutatingwebhookconfigurations", "--all")
    empty(api)


def check(kubeconfig: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from tcpservice_cli.command_line import main; raise SystemExit(main())", "check"]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def test_it_says_what_is_there_and_what_is_not(api: ApiServer) -> None:
    with Operator(api) as operator:
        install_webhook(api, operator)
        api.kubectl("apply", "-f", "-", text=json.dumps({**tcp_service(), "metadata": NAMED}))

        def tried() -> bool:
            found = json.loads(check(api.kubeconfig, "-o", "json").stdout)
            return {"mark": "passed", "subject": "shop/orders", "message": "A new pod gets the sidecar."} in found

        wait_for("a trial passes", tried, operator)
        done = check(api.kubeconfig)
        assert done.returncode == 1, done.stderr
        for line in (
            "passed  cluster      Kubernetes 1.",
            "passed  CRD          The CRD tcpservices.tcpservice.dev has the version",
            "passed  webhook      The webhook is configured, and its caBundle is set.",
            "passed  webhook      The caBundle of the webhook is valid until 20",
            "failed  webhook      The API server cannot reach the operator: NotFound: services",
            "failed  operator     The Deployment tcpservice-operator does not exist. To create it: helm upgrade",
            "failed  shop/orders  Ready: No pod has the labels app=orders. To compare",
        ):
            assert line in done.stdout, done.stdout
        operator.child.kill()
        again = check(api.kubeconfig).stdout
        assert "A new pod would get no sidecar, because the API server did not call the webhook" in again
        counted = re.search(
            r"^warned  webhook .* did not respond (\d+) times?", check(api.kubeconfig).stdout, re.MULTILINE
        )
        assert counted is not None
        assert int(counted[1]) >= 1


def test_somebody_without_rights_is_told_so(api: ApiServer) -> None:
    done = check(api.operators)
    assert done.returncode == 1
    assert "warned  CRD" in done.stdout
    assert "Forbidden" in done.stdout


def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    done = check(tmp_path / "none")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"the variable KUBECONFIG names {tmp_path / 'none'}, which does not exist" in done.stderr
