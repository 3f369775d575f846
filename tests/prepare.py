"""Builds what tests need and takes minutes, before any test waits for it: a Kubernetes API server and a collector.

`python tests/prepare.py few` builds only what the tests of `make test` without ALL=1 need.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest

from cluster import found
from telemetry import collector

PROGRAMS: dict[str, Callable[[], Path]] = {
    "etcd, kube-apiserver and kubectl (built in five minutes, once)": found.folder,
    "CoreDNS (built in a minute, once)": found.nameserver,
    **{
        f"the EndpointSlice reconciler of Kubernetes {release} (built in two minutes, once)": partial(
            found.slices_of, release
        )
        for release in found.BUILT
    },
    "Helm (built in a minute, once)": found.helm,
    "kubeconform (built in half a minute, once)": found.kubeconform,
}
FEW: dict[str, Callable[[], Path]] = {
    "an OpenTelemetry Collector (built in a minute, once)": collector.program,
}


def main() -> None:
    """Build what is not there; where it cannot be, its tests say so."""
    wanted = FEW if sys.argv[1:] == ["few"] else {**PROGRAMS, **FEW}
    for name, build in wanted.items():
        print(f"Looking for {name} ...", flush=True)
        try:
            build()
        except pytest.skip.Exception as reason:
            print(f"  {reason}", flush=True)


if __name__ == "__main__":
    main()
