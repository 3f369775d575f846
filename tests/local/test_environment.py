"""The variables and words of one replica: what a container would find, as it holds on one machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.manifests import deployment, env, port, service, tcp_service
from tcpservice_local.environment import Outlet, Place, environment_of, words_of
from tcpservice_local.fleet_plan import Plan, make_plan
from tcpservice_local.manifests import read_manifests


def plan(**container: Any) -> Plan:
    documents = [
        tcp_service("orders", 3001),
        {**tcp_service("pay-ments", 3002), "metadata": {"name": "pay-ments", "namespace": "shop"}},
        {**tcp_service("other", 3003), "metadata": {"name": "other", "namespace": "else"}},
        deployment("orders", container=container),
    ]
    text = "\n---\n".join(map(json.dumps, documents))
    return make_plan(read_manifests([("a.yaml", text)]))


def found(*, hosts: tuple[str, str] = ("127.77.0.1", "127.77.0.2"), moved: int = 0, **container: Any) -> dict[str, str]:
    made = plan(**container)
    outlets = tuple(
        Outlet(service, host, service.port + moved)
        for service, host in zip(made.services, (*hosts, "127.77.0.3"), strict=True)
    )
    place = Place(name="orders-2", ports={3001: 20001, 9229: 20002}, outlets=outlets, telemetry={"OTEL_X": "1"})
    return environment_of(made.workloads[0], place, {"PATH": "/bin", "A": "shell"})


def test_kubernetes_own_variables_name_the_services_of_the_namespace() -> None:
    variables = found()
    assert variables["ORDERS_SERVICE_HOST"] == "127.77.0.1"
    assert variables["PAY_MENTS_SERVICE_PORT"] == "3002"
    assert "OTHER_SERVICE_HOST" not in variables
    assert (variables["PORT"], variables["HOSTNAME"], variables["PATH"], variables["OTEL_X"]) == (
        "20001", "orders-2", "/bin", "1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("A", "manifest", "manifest"),
        ("PORT", "3001", "20001"),
        ("TCP_PORT", "3001", "20001"),
        ("OTHER_PORT", "8080", "8080"),
        ("ORDERS_HOST", "orders", "127.77.0.1"),
        ("PAYMENTS_ADDRESS", "pay-ments.shop", "127.77.0.2"),
        ("PAYMENTS", "pay-ments.shop.svc.cluster.local", "127.77.0.2"),
        ("OTHER_HOST", "other", "other"),
        ("OTHER_HOST", "other.else.svc", "127.77.0.3"),
        ("SERVICE_NAME", "orders", "orders"),
        ("ORDERS", "orders:3001", "127.77.0.1:3001"),
        ("ORDERS_URL", "tcp://orders:3001/x", "tcp://127.77.0.1:3001/x"),
        ("ALL", "orders:3001,pay-ments.shop.svc:3002", "127.77.0.1:3001,127.77.0.2:3002"),
        ("HTTP", "http://orders:8080", "http://orders:8080"),
        ("OTHERS", "my-orders:3001", "my-orders:3001"),
        ("REF", "$(PATH):x", "/bin:x"),
    ],
)
def test_values_as_they_hold_here(name: str, value: str, expected: str) -> None:
    assert found(env=env(**{name: value}))[name] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://pages", "http://127.77.0.2:20080"),
        ("http://pages/orders?a=1", "http://127.77.0.2:20080/orders?a=1"),
        ("http://pages.shop:80/", "http://127.77.0.2:20080/"),
        ("http://orders/", "http://orders/"),  # it has no port 80
        ("http://pages-of-others/", "http://pages-of-others/"),
        ("http://me:secret@pages/", "http://me:secret@pages/"),
    ],
)
def test_a_url_without_a_port_means_port_80(value: str, expected: str) -> None:
    documents = (
        tcp_service("orders", 3001),
        service("pages", port(80, "nestjs"), app="orders"),
        deployment("orders", container={"env": env(URL=value)}),
    )
    made = make_plan(read_manifests([("a.yaml", "\n---\n".join(map(json.dumps, documents)))]))
    orders, pages = made.services
    outlets = (Outlet(orders, "127.77.0.1", 3001), Outlet(pages, "127.77.0.2", 20080))
    place = Place(name="orders-1", ports={3001: 20001}, outlets=outlets, telemetry={})
    assert environment_of(made.workloads[0], place, {})["URL"] == expected


def test_where_only_one_loopback_address_exists_ports_follow_their_hosts() -> None:
    local = ("127.0.0.1", "127.0.0.1")
    variables = found(hosts=local, moved=20000, env=env(NEXT_HOST="orders", NEXT_PORT="3001", OTHER_PORT="3001"))
    assert (variables["NEXT_HOST"], variables["NEXT_PORT"]) == ("127.0.0.1", "23001")
    assert variables["OTHER_PORT"] == "20001"


def test_fields_of_the_pod() -> None:
    fields = ("metadata.name", "metadata.namespace", "status.podIP", "metadata.labels['app']", "spec.nodeName")
    variables = found(
        env=[{"name": f"F{n}", "valueFrom": {"fieldRef": {"fieldPath": f}}} for n, f in enumerate(fields)]
    )
    assert [variables[f"F{n}"] for n in range(5)] == ["orders-2", "shop", "127.0.0.1", "orders", "localhost"]


def test_the_command_knows_the_variables() -> None:
    made = plan(command=["node", "main.js"], args=["--port=$(PORT)", "$(NO)"])
    assert words_of(made.workloads[0], {"PORT": "20001"}) == ["node", "main.js", "--port=20001", "$(NO)"]
