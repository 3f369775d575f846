"""Messages through real sidecars, as their spans come in: the tree of a chain, of a retry, of a front."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import Arrived, RawCaller, RawReplica, frame, request
from interop.sidecar import Sidecar
from shell.running import packet, reply, wait_until
from tcpservice_traces import Trace, plain, render
from traces.made import CREATE, RESERVE
from traces.running import Running, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTER_ID, INNER_ID = "9324775c755321e3d233c", "9324775c755321e3d233d"


class Shop:
    """A caller's sidecar, two replicas of orders and one of stock with theirs; all export to one receiver."""

    def __init__(self, folder: Path, running: Running, stack: ExitStack) -> None:
        self.running = running
        self._folder = folder
        self._stack = stack
        self._services = [_service("orders", CREATE), _service("stock", RESERVE)]
        self.apps = {name: stack.enter_context(RawReplica()) for name in ("stock-1", "orders-1", "orders-2")}
        self._slices: list[dict[str, Any]] = []
        self._sidecars = {name: self._replica(name) for name in self.apps}
        front = ("--listen", "orders=127.0.0.1:0", "--front", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0")
        self.web = self._start("web-1", *front)

    def _replica(self, name: str) -> Sidecar:
        service, _, serial = name.rpartition("-")
        flags = ["--mesh", "127.0.0.1:0", "--app", f"{service}=127.0.0.1:{self.apps[name].port}"]
        if service == "orders":
            flags += ["--listen", "stock=127.0.0.1:0"]
        sidecar = self._start(name, *flags)
        self._slices.append(endpoint_slice(service, sidecar.ports["mesh"], serial=int(serial)))
        return sidecar

    def _start(self, name: str, *flags: str) -> Sidecar:
        manifest = write_documents(self._folder / f"{name}.yaml", [*self._services, *self._slices])
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.running.url,
            "OTEL_SERVICE_NAME": name.rpartition("-")[0],
            "OTEL_RESOURCE_ATTRIBUTES": f"k8s.pod.name={name}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        return self._stack.enter_context(Sidecar("--file", str(manifest), *flags, env=environment))

    def arrived(self) -> tuple[str, Arrived]:
        """Return at which replica of orders a message arrived, and the message."""
        orders = [name for name in self.apps if name.startswith("orders")]
        wait_until(lambda: any(self.apps[name].waiting() for name in orders), "a message arrives")
        name = next(name for name in orders if self.apps[name].waiting())
        return name, self.apps[name].next()

    def kill(self, name: str) -> None:
        """End a replica's sidecar, as a node that loses power would."""
        self._sidecars[name].kill()

    def reserve(self, name: str, within: Arrived) -> None:
        """Ask stock as an app of NestJS 12 does, which hands on what it was given."""
        given = {"traceparent": within.piece.message["metadata"]["traceparent"]}
        text = '{"pattern":%s,"data":1,"metadata":{"traceparent":"%s"},"id":"%s"}'
        with RawCaller(self._sidecars[name].ports["stock"]) as caller:
            caller.send(frame((text % (RESERVE, given["traceparent"], INNER_ID)).encode()))
            self.apps["stock-1"].next().answer(reply(INNER_ID))
            assert packet(caller)["id"] == INNER_ID


def _service(name: str, pattern: str) -> dict[str, Any]:
    route = {"name": "only", "match": {"type": "Exact", "pattern": pattern}, "idempotent": True}
    return tcp_service(name, {"tracing": {"samplingPercent": "100"}, "routes": [route]})


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with receiving() as running, ExitStack() as stack:
        yield Shop(tmp_path, running, stack)


def told(trace: Trace) -> list[str]:
    """Return the names, routes and notes of the lines below the heading, without what differs from run to run."""
    lines = [plain(line) for line in render(trace, 120)[1:]]
    bare = [re.sub(r"[▏▎▍▌▋▊▉█▐▕━╺╸]+|[\d.]+ (µs|ms|s)|wire", "", line) for line in lines]
    return [re.sub(r"  +", "  ", line).strip() for line in bare]


def test_a_message_through_two_hops(shop: Shop) -> None:
    with RawCaller(shop.web.ports["orders"]) as caller:
        caller.send(request({"cmd": "create"}, 1, OUTER_ID))
        name, outer = shop.arrived()
        shop.reserve(name, outer)
        outer.answer(reply(OUTER_ID))
        assert packet(caller)["id"] == OUTER_ID
    trace = shop.running.trace(4)
    assert told(trace) == [f"web-1  {CREATE}", f"└─ {name}  {CREATE}", f"└─ stock-1  {RESERVE}"]
    assert plain(render(trace, 120)[0]).split()[2:5] == ["web", "→", "orders"]
    wait_until(lambda: shop.running.receiver.counts["requests"] > 6, "metrics come too")
    assert shop.running.receiver.counts["refused"] == 0


def test_a_message_that_is_tried_again(shop: Shop) -> None:
    with RawCaller(shop.web.ports["orders"]) as caller:
        caller.send(request({"cmd": "create"}, 1, OUTER_ID))
        first, arrived = shop.arrived()
        arrived.connection.shutdown(socket.SHUT_RDWR)
        second, arrived = shop.arrived()
        arrived.answer(reply(OUTER_ID))
        assert packet(caller)["id"] == OUTER_ID
    assert told(shop.running.trace(3)) == [
        f"web-1  {CREATE}  1 failed attempt",
        f"├─ {first}  {CREATE}  connection_closed",
        f"└─ {second}  {CREATE}",
    ]


def test_an_attempt_at_a_replica_that_died_with_its_sidecar(shop: Shop) -> None:
    with RawCaller(shop.web.ports["orders"]) as caller:
        caller.send(request({"cmd": "create"}, 1, OUTER_ID))
        first, _ = shop.arrived()
        shop.kill(first)
        second, arrived = shop.arrived()
        arrived.answer(reply(OUTER_ID))
        assert packet(caller)["id"] == OUTER_ID
    lines = told(shop.running.trace(2))
    assert lines[0] == f"web-1  {CREATE}  1 failed attempt"
    assert re.fullmatch(f"├─ ✗ {first} +✗ +Connection closed", lines[1])
    assert lines[2] == f"└─ {second}  {CREATE}"


def test_a_message_through_the_front(shop: Shop) -> None:
    with RawCaller(shop.web.ports["front/orders"]) as caller:
        caller.send(request({"cmd": "create"}, 1, OUTER_ID))
        name, arrived = shop.arrived()
        arrived.answer(reply(OUTER_ID))
        assert packet(caller)["id"] == OUTER_ID
    assert told(shop.running.trace(3)) == [f"web-1  {CREATE}", f"└─ {name}  {CREATE}"]
