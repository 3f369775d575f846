"""The sidecar and the operator's stream: what it takes, what it refuses, and what it says of either."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from interop.manifests import tcp_service, write_documents
from interop.rawpeer import RawCaller, RawReplica, request
from interop.sidecar import Sidecar
from shell.running import ask, events, logged, packet, reply, view, wait_until
from shell.scripted import ScriptedOperator, orders, whole, write_authority
from tcpservice.snapshot import Endpoint, Service, Snapshot
from tcpservice.updates import Change, encode, join
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.discovery import DiscoverySource
from tcpservice_sidecar.hosts import Hosts
from tcpservice_sidecar.logs import Log
from tcpservice_sidecar.names import Names
from tcpservice_sidecar.resolving import Resolving
from tcpservice_sidecar.security import Plain
from tcpservice_sidecar.settings import read_settings


class Place:
    """A folder as a kubelet mounts it, an operator, and a sidecar that follows it."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.operator = ScriptedOperator(self.authority)
        self.token, self.trusted, self.manifest = folder / "token", folder / "ca.crt", folder / "orders.yaml"
        self.token.write_text("the-token\n")
        write_authority(self.authority, self.trusted)
        write_documents(self.manifest, [tcp_service("orders")])

    @property
    def flags(self) -> list[str]:
        return [
            "--file", str(self.manifest), "--listen", "orders=127.0.0.1:0", "--admin", "127.0.0.1:0",
            "--discovery", self.operator.address, "--discovery-token", str(self.token),
            "--discovery-ca", str(self.trusted),
        ]  # fmt: skip

    def sidecar(self, *flags: str) -> Sidecar:
        return Sidecar(*self.flags, *flags)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    here = Place(tmp_path)
    with here.operator.running():
        yield here


def hosts(sidecar: Sidecar) -> list[str]:
    (service,) = view(sidecar)["services"]
    return [replica["address"].partition(":")[0] for replica in service["endpoints"]]


def said(sidecar: Sidecar, event: str = "discovery_lost") -> str:
    return " | ".join(each["message"] for each in events(sidecar, event))


def test_it_is_ready_at_once_and_follows_with_its_token(place: Place) -> None:
    with place.sidecar() as sidecar:
        assert ask(sidecar, "/readyz").status == 200
        assert hosts(sidecar) == []
        place.operator.say(whole(orders("10.0.0.1")))
        wait_until(lambda: hosts(sidecar) == ["10.0.0.1"], "it is told")
        assert place.operator.tokens[-1] == "Bearer the-token"
        (told,) = logged(sidecar, "discovery_connected")
        assert told["message"] == f"following the operator at {place.operator.address}"
        silence = [
            line for line in ask(sidecar, "/metrics").text.splitlines() if line.startswith("tcpservice_discovery_s")
        ]
        assert float(silence[0].split()[1]) < 5


@pytest.mark.parametrize("protocol", ["NestJS", "Opaque"])
def test_messages_wait_until_the_operator_has_told_of_the_replicas(place: Place, protocol: str) -> None:
    write_documents(place.manifest, [tcp_service("orders", {"protocol": protocol})])
    with RawReplica() as replica, place.sidecar() as sidecar, RawCaller(sidecar.ports["orders"]) as caller:
        caller.send(request("sum", 1, "1"))
        assert ask(sidecar, "/readyz").status == 200
        place.operator.say(whole(orders("127.0.0.1", port=replica.port)))
        arrived = replica.next()
        arrived.answer(reply(arrived.id))
        assert packet(caller)["response"] == "ok"


def test_messages_fail_once_neither_operator_nor_name_server_tells_of_replicas(place: Place) -> None:
    place.operator.say(whole())
    with place.sidecar("--cluster-domain", "invalid") as sidecar, RawCaller(sidecar.ports["orders"]) as caller:
        caller.send(request("sum", 1, "1"))
        assert packet(caller)["err"]["message"] == "default/orders has no endpoint"
        wait_until(lambda: said(sidecar, "resolved") == "by the name server: nothing", "it says why")


