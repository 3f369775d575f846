"""A real cluster, whichever KUBECONFIG names, as its users handle it: with kubectl and Helm."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cluster.found import helm
from telemetry import collector

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tcpservice"
HOME = "tcpservice-system"
VALUES = ROOT / "examples" / "kind" / "values.yaml"
TAG = "dev"
MAJORS = (12, 11, 10)
SECONDS = 60.0
BUILD_SECONDS = 900
IMAGES_AT_ONCE = 2
IMAGES: dict[str, tuple[str, ...]] = {
    f"tcpservice-sidecar:{TAG}": (".", "--target", "sidecar"),
    f"tcpservice-operator:{TAG}": (".", "--target", "operator"),
    "shop:1.0": ("examples/orders/app",),
    f"collector:{TAG}": ("build/collector", "-f", "tests/e2e/app/collector.Dockerfile"),
    **{
        f"nest-{major}:{TAG}": ("tests", "-f", "tests/e2e/app/Dockerfile", "--build-arg", f"MAJOR={major}")
        for major in MAJORS
    },
}


class Cluster:
    """What tests do to it; all of it in namespaces of their own, but for the operator's."""

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl; return what it prints."""
        return self.run("kubectl", *arguments, text=text, check=check)

    def helm(self, *arguments: str) -> str:
        """Run Helm; return what it prints."""
        return self.run(str(helm()), *arguments)

    def get(self, *arguments: str) -> Any:
        """Return what kubectl gets, as data."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply documents, all of them by one command."""
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(documents))

    def pods(self, namespace: str, selector: str) -> list[str]:
        """Return the names of pods, with those that are ending."""
        return self.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "name").split()

    def rolled_out(self, namespace: str, *names: str, seconds: float = 2 * SECONDS) -> None:
        """Wait until Deployments are as they should be."""
        for name in names:
            self.kubectl("rollout", "status", "-n", namespace, f"deployment/{name}", f"--timeout={seconds:g}s")

    def restart(self, namespace: str, name: str) -> None:
        """Replace the pods of a Deployment, as a new version of it would."""
        self.kubectl("rollout", "restart", "-n", namespace, f"deployment/{name}")
        self.rolled_out(namespace, name)

    def install(self, *more: str, pods: int = 2) -> None:
        """Install or upgrade the chart, with the images of this test; wait until it has so many pods, all ready."""
        values = ["-f", str(VALUES), *(word for value in more for word in ("--set", value))]
        self.helm(
            "upgrade", "--install", "tcpservice", str(CHART), "-n", HOME, "--create-namespace", "--wait",
            "--timeout", "120s", *values,
        )  # fmt: skip
        wait_for("the API server trusts the webhook", self._is_trusted)
        self._only(pods)

    def operators(self, count: int) -> None:
        """Scale the operator, and wait until all its replicas are ready."""
        self.kubectl("scale", "-n", HOME, "deployment/tcpservice-operator", f"--replicas={count}")
        self.rolled_out(HOME, "tcpservice-operator")
        self._only(count)

    @contextmanager
    def namespace(self, name: str, **labels: str) -> Iterator[str]:
        """Have a namespace; it is gone afterwards."""
        self.kubectl("delete", "namespace", name, "--ignore-not-found")
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def condition(self, namespace: str, name: str, kind: str) -> dict[str, Any]:
        """Return one condition of a TcpService, nothing where it has none."""
        status = self.get("tcpservice", "-n", namespace, name).get("status") or {}
        return next((one for one in status.get("conditions") or [] if one["type"] == kind), {})

    def _only(self, count: int) -> None:
        """Wait until older replicas of the operator, whose webhook responds for some more seconds, have ended."""
        label = "app.kubernetes.io/part-of=tcpservice"
        wait_for("others are gone", lambda: len(self.get("pods", "-n", HOME, "-l", label)["items"]) == count)

    def _is_trusted(self) -> bool:
        (hook,) = self.get("mutatingwebhookconfiguration", "tcpservice")["webhooks"]
        return bool(hook["clientConfig"].get("caBundle"))

    def run(self, *command: str, text: str | None = None, check: bool = True) -> str:
        """Run a command of people; return what it prints."""
        done = subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0 or not check, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout


def make_images() -> None:
    """Build all images and load them into the cluster: the first one by itself, since it may make the base images."""
    collector.program()
    first, *others = IMAGES.items()
    make_image(first[0], *first[1])
    with ThreadPoolExecutor(IMAGES_AT_ONCE) as pool:
        for built in [pool.submit(make_image, name, *arguments) for name, arguments in others]:
            built.result()


@cache
def make_image(name: str, context: str, *options: str) -> None:
    """Build an image once in a run and load it into the cluster, by the command of E2E_IMAGE (kind's by default)."""
    command = shlex.split(os.environ.get("E2E_IMAGE", str(ROOT / "tests" / "e2e" / "image-for-kind")))
    done = subprocess.run(
        [*command, name, context, *options],
        cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}{done.stderr[-4000:]}"


def wait_for(what: str, holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what `holds` returns once that is something."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)
    return found
