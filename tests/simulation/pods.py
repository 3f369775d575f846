"""Pods of a service, and the kubelet that starts, probes, rolls, kills and restarts them.

Used by `fleet`. A pod has one app, and a sidecar unless its shape says otherwise. A graceful end runs as in a real
cluster: the endpoint is marked as terminating, the sidecar and the app's gate are told at the same moment, the app ends
when the gate lets it, the sidecar after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simulation.nest_app import App, Mode
from simulation.operator_model import MESH_PORT
from simulation.sidecar_model import Sidecar
from simulation.world import World
from tcpservice.snapshot import MILLISECOND, SECOND, Endpoint, Service

APP_PORT: Final = 3000
FRONT_PORT: Final = 15802
_READINESS: Final = SECOND
_LISTENS_AFTER: Final = 500 * MILLISECOND
_APP_ENDS_AFTER: Final = 20 * MILLISECOND
_RESTARTED_AFTER: Final = 200 * MILLISECOND
_NODE_NOTICED: Final = 5 * SECOND

MakeSidecar = Callable[[str], Sidecar]


class Pod:
    """One pod of a service; `replaced` says that it ends as soon as its successor is ready."""

    def __init__(
        self,
        world: World,
        service: Service,
        number: int,
        *,
        host: str,
        version: int,
        make: MakeSidecar | None,
        changed: Callable[[], None],
        sidecar_gone: Callable[[Sidecar], None],
    ) -> None:
        self._world = world
        self._service = service
        self._make = make
        self._changed = changed
        self._sidecar_gone = sidecar_gone
        self.number = number
        self.host = host
        self.name = f"{service.name}-{number}"
        self.app = App(world, f"app {self.name}", f"{host}:{APP_PORT}", version)
        self.sidecar: Sidecar | None = None
        self.ready = False
        self.terminating = False
        self.gone = False
        self.restarting = False
        self.replaced = False
        self.node_lost = False

    @property
    def meshed(self) -> bool:
        """Whether it has a sidecar."""
        return self._make is not None

    @property
    def healthy(self) -> bool:
        """Whether it serves, and will go on."""
        sidecar_lives = self.sidecar is not None and self.sidecar.alive
        return not self.terminating and self.app.healthy and (sidecar_lives or not self.meshed)

    @property
    def endpoint(self) -> Endpoint:
        """What the EndpointSlice says of it."""
        return Endpoint(
            host=self.host,
            port=MESH_PORT if self.meshed else APP_PORT,
            name=self.name,
            mesh=self.meshed,
            app_port=APP_PORT if self.meshed else None,
            ready=self.ready and not self.terminating,
            serving=self.ready,
            terminating=self.terminating,
        )

    # Its life

    def start(self, *, at_once: bool = False) -> None:
        """Start the containers: the sidecar first, the app some time later."""
        self._start_sidecar()
        if at_once:
            self.app.start()
            self.ready = True
        else:
            self._world.clock.after(_LISTENS_AFTER, self._start_app)
        self._world.clock.after(_READINESS, self._probe)

    def _start_sidecar(self) -> None:
        if self._make is None or self.gone:
            return
        self.sidecar = sidecar = self._make(self.name)
        sidecar.add_app(self._service, self.host, APP_PORT)
        sidecar.listen_mesh(f"{self.host}:{MESH_PORT}")
        sidecar.listen(self._service, f"{self.host}:{FRONT_PORT}", front=True)

    def _start_app(self) -> None:
        if not self.gone and not self.terminating and self.app.mode is Mode.REFUSING:
            self.app.start()
            self.restarting = False

    def _probe(self) -> None:
        """Probe the app, as its readinessProbe says."""
        if self.gone:
            return
        ready = self.app.healthy and (self.sidecar is None or self.sidecar.alive)
        if ready is not self.ready and not self.terminating:
            self.ready = ready
            self._changed()
        self._world.clock.after(_READINESS, self._probe)

    # Graceful changes

    def end(self) -> None:
        """End the pod gracefully."""
        if self.terminating or self.gone:
            return
        self.terminating = True
        self._world.note("kubelet", f"ends {self.name}")
        self._changed()
        if self.sidecar is None or not self.sidecar.alive:
            self._end_app()
            return
        self.sidecar.withdraw()
        self.sidecar.hold_app(self._service.drain, self._end_app, pod_ends=True)

    def _end_app(self) -> None:
        self.app.stop()
        self._world.clock.after(_APP_ENDS_AFTER, self._end_sidecar)

    def _end_sidecar(self) -> None:
        if self.sidecar is None:
            self.remove()
        else:
            self.sidecar.leave(self._service.drain, self.remove)

    def remove(self) -> None:
        """Take the pod out of the cluster."""
        if not self.gone:
            self.gone = True
            self.terminating = True
            self._world.network.listeners.pop(self.app.address, None)
            if self.sidecar is not None:
                self._sidecar_gone(self.sidecar)
            self._changed()

    def restart_app(self, lasts: int) -> None:
        """Restart the app as after a failed liveness probe: the gate is asked first."""
        if self.terminating or self.gone or not self.app.healthy:
            return
        self.restarting = True
        if self.sidecar is None or not self.sidecar.alive:
            self._stop_app(lasts)
        else:
            self.sidecar.hold_app(self._service.drain, lambda: self._stop_app(lasts), pod_ends=False)

    def _stop_app(self, lasts: int) -> None:
        if not self.terminating and not self.gone:
            self.app.stop()
            self._world.clock.after(lasts, self._start_app)

    # Failures

    def crash_app(self, lasts: int) -> None:
        """Kill the app; it is started again later."""
        if not self.gone:
            self.app.crash()
            self._world.clock.after(lasts, self._start_app)

    def misbehave(self, mode: Mode, lasts: int) -> None:
        """Let the app treat connections as a mode says, for a time."""
        if not self.gone and not self.terminating:
            self.app.misbehave(mode)
            self._world.clock.after(lasts, self.behave)

    def behave(self) -> None:
        """Let the app be as it should be."""
        self.app.thaw()
        if not self.gone and not self.terminating and self.app.mode is not Mode.OPEN:
            self.app.start()

    def freeze(self, lasts: int) -> None:
        """Stop the app's process for a time."""
        if not self.gone and self.app.healthy:
            self.app.freeze()
            self._world.clock.after(lasts, self.app.thaw)

    def start_slowly(self, lasts: int) -> None:
        """Kill the app; once it listens again it is frozen for a time."""
        if not self.gone and not self.terminating:
            self.crash_app(_RESTARTED_AFTER)
            self._world.clock.after(_RESTARTED_AFTER + 1, self.freeze, lasts)

    def crash_sidecar(self, lasts: int) -> None:
        """Kill the sidecar; it is started again at the same addresses."""
        if self.sidecar is not None and self.sidecar.alive and not self.terminating and not self.gone:
            self.sidecar.crash()
            self._sidecar_gone(self.sidecar)
            self._world.clock.after(lasts, self._start_sidecar)

    def kill(self, lasts: int) -> None:
        """Kill all containers; they are started again."""
        self.crash_sidecar(lasts)
        self.crash_app(lasts + _LISTENS_AFTER)

    def lose_node(self) -> None:
        """Lose the node: nobody is told, the control plane notices later and removes the pod."""
        if self.gone or self.terminating:
            return
        self.node_lost = True
        network = self._world.network
        self._world.note("kubelet", f"the node of {self.name} is lost")
        addresses = {f"{self.host}:{port}": None for port in (APP_PORT, MESH_PORT, FRONT_PORT)}
        network.unreachable.update(addresses)
        for connection in network.open_connections():
            if any(end.name in addresses or end.name == self.name for end in network.ends(connection)):
                network.sever(connection)
        self._world.clock.after(_NODE_NOTICED, self._forget_node)

    def _forget_node(self) -> None:
        if self.sidecar is not None and self.sidecar.alive:
            self.sidecar.crash()
        self.app.crash()
        self.remove()
