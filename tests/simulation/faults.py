"""What each kind of fault does to the fleet, and how all of them end.

Used by `fleet`. A fault whose target does not exist at its time does nothing. Each fault that may cost events taints
what it touches, so that the ledger expects no more than a real network could give.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from simulation.nest_app import Mode
from simulation.network import Connection
from simulation.operator_model import MESH_PORT, USUAL_LAG
from simulation.pods import Pod
from simulation.scenario import Fault, Kind, Patience, Pattern
from simulation.stranger import Stranger
from tcpservice.snapshot import MILLISECOND, SECOND
from tcpservice.wire.mesh import APP, BACK, GOAWAY, encode_control

if TYPE_CHECKING:
    from simulation.fleet import Fleet

T = TypeVar("T")

_STARTS_WITHIN: Final = 3 * SECOND
_HELD_FOR: Final = 3 * SECOND
_MOST_PODS: Final = 40
_GLUT: Final = 600
_WORDS: Final = (encode_control(GOAWAY), encode_control(GOAWAY, APP), encode_control(BACK))


def apply(fleet: Fleet, fault: Fault) -> None:
    """Do what a fault says."""
    if fleet.healed is None:
        fleet.world.note("FAULT", f"{fault.kind} (target {fault.target}, {fault.lasts // MILLISECOND} ms)")
        _ACTS[fault.kind](fleet, fault)


def heal(fleet: Fleet) -> None:
    """End all faults."""
    fleet.world.note("FAULTS", "all end")
    fleet.healed = fleet.world.clock.now
    fleet.world.network.heal()
    for pod in fleet.live_pods():
        pod.behave()
    fleet.operator.restore()


def _one_of(found: list[T], fault: Fault) -> T | None:
    return found[fault.target % len(found)] if found else None


# Connections


def _connection(fleet: Fleet, fault: Fault) -> Connection | None:
    connection = _one_of(fleet.world.network.open_connections(), fault)
    if connection is None:
        return None
    ends = fleet.world.network.ends(connection)
    fleet.world.note("FAULT", f"it is the connection of {ends[0].name} and {ends[1].name}")
    for scope in _scopes(fleet, connection):
        fleet.world.ledger.taint(scope, fault.lasts)
    return connection


def _scopes(fleet: Fleet, connection: Connection) -> list[str]:
    """Return whose events a fault of a connection may cost."""
    if connection.tags[0] == "downstream":
        return [connection.tags[1]]
    host = connection.tags[2].partition(":")[0]
    return [key for key, pods in fleet.pods.items() if any(pod.host == host for pod in pods)]


def _reset(fleet: Fleet, fault: Fault) -> None:
    connection = _connection(fleet, fault)
    if connection is not None:
        fleet.world.network.reset(connection)


def _sever(fleet: Fleet, fault: Fault) -> None:
    connection = _connection(fleet, fault)
    if connection is not None:
        fleet.world.network.sever(connection)
        for scope in _scopes(fleet, connection):
            fleet.world.ledger.taint(scope, 60 * SECOND)


def _clog(fleet: Fleet, fault: Fault) -> None:
    connection = _connection(fleet, fault)
    if connection is not None:
        network = fleet.world.network
        network.clog(connection, clogged=True)
        fleet.world.clock.after(fault.lasts, lambda: network.clog(connection, clogged=False))


# Pods


def _pod(fleet: Fleet, fault: Fault, *, harmful: bool = True, lasts: int = 0) -> Pod | None:
    pod = _one_of(fleet.live_pods(), fault)
    if pod is not None:
        fleet.world.note("FAULT", f"it is {pod.name}")
        if harmful or not pod.meshed:
            _taint_service(fleet, pod, lasts or fault.lasts)
    return pod


def _taint_service(fleet: Fleet, pod: Pod, lasts: int) -> None:
    for key, pods in fleet.pods.items():
        if pod in pods:
            fleet.world.ledger.taint(key, lasts + _STARTS_WITHIN)


def _successor(fleet: Fleet, pod: Pod) -> Pod | None:
    for number, service in enumerate(fleet.services):
        if pod in fleet.pods[service.key] and len(fleet.pods[service.key]) < _MOST_PODS:
            successor = fleet.add_pod(number, meshed=pod.meshed)
            successor.start()
            return successor
    return None


def _roll(fleet: Fleet, fault: Fault) -> None:
    """Roll a pod. Clients of its inbound listener cannot be told, so what they send last may be lost."""
    pod = _pod(fleet, fault, harmful=False)
    if pod is not None:
        for key, pods in fleet.pods.items():
            if pod in pods:
                fleet.world.ledger.taint(f"inbound {key}", 30 * SECOND)
    successor = _successor(fleet, pod) if pod is not None else None
    if pod is not None and successor is not None:
        pod.replaced = True
        _end_when_ready(fleet, pod, successor)


def _end_when_ready(fleet: Fleet, pod: Pod, successor: Pod) -> None:
    """End the old pod once the new one is ready, as a Deployment without unavailable pods does."""
    if successor.ready:
        fleet.world.clock.after(SECOND, pod.end)
    elif not successor.gone:
        fleet.world.clock.after(SECOND // 2, _end_when_ready, fleet, pod, successor)


def _evict(fleet: Fleet, fault: Fault) -> None:
    """Delete a pod whose app is down or restarts slowly."""
    pod = _pod(fleet, fault, lasts=60 * SECOND)
    if pod is not None and _successor(fleet, pod) is not None:
        (pod.start_slowly if fault.target % 2 else pod.crash_app)(60 * SECOND)
        fleet.world.clock.after(fault.lasts, pod.end)


def _lose_node(fleet: Fleet, fault: Fault) -> None:
    pod = _pod(fleet, fault, lasts=60 * SECOND)
    if pod is not None and _successor(fleet, pod) is not None:
        pod.lose_node()


def _on_pod(act: Callable[[Pod, int], None], *, harmful: bool = True) -> Callable[[Fleet, Fault], None]:
    def hit(fleet: Fleet, fault: Fault) -> None:
        pod = _pod(fleet, fault, harmful=harmful)
        if pod is not None:
            act(pod, fault.lasts)

    return hit


def _restart_app(fleet: Fleet, fault: Fault) -> None:
    """Restart an app; this harms nobody where another pod serves and the pod need not hold events for long."""
    pod = _one_of(fleet.live_pods(), fault)
    if pod is None:
        return
    others = [
        other
        for pods in fleet.pods.values()
        if pod in pods
        for other in pods
        if other is not pod and other.healthy and other.ready and not other.restarting and not other.replaced
    ]
    _pod(fleet, fault, harmful=fault.lasts > _HELD_FOR or not others)
    pod.restart_app(fault.lasts)


def _crash_sidecar(fleet: Fleet, fault: Fault) -> None:
    """Crash the sidecar of a caller's or of a replica's pod."""
    targets: list[str | Pod] = [caller.name for caller in fleet.callers]
    targets += [pod for pod in fleet.live_pods() if pod.meshed]
    target = _one_of(targets, fault)
    if isinstance(target, Pod):
        _taint_service(fleet, target, fault.lasts)
        target.crash_sidecar(fault.lasts)
        return
    for caller in fleet.callers:
        if caller.name == target:
            fleet.world.ledger.taint(caller.name, fault.lasts)
            fleet.crash_caller(caller, fault.lasts)


def _flap(fleet: Fleet, fault: Fault) -> None:
    """Let a sidecar say at random that it leaves, that its app is absent, or that it is back, and last that it is.

    For one in three, the app is away at the same time, so that requests are refused after a false word that it is back.
    """
    pods = [pod for pod in fleet.live_pods() if pod.meshed]
    pod = _one_of(pods, fault)
    if pod is None:
        return
    _taint_service(fleet, pod, fault.lasts)
    ends, random = fleet.world.clock.now + fault.lasts, Random(fault.target)
    if fault.target % 3 == 0:
        pod.crash_app(fault.lasts)

    def say() -> None:
        over = fleet.healed is not None or fleet.world.clock.now > ends
        if pod.sidecar is not None:
            pod.sidecar.say(_WORDS[-1] if over else random.choice(_WORDS))
        if not over:
            fleet.world.clock.after(random.choice((5, 50, 300, 1_500)) * MILLISECOND, say)

    say()


def _meet_stranger(fleet: Fleet, fault: Fault) -> None:
    pod = _one_of([pod for pod in fleet.live_pods() if pod.meshed], fault)
    if pod is not None:
        Stranger(fleet.world, f"{pod.host}:{MESH_PORT}", fault.target, fault.lasts)


def _block_sidecars(fleet: Fleet, fault: Fault) -> None:
    """Let no new connection reach the sidecars of a service; of the established ones, half of the policies cut off."""
    pods = fleet.pods[fleet.services[fault.target % len(fleet.services)].key]
    network, cuts = fleet.world.network, fault.target % 4 > 1
    addresses = {f"{pod.host}:{MESH_PORT}": None for pod in pods if pod.meshed and not pod.gone}
    network.unreachable.update(addresses)
    for connection in network.open_connections() if cuts else ():
        if connection.tags[-1] in addresses:
            network.sever(connection)
            for scope in _scopes(fleet, connection):
                fleet.world.ledger.taint(scope, fault.lasts + 60 * SECOND)

    def unblock() -> None:
        for pod in pods:
            if not pod.node_lost:
                network.unreachable.pop(f"{pod.host}:{MESH_PORT}", None)

    fleet.world.clock.after(fault.lasts, unblock)


# Clients


def _on_client(fault: Fault, fleet: Fleet, act: str) -> None:
    client = _one_of(fleet.clients, fault)
    if client is None:
        return
    fleet.world.ledger.taint(client.name, fault.lasts)
    if act == "disconnect":
        client.disconnect()
    elif act == "half-close":
        client.half_close()
    elif act == "unfinished":
        client.stop_in_frame(fault.lasts)
    else:
        client.stop_reading(fault.lasts)


def _glut(fleet: Fleet, fault: Fault) -> None:
    client = _one_of(fleet.clients, fault)
    if client is None:
        return
    fleet.world.ledger.taint(client.name, fault.lasts)
    for _ in range(_GLUT):
        client.call(Pattern.SLOW if fault.target % 2 else Pattern.ECHO, Patience.ENDLESS)
    leave = client.half_close if fault.target % 3 else client.disconnect
    fleet.world.clock.after(fault.target % 97 * MILLISECOND, leave)


# The operator


def _repeat(fleet: Fleet, fault: Fault) -> None:
    sidecar = _one_of(fleet.sidecars(), fault)
    if sidecar is not None:
        fleet.operator.repeat(sidecar)


def _reconnect(fleet: Fleet, fault: Fault) -> None:
    sidecar = _one_of(fleet.sidecars(), fault)
    if sidecar is not None:
        fleet.operator.connect(sidecar, fault.target)


def _lag(fleet: Fleet, fault: Fault) -> None:
    replica = fleet.operator.replicas[fault.target % 2]
    replica.lag = fault.lasts
    fleet.world.ledger.taint("*", 2 * fault.lasts)

    def catch_up() -> None:
        replica.lag = USUAL_LAG

    fleet.world.clock.after(fault.lasts, catch_up)


def _outage(fleet: Fleet, fault: Fault) -> None:
    fleet.operator.lose()
    lasts = fault.lasts * 5
    fleet.world.ledger.taint("*", lasts)
    fleet.world.clock.after(lasts, fleet.operator.restore)


_ACTS: Final[dict[Kind, Callable[[Fleet, Fault], None]]] = {
    Kind.RESET: _reset,
    Kind.CLOG: _clog,
    Kind.SEVER: _sever,
    Kind.ROLL: _roll,
    Kind.KILL: _on_pod(Pod.kill),
    Kind.LOSE_NODE: _lose_node,
    Kind.RESTART_APP: _restart_app,
    Kind.CRASH_APP: _on_pod(Pod.crash_app),
    Kind.SLAM_APP: _on_pod(lambda pod, lasts: pod.misbehave(Mode.SLAMMING, lasts)),
    Kind.REFUSE_APP: _on_pod(lambda pod, lasts: pod.misbehave(Mode.REFUSING, lasts)),
    Kind.SLOW_START: _on_pod(Pod.start_slowly),
    Kind.EVICT: _evict,
    Kind.FREEZE_APP: _on_pod(Pod.freeze),
    Kind.CRASH_SIDECAR: _crash_sidecar,
    Kind.FLAP: _flap,
    Kind.STRANGER: _meet_stranger,
    Kind.BLOCK_SIDECARS: _block_sidecars,
    Kind.DISCONNECT: lambda fleet, fault: _on_client(fault, fleet, "disconnect"),
    Kind.HALF_CLOSE: lambda fleet, fault: _on_client(fault, fleet, "half-close"),
    Kind.UNFINISHED: lambda fleet, fault: _on_client(fault, fleet, "unfinished"),
    Kind.STOP_READING: lambda fleet, fault: _on_client(fault, fleet, "stop reading"),
    Kind.GLUT: _glut,
    Kind.REPEAT: _repeat,
    Kind.RECONNECT: _reconnect,
    Kind.LAG: _lag,
    Kind.OUTAGE: _outage,
}
