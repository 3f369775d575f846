"""The trace of a message through two sidecars, as a real collector wrote it."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from interop.manifests import endpoint_slice, tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, frame, request
from interop.sidecar import Sidecar
from shell.running import packet, reply
from telemetry.collector import Collector, Recorded, collecting, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN_ID = "9324775c755321e3d233c"
GIVEN_TRACE, GIVEN_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROUTES = [{"name": "sum", "match": {"type": "Exact", "pattern": '{"cmd":"sum"}'}, "idempotent": True}]
SUM = {"cmd": "sum"}
SLOW_S = 0.3


class Mesh:
    """A caller's sidecar, and two replicas with theirs; all send their telemetry to one collector."""

    def __init__(self, folder: Path, collector: Collector, percent: str, protocol: str, stack: ExitStack) -> None:
        self.collector = collector
        self.folder = folder
        tracing = {"samplingPercent": percent, "slowThreshold": f"{SLOW_S * 1000:g}ms"}
        self._service = tcp_service("orders", {"tracing": tracing, "routes": ROUTES})
        environment = collector.environment(protocol)
        self.apps = [stack.enter_context(RawReplica()) for _ in range(2)]
        own = write_documents(folder / "own.yaml", [self._service])
        slices = []
        for serial, app in enumerate(self.apps):
            flags = ("--file", str(own), "--mesh", "127.0.0.1:0", "--app", f"orders=127.0.0.1:{app.port}")
            pod = stack.enter_context(
                Sidecar(*flags, env={**environment, "OTEL_SERVICE_NAME": "orders", "OTEL_RESOURCE_ATTRIBUTES": "a=b"})
            )
            slices.append(endpoint_slice("orders", pod.ports["mesh"], serial=serial))
        self._slices = slices
        manifest = write_documents(folder / "all.yaml", [self._service, *slices])
        self.sidecar = stack.enter_context(
            Sidecar(
                "--file", str(manifest), "--listen", "orders=127.0.0.1:0", "--front", "orders=127.0.0.1:0",
                "--admin", "127.0.0.1:0", env={**environment, "OTEL_SERVICE_NAME": "web"},
            )
        )  # fmt: skip

    def caller(self, name: str = "orders") -> RawCaller:
        return RawCaller(self.sidecar.ports[name])

    def arrived(self) -> Any:
        """Return what arrived at either app."""
        wait_until(lambda: any(app.waiting() for app in self.apps), "a message arrives")
        return next(app for app in self.apps if app.waiting()).next()


