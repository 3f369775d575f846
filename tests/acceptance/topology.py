"""One service over one sidecar or two, as the acceptance tests run it: only flags, manifests, ports and the admin port.

    with Topology("two", tmp_path, [app.port], spec={"timeouts": {"request": "2s"}}) as topology:
        NestClient(12, topology.port)

"one": the callers' sidecar connects to the apps. "two": each app has a sidecar of its own, which the callers' sidecar
reaches over the mesh. "direct": no sidecar at all; callers connect to the first app.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, Self

from acceptance.links import Link
from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.sidecar import Sidecar
from shell.running import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Way = Literal["direct", "one", "two"]
WAYS: tuple[Way, ...] = ("one", "two")
WAYS_AND_DIRECT: tuple[Way, ...] = ("direct", "one", "two")
"""A test that also passes on a direct connection asks for nothing that NestJS itself does not do."""

FULL = bool(os.environ.get("ACCEPTANCE_FULL"))
"""Run with the times and sizes of production, for minutes."""

QUICK_PROBES = ("--probe-after", "1s", "--probe-timeout", "1s")


def stall(seconds: int) -> tuple[str, str]:
    """Return the flag for the silence after which a connection that makes no progress is closed."""
    return ("--stall", f"{seconds}s")


class Topology:
    """The service `orders`.

    `links`: "caller" puts a Link before each endpoint that the callers' sidecar connects to, "app" before each app.
    `sidecar` makes the callers' sidecar, `replica_sidecar` those of the apps (both: a class like Sidecar).
    """

    def __init__(
        self,
        way: Way,
        folder: Path,
        apps: Sequence[int],
        *,
        spec: Mapping[str, object] | None = None,
        flags: Sequence[str] = (),
        links: Literal["caller", "app"] | None = None,
        listening: bool = True,
        sidecar: Callable[..., Sidecar] = Sidecar,
        replica_sidecar: Callable[..., Sidecar] = Sidecar,
        listener: str = "--listen",
    ) -> None:
        self.way = way
        self.links: list[Link] = []
        self.replica_sidecars: list[Sidecar] = []
        self._apps = list(apps)
        self._folder = folder
        self._spec = dict(spec or {})
        self._flags = list(flags)
        self._place = links
        self._listening = listening
        self._make = sidecar
        self._make_replica = replica_sidecar
        self._listener = listener
        self._endpoints: list[int] = []
        self._behind: list[int] = []
        """The port of the app (or of the link before it) behind each of the replicas' sidecars."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self.way == "direct":
            return self
        with self._stack as stack:
            for port in self._apps:
                self._endpoints.append(self._endpoint(stack, port))
            self.publish()
            self.sidecar = stack.enter_context(self._make(*self.arguments(), *self._flags))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _endpoint(self, stack: ExitStack, port: int) -> int:
        if self._place == "app" or (self._place is not None and self.way == "one"):
            port = self._link(stack, port)
        if self.way == "one":
            return port
        serial = len(self.replica_sidecars)
        self._behind.append(port)
        self.replica_sidecars.append(self._start_replica_sidecar(port, mesh=0))
        stack.callback(lambda: self.replica_sidecars[serial].stop())
        mesh = self.replica_sidecars[serial].ports["mesh"]
        return self._link(stack, mesh) if self._place == "caller" else mesh

    def _start_replica_sidecar(self, app: int, *, mesh: int) -> Sidecar:
        own = write_documents(self._folder / f"own-{app}.yaml", [tcp_service("orders", self._spec)])
        arguments = ["--file", str(own), "--mesh", f"127.0.0.1:{mesh}", "--app", f"orders=127.0.0.1:{app}"]
        return self._make_replica(*arguments, "--admin", "127.0.0.1:0", *self._flags).start()

    def restart_replica_sidecar(self, serial: int, *, within: float = 10.0) -> None:
        """End the sidecar of one app with SIGTERM, and start a new one at the same mesh port."""
        old = self.replica_sidecars[serial]
        old.stop(within)
        self.replica_sidecars[serial] = self._start_replica_sidecar(self._behind[serial], mesh=old.ports["mesh"])

    def _link(self, stack: ExitStack, port: int) -> int:
        link = stack.enter_context(Link(port, listen=self._listening))
        self.links.append(link)
        return link.port

    def arguments(self) -> list[str]:
        """Return the arguments of the callers' sidecar."""
        return ["--file", str(self.manifest), self._listener, "orders=127.0.0.1:0", "--admin", "127.0.0.1:0"]

    @property
    def manifest(self) -> Path:
        """Where the callers' sidecar reads the endpoints and the policy."""
        return self._folder / "orders.yaml"

    def publish(self, spec: Mapping[str, object] | None = None, *, terminating: int | None = None) -> None:
        """Write the manifest, with one of the endpoints terminating where that is asked for."""
        documents = [tcp_service("orders", self._spec if spec is None else spec)]
        for serial, port in enumerate(self._endpoints, 1):
            endpoint = endpoint_slice("orders", port, serial=serial, port_name="mesh" if self.way == "two" else "app")
            if terminating == serial - 1:
                endpoint["endpoints"][0]["conditions"] = {"ready": False, "serving": True, "terminating": True}
            documents.append(endpoint)
        beside = self.manifest.with_suffix(".new")
        write_documents(beside, documents)
        beside.rename(self.manifest)

    @property
    def sidecars(self) -> list[Sidecar]:
        """All sidecars, that of the callers first."""
        return [] if self.way == "direct" else [self.sidecar, *self.replica_sidecars]

    @property
    def port(self) -> int:
        """Where callers connect."""
        if self.way == "direct":
            return self._apps[0]
        (name,) = set(self.sidecar.ports) - {"admin"}  # an inbound listener has a name of its own
        return self.sidecar.ports[name]

    def ask(self, path: str) -> Answer:
        """Ask the admin port of the callers' sidecar; without one, the answer is that all is well."""
        if self.way == "direct":
            return Answer(200, "")
        return ask(self.sidecar, path)

    def is_connected(self) -> bool:
        """Whether the sidecar before the links is connected through one, or has not noticed yet that it is not."""
        sidecars, kind = ([self.sidecar], "services") if self._place == "caller" else (self.replica_sidecars, "apps")
        known = [json.loads(ask(sidecar, "/snapshot").text)[kind] for sidecar in sidecars]
        return any(endpoint["connected"] for services in known for each in services for endpoint in each["endpoints"])
