"""NestJS replicas and clients as child processes.

    with NestServer(12, name="a") as server, NestClient(12, server.port) as client:
        assert client.send("echo", "hi") == [["next", "hi"], ["complete"]]

The handlers are listed in nest/server.mjs, the commands in nest/client.mjs. Any number of NestClients may share one
ClientProcess; each is one ClientTCP, so one socket.
"""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from interop.node import APPS, Major, node, version_directory
from interop.processes import Child, ChildError
from interop.sidecar import Sidecar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ClientProcess", "NestClient", "NestServer", "Sidecar"]

CALL_SECONDS = 40.0  # more than the 20 s after which the client app itself reports ["pending"]

Event = list[Any]  # ["next", value], ["complete"], ["error", reason], ["unsubscribed"] or ["pending"]


class NestServer:
    """One replica. `port` 0 lets the system choose; it is kept when the replica is started again."""

    def __init__(
        self,
        version: Major,
        *,
        name: str = "replica",
        port: int = 0,
        host: str = "127.0.0.1",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.version = version
        self.name = name
        self.port = port
        self._host = host
        self._env = dict(env or {})
        self._child: Child | None = None

    def start(self) -> Self:
        """Start it and wait until it listens."""
        argv = [node(), str(APPS / "server.mjs"), str(version_directory(self.version))]
        env = {"HOST": self._host, "PORT": str(self.port), "NAME": self.name, **self._env}
        self._child = Child(argv, env=env).start()
        try:
            self.port = json.loads(self._child.line())["listening"]
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

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"{self._host}:{self.port}"

    def signal(self, number: int) -> None:
        """Send it a signal (SIGSTOP makes it hang, SIGCONT lets it go on)."""
        self.process.signal(number)

    def kill(self) -> None:
        """End it at once; peers see FIN or RST."""
        if self._child is not None:
            self._child.kill()

    def stop(self) -> None:
        """Send SIGTERM and wait for its end (with SHUTDOWN_HOOKS=1 in its environment NestJS closes first)."""
        if self._child is not None:
            self._child.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class ClientProcess:
    """A Node process that holds any number of ClientTCPs of one major."""

    def __init__(self, version: Major) -> None:
        self.version = version
        self._calls = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._guard = threading.Lock()
        self._ready = threading.Event()
        self._child: Child | None = None

    def start(self) -> Self:
        """Start it and wait until it takes commands."""
        argv = [node(), str(APPS / "client.mjs"), str(version_directory(self.version))]
        self._child = Child(argv, on_line=self._on_line).start()
        if not self._ready.wait(CALL_SECONDS) or not self._child.alive:
            self._child.kill()
            raise ChildError(f"did not start: {self._child}")
        return self

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.stop()

    def begin(self, op: str, **fields: object) -> Future[Any]:
        """Send a command; the result comes while the caller goes on."""
        if self._child is None:
            raise ChildError("the client process was not started")
        call = next(self._calls)
        future: Future[Any] = Future()
        with self._guard:
            self._waiting[call] = future
        self._child.write_line(json.dumps({"call": call, "op": op, **fields}))
        return future

    def _on_line(self, line: str | None) -> None:
        if line is None:
            self._fail_all()
            return
        message = json.loads(line)
        if "ready" in message:
            self._ready.set()
            return
        with self._guard:
            future = self._waiting.pop(message["call"])
        if "failure" in message:
            future.set_exception(ChildError(f"the client app failed: {message['failure']}"))
        else:
            future.set_result(message.get("result"))

    def _fail_all(self) -> None:
        self._ready.set()
        with self._guard:
            lost = list(self._waiting.values())
            self._waiting.clear()
        for future in lost:
            future.set_exception(ChildError(f"the client process ended: {self._child}"))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class NestClient:
    """One ClientTCP of a major, towards a port; in `process`, or in a process of its own."""

    _names = itertools.count(1)

    def __init__(
        self,
        version: Major,
        port: int,
        *,
        host: str = "127.0.0.1",
        process: ClientProcess | None = None,
        ca: str | None = None,
    ) -> None:
        self._own = None if process is not None else ClientProcess(version)
        self._process = process or self._own
        self._name = f"client-{next(self._names)}"
        self._target = {"host": host, "port": port, "ca": ca}

    def start(self) -> Self:
        """Make the ClientTCP; it connects with its first message, as NestJS does."""
        if self._own is not None:
            self._own.start()
        self.call("open", **self._target)
        return self

    def begin(self, op: str, **fields: object) -> Future[Any]:
        """Send a command of nest/client.mjs; the result comes while the caller goes on."""
        assert self._process is not None
        return self._process.begin(op, client=self._name, **fields)

    def call(self, op: str, **fields: object) -> Any:
        """Send a command and wait for its result."""
        return self.begin(op, **fields).result(CALL_SECONDS)

    def send(self, pattern: object, data: object, **options: object) -> list[Event]:
        """Send a request; all events of its observable. Options: take, timeout, unsubscribe, limit."""
        return list(self.call("send", pattern=pattern, data=data, **options))

    def emit(self, pattern: object, data: object) -> list[Event]:
        """Emit an event; the events of its observable."""
        return list(self.call("emit", pattern=pattern, data=data))

    def value(self, pattern: object, data: object) -> Any:
        """The one value that a request is answered with."""
        events = self.send(pattern, data)
        if len(events) != 2 or events[0][0] != "next" or events[1] != ["complete"]:
            raise AssertionError(f"{pattern!r} was not answered with one value: {events}")
        return events[0][1]

    def together(self, items: Sequence[tuple[object, object]], **options: object) -> dict[str, Any]:
        """Send requests in one tick: their events, the order in which they ended, the log of all events."""
        return dict(self.call("many", items=[list(item) for item in items], **options))

    def stop(self) -> None:
        """Close the ClientTCP, and the process where it is its own."""
        if self._own is not None:
            self._own.stop()
        else:
            self.call("close")

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            if self._own is not None:
                self._own.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
