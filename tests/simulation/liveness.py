"""What must become true once the faults have stopped.

Used by `fleet`. Within 30 simulated seconds of light traffic the newest snapshot is in force everywhere, and nothing
that can be answered is pending. Then each client sends a burst of requests, each of which must be answered, and each
caller's sidecar must use each healthy endpoint. At the end all clients disconnect, and no sidecar may have a message
left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulation.ledger import Message
from simulation.nest_client import Client
from simulation.scenario import ENDLESS, Patience, Pattern
from tcpservice.snapshot import MILLISECOND, SECOND, Algorithm

if TYPE_CHECKING:
    from simulation.fleet import Fleet

REACHABLE_WITHIN: Final = 10 * SECOND
RECOVERY: Final = 30 * SECOND
ANSWERED_WITHIN: Final = 12 * SECOND
CLOSED_WITHIN: Final = 7 * SECOND
"""A connection that a client has closed may wait five seconds for replies that it is owed."""

_PER_ENDPOINT: Final = 25
_PAUSE: Final = 2 * MILLISECOND


def prove(fleet: Fleet) -> None:
    """Run the liveness phase and check what must be true at its end."""
    clock, ledger = fleet.world.clock, fleet.world.ledger
    healed = clock.now
    for number, client in enumerate(fleet.clients):
        if number % 2 == 0:
            clock.after((1 + number) * 10 * MILLISECOND, _go_on_calling, fleet, client, healed + RECOVERY)
    clock.run(healed + RECOVERY)
    _check_snapshots(fleet)
    _check_pending(fleet, healed)
    before = {id(sidecar): dict(sidecar.watch.served) for sidecar in fleet.sidecars()}
    proofs: list[Message] = []
    for _ in range(2):  # an endpoint may be out of use for a moment, when a slow network lets a dial to it time out
        for client in fleet.clients:
            clock.after(_PAUSE, _prove_client, fleet, client, proofs, _burst(fleet), _PAUSE * len(fleet.clients))
        clock.run(clock.now + ANSWERED_WITHIN)
    answers = {"ok", "abandoned"} if fleet.scenario.times.total_bytes else {"ok"}
    for message in proofs:
        if message.outcome not in answers:
            ledger.violate(
                "once faults have stopped, each request is answered",
                f"{message}: {message.outcome or 'no answer'} ({ANSWERED_WITHIN // SECOND} s after it was sent)",
            )
    _check_use(fleet, before)
    ledger.check_events()
    fleet.audit()
    _leave(fleet)


def check_refusal(fleet: Fleet, client: str, key: str, dialled: int) -> None:
    """Check that a client is not refused once faults have stopped and an endpoint has been healthy for a while.

    A dial that began before that may end in the time-out of a pod that is gone.
    """
    now, healed = fleet.world.clock.now, fleet.healed
    if healed is None or dialled - healed < REACHABLE_WITHIN:
        return
    for pod in fleet.live_pods(key):
        if pod.healthy and pod.ready and now - pod.app.started > REACHABLE_WITHIN:
            fleet.world.ledger.violate(
                "a service with a healthy endpoint does not refuse", f"{client} was refused, though {pod.name} serves"
            )


def _go_on_calling(fleet: Fleet, client: Client, until: int) -> None:
    client.call(Pattern.ECHO, Patience.ENDLESS)
    client.call(Pattern.EVENT, Patience.ENDLESS)
    if fleet.world.clock.now + SECOND < until:
        fleet.world.clock.after(SECOND - 7 * MILLISECOND, _go_on_calling, fleet, client, until)


def _burst(fleet: Fleet) -> int:
    most = max(len(fleet.live_pods(service.key)) for service in fleet.services)
    return _PER_ENDPOINT * most


def _prove_client(fleet: Fleet, client: Client, proofs: list[Message], left: int, pause: int) -> None:
    proofs.append(client.call(Pattern.ECHO, Patience.ENDLESS))
    if left > 1:
        fleet.world.clock.after(pause, _prove_client, fleet, client, proofs, left - 1, pause)


def _check_snapshots(fleet: Fleet) -> None:
    for sidecar in fleet.sidecars():
        for service in fleet.services:
            expected = fleet.endpoints(service.key)
            found = sidecar.endpoints_in_force(service.key)
            if found != expected:
                fleet.world.ledger.violate(
                    "the newest snapshot is in force", f"{sidecar.name} has {found}, the cluster {expected}"
                )


def _check_pending(fleet: Fleet, healed: int) -> None:
    """Check that each request sent before the faults stopped, or soon after, has ended."""
    for client in fleet.clients:
        for session in client.sessions:
            for message in session.pending.values():
                endless = message.abandoned or message.pattern in ENDLESS
                if not endless and message.sent < healed + RECOVERY // 2:
                    fleet.world.ledger.violate(
                        "nothing that can be answered stays pending", f"{message} has no answer and no error"
                    )


def _check_use(fleet: Fleet, before: dict[int, dict[str, int]]) -> None:
    for caller in fleet.callers:
        keys = {
            fleet.services[fleet.scenario.clients[number].service].key: None for number in _behind(fleet, caller.name)
        }
        for key in keys:
            if _is_uneven(fleet, key):
                continue
            for pod in fleet.live_pods(key):
                address = f"{pod.endpoint.host}:{pod.endpoint.port}"
                served = caller.sidecar.watch.served.get(address, 0)
                if pod.healthy and served == before.get(id(caller.sidecar), {}).get(address, 0):
                    fleet.world.ledger.violate(
                        "each healthy endpoint is used again", f"{caller.name} sent nothing to {pod.name} at {address}"
                    )


def _is_uneven(fleet: Fleet, key: str) -> bool:
    """Whether open streams make endpoints differ for good, so LeastRequest is right to prefer some of them."""
    algorithm = next(service.algorithm for service in fleet.services if service.key == key)
    return algorithm is Algorithm.LEAST_REQUEST and any(
        message.pattern in ENDLESS and not message.outcome and key in message.scopes
        for message in fleet.world.ledger.messages
    )


def _behind(fleet: Fleet, pod: str) -> list[int]:
    """Return the numbers of the clients that call through a caller's sidecar."""
    return [
        number
        for number, shape in enumerate(fleet.scenario.clients)
        if f"caller-{shape.pod}" == pod and not (shape.front and all(fleet.scenario.services[shape.service].meshed))
    ]


def _leave(fleet: Fleet) -> None:
    """Let all clients disconnect: no sidecar may have anything left."""
    clock = fleet.world.clock
    for client in fleet.clients:
        for session in list(client.sessions):
            session.destroy("the end")
    clock.run(clock.now + CLOSED_WITHIN)
    for sidecar in fleet.sidecars():
        if sidecar.in_flight():
            fleet.world.ledger.violate(
                "all places are given back", f"{sidecar.name} has {sidecar.in_flight()} messages without a client"
            )
    fleet.audit()
