"""The API server that the tests of this folder share."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.apiserver import ApiServer
from tcpservice_operator.crd import text
from tcpservice_operator.rbac import roles


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server that knows TcpServices, and the namespace `shop`."""
    with ApiServer(tmp_path_factory.mktemp("cluster")) as server:
        server.kubectl("apply", "--server-side", "-f", "-", text=text())
        server.kubectl("wait", "--for=condition=Established", "crd/tcpservices.tcpservice.dev", "--timeout=30s")
        server.kubectl("create", "namespace", "shop")
        user = {"kind": "User", "name": "operator"}
        for role in roles("tcpservice-operator", "shop", user):
            server.kubectl("apply", "-f", "-", text=json.dumps(role))
        yield server
