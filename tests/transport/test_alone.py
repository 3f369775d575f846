"""`pip install tcpservice` alone, in an environment of its own: what it pulls in, and that it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PULLED_IN = {"msgspec", "orjson", "pip", "PyYAML", "setuptools", "tcpservice"}

PROGRAM = """
import asyncio, sys
from tcpservice_transport import Client, Server
server = Server(port=0)
server.message_pattern({"cmd": "sum"})(sum)
async def main():
    async with server, Client(port=server.port) as client:
        print(await client.send({"cmd": "sum"}, [1, 2]))
    print([name for name in ("opentelemetry", "kopf", "kubernetes", "aiohttp", "rich") if name in sys.modules])
asyncio.run(main())
"""


def test_it_pulls_in_little_and_works(tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", str(tmp_path / "env")])
    python = str(tmp_path / "env" / "bin" / "python")
    run([python, "-m", "pip", "install", "--quiet", str(ROOT)])
    listed = run([python, "-m", "pip", "list", "--format", "freeze"])
    assert {line.partition("==")[0] for line in listed.split()} <= PULLED_IN
    assert run([python, "-W", "error", "-c", PROGRAM]) == "3\n[]\n"
    command = str(tmp_path / "env" / "bin" / "tcpservice")
    assert run([command, "--version"]).startswith("tcpservice ")
    for name, extras in (("tcpservice", "local,sidecar,operator"), ("tcpservice-sidecar", "sidecar")):
        command = str(tmp_path / "env" / "bin" / name)
        done = subprocess.run([command, "up", "-f", "."], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert re.fullmatch(rf".* needs \w+; in a clone of the project: pip install '\.\[{extras}\]'\n", done.stderr)


def run(command: list[str]) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
