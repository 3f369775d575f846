"""The live screen in a real (pseudo) terminal: what keys do, and how the terminal is left."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Self

from local.manifests import deployment, tcp_service, write
from local.running import COMMAND, MARK, SECONDS, left_behind, runs, send, wait_until

ROWS, COLUMNS = 40, 120
_STYLING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal with `tcpservice up` in it."""

    def __init__(self, *words: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._before = termios.tcgetattr(slave)
        self._slave = slave
        variables = {**os.environ, MARK: str(os.getpid()), "TMPDIR": runs(), "TERM": "xterm-256color"}
        self.process = subprocess.Popen([COMMAND, "up", *words], stdin=slave, stdout=slave, stderr=slave, env=variables)
        self._text = ""

    def await_text(self, pattern: str) -> str:
        """Wait until the screen has shown something; what was shown before counts no more afterwards."""
        deadline = time.monotonic() + SECONDS
        while True:
            match = re.search(pattern, _STYLING.sub("", self._text))
            if match is not None:
                self._text = ""
                return match[0]
            assert time.monotonic() < deadline, f"not shown: {pattern}\n{_STYLING.sub('', self._text)[-4000:]}"
            if select.select([self._master], [], [], 0.1)[0]:
                self._text += os.read(self._master, 65536).decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def is_as_before(self) -> bool:
        """Whether the terminal's settings are those from before."""
        return termios.tcgetattr(self._slave) == self._before

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)
        wait_until(lambda: not left_behind(), "processes are left")


def test_keys_kill_stop_start_freeze_and_scale(tmp_path: Path) -> None:
    documents = [tcp_service("orders", 4621), deployment("orders", replicas=2)]
    with Terminal("-f", str(write(tmp_path / "orders.yaml", *documents))) as terminal:
        terminal.await_text(r"orders :4621")
        terminal.await_text(r"▸ orders-1 +ready")
        terminal.press("\x1b[B")
        terminal.await_text(r"▸ orders-2 +ready")
        terminal.press("k")
        terminal.await_text(r"orders-2 was ended by SIGKILL; it is started again at once")
        terminal.await_text(r"▸ orders-2 +ready +\d+ +1 ")
        terminal.press("f")
        terminal.await_text(r"▸ orders-2 +paused")
        terminal.press("f")
        terminal.await_text(r"▸ orders-2 +ready")
        terminal.press("s")
        terminal.await_text(r"▸ orders-2 +stopped")
        terminal.press("r")
        terminal.await_text(r"▸ orders-2 +ready")
        terminal.press("+")
        terminal.await_text(r"orders-3 +ready")
        terminal.press("-")
        terminal.await_text(r"orders-3 +leaving")
        assert send("orders", "whoami")[0] == 0
        terminal.press("\t")
        terminal.await_text(r"trace [0-9a-f]{8}  front → orders")
        terminal.press("\t")
        terminal.await_text(r"\[logs\]")
        assert not terminal.is_as_before()
        terminal.press("q")
        terminal.await_text(r"by replica:")
        assert terminal.process.wait(SECONDS) == 0
        assert terminal.is_as_before()
