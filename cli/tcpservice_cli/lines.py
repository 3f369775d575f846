"""The run of `tcpservice up` as lines: for pipes, files and CI.

Used by `up`. A line for each change of a replica's state, and each line of the processes with the replica's name in
front.
"""

from __future__ import annotations

import asyncio
import os
import sys

from tcpservice_cli.plaintext import plain
from tcpservice_cli.troubles import Troubles
from tcpservice_local.local import Local


class Lines:
    """Prints what happens."""

    def __init__(self) -> None:
        self._local: Local | None = None
        self._ended = asyncio.Event()
        self._states: dict[str, str] = {}
        self._troubles = Troubles()

    def told(self, who: str, line: str) -> None:
        """Print a line of a process."""
        self.said(f"{who} | {plain(line)}")

    def said(self, text: str) -> None:
        """Print what the run has to say; where nobody reads it any more, the run ends."""
        try:
            print(text, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._ended.set()

    def changed(self) -> None:
        """Print the replicas whose state is another."""
        if self._local is None:
            return
        pods = self._local.fleet.pods
        for line in self._troubles.news(pods.values()):
            self.said(line)
        for name in [name for name in self._states if name not in pods]:
            del self._states[name]
            self.said(f"{name} is gone")
        for name, pod in pods.items():
            if self._states.get(name) == pod.state:
                continue
            self._states[name] = pod.state
            pid = f" (pid {pod.app.pid})" if pod.app.pid is not None else ""
            self.said(f"{name} is {pod.state}{pid}")

    async def show(self, local: Local, ended: asyncio.Event) -> None:
        """Say what is where, then what happens, until it is ended."""
        self._local, self._ended = local, ended
        for service in local.fleet.plan.services:
            if local.fleet.ports[service.key] == service.port:  # where it is elsewhere, that was told with the reason
                self.said(f"{service.name} is at 127.0.0.1:{service.port}")
        count = len(local.fleet.plan.workloads)
        self.said(f"running {count} Deployment{'s' if count != 1 else ''}; Ctrl-C ends everything")
        self.changed()
        await ended.wait()
        self._local = None
        self.said("ending ...")
