"""The cluster that all tests of this folder share, with the chart installed."""

from __future__ import annotations

import os
import shutil

import pytest

from e2e.cluster import HOME, Cluster, make_images


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """A cluster with the operator; E2E_IMAGES=there says that the images are loaded already."""
    if not os.environ.get("KUBECONFIG") or shutil.which("kubectl") is None:
        pytest.skip("KUBECONFIG names no cluster, or kubectl is not installed; see README.md, Develop")
    made = os.environ.get("E2E_IMAGES") != "there"
    if made:
        make_images()
    found = Cluster()
    found.install()
    if made:
        found.restart(HOME, "tcpservice-operator")
    return found
