"""The operator: two replicas, each with its own view of the cluster, which stream it to the sidecars.

Used by `fleet`. A replica sees a change after its lag; a sidecar takes a line after the stream's delay. The first line
of a stream is whole, later lines say what changed. A replica may repeat itself; a sidecar that connects to another
replica may be told an older state than it knows. A sidecar that hears nothing asks the name server, which knows the
ready pods of some seconds ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from simulation.sidecar_model import Sidecar
from simulation.world import World
from tcpservice.snapshot import MILLISECOND, SECOND, Endpoint, Service
from tcpservice.updates import OutOfStep, difference, encode, join

View = Mapping[str, tuple[Endpoint, ...]]

MESH_PORT: Final = 15801
USUAL_LAG: Final = 100 * MILLISECOND
SILENCE: Final = 30 * SECOND
_RECONNECT: Final = SECOND
_NAMES_LAG: Final = 2 * SECOND
_LOOK: Final = 2 * SECOND


class Stream:
    """What one sidecar is told by one operator replica."""

    def __init__(self, sidecar: Sidecar, source: OperatorReplica) -> None:
        self.sidecar = sidecar
        self.source = source
        self.told: dict[str, Service] = {}
        self.version: int | None = None
        self.heard = 0
        self.last = b""
        self.open = True


class OperatorReplica:
    """One process of the operator and the state of the cluster that it has seen."""

    def __init__(self) -> None:
        self.lag = USUAL_LAG
        self.version = 0
        self.view: View = {}


class Operator:
    """All replicas and streams of one run."""

    def __init__(self, world: World, services: tuple[Service, ...]) -> None:
        self._world = world
        self._services = services
        self._version = 0
        self._names: View = {}
        self._streams: dict[Sidecar, Stream] = {}
        self.replicas = (OperatorReplica(), OperatorReplica())
        self.gone = False

    # The cluster

    def publish(self, view: View) -> None:
        """Take a change of the cluster."""
        self._version += 1
        for each in self.replicas:
            self._world.clock.after(each.lag, self._see, each, self._version, view)
        self._world.clock.after(_NAMES_LAG, self._name, view)

    def _name(self, view: View) -> None:
        self._names = view

    def _see(self, source: OperatorReplica, version: int, view: View) -> None:
        if version <= source.version:
            return
        source.version, source.view = version, view
        for stream in list(self._streams.values()):
            if stream.source is source:
                self._tell(stream)

    # Streams

    def connect(self, sidecar: Sidecar, number: int = 0) -> None:
        """Let a sidecar connect to a replica, in place of the one that it followed."""
        old = self._streams.get(sidecar)
        if old is not None:
            old.open = False
        stream = self._streams[sidecar] = Stream(sidecar, self.replicas[number % len(self.replicas)])
        stream.heard = self._world.clock.now if old is None else old.heard
        self._world.clock.after(_RECONNECT if old is not None else MILLISECOND, self._begin, stream)
        if old is None:
            self._world.clock.after(_LOOK, self._look, sidecar)

    def forget(self, sidecar: Sidecar) -> None:
        """Forget a sidecar that is gone."""
        stream = self._streams.pop(sidecar, None)
        if stream is not None:
            stream.open = False

    def _begin(self, stream: Stream) -> None:
        if self.gone and stream.open:
            self._world.clock.after(_RECONNECT, self._begin, stream)
        elif stream.open:
            stream.sidecar.begin_stream()
            stream.version = None
            self._tell(stream)

    def _tell(self, stream: Stream) -> None:
        source = stream.source
        if self.gone or not source.version or stream.version == source.version:
            return
        services = {s.key: replace(s, endpoints=source.view.get(s.key, ())) for s in self._services}
        revisions = {"EndpointSlice": source.version}
        if stream.version is None:
            line = join(source.version, revisions, services=[encode(service) for service in services.values()])
        else:
            changes = [difference(stream.told[key], service) for key, service in services.items()]
            parts = [encode(change) for change in changes if change is not None and (change.put or change.gone)]
            line = join(source.version, revisions, base=stream.version, changes=parts)
        stream.told, stream.version, stream.last = services, source.version, line
        self._world.clock.after(self._world.network.latency, self._arrive, stream, line)

    def _arrive(self, stream: Stream, line: bytes) -> None:
        if not stream.open or self.gone:
            return
        stream.heard = self._world.clock.now
        try:
            stream.sidecar.take_line(line)
        except OutOfStep:
            self.connect(stream.sidecar, self.replicas.index(stream.source))

    def repeat(self, sidecar: Sidecar) -> None:
        """Send the last line of a sidecar's stream again."""
        stream = self._streams.get(sidecar)
        if stream is not None and stream.last:
            self._arrive(stream, stream.last)

    # The name server

    def _look(self, sidecar: Sidecar) -> None:
        stream = self._streams.get(sidecar)
        if stream is None or not sidecar.alive:
            return
        silent = self.gone and self._world.clock.now - stream.heard > SILENCE
        for key in sidecar.unresolved(silent=silent):
            ready = [endpoint for endpoint in self._names.get(key, ()) if endpoint.ready]
            meshed = [endpoint.host for endpoint in ready if endpoint.mesh]
            sidecar.resolve(key, [endpoint.host for endpoint in ready], meshed, MESH_PORT, silent=silent)
        self._world.clock.after(_LOOK, self._look, sidecar)

    # Faults

    def lose(self) -> None:
        """End all replicas."""
        self.gone = True

    def restore(self) -> None:
        """Start the replicas again: each sees all, and all sidecars connect anew."""
        was_gone, self.gone = self.gone, False
        for each in self.replicas:
            each.lag = USUAL_LAG
        if was_gone:
            for number, sidecar in enumerate(list(self._streams)):
                self.connect(sidecar, number)
