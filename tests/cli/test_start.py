"""The `tcpservice` command before it has begun: Ctrl-C while its modules are imported."""

from __future__ import annotations

import signal
import subprocess
import sys

INTERRUPTED_WHILE_IMPORTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "tcpservice_cli.command_line":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from tcpservice_cli.__main__ import main
main()
"""


def test_ctrl_c_during_the_imports_ends_it_without_a_traceback() -> None:
    command = [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
