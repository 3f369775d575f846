"""The network and the cluster that the tests of this folder share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.apiserver import ApiServer
from cluster.running import install
from pods.scene import NAMESPACE, NameServer, Scene


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server that knows TcpServices, in a network of its own."""
    if os.environ.get("TCPSERVICE_TEST_NETWORK") != "own":
        pytest.skip("no network of its own could be had (Linux with unshare and ip, as root or with user namespaces)")
    folder = tmp_path_factory.mktemp("cluster")
    with ApiServer(folder) as server:
        install(server, NAMESPACE)
        # Only pods of a node that is there are listed, and wait for a kubelet's word when they are deleted.
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}}
        server.kubectl("create", "-f", "-", text=json.dumps(node))
        yield server


@pytest.fixture(scope="session", autouse=True)
def name_server(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    """The name server of that cluster."""
    with NameServer(api, tmp_path_factory.mktemp("names")) as server:
        yield server


@pytest.fixture
def scene(api: ApiServer, tmp_path: Path) -> Iterator[Scene]:
    """A namespace without anything; names resolve."""
    with Scene(api, tmp_path) as empty:
        yield empty
