"""Callers in a pod, and what happened to pods meanwhile, both by the clock of this machine."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

MIX = {"quick": 0.94, "slow": 0.03, "stream": 0.03}


class Report:
    """What the callers saw."""

    def __init__(self, line: str) -> None:
        values = json.loads(line)
        self.sent: int = values["sent"]
        self.ended: int = values["ended"]
        self.hung: int = values["hung"]
        self.events: int = values["events"]
        self.failed: dict[str, int] = values["failed"]
        self.replicas: dict[str, dict[str, float]] = values["replicas"]

    @property
    def answers(self) -> dict[str, int]:
        """How many requests each replica ended."""
        return {name: int(seen["answers"]) for name, seen in self.replicas.items()}

    @property
    def lost(self) -> int:
        """How many requests failed, but for those whose name the cluster did not resolve: nobody had these yet."""
        return sum(count for words, count in self.failed.items() if "EAI_AGAIN" not in words)

    def __repr__(self) -> str:
        return f"sent {self.sent}, failed {self.lost}: {self.failed}, hung {self.hung}, {self.answers}"


class Load:
    """One run of caller.mjs in a pod; begun when this is made."""

    def __init__(self, namespace: str, deployment: str = "web", **options: object) -> None:
        command = [
            "kubectl", "exec", "-n", namespace, f"deployment/{deployment}", "-c", "app", "--",
            "node", "caller.mjs", json.dumps(options),
        ]  # fmt: skip
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self._lines = self._child.stdout
        first = self._lines.readline()
        assert first == "ready\n", f"{shlex.join(command)}: {first}{self._said()}"

    def answer(self) -> Any:
        """Wait for the answer of one message, or its error."""
        return json.loads(self._lines.readline() or "null")

    def report(self) -> Report:
        """Wait for the end of the load."""
        line = self._lines.readline()
        assert line, self._said()
        return Report(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    def _said(self) -> str:
        assert self._child.stderr is not None
        self._child.kill()
        return self._child.stderr.read()


class Pods:
    """What a watch saw of pods: when each was ready, and when it was told to end (seconds since the epoch).

    Objects have these times in whole seconds, and a watch may be late: each is the earlier one of the time of the line
    and of the end of the object's second. `events` is how many events the app of each had had when its SIGTERM came.
    """

    _LINE = (
        "{.object.metadata.name}|{.object.metadata.deletionTimestamp}|{.object.metadata.deletionGracePeriodSeconds}|"
        '{.object.status.conditions[?(@.type=="Ready")].status}|'
        '{.object.status.conditions[?(@.type=="Ready")].lastTransitionTime}{"\\n"}'
    )

    def __init__(self) -> None:
        self.ready: dict[str, float] = {}
        self.told: dict[str, float] = {}
        self.sigterm: dict[str, float] = {}
        self.events: dict[str, int] = {}

    @classmethod
    @contextmanager
    def watched(cls, namespace: str, selector: str = "app=orders") -> Iterator[Pods]:
        """Watch pods, and read the logs of those that are there."""
        seen = cls()
        watch = ["kubectl", "get", "pods", "-n", namespace, "-l", selector, "-w", "--output-watch-events"]
        logs = ["kubectl", "logs", "-n", namespace, "-l", selector, "-c", "app", "-f", "--max-log-requests=20"]
        with _lines([*watch, "-o", f"jsonpath={cls._LINE}"], seen.take), _lines(logs, seen.hear):
            yield seen

    def take(self, line: str) -> None:
        """Take a line of the watch."""
        name, deleted, grace, ready, since = line.strip().split("|")
        if ready == "True":
            self.ready.setdefault(name, _latest(since))
        if deleted:
            self.told.setdefault(name, _latest(deleted, float(grace or 0)))

    def hear(self, line: str) -> None:
        """Take a line of an app's log."""
        if line.startswith('{"sigterm"'):
            said = json.loads(line)
            self.sigterm[said["name"]] = said["sigterm"] / 1000
            self.events[said["name"]] = said["events"]


def _latest(stamp: str, after: float = 0.0) -> float:
    """Return when something happened at the latest whose line comes now; its object says when, or so much after it."""
    return min(time.time(), datetime.fromisoformat(stamp).timestamp() - after + 1.0)


@contextmanager
def lines_of(command: list[str]) -> Iterator[list[str]]:
    """Have the lines that a command prints, while this lasts."""
    lines: list[str] = []
    with _lines(command, lines.append):
        yield lines


@contextmanager
def _lines(command: list[str], take: Any) -> Iterator[None]:
    """Give each line that a command prints to a function, while this lasts."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None

    def read() -> None:
        for line in child.stdout or ():
            take(line)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        child.kill()
        child.wait()
        reader.join()
        child.stdout.close()
