"""Messages go to the apps' own ports while no sidecar of a service can be connected to, and back without a loss."""

from __future__ import annotations

import pytest

from core.exchange.stage import Stage, Upstream, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import SECOND, Endpoint, Protocol, Service, Timeouts

GRACE = Bounds(unreachable_grace=2 * SECOND)
MESH, APP = 15801, 3000
BLOCKED = {f"10.0.0.{n}:{MESH}" for n in range(3)}


def meshed(
    count: int = 2, app_port: int | None = APP, *, ready: bool = True, serving: bool = True
) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(
            host=f"10.0.0.{n}", port=MESH, name=f"r{n}", mesh=True, app_port=app_port, ready=ready, serving=serving
        )
        for n in range(count)
    )


def orders(*endpoints: Endpoint, request: int = 30 * SECOND) -> Service:
    return service(endpoints=endpoints, timeouts=Timeouts(request=request))


def blocked(count: int = 2) -> Stage:
    stage = Stage(orders(*meshed(count)), bounds=GRACE)
    stage.refusing = set(BLOCKED)
    return stage


def places(stage: Stage) -> set[str]:
    """Where connections are open."""
    return {upstream.place for upstream in stage.upstreams if upstream.is_open()}


def shown(stage: Stage) -> list[tuple[str, str]]:
    (seen,) = stage.exchange.services()
    return [(endpoint.address, endpoint.state) for endpoint in seen.endpoints]


def test_messages_go_to_the_apps_while_no_sidecar_takes_a_connection() -> None:
    stage = blocked()
    client = stage.client()
    client.ask("1")
    client.emit("created")
    client.ask("2")
    for id_ in ("1", "2"):
        assert stage.holder(id_).place.endswith(f":{APP}")
        stage.holder(id_).reply(id_)
    assert stage.codes() == ["ok", "ok", "ok"]
    assert "sidecars_bypassed" in stage.reported()
    stage.pass_time(60 * SECOND)
    assert client.is_open()
    assert stage.reported().count("sidecars_bypassed") == 1
    assert {state for _, state in shown(stage)} == {"ejected", "fallback"}


def test_one_sidecar_that_can_be_reached_is_preferred_to_any_app() -> None:
    stage = blocked()
    stage.refusing.discard(f"10.0.0.1:{MESH}")
    client = stage.client()
    for number in range(20):
        client.ask(f"n{number}")
    assert stage.upstream("r1").ids == [f"n{number}" for number in range(20)]
    assert places(stage) == {f"10.0.0.1:{MESH}"}
    assert "sidecars_bypassed" not in stage.reported()
    assert shown(stage) == [(f"10.0.0.0:{MESH}", "ejected"), (f"10.0.0.1:{MESH}", "healthy")]


def test_the_way_back_costs_no_message_and_what_is_in_flight_is_answered() -> None:
    stage = blocked(1)
    client = stage.client()
    client.ask("1")
    app = stage.holder("1")
    stage.refusing = set()
    stage.pass_time(5 * SECOND)
    assert places(stage) == {f"10.0.0.0:{MESH}", f"10.0.0.0:{APP}"}
    client.ask("2")
    assert stage.holder("2").place == f"10.0.0.0:{MESH}"
    assert app.is_open(), "it still owes a reply"
    app.reply("1")
    stage.holder("2").reply("2")
    assert stage.codes() == ["ok", "ok"]
    assert places(stage) == {f"10.0.0.0:{MESH}"}
    assert shown(stage) == [(f"10.0.0.0:{MESH}", "healthy")]


def test_what_waits_for_a_dial_to_the_app_moves_to_the_sidecar() -> None:
    stage = blocked(1)
    stage.hanging = {"r0"}
    client = stage.client()
    client.ask("1")
    client.emit("created")
    stage.refusing, stage.hanging = set(), set()
    stage.pass_time(900_000_000)
    assert stage.holder("1").place == f"10.0.0.0:{MESH}"
    assert stage.holder("1").patterns == ["sum", "created"]


def test_a_service_is_down_where_neither_sidecars_nor_apps_take_connections() -> None:
    stage = Stage(orders(*meshed()), bounds=GRACE)
    stage.refusing = {"r0", "r1"}
    client = stage.client()
    client.ask("1")
    stage.pass_time(4 * SECOND)
    assert client.codes() == {"1": "no_endpoints"}
    assert not client.is_open()
    assert stage.refusing_connections == {"shop/orders"}
    stage.refusing = set(BLOCKED)
    stage.pass_time(SECOND)
    assert not stage.refusing_connections, "an app is enough"


