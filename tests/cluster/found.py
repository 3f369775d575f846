"""etcd, the API server, its controllers and kubectl: found where KUBEBUILDER_ASSETS says, or built once with Go."""

from __future__ import annotations

import fcntl
import hashlib
import json
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
KUBECONFORM = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
_PROMETHEUS = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_CERTIFICATES = "github.com/cert-manager/cert-manager@v1.21.2"
DEFINITIONS = (
    (_PROMETHEUS, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
    (_PROMETHEUS, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"),
    (_CERTIFICATES, "deploy/crds/cert-manager.io_certificates.yaml"),
)
BUILD_SECONDS = 2400

NAMESERVER = Path(__file__).parent / "nameserver"
RELEASES = Path(__file__).parent / "releases"
PROMISED = tuple(sorted(path.stem.removeprefix("kubernetes-") for path in RELEASES.glob("kubernetes-*.mod")))
"""The releases of Kubernetes that are promised, oldest first."""

BUILT = PROMISED if os.environ.get("E2E_ALL") else (PROMISED[0], PROMISED[-1])
"""Those whose reconciler is built, which takes two minutes each: the oldest and the newest, with E2E_ALL=1 all."""


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
def slices_of(release: str) -> Path:
    """Return the program that makes the EndpointSlices of a release of Kubernetes ("1.33"), built with Go, once."""
    program = f"slices-{release}"
    _build_once(RELEASES, f"{program}.built", "-s -w", f"{BUILD}/{program}", ".", pins=f"kubernetes-{release}")
    return BUILD / program


@cache
def helm() -> Path:
    """Return Helm: the one that is installed, or one that is built with Go, once."""
    return _installed("helm", HELM)


@cache
def kubeconform() -> Path:
    """Return kubeconform: the one that is installed, or one that is built with Go, once."""
    return _installed("kubeconform", KUBECONFORM)


@cache
def definitions() -> tuple[Path, ...]:
    """Return the CRDs of others whose kinds the chart can make, out of their Go modules, downloaded once."""
    _require_go("the CRDs of others come from their Go modules")
    return tuple(_downloaded(module) / path for module, path in DEFINITIONS)


def _downloaded(module: str) -> Path:
    command = ["go", "mod", "download", "-json", module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"])


def _installed(name: str, package: str) -> Path:
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    _require_go(f"nor is {name}, which would be built with it")
    version = package.rpartition("@")[2]
    path = BUILD / f"{name}-{version}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            environment = {**os.environ, "GOBIN": str(path.parent)}
            command = ["go", "install", "-ldflags=-s -w", package]
            built = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
            assert built.returncode == 0, built.stderr
    return path


def _require_go(why: str) -> None:
    if shutil.which("go") is None:
        pytest.skip(f"go is not installed: {why}")


def _build_once(module: Path, stamp: str, flags: str, output: str, *packages: str, pins: str = "go") -> bool:
    """Build packages of a module, unless the same was built before; return whether that was needed.

    `pins` is the name of the files (.mod and .sum) with the versions of other modules.
    """
    _require_go("the Kubernetes of these tests is built with it, or named by KUBEBUILDER_ASSETS")
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs beside each other build once
        sources = (module / f"{pins}.sum", module / f"{pins}.mod", *sorted(module.glob("*.go")))
        same = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
        done = BUILD / stamp
        if done.exists() and done.read_text() == same:
            return False
        given = ["-mod=readonly", f"-modfile={pins}.mod", "-ldflags", flags, "-o", output]
        command = ["go", "build", *given, *packages]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
        built = subprocess.run(
            command, cwd=module, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        assert built.returncode == 0, built.stdout + built.stderr
        done.write_text(same)
    return True
