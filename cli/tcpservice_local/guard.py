"""The guard: a process that ends what `tcpservice up` started when that is gone, even by kill -9.

Started by `processes` with nothing but the standard library, so that it is small and starts at once. It reads from its
stdin the process groups that begin and end (`+123`, `-123`); the end of stdin is the end of `up`. On Linux it finds
those, too, that left their group: what `up` started carries its mark in the environment.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

GRACE_S = 0.7


def main() -> None:
    """Watch over the processes of one run: `guard.py MARK FOLDER`."""
    mark, folder = sys.argv[1:3]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = set()
    for line in sys.stdin:
        if not line.endswith("\n"):
            break
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    if groups or _marked(mark):
        _end(groups, mark)
    shutil.rmtree(folder, ignore_errors=True)


def _end(groups: set[int], mark: str) -> None:
    """Ask all to end, and soon end them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in groups:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGCONT)
                os.killpg(group, number)
        for process in _marked(mark):
            with contextlib.suppress(OSError):
                os.kill(process, number)
        if number == signal.SIGTERM:
            _await_end(mark)


def _await_end(mark: str) -> None:
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and (_marked(mark) or not os.path.isdir("/proc")):
        time.sleep(0.05)


def _marked(mark: str) -> list[int]:
    """Find the processes that carry the mark; none where there is no /proc."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:
                if mark.encode() in environment.read().split(b"\0"):
                    found.append(int(name))
    return found


if __name__ == "__main__":
    main()
