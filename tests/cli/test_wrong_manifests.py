"""What `tcpservice validate` and `up` print for broken manifests: each message names the place and the fix."""

from __future__ import annotations

import json
from pathlib import Path

import kubernetes_validate
import msgspec
import pytest

from cli.wrong_manifests import DEPLOYMENT, ONLY_UP, SERVICE, TCP_SERVICE, TCP_SERVICES, VALID, WARNED, WORKLOADS
from tcpservice_cli.command_line import main
from tcpservice_local.kubernetes_fields import OTHER_FIELDS

SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / "v1.37.0-local-strict"
KINDS = {
    "Deployment": "deployment-apps-v1", "Service": "service-v1", "ConfigMap": "configmap-v1",
    "Metadata": "objectmeta-meta-v1", "TemplateMetadata": "objectmeta-meta-v1",
    "DeploymentSpec": "deploymentspec-apps-v1",
    "LabelSelector": "labelselector-meta-v1",
    "Template": "podtemplatespec-v1", "PodSpec": "podspec-v1",
    "Container": "container-v1", "EnvVar": "envvar-v1", "ValueFrom": "envvarsource-v1", "EnvFrom": "envfromsource-v1",
    "ContainerPort": "containerport-v1", "Probe": "probe-v1", "ServiceSpec": "servicespec-v1",
    "ServicePort": "serviceport-v1",
}  # fmt: skip
"""The names of Kubernetes' own schemas."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(text: str, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, list[str]]:
    """Run a command with a file; return the exit status, stdout, and the lines of stderr."""
    Path("orders.yaml").write_bytes(text.encode())
    command, *more = words or ["validate"]
    status = main([command, "-f", "orders.yaml", *more])
    out, error = capsys.readouterr()
    return status, out, error.splitlines()


@pytest.mark.parametrize("name", [*TCP_SERVICES, *WORKLOADS])
def test_a_broken_manifest_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, *lines = (TCP_SERVICES | WORKLOADS)[name]
    count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
    assert run(text, capsys) == (1, "", [*(f"orders.yaml:{line}" for line in lines), count])


@pytest.mark.parametrize("name", WARNED)
def test_objects_that_do_not_fit_together_are_warnings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, *lines = WARNED[name]
    status, out, error = run(text, capsys)
    assert (status, error) == (0, [f"warning: orders.yaml:{line}" for line in lines])
    assert out.startswith("valid: ")


@pytest.mark.parametrize("name", VALID)
def test_what_only_looks_broken_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(VALID[name], capsys) == (0, "valid: 1 TcpService\n", [])


@pytest.mark.parametrize("name", ONLY_UP)
def test_what_up_cannot_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, *lines = ONLY_UP[name]
    lines = [f"orders.yaml:{line}".replace("HERE", str(Path.cwd())) for line in lines]
    assert run(text, capsys, "up", "--plain", "--for", "1s") == (2, "", lines)
    assert run(text, capsys)[0] == 0


def test_manifests_of_powershell_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_bytes(TCP_SERVICE.replace("\n", "\r\n").encode("utf-16"))
    assert main(["validate", "-f", "orders.yaml"]) == 0
    assert capsys.readouterr().out == "valid: 1 TcpService\n"


def test_objects_that_fit_together_give_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    without = TCP_SERVICE.replace("  selector: {app: orders}\n", "")
    for documents in ([TCP_SERVICE], [without], [TCP_SERVICE, DEPLOYMENT], [without, SERVICE, DEPLOYMENT]):
        status, _, error = run("---\n".join(documents), capsys)
        assert (status, error) == (0, []), documents


def test_workloads_of_other_kinds_are_known_to_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    other = DEPLOYMENT.replace("kind: Deployment", "kind: StatefulSet")
    assert run(f"{TCP_SERVICE}---\n{other}", capsys)[2] == []
    wrong = TCP_SERVICE.replace("app: orders", "app: web")
    (line,) = run(f"{wrong}---\n{other}", capsys)[2]
    assert line.endswith("(StatefulSet orders has {app: orders})")


def test_kinds_of_other_groups_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    other = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: orders}\nspec: {template: {}}\n"
    status, out, error = run(f"{TCP_SERVICE}---\n{other}", capsys)
    assert (status, error) == (0, [])
    assert out == "valid: 1 TcpService\nnot checked: orders.yaml: Service orders\n"


@pytest.mark.parametrize("kind", OTHER_FIELDS, ids=lambda kind: kind.__name__)
def test_all_fields_of_kubernetes_are_known(kind: type[msgspec.Struct]) -> None:
    described = json.loads((SCHEMAS / f"{KINDS[kind.__name__]}.json").read_text())["properties"]
    known = {field.encode_name for field in msgspec.structs.fields(kind)} | set(OTHER_FIELDS[kind].split())
    assert known == set(described)