def test_no_message_goes_past_the_sidecars_without_a_port_to_go_to() -> None:
    stage = Stage(orders(*meshed(app_port=None)), bounds=GRACE)
    stage.refusing = set(BLOCKED)
    client = stage.client()
    client.ask("1")
    stage.pass_time(10 * SECOND)
    assert client.codes() == {"1": "no_endpoints"}
    assert {upstream.place for upstream in stage.upstreams} <= BLOCKED


@pytest.mark.parametrize("lost", ["connection", "preface", "absent"])
def test_only_a_connection_that_cannot_be_made_leads_past_a_sidecar(lost: str) -> None:
    stage = Stage(orders(*meshed(1)), bounds=GRACE)
    client = stage.client()
    if lost == "preface":
        stage.silent = {"r0"}
    client.ask("1")
    if lost == "connection":
        stage.hanging = {"r0"}
        stage.upstream().drop()
    elif lost == "absent":
        stage.upstream().say(b"goaway", b"app")
    client.ask("2")
    stage.pass_time(900_000_000)
    assert {upstream.place for upstream in stage.upstreams} == {f"10.0.0.0:{MESH}"}


def _fallback(stage: Stage) -> Upstream:
    client = stage.client()
    client.ask("1")
    app = stage.holder("1")
    assert app.place == f"10.0.0.0:{APP}"
    return app


def test_a_fallback_is_kept_through_snapshots_and_follows_its_sidecars_readiness() -> None:
    stage = blocked(1)
    app = _fallback(stage)
    stage.swap(orders(*meshed(1, ready=False)))
    stage.clients[0].ask("2")
    assert app.ids == ["1", "2"]
    stage.swap(orders(*meshed(1, serving=False)))
    stage.clients[0].ask("3")
    assert app.ids == ["1", "2"]
    assert app.is_open()


@pytest.mark.parametrize("now", ["gone", "another port", "no port"])
def test_a_fallback_goes_with_its_sidecar_or_its_port(now: str) -> None:
    stage = blocked(1)
    app = _fallback(stage)
    ports = {"another port": 3009, "no port": None}
    stage.swap(orders(*meshed(1, ports[now])) if now in ports else orders())
    stage.clients[0].ask("2")
    assert app.ids == ["1"]
    assert app.is_open()
    app.reply("1")
    assert not app.is_open()


def test_a_fallback_that_the_snapshot_lists_is_an_endpoint_like_any_other() -> None:
    stage = blocked(1)
    app = _fallback(stage)
    stage.swap(orders(Endpoint(host="10.0.0.0", port=APP, name="r0")))
    stage.refusing = set()
    stage.pass_time(60 * SECOND)
    stage.clients[0].ask("2")
    assert app.ids == ["1", "2"]
    assert shown(stage) == [(f"10.0.0.0:{APP}", "healthy")]


def test_an_endpoint_of_its_own_right_is_no_fallback_of_a_sidecar_at_its_address() -> None:
    stage = Stage(orders(*meshed(1), Endpoint(host="10.0.0.0", port=APP, name="bare")), bounds=GRACE)
    stage.refusing = set(BLOCKED)
    client = stage.client()
    for number in range(8):
        client.ask(f"n{number}")
    app = stage.upstream("bare")
    stage.refusing = set()
    stage.pass_time(60 * SECOND)
    assert app.is_open()
    assert app.ids == [f"n{number}" for number in range(8)]
    assert "sidecars_bypassed" not in stage.reported()


def test_connections_of_an_opaque_service_go_to_the_apps_too() -> None:
    opaque = service(endpoints=meshed(1), protocol=Protocol.OPAQUE)
    stage = Stage(opaque)
    chosen = stage.exchange.relay(opaque, frozenset())
    assert chosen is not None
    stage.exchange.relay_refused(chosen[0], "refused", stage.now)
    stage.refusing = set(BLOCKED)
    again = stage.exchange.relay(opaque, frozenset({chosen[1]}))
    assert again is not None
    assert (again[1].port, again[1].mesh) == (APP, False)
    stage.pass_time(5 * SECOND)
    stage.refusing = set()
    stage.pass_time(10 * SECOND)
    later = stage.exchange.relay(opaque, frozenset())
    assert later is not None
    assert later[1] == opaque.endpoints[0]
    assert shown(stage) == [(f"10.0.0.0:{MESH}", "healthy")], "the relayed connection does not keep it"
