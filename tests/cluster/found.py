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
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
BUILD_SECONDS = 2400

NAMESERVER = Path(__file__).parent / "nameserver"


@cache
def folder() -> Path:
    """Return the folder of the programs; the test is skipped where they are not and there is no Go to build them."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given and all((Path(given) / name).exists() for name in PROGRAMS):
        return Path(given)
    version = next(
        line.split()[1] for line in (PINS / "go.mod").read_text().splitlines() if "k8s.io/kubernetes v" in line
    )
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={version}"
    if _build_once(PINS, "built", flags, f"{BUILD}/", *PROGRAMS.values()):
        (BUILD / "server").rename(BUILD / "etcd")
    return BUILD


@cache
def nameserver() -> Path:
    """Return the program of a cluster's name server, CoreDNS; the test is skipped where there is no Go to build it."""
    _build_once(NAMESERVER, "nameserver.built", "-s -w", f"{BUILD}/nameserver", ".")
    return BUILD / "nameserver"


@cache
def helm() -> Path:
    """Return Helm: the one that is installed, or one that is built with Go, once."""
    found = shutil.which("helm")
    if found is not None:
        return Path(found)
    if shutil.which("go") is None:
        pytest.skip("neither helm nor go, by which it would be built, is installed")
    path = BUILD / "helm"
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            environment = {**os.environ, "GOBIN": str(BUILD)}
            command = ["go", "install", "-ldflags=-s -w", HELM]
            built = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
            assert built.returncode == 0, built.stderr
    return path


def _build_once(module: Path, stamp: str, flags: str, output: str, *packages: str) -> bool:
    """Build packages of a module, unless the same was built before; return whether that was needed."""
    if shutil.which("go") is None:
        pytest.skip(
            "go is not installed: the Kubernetes of these tests is built with it, or named by KUBEBUILDER_ASSETS"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs beside each other build once
        pins = hashlib.sha256((module / "go.sum").read_bytes() + (module / "go.mod").read_bytes()).hexdigest()
        done = BUILD / stamp
        if done.exists() and done.read_text() == pins:
            return False
        command = ["go", "build", "-mod=readonly", "-ldflags", flags, "-o", output, *packages]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
        built = subprocess.run(
            command, cwd=module, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        assert built.returncode == 0, built.stdout + built.stderr
        done.write_text(pins)
    return True
