"""`tcpservice inject`: manifests in, manifests out, and what was done as lines beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "orders"


def inject(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tcpservice")), "inject", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)


def test_a_folder_comes_out_with_sidecars() -> None:
    done = inject("-f", str(SHOP), "--image", "registry.example.com/sidecar:9", "--operator", "here:1")
    assert done.returncode == 0
    documents = list(yaml.safe_load_all(done.stdout))
    assert len(documents) == sum(len(list(yaml.safe_load_all(path.read_text()))) for path in SHOP.glob("*.yaml"))
    (orders,) = (each for each in documents if (each["kind"], each["metadata"]["name"]) == ("Deployment", "orders"))
    sidecar = orders["spec"]["template"]["spec"]["initContainers"][0]
    assert sidecar["image"] == "registry.example.com/sidecar:9"
    assert "--discovery=here:1" in sidecar["args"]
    assert "deployment/orders: sidecar added; serves shop/orders; calls 2 TcpServices" in done.stderr.splitlines()


def test_sidecars_are_made_as_the_flags_say() -> None:
    flags = ["--sidecar-cpu-limit", "1", "--sidecar-memory=99Mi", "--sidecar-env", "A=b=c", "--sidecar-env=D="]
    (deployment, *_) = (
        each for each in yaml.safe_load_all(inject("-f", str(SHOP), *flags).stdout) if each["kind"] == "Deployment"
    )
    sidecar = deployment["spec"]["template"]["spec"]["initContainers"][0]
    assert sidecar["resources"] == {
        "requests": {"cpu": "50m", "memory": "99Mi"}, "limits": {"cpu": "1", "memory": "256Mi"},
    }  # fmt: skip
    assert sidecar["env"][-2:] == [{"name": "A", "value": "b=c"}, {"name": "D", "value": ""}]
    done = inject("-f", str(SHOP), "--sidecar-env", "A")
    assert done.returncode == 2
    assert '--sidecar-env: expected NAME=VALUE, got "A"' in done.stderr


def test_a_pipe_goes_through() -> None:
    text = (SHOP / "orders.yaml").read_text()
    done = inject("-f", "-", text=text)
    assert done.returncode == 0
    again = inject("-f", "-", text=done.stdout)
    assert "tcpservice-sidecar" in again.stdout
    assert again.stdout == done.stdout


def test_what_is_wrong_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "orders.yaml"
    path.write_text((SHOP / "orders.yaml").read_text().replace("port: 3001", "port: 0"))
    done = inject("-f", str(path))
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.startswith(f"{path}:7: TcpService shop/orders: spec.port: expected a port")
    done = inject("-f", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert 'there is no file or folder "' in done.stderr