@pytest.fixture(params=["http/protobuf"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["100"])
def percent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def mesh(tmp_path: Path, percent: str, protocol: str) -> Iterator[Mesh]:
    with ExitStack() as stack:
        collector = stack.enter_context(collecting(tmp_path))
        yield Mesh(tmp_path, collector, percent, protocol, stack)


def tree(spans: list[Recorded]) -> list[Recorded]:
    """Put the spans of one trace in order, each below the one before it."""
    assert len({span.trace for span in spans}) == 1, spans
    ordered = [span for span in spans if span.parent not in {other.span for other in spans}]
    while len(ordered) < len(spans):
        ordered.append(next(span for span in spans if span.parent == ordered[-1].span))
    return ordered


def kinds(spans: list[Recorded]) -> list[tuple[str, str]]:
    return [(span.resource["service.name"], span.kind) for span in spans]


CLIENT_AND_SERVER = [("web", "client"), ("orders", "server")]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"], indirect=True)
def test_a_request(mesh: Mesh) -> None:
    with mesh.caller() as caller:
        caller.send(request(SUM, 1, OWN_ID))
        arrived = mesh.arrived()
        arrived.answer(reply(OWN_ID))
        assert packet(caller)["id"] == OWN_ID
    client, server = tree(mesh.collector.wait_for(2))
    assert kinds([client, server]) == CLIENT_AND_SERVER
    assert (client.name, client.parent, client.error) == ('{"cmd":"sum"}', "", None)
    assert client.attributes == {
        "rpc.system.name": "nestjs", "rpc.method": '{"cmd":"sum"}', "server.address": "orders.default",
        "tcpservice.service": "default/orders", "tcpservice.message": "request", "tcpservice.responses": "1",
        "tcpservice.failed_attempts": "0", "tcpservice.endpoint": client.attributes["tcpservice.endpoint"],
        "network.peer.address": "127.0.0.1", "network.peer.port": client.attributes["network.peer.port"],
    }  # fmt: skip
    assert server.resource["a"] == "b"
    assert 0 < server.nanoseconds <= client.nanoseconds < 5_000_000_000
    given = arrived.piece.message["metadata"]["traceparent"]
    assert given == f"00-{server.trace}-{server.span}-01"


def test_an_event(mesh: Mesh) -> None:
    with mesh.caller() as caller:
        caller.send(frame(b'{"pattern":"created","data":1}'))
        mesh.arrived()
        spans = tree(mesh.collector.wait_for(2))
    assert kinds(spans) == CLIENT_AND_SERVER
    assert [span.name for span in spans] == ["nestjs", "nestjs"]
    assert spans[0].attributes["rpc.method"] == "_OTHER"
    assert spans[0].attributes["rpc.method_original"] == "created"
    assert spans[0].attributes["tcpservice.message"] == "event"


def test_a_stream(mesh: Mesh) -> None:
    with mesh.caller() as caller:
        caller.send(request("report", 1, "s"))
        arrived = mesh.arrived()
        for value in range(3):
            arrived.answer(frame(b'{"response":%d,"id":"s"}' % value))
        arrived.answer(frame(b'{"isDisposed":true,"id":"s"}'))
        spans = tree(mesh.collector.wait_for(2))
    assert [span.attributes["tcpservice.responses"] for span in spans] == ["4", "4"]
    assert [span.name for span in spans] == ["report", "report"]


def test_a_message_that_was_tried_again(mesh: Mesh) -> None:
    with mesh.caller() as caller:
        caller.send(request(SUM, 1, OWN_ID))
        first = mesh.arrived()
        first.connection.shutdown(socket.SHUT_RDWR)
        second = mesh.arrived()
        second.answer(reply(OWN_ID))
        assert packet(caller)["response"] == "ok"
        spans = mesh.collector.wait_for(3)
    (client,) = [span for span in spans if span.kind == "client"]
    servers = [span for span in spans if span.kind == "server"]
    assert {span.trace for span in spans} == {client.trace}
    assert {span.parent for span in servers} == {client.span}
    assert {span.error for span in servers} == {None, "connection_closed"}
    assert client.error is None
    assert client.attributes["tcpservice.failed_attempts"] == "1"
    assert client.events[0]["reason"] == "Connection closed"


def test_a_rewritten_id(mesh: Mesh) -> None:
    with mesh.caller() as one, mesh.caller() as other:
        for caller in (one, other):
            caller.send(request(SUM, 1, "same") * 2)
        for _ in range(4):
            arrived = mesh.arrived()
            arrived.answer(reply(arrived.id))
        spans = mesh.collector.wait_for(8)
    clients = {span.span: span for span in spans if span.kind == "client"}
    assert len(clients) == 4
    for server in (span for span in spans if span.kind == "server"):
        assert clients.pop(server.parent).trace == server.trace


@pytest.mark.parametrize("percent", ["0"], indirect=True)
def test_an_error_that_was_not_sampled(mesh: Mesh) -> None:
    with mesh.caller() as caller:
        caller.send(request(SUM, 1, OWN_ID))
        arrived = mesh.arrived()
        assert "metadata" not in arrived.piece.message
        arrived.answer(frame(b'{"err":"no","isDisposed":true,"id":"%b"}' % OWN_ID.encode()))
        spans = tree(mesh.collector.wait_for(2))
    assert kinds(spans) == CLIENT_AND_SERVER
    assert [span.error for span in spans] == ["rpc_exception"] * 2
    assert [span.attributes["error.type"] for span in spans] == ["rpc_exception"] * 2
    assert [span.attributes["tcpservice.kept"] for span in spans] == ["error"] * 2


def seconds_of(mesh: Mesh, caller: RawCaller, pattern: str, id_: str, seconds: float) -> float:
    """Ask what is answered after so many seconds; return how many it took as the caller sees it."""
    begun = time.monotonic()
    caller.send(request(pattern, 1, id_))
    arrived = mesh.arrived()
    time.sleep(seconds)
    arrived.answer(reply(id_))
    assert packet(caller)["id"] == id_
    return time.monotonic() - begun


@pytest.mark.parametrize("percent", ["0"], indirect=True)
def test_a_slow_one_and_a_quick_one_that_were_not_sampled(mesh: Mesh) -> None:
    with mesh.caller() as caller:
        ids = {"quick 1": "a" * 21, "quick 2": "b" * 21, "quick 3": "c" * 21}
        quick = [each for each, id_ in ids.items() if seconds_of(mesh, caller, each, id_, 0.0) < SLOW_S]
        assert quick, "this machine is too slow"
        seconds_of(mesh, caller, "slow", OWN_ID, 0.1 + SLOW_S)
        wait_until(lambda: sum(span.name == "slow" for span in mesh.collector.spans()) == 2, "the slow one is written")
        time.sleep(0.3)
    written = mesh.collector.spans()
    assert not [span for span in written if span.name in quick]
    spans = tree([span for span in written if span.name == "slow"])
    assert kinds(spans) == CLIENT_AND_SERVER
    assert [span.attributes["tcpservice.kept"] for span in spans] == ["slow"] * 2
    assert [span.error for span in spans] == [None, None]


def test_one_through_the_front_listener(mesh: Mesh) -> None:
    with mesh.caller("front/orders") as caller:
        caller.send(request(SUM, 1, OWN_ID))
        mesh.arrived().answer(reply(OWN_ID))
        spans = tree(mesh.collector.wait_for(3))
    assert kinds(spans) == [("web", "server"), *CLIENT_AND_SERVER]
    assert [span.attributes.get("tcpservice.listener") for span in spans] == ["front", "front", None]


@pytest.mark.parametrize("percent", ["0"], indirect=True)
def test_one_with_the_apps_own_parent(mesh: Mesh) -> None:
    parent = f"00-{GIVEN_TRACE}-{GIVEN_SPAN}-01"
    with mesh.caller() as caller:
        caller.send(with_parent(parent))
        arrived = mesh.arrived()
        arrived.answer(reply(OWN_ID))
        client, server = tree(mesh.collector.wait_for(2))
    assert (client.trace, client.parent) == (GIVEN_TRACE, GIVEN_SPAN)
    metadata = arrived.piece.message["metadata"]
    assert metadata == {"tenant": 7, "traceparent": f"00-{GIVEN_TRACE}-{server.span}-01"}


def test_one_whose_parent_is_unsampled(mesh: Mesh) -> None:
    sent = with_parent(f"00-{GIVEN_TRACE}-{GIVEN_SPAN}-00")
    with mesh.caller() as caller:
        caller.send(sent)
        arrived = mesh.arrived()
        assert arrived.piece.raw == sent
        arrived.answer(reply(OWN_ID))
        assert packet(caller)["id"] == OWN_ID
        assert mesh.collector.wait_for(0) == []


def with_parent(traceparent: str) -> bytes:
    text = '{"pattern":{"cmd":"sum"},"data":1,"metadata":{"tenant":7,"traceparent":"%s"},"id":"%s"}'
    return frame((text % (traceparent, OWN_ID)).encode())
