"""The API server that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.apiserver import ApiServer
from cluster.running import install


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server that knows TcpServices, and the namespace `shop`."""
    with ApiServer(tmp_path_factory.mktemp("cluster")) as server:
        install(server, "shop")
        yield server
