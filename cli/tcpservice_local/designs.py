"""From the plan to the replicas and the front as they are to be: names, ports, variables, command lines.

Used by `fleet`, which compares them with what runs. The same plan gives the same designs, as `addresses` keeps what it
has given out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tcpservice_local import sidecar_flags as flags_of
from tcpservice_local.addresses import Addresses
from tcpservice_local.debugging import VARIABLE, with_debugger
from tcpservice_local.environment import Outlet, Place, environment_of, words_of
from tcpservice_local.fleet_plan import Plan, ServicePlan, Workload
from tcpservice_local.processes import Program
from tcpservice_local.workloads import Probe, TcpSocket

_SPAN_DELAY_MS: Final = "300"
_DEBUGGER: Final = "debugger"
_OF_SERVICES: Final = ("_SERVICE_HOST", "_SERVICE_PORT")
_LISTENER: Final = "--listen="


class Options(Struct, frozen=True, kw_only=True):
    """What the command line adds to the manifests, and the shell's variables.

    `replicas` and `ports` are by name; `inspect` has the Deployments whose replicas run with a debugger.
    """

    folder: Path
    inherited: Mapping[str, str]
    replicas: Mapping[str, int] = {}
    ports: Mapping[str, int] = {}
    inspect: Collection[str] = ()
    collector: str | None = None


class Design(Struct, frozen=True, kw_only=True):
    """What a replica is made of; two that are equal need no restart between them."""

    name: str
    workload: str
    app: Program
    sidecar: Program
    serves: tuple[str, ...]
    mesh: int
    admin: int
    probe: Probe | None
    probe_port: int
    grace: float


class Front(Struct, frozen=True, kw_only=True):
    """The sidecar for callers from outside, and the port on 127.0.0.1 for each service."""

    program: Program
    admin: int
    ports: Mapping[str, int]


class Designer:
    """Designs for one run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._addresses = Addresses()

    def close(self) -> None:
        """Give the ports back."""
        self._addresses.close()

    def front(self, plan: Plan) -> Front:
        """Design the front. Raises NoPortError."""
        ports = {}
        for service in plan.services:
            asked = _named(self._options.ports, service.key, service.name)
            wanted = service.local_port if asked is None else asked
            ports[service.key] = self._addresses.front(service.key, wanted, exactly=asked is not None)
        admin = self._addresses.port(flags_of.FRONT, flags_of.ADMIN)
        flags = flags_of.in_front(((service, ports[service.key]) for service in plan.services), admin)
        return Front(program=self._sidecar(flags, flags_of.FRONT, flags_of.FRONT), admin=admin, ports=ports)

    def replicas(self, plan: Plan, scales: Mapping[str, int]) -> dict[str, Design]:
        """Design all replicas, by name; `scales` overrides how many a workload has. Raises NoPortError."""
        names = Counter(workload.name for workload in plan.workloads)
        designs = {}
        for workload in plan.workloads:
            label = workload.name if names[workload.name] == 1 else f"{workload.name}.{workload.namespace}"
            for number in range(1, scales.get(workload.key, workload.replicas) + 1):
                design = self._replica(f"{label}-{number}", workload, plan)
                designs[design.name] = design
        return designs

    def _replica(self, name: str, workload: Workload, plan: Plan) -> Design:
        address = self._addresses
        place = Place(
            name=name,
            ports={number: address.port(name, number) for number in workload.numbers},
            outlets=tuple(self._outlet(name, service) for service in plan.services),
            telemetry=self._telemetry(workload.name, name),
        )
        apps = {key: place.ports[number] for key, number in workload.serves.items()}
        mesh, admin = address.port(name, flags_of.MESH), address.port(name, flags_of.ADMIN)
        variables = environment_of(workload, place, self._options.inherited)
        probe = workload.probe or (
            Probe(tcp_socket=TcpSocket(port=next(iter(workload.serves.values())))) if apps else None
        )
        port = _probe_port(probe, workload, place)
        flags = flags_of.beside(place.outlets, apps, mesh, admin)
        words = tuple(words_of(workload, variables))
        if {workload.key, workload.name} & set(self._options.inspect):
            debugger = address.port(name, _DEBUGGER)
            words = with_debugger(words, debugger)
            variables = {**variables, VARIABLE: str(debugger)}
        return Design(
            name=name,
            workload=workload.key,
            app=Program(words=words, variables=variables, folder=workload.folder),
            sidecar=self._sidecar(flags, workload.name, name),
            serves=tuple(apps),
            mesh=mesh,
            admin=admin,
            probe=probe if port is not None else None,
            probe_port=port or 0,
            grace=workload.grace,
        )

    def _outlet(self, name: str, service: ServicePlan) -> Outlet:
        return Outlet(service, *self._addresses.outlet(name, service.key, service.port))

    def _sidecar(self, flags: list[str], service: str, instance: str) -> Program:
        telemetry = self._telemetry(service, instance)
        if self._options.collector is not None:  # a collector of the shell's is elsewhere, and gets no payloads
            flags = [*flags, flags_of.TRACED_PAYLOAD]
        return flags_of.program(self._options.folder, flags, telemetry, self._options.inherited)

    def _telemetry(self, service: str, instance: str) -> dict[str, str]:
        """Return where spans go; the shell's own OTEL_* stand where it names a collector."""
        named = {"OTEL_SERVICE_NAME": service, "OTEL_RESOURCE_ATTRIBUTES": f"k8s.pod.name={instance}"}
        if self._options.collector is None:
            return {
                **{key: value for key, value in self._options.inherited.items() if key.startswith("OTEL_")},
                **named,
            }
        return {
            **named,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._options.collector,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": _SPAN_DELAY_MS,
        }


def is_stale(running: Design, wanted: Design | None) -> bool:
    """Whether a replica is to be replaced by another.

    One that only lacks the variables of services that came later, and the listeners for them, goes on as it is: pods
    get such variables only when they are created, too.
    """
    if wanted is None:
        return True
    variables = {
        name: value
        for name, value in wanted.app.variables.items()
        if name in running.app.variables or not name.endswith(_OF_SERVICES)
    }
    words = tuple(
        word for word in wanted.sidecar.words if word in running.sidecar.words or not word.startswith(_LISTENER)
    )
    app, sidecar = replace(wanted.app, variables=variables), replace(wanted.sidecar, words=words)
    return running != replace(wanted, app=app, sidecar=sidecar)


def _named(given: Mapping[str, int], key: str, name: str) -> int | None:
    return given.get(key, given.get(name))


def _probe_port(probe: Probe | None, workload: Workload, place: Place) -> int | None:
    """Return the local port that a probe means; None where it means none, or one that no container has."""
    source = (probe.tcp_socket or probe.http_get) if probe is not None else None
    if source is None:
        return None
    number = workload.ports.get(source.port) if isinstance(source.port, str) else source.port
    return place.ports.get(number, number) if number is not None else None
