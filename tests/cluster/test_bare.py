"""An API server that does not know TcpServices: what is there says so, and waits."""

from __future__ import annotations

import json
from pathlib import Path

from cluster.apiserver import ApiServer
from cluster.running import Operator, wait_for
from cluster.test_check import check
from tcpservice_operator.api.crd import text
from tcpservice_operator.api.rbac import roles


def test_without_the_crd_all_say_so_and_with_it_all_go_on(tmp_path: Path) -> None:
    with ApiServer(tmp_path) as api:
        done = check(api.kubeconfig)
        assert done.returncode == 1, done.stderr
        assert "failed  CRD" in done.stdout
        assert "does not exist. To install it: helm upgrade --install" in done.stdout
        assert "Traceback" not in done.stderr
        api.kubectl("create", "namespace", "shop")
        for role in roles("tcpservice-operator", "shop", {"kind": "User", "name": "operator"}):
            api.kubectl("apply", "-f", "-", text=json.dumps(role))
        with Operator(api) as operator:
            wait_for("the warning", lambda: "could not list the objects of the cluster" in operator.stderr, operator)
            assert "404 page not found" in operator.stderr
            api.kubectl("apply", "--server-side", "-f", "-", text=text())
            wait_for("it goes on", lambda: "found TcpServices: 0" in operator.stderr, operator)
