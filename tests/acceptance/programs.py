"""The NestJS programs of the acceptance tests: replicas (`app.mjs`) and callers (`caller.mjs`) as child processes."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from interop.node import Major, node, version_directory
from interop.processes import Child, ChildError

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
START_SECONDS = 40.0
"""The machine may be busy: three NestJS apps that start together have taken 8 seconds."""


class App:
    """One replica. `port` 0 lets the system choose a port; a restarted replica keeps it."""

    def __init__(
        self, major: Major = 12, *, name: str = "replica", record: Path | None = None, workers: int = 0, port: int = 0
    ) -> None:
        self.major = major
        self.name = name
        self.port = port
        self.record = record
        self._env = {"NAME": name}
        if record is not None:
            record.touch()
            self._env["RECORD"] = str(record)
        if workers:
            self._env["WORKERS"] = str(workers)
        self._child: Child | None = None

    def start(self) -> Self:
        """Start it and wait until it listens."""
        argv = [node(), str(HERE / "app.mjs"), str(version_directory(self.major))]
        self._child = Child(argv, env={**self._env, "PORT": str(self.port)}).start()
        try:
            self.port = json.loads(self._child.line(START_SECONDS))["listening"]
        except ChildError:
            self._child.kill()
            raise
        return self

    @property
    def process(self) -> Child:
        """The process that runs now, or ran last."""
        if self._child is None:
            raise ChildError(f"the replica {self.name} was not started")
        return self._child

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()

    def recorded(self) -> list[Recorded]:
        """What its processes ran, in order."""
        assert self.record is not None
        return recorded(self.record)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class Recorded(NamedTuple):
    """One message that a replica ran."""

    pid: int
    kind: str
    key: str


def recorded(path: Path) -> list[Recorded]:
    """Read what replicas wrote down. A line that is still being written is left out."""
    whole = path.read_text().rpartition("\n")[0]
    return [Recorded(int(pid), kind, key) for pid, kind, key in (line.split(" ", 2) for line in whole.splitlines())]


def by_process(messages: list[Recorded]) -> Mapping[int, list[Recorded]]:
    """Sort what was recorded by the process that ran it."""
    found: dict[int, list[Recorded]] = defaultdict(list)
    for message in messages:
        found[message.pid].append(message)
    return found


class Report(NamedTuple):
    """What a caller saw of its requests."""

    sent: int
    answered: int
    wrong: int
    failed: dict[str, int]
    p50: float | None
    p99: float | None


class Caller:
    """One NestJS client in a process of its own; caller.mjs lists the options."""

    def __init__(self, port: int, options: Mapping[str, object], *, major: Major = 12) -> None:
        text = json.dumps({"port": port, **options})
        self._child = Child([node(), str(HERE / "caller.mjs"), str(version_directory(major)), text])

    def start(self) -> Self:
        """Start it and wait until it is connected."""
        self._child.start()
        try:
            self._child.line(START_SECONDS)
        except ChildError:
            self._child.kill()
            raise
        return self

    def stop(self) -> None:
        """Let a caller that sends at a rate send no more."""
        self._child.write_line("stop")

    def report(self, within: float = 60.0) -> Report:
        """Wait until all of its requests have ended; return what it saw."""
        return Report(**json.loads(self._child.line(within)))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self._child.kill()


class Neighbour(Caller):
    """A caller that sends a small request now and then while a test is hard on the sidecar."""

    def __init__(self, port: int, *, rate: int = 20, timeout: int = 20_000) -> None:
        request = {"pattern": "echo", "data": "hello", "value": "hello"}
        super().__init__(port, {**request, "rate": rate, "timeout": timeout})

    def unharmed(self, of: str) -> Report:
        """Stop it; all its requests must have been answered right, each within its timeout."""
        self.stop()
        report = self.report(within=90)
        print(f"{of}: the neighbour's p50 {report.p50} ms, p99 {report.p99} ms, {report.answered} of {report.sent}")
        assert report.failed == {}, report
        assert report.wrong == 0, report
        assert report.answered == report.sent > 0, report
        return report