def test_what_the_operator_says_while_the_name_server_is_asked_holds(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that does not answer takes seconds to say nothing."""
    discovery = read_settings(place.flags, {}).discovery
    assert discovery is not None
    bootstrap = Snapshot(services=(Service(namespace="default", name="orders", port=3001),))
    source = DiscoverySource(discovery, bootstrap, Connector(Plain(), Hosts(), Names()), Log(io.StringIO()), set, {})
    snapshots: list[Snapshot] = []

    async def asked_late(_: Resolving, service: Service, *, last_resort: bool) -> list[Endpoint]:
        assert last_resort
        assert service.awaited
        place.operator.say(whole(orders("10.0.0.1")), ends=True)
        while not snapshots:
            await asyncio.sleep(0.02)
        answered.set()
        return []

    async def scene() -> None:
        watching = asyncio.create_task(source.watch(snapshots.append))
        await answered.wait()
        await asyncio.sleep(0.1)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.sleep(0.1)

    answered = asyncio.Event()
    monkeypatch.setattr(Resolving, "endpoints_of", asked_late)
    asyncio.run(asyncio.wait_for(scene(), 20))
    (service,) = source.in_force.services
    assert [endpoint.host for endpoint in service.endpoints] == ["10.0.0.1"]


def test_a_stream_that_ends_is_begun_anew_and_nothing_is_forgotten(place: Place) -> None:
    place.operator.say(whole(orders("10.0.0.1")), ends=True)
    with place.sidecar() as sidecar:
        wait_until(lambda: hosts(sidecar) == ["10.0.0.1"], "it is told")
        wait_until(lambda: "the operator ended the stream" in said(sidecar, "discovery_ended"), "it says so")
        assert hosts(sidecar) == ["10.0.0.1"]
        place.operator.say(whole(orders("10.0.0.2"), version=9))
        wait_until(lambda: hosts(sidecar) == ["10.0.0.2"], "it is told again")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (b'{"version":}\n', "JSON is malformed"),
        (b'{"version":2,"services":[{"namespace":"default","name":"orders","port":0}]}\n', "$.services[0].port"),
        (join(8, {}, base=7), "a change of version 7, where version 1 was told"),
        (
            join(2, {}, base=1, changes=[b'{"service":"default/x"}']),
            "a change of default/x, which is not there",
        ),
    ],
)
def test_what_is_wrong_replaces_nothing_and_is_said(place: Place, wrong: bytes, words: str) -> None:
    place.operator.say(whole(orders("10.0.0.1")), wrong)
    with place.sidecar() as sidecar:
        wait_until(lambda: words in said(sidecar), "it is refused")
        assert hosts(sidecar) == ["10.0.0.1"]
        place.operator.say(whole(orders("10.0.0.2")))
        wait_until(lambda: hosts(sidecar) == ["10.0.0.2"], "a right one is taken")


def test_an_older_snapshot_waits_until_its_operator_has_caught_up(place: Place) -> None:
    place.operator.say(whole(orders("10.0.0.5"), slices=5), ends=True)
    with place.sidecar() as sidecar:
        wait_until(lambda: hosts(sidecar) == ["10.0.0.5"], "it is told")
        place.operator.say(whole(orders("10.0.0.4"), slices=4), ends=True)
        wait_until(lambda: len(place.operator.tokens) > 2, "it was told older things")
        assert hosts(sidecar) == ["10.0.0.5"]
        place.operator.say(whole(orders("10.0.0.6"), slices=6))
        wait_until(lambda: hosts(sidecar) == ["10.0.0.6"], "it is told newer ones")


def test_an_operator_that_is_silent_is_left(place: Place) -> None:
    place.operator.say(whole(orders("10.0.0.1")))
    with place.sidecar("--discovery-silence", "1s") as sidecar:
        wait_until(lambda: hosts(sidecar) == ["10.0.0.1"], "it is told")
        place.operator.say(whole(orders("10.0.0.2")))
        wait_until(lambda: hosts(sidecar) == ["10.0.0.2"], "it asks again")


def test_a_service_that_is_gone_keeps_its_replicas(place: Place) -> None:
    place.operator.say(whole(orders("10.0.0.1")), join(2, {}, base=1, gone=["default/orders"]), join(3, {}, base=2))
    with place.sidecar() as sidecar:
        wait_until(lambda: hosts(sidecar) == ["10.0.0.1"], "it is told")
        wait_until(lambda: said(sidecar, "discovery_connected"), "it follows")
        assert hosts(sidecar) == ["10.0.0.1"]


def test_a_refusal_is_said_with_its_reason(place: Place) -> None:
    place.operator.say(b"the token is not valid: expired\n", status=401, ends=True)
    with place.sidecar() as sidecar:
        wait_until(lambda: "status 401: the token is not valid: expired" in said(sidecar), "it says so")


def test_a_token_or_an_authority_may_come_later(place: Place, tmp_path: Path) -> None:
    place.token.unlink()
    place.trusted.unlink()
    place.operator.say(whole(orders("10.0.0.1")))
    with place.sidecar() as sidecar:
        wait_until(lambda: f"{tmp_path}/ca.crt, cannot be read: No such file or directory" in said(sidecar), "no CA")
        write_authority(place.authority, place.trusted)
        wait_until(lambda: f"the token {tmp_path}/token cannot be read" in said(sidecar), "no token")
        place.token.write_text("late")
        wait_until(lambda: hosts(sidecar) == ["10.0.0.1"], "it follows")


def test_somebody_else_is_not_believed(place: Place) -> None:
    write_authority(trustme.CA(), place.trusted)
    place.operator.say(whole(orders("10.0.0.1")))
    with place.sidecar() as sidecar:
        wait_until(lambda: "certificate verify failed" in said(sidecar), "it says so")
        assert hosts(sidecar) == []
        assert not place.operator.tokens, "nobody else gets the token"
        place.trusted.write_text("spoilt")
        wait_until(lambda: "ca.crt, cannot be read" in said(sidecar), "it says what is wrong with the file")
        write_authority(place.authority, place.trusted)
        wait_until(lambda: hosts(sidecar) == ["10.0.0.1"], "it follows")


def test_a_certificate_for_another_name_is_not_believed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.operator.server_close()
    place.operator = ScriptedOperator(place.authority, "somebody.else")
    with place.operator.running(), place.sidecar() as sidecar:
        wait_until(lambda: "IP address mismatch" in said(sidecar), "it says so")


def test_what_discovery_needs_is_said(tmp_path: Path) -> None:
    write_documents(tmp_path / "orders.yaml", [tcp_service("orders")])
    for flags, words in (
        (("--upstream", "orders=127.0.0.1:1", "--discovery", "x:1"), "--discovery needs --file PATH"),
        (("--file", str(tmp_path / "orders.yaml"), "--discovery", "x"), "--discovery: expected HOST:PORT"),
        (("--file", str(tmp_path / "orders.yaml"), "--mesh-port", "0"), "--mesh-port: expected a port from 1 to 65535"),
    ):
        sidecar = Sidecar(*flags, "--listen", "orders=127.0.0.1:0").process.start()
        assert sidecar.wait(20) == 2
        sidecar.stop()
        assert words in sidecar.stderr
        assert json.dumps(sidecar.stderr).count("\\n") == 1


def test_endpoints_that_answer_stay_when_their_list_becomes_empty(place: Place) -> None:
    with RawReplica() as first, RawReplica() as second:
        whole_list = [Endpoint(host="127.0.0.1", port=each.port, name=f"at-{each.port}") for each in (first, second)]
        listed = encode(Service(namespace="default", name="orders", port=3001, endpoints=tuple(whole_list)))
        gone = encode(Change(service="default/orders", gone=tuple(each.name for each in whole_list)))
        place.operator.say(whole(listed), join(2, {}, base=1, changes=[gone]))
        with place.sidecar("--resolve-every", "1s") as sidecar:
            logged(sidecar, "discovery_connected")
            wait_until(lambda: len(hosts(sidecar)) == 2, "it is told")
            name = f"at-{second.port}"
            second.close()
            (event,) = logged(sidecar, "endpoints_lost")
            assert event["message"] == f"not listed any more, and silent: {name}"
            with RawCaller(sidecar.ports["orders"]) as caller:
                caller.send(request("sum", 1, "1"))
                arrived = first.next()
                arrived.answer(reply(arrived.id))
                assert packet(caller)["response"] == "ok"
            first.close()
            wait_until(lambda: hosts(sidecar) == [], "the last one is lost")


@pytest.mark.parametrize(("serves", "expected"), [(True, ["localhost"]), (False, ["10.96.0.7"])])
def test_the_last_resort_of_a_pod_that_serves_is_its_own_app(
    place: Place, monkeypatch: pytest.MonkeyPatch, serves: bool, expected: list[str]
) -> None:
    async def addresses(_: Resolving, name: str) -> list[str]:
        return [] if "-replicas" in name else ["10.96.0.7"]

    monkeypatch.setattr(Resolving, "_addresses", addresses)
    discovery = read_settings(place.flags, {}).discovery
    assert discovery is not None
    service = Service(namespace="default", name="orders", port=3001)
    apps = {"default/orders": Endpoint(host="localhost", port=3000, name="app")} if serves else {}
    resolving = Resolving(discovery, Connector(Plain(), Hosts(), Names()), apps)
    found = asyncio.run(resolving.endpoints_of(service, last_resort=True))
    assert [endpoint.host for endpoint in found] == expected
    assert asyncio.run(resolving.endpoints_of(service, last_resort=False)) == []


class Named(Names):
    """A name server that knows one replica, and the ports of the SRV records."""

    def __init__(self, *ports: int) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._ports = ports

    async def addresses(self, host: str) -> list[str]:
        return ["10.0.0.1"] if host == "orders-replicas.shop.svc.cluster.local." else await super().addresses(host)

    async def ports(self, service: str) -> list[int]:
        self.asked.append(service)
        if not self._ports:
            raise OSError("it has none")
        return sorted(self._ports)


@pytest.mark.parametrize(
    ("told", "ports", "expected"),
    [(None, (3005, 3006, 3005), 3005), (None, (), 3001), (3002, (3005,), 3002), (None, (15820, 15820, 3005), 3005)],
)
def test_the_port_of_apps_is_the_manifests_or_else_what_the_name_server_tells(
    place: Place, monkeypatch: pytest.MonkeyPatch, told: int | None, ports: tuple[int, ...], expected: int
) -> None:
    async def none_listen(_: Resolving, __: Endpoint) -> bool:
        return False

    monkeypatch.setattr(Resolving, "_answers", none_listen)
    discovery = read_settings(place.flags, {}).discovery
    assert discovery is not None
    names = Named(*ports)
    service = Service(namespace="shop", name="orders", port=3001, app_port=told)
    resolving = Resolving(discovery, Connector(Plain(), Hosts(), names), {})
    (found,) = asyncio.run(resolving.endpoints_of(service, last_resort=False))
    assert (found.host, found.port, found.mesh) == ("10.0.0.1", expected, False)
    assert names.asked == ([] if told else ["_app._tcp.orders-replicas.shop.svc.cluster.local."])
