"""The API server that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.apiserver import ApiServer
from tcpservice_operator.crd import text


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server that knows TcpServices, and the namespace `shop`."""
    with ApiServer(tmp_path_factory.mktemp("cluster")) as server:
        server.kubectl("apply", "--server-side", "-f", "-", text=text())
        server.kubectl("wait", "--for=condition=Established", "crd/tcpservices.tcpservice.dev", "--timeout=30s")
        server.kubectl("create", "namespace", "shop")
        yield server
