"""etcd, the API server, its controllers and kubectl: found where KUBEBUILDER_ASSETS says, or built once with Go."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

PINS = Path(__file__).parent / "programs"
BUILD = Path(__file__).parents[2] / "build" / "cluster"
PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
BUILD_SECONDS = 2400


@cache
def folder() -> Path:
    """Return the folder of the programs; the test is skipped where they are not and there is no Go to build them."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given and all((Path(given) / name).exists() for name in PROGRAMS):
        return Path(given)
    if shutil.which("go") is None:
        pytest.skip(
            "go is not installed: the Kubernetes of these tests is built with it, or named by KUBEBUILDER_ASSETS"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs beside each other build once
        pins = hashlib.sha256((PINS / "go.sum").read_bytes() + (PINS / "go.mod").read_bytes()).hexdigest()
        stamp = BUILD / "built"
        if not stamp.exists() or stamp.read_text() != pins:
            _build()
            stamp.write_text(pins)
    return BUILD


def _build() -> None:
    """Build all; some minutes, once."""
    version = next(
        line.split()[1] for line in (PINS / "go.mod").read_text().splitlines() if "k8s.io/kubernetes v" in line
    )
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={version}"
    command = ["go", "build", "-mod=readonly", "-ldflags", flags, "-o", f"{BUILD}/", *PROGRAMS.values()]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(
        command, cwd=PINS, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (BUILD / "server").rename(BUILD / "etcd")
