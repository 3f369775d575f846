"""The chart: what Helm makes of it is written down, and a real API server takes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from cluster.apiserver import ApiServer
from cluster.found import PROMISED, definitions, helm, kubeconform
from tcpservice import __version__
from tcpservice_operator.api import crd, rbac
from tcpservice_operator.api.kubernetes_versions import OLDEST
from tcpservice_operator.operator_settings import read_settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tcpservice"
GOLDEN = Path(__file__).parent / "charts"
HOME = "tcpservice-system"
CASES = sorted(path.name.removesuffix(".values.yaml") for path in GOLDEN.glob("*.values.yaml"))
SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
INJECTED = Path(__file__).parents[1] / "control" / "inject" / "golden"
FOREIGN = "PodMonitor,Certificate,CustomResourceDefinition,TcpService"
"""Kinds that the schemas do not have: those of others, and the one that has no schema which a tool can follow."""

WRONG = [
    ("replica=3", "'replica' not allowed"),
    ("replicas=many", "/replicas"),
    ("otlpEndpoint=collector:4317", "/otlpEndpoint"),
    ("sidecar.memory=much", "/sidecar/memory"),
    ("sidecar.cpuLimit=much", "/sidecar/cpuLimit"),
    ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
    ("webhook.timeoutSeconds=60", "/webhook/timeoutSeconds"),
    ("extraArgs[0]=streams=9", "/extraArgs/0"),
    ("image.digest=sha256:12", "/image/digest"),
    ("webhook.failurePolicy=Maybe", "/webhook/failurePolicy"),
    ("ports.https=0", "/ports/https"),
    ("networkPolicy.from=all", "/networkPolicy/from"),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(helm()), *arguments], capture_output=True, text=True, timeout=180, check=False)


def rendered(*arguments: str) -> str:
    done = run("template", "tcpservice", str(CHART), "-n", HOME, "--kube-version", "1.33", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered_with(values: str) -> str:
    done = subprocess.run(
        [str(helm()), "template", "tcpservice", str(CHART), "--kube-version", "1.33", "-f", "-"],
        input=values, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_case(name: str) -> str:
    return rendered("-f", str(GOLDEN / f"{name}.values.yaml"), "--set", "crds.install=false")


def test_it_is_linted() -> None:
    done = run("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_its_files_are_those_of_the_operator() -> None:
    assert (CHART / "files" / "tcpservices.yaml").read_text() == crd.text(), "run `make crds`"
    assert (CHART / "files" / "rules.yaml").read_text() == rbac.text(), "run `make crds`"
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__


@pytest.mark.parametrize("name", CASES)
def test_values_become_what_is_written(name: str) -> None:
    text, path = of_case(name), GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_the_crd_is_upgraded_with_the_chart_and_outlives_it() -> None:
    found = [each for each in yaml.safe_load_all(rendered()) if each["kind"] == "CustomResourceDefinition"]
    (definition,) = found
    assert definition["spec"] == crd.definition()["spec"]
    assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@pytest.mark.parametrize(("value", "named"), WRONG)
def test_wrong_values_are_named(value: str, named: str) -> None:
    done = run("template", "tcpservice", str(CHART), "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_numbers_and_booleans_of_the_command_line_are_taken_for_texts() -> None:
    """`--set` and YAML make numbers of versions and quantities."""
    given = (
        "sidecar.cpuLimit=1", "sidecar.memory=67108864", "image.tag=20240101", "sidecar.env.TCPSERVICE_WORKERS=2",
        "nodeSelector.fast=true", "podAnnotations.build=7", "commonLabels.team=42",
    )  # fmt: skip
    flags = rendered(*(word for value in given for word in ("--set", value)))
    lines = "".join(f"{line}\n" for line in ("sidecar: {memory: 67108864}", "image: {tag: 20240101}"))
    for text in (flags, rendered_with(lines)):
        documents = [each for each in yaml.safe_load_all(text) if each]
        (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "ghcr.io/tcpservice/operator:20240101"
        assert "--sidecar-memory=67108864" in container["args"]
    deployment = next(each for each in yaml.safe_load_all(flags) if each and each["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    assert {"--sidecar-cpu-limit=1", "--sidecar-env=TCPSERVICE_WORKERS=2"} <= set(
        template["spec"]["containers"][0]["args"]
    )
    assert template["spec"]["nodeSelector"] == {"fast": "true"}
    assert template["metadata"]["annotations"] == {"build": "7"}
    assert {each["metadata"]["labels"].get("team") for each in yaml.safe_load_all(flags) if each} >= {"42"}


def test_a_digest_replaces_the_tag() -> None:
    digest = f"sha256:{'a' * 64}"
    text = rendered("--set", f"image.digest={digest},sidecar.image.digest={digest},image.tag=1.0")
    assert f"ghcr.io/tcpservice/operator@{digest}" in text
    assert f"--sidecar-image=ghcr.io/tcpservice/sidecar@{digest}" in text


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    for version, status in ((OLDEST, 0), ((OLDEST[0], OLDEST[1] - 1), 1)):
        done = run("template", "tcpservice", str(CHART), "--kube-version", "{}.{}".format(*version))
        assert done.returncode == status, done.stderr
        assert status == 0 or "chart requires kubeVersion: >=1.33.0-0" in done.stderr


@pytest.mark.parametrize("release", PROMISED)
def test_each_kubernetes_knows_every_field_of_it(release: str, tmp_path: Path) -> None:
    """Of the chart, and of the workloads with sidecars."""
    for path in (SCHEMAS / f"v{release}.0-local-strict").glob("*.json"):
        schema = json.loads(path.read_text().replace("/api/_definitions.json", "_definitions.json"))
        schema.pop("$id", "")  # an address in the net, to which the references are relative
        (tmp_path / path.name).write_text(json.dumps(schema))
    place = f"{tmp_path}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    texts = [
        rendered(),
        *(of_case(name) for name in CASES),
        *(path.read_text() for path in INJECTED.glob("*.out.yaml")),
    ]
    done = subprocess.run(
        [str(kubeconform()), "-strict", "-summary", "-skip", FOREIGN, "-schema-location", place, "-"],
        input="\n---\n".join(texts), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {word: int(number) for word, number in re.findall(r"(\w+): (\d+)", done.stdout)}
    assert counts["Valid"] >= 20, done.stdout
    assert counts["Invalid"] == counts["Errors"] == 0


@pytest.fixture
def home(api: ApiServer) -> Iterator[ApiServer]:
    """A real API server that knows the kinds of the Prometheus operator and of cert-manager, too."""
    files = [word for path in definitions() for word in ("-f", str(path))]
    api.kubectl("apply", "--server-side", *files)
    api.kubectl("wait", "--for=condition=Established", "--timeout=120s", *files)
    api.kubectl("create", "namespace", HOME)
    api.kubectl("create", "namespace", "bank")  # one of those that a case names
    for account in ("tcpservice-test", "nestjs-operator"):  # of the pod of `helm test`, which is a dry run, too
        api.kubectl("create", "serviceaccount", account, "-n", HOME)
    yield api
    api.kubectl("delete", "namespace", HOME, "bank", "--wait=false")
    api.kubectl("delete", *files)


def test_an_api_server_takes_every_field_of_it(home: ApiServer) -> None:
    for text in (rendered(), *(of_case(name) for name in CASES)):
        for document in yaml.safe_load_all(text):
            home.kubectl(
                "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-",
                text=json.dumps(document),
            )  # fmt: skip


def test_the_operator_takes_its_flags() -> None:
    """All that the chart can pass, as the operator itself reads it."""
    for name in CASES:
        documents = list(yaml.safe_load_all(of_case(name)))
        deployment = next(each for each in documents if each["kind"] == "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        flags = [flag.replace("$(POD_NAMESPACE)", HOME).replace("$(POD_NAME)", "one") for flag in container["args"]]
        settings = read_settings(flags, {})
        assert settings.namespace == HOME
        assert settings.sidecar.operator == f"tcpservice-operator.{HOME}.svc:15810"
