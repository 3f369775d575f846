"""What README and docs say is true: commands parse or run, manifests are taken, tables match the code, links lead."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from local.running import Up
from local.running import send as send_words
from tcpservice.errors import Code
from tcpservice.spec import read
from tcpservice_cli.command_line import parser
from tcpservice_sidecar.settings import read_settings

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("laptop", "sidecar", "observability"))]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    ROOT / "examples" / "README.md",
    ROOT / "benchmarks" / "README.md",
]
LONGEST_README = 200
DEMO_SECONDS = 600

OF_THE_APP = {Code.OK, Code.RPC_EXCEPTION, Code.NO_HANDLER, Code.CANCELLED}
NOT_YET = {Code.RATE_LIMITED, Code.DENIED}


@pytest.mark.parametrize("name", ["flags", "metrics"])
def test_the_generated_pages_are_those_of_the_code(name: str) -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    assert (ROOT / "docs" / f"{name}.md").read_text() == pages[name](), "run: make crds"


def _blocks(language: str, *pages: Path) -> list[str]:
    text = "\n".join(page.read_text() for page in pages or GUIDES)
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _commands() -> list[str]:
    return [line for block in _blocks("sh") for line in block.splitlines() if line]


@pytest.mark.parametrize("command", [line for line in _commands() if "bin/tcpservice-sidecar " in line])
def test_each_sidecar_command_is_right(command: str) -> None:
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words if word.startswith("OTEL_"))
    program, *arguments = words[len(variables) :]
    assert program == ".venv/bin/tcpservice-sidecar"
    settings = read_settings(arguments, variables)
    assert settings.listen or settings.mesh
    assert bool(settings.telemetry.traces) == bool(variables)


@pytest.mark.parametrize("command", [line for line in _commands() if "bin/tcpservice " in line])
def test_each_command_for_people_is_right(command: str) -> None:
    program, *arguments = shlex.split(command.rpartition("| ")[2])
    assert program == ".venv/bin/tcpservice"
    assert parser({}).parse_args(arguments).run


def test_each_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for line in _commands() if line.startswith("make ")}
    assert named
    assert named <= targets


def test_the_manifests_are_taken_without_a_problem() -> None:
    (math,), (orders, _) = _blocks("yaml", GUIDES[0]), _blocks("yaml", ROOT / "docs" / "sidecar.md")
    for manifest in (math, orders):
        assert read([("README.md", manifest)]).problems == ()
    reading = read([("sidecar.md", orders)])
    assert reading.snapshot is not None
    assert len(reading.snapshot.services[0].endpoints) == 2


def test_the_compose_file_starts_a_sidecar_before_three_replicas() -> None:
    whole = yaml.safe_load((ROOT / "examples" / "compose" / "compose.yaml").read_text())["services"]
    settings = read_settings(whole["orders"]["command"], {})
    (upstream,), (listener,) = settings.upstreams, settings.listen
    assert [address.host for address in upstream.addresses] == ["orders-app"]
    assert whole["orders-app"]["deploy"] == {"replicas": 3}
    assert listener.address.port == 3001
    built = {command[1] for each in whole.values() if (command := each["command"])[0] == "node"}
    sources = {f"dist/{path.parent.name}/main.js" for path in (ROOT / "examples/orders/app/src").glob("*/main.ts")}
    assert built <= sources
    _, shown = _blocks("yaml", ROOT / "docs" / "sidecar.md")
    for name, service in yaml.safe_load("services:\n" + shown)["services"].items():
        assert service["command"] == whole[name]["command"][: len(service["command"])]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s:]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), target
        if anchor:
            assert anchor in _anchors(there), target


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_folders_of_commands_exist() -> None:
    named = {word for line in _commands() for word in line.split() if word.startswith("examples/")}
    assert len(named) >= 3
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = [str(Path(sys.executable).with_name("mkdocs")), "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= {
        path.parent.name for path in tmp_path.glob("*/*.html")
    } | {"index"}


def test_the_readme_is_short() -> None:
    assert GUIDES[0].read_text().count("\n") <= LONGEST_README


def test_the_example_runs_as_the_readme_says() -> None:
    commands = [line for block in _blocks("sh", GUIDES[0]) for line in block.splitlines()]
    up, send = (shlex.split(line) for line in commands if "up -f examples/orders" in line or "send orders" in line)
    _need_nestjs()
    with Up(*up[2:]) as running:
        running.await_ready("orders-1", "orders-2", "orders-3", "web-1")
        assert up[0] == send[0] == ".venv/bin/tcpservice"
        code, (order,) = send_words(*send[2:])
        assert (code, order["id"], order["replica"][:7]) == (0, 1, "orders-")


def test_an_app_of_ones_own_runs_as_the_readme_says(tmp_path: Path) -> None:
    _need_nestjs()
    up, send = (shlex.split(line) for line in _commands() if "math" in line)
    (tmp_path / "dist").mkdir()
    shutil.copy(Path(__file__).with_name("math.js"), tmp_path / "dist" / "main.js")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(ROOT / "examples" / "orders" / "app" / "node_modules")
    (tmp_path / "math.yaml").write_text(_blocks("yaml", GUIDES[0])[0])
    with Up("-f", str(tmp_path / up[-1])) as running:
        running.await_ready("math-1", "math-2", "math-3")
        assert send_words(*send[2:]) == (0, [6])


def test_the_table_of_codes_is_complete() -> None:
    concepts = (ROOT / "docs" / "concepts.md").read_text()
    table = set(re.findall(r"^\| `([a-z_]+)` \|", concepts, re.MULTILINE))
    assert table == {code.value for code in set(Code) - OF_THE_APP - NOT_YET}


def _keeps_its_promises(words: list[str], env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.partition("\nSummary\n")[2].splitlines()
    promises = [line for line in summary if line.startswith("   ")]
    assert len(promises) == 5
    assert all(line.startswith("   ok  ") for line in promises)
    assert "\x1b" not in done.stdout
    return done.stdout


def _need_nestjs() -> None:
    """Build the example, or skip with a line where there is no Node.js."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: the NestJS apps of the examples need Node 20 and npm")
    subprocess.run(["make", "--no-print-directory", "example"], cwd=ROOT, check=True, timeout=DEMO_SECONDS)


def test_the_demo_keeps_its_promises() -> None:
    _need_nestjs()
    assert "real NestJS 12" in _keeps_its_promises(["make", "--no-print-directory", "demo"])


def test_without_node_the_demo_runs_its_apps_in_python(tmp_path: Path) -> None:
    for program in ("python3", "bash", "make", "sh", "env", "grep", "find", "echo", "touch"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    said = _keeps_its_promises(["make", "--no-print-directory", "demo"], {"PATH": str(tmp_path)})
    assert "Node.js 20 or newer with npm is not here" in said
    assert "written in Python" in said
