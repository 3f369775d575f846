from __future__ import annotations

import pytest

from tcpservice.spec import read

SERVICES = """\
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata: {name: orders, namespace: shop}
spec: {port: 3001, targetPort: nestjs}
---
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata: {name: billing}
spec: {port: 3002}
"""
HEAD = """\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
"""
PORT = "ports: [{port: 3001}]\n"
SECOND = HEAD.replace("orders-1", "orders-2")

SLICES = {
    "an older version": (
        HEAD.replace("/v1", "/v1beta1") + PORT,
        '2: apiVersion: expected discovery.k8s.io/v1, got "discovery.k8s.io/v1beta1"',
    ),
    "no address type": (
        HEAD.replace("addressType: IPv4\n", "") + PORT,
        "2: addressType: missing; expected FQDN, IPv4 or IPv6",
    ),
    "a service that does not exist": (
        HEAD.replace("service-name: orders", "service-name: order") + PORT,
        '4: metadata.labels["kubernetes.io/service-name"]: expected a TcpService that exists '
        '(shop/orders, default/billing), got "shop/order"',
    ),
    "a service of another namespace": (
        HEAD.replace("service-name: orders", "service-name: billing-replicas") + PORT,
        '4: metadata.labels["kubernetes.io/service-name"]: expected a TcpService that exists '
        '(shop/orders, default/billing), got "shop/billing-replicas"',
    ),
    "no service": (
        HEAD.replace(", labels: {kubernetes.io/service-name: orders}", "") + PORT,
        '4: metadata.labels["kubernetes.io/service-name"]: missing; expected the name of a TcpService',
    ),
    "a service's name that is no text": (
        HEAD.replace("service-name: orders", "service-name: 5") + PORT,
        '4: metadata.labels["kubernetes.io/service-name"]: expected text, got 5; put it in quotes',
    ),
    "an odd namespace": (
        HEAD.replace("shop", "_") + PORT,
        '4: metadata.namespace: expected a name of at most 63 lowercase letters, digits and hyphens, got "_"',
    ),
    "no addresses": (
        HEAD + PORT + "endpoints: [{addresses: []}]",
        "7: endpoints[0].addresses: expected a list of addresses, got []",
    ),
    "an address that is missing": (
        HEAD + PORT + "endpoints: [{zone: a}]",
        "7: endpoints[0].addresses: missing; expected a list of addresses",
    ),
    "a name for an address": (
        HEAD + PORT + "endpoints: [{addresses: [localhost]}]",
        '7: endpoints[0].addresses[0]: expected an address of type IPv4, got "localhost"',
    ),
    "addresses of another type": (
        HEAD.replace("IPv4", "IPv6") + PORT + 'endpoints: [{addresses: ["::1"]}, {addresses: [10.0.0.1]}]',
        '7: endpoints[1].addresses[0]: expected an address of type IPv6, got "10.0.0.1"',
    ),
    "an odd host name": (
        HEAD.replace("IPv4", "FQDN") + PORT + "endpoints: [{addresses: [db.shop]}, {addresses: [a_b]}]",
        '7: endpoints[1].addresses[0]: expected an address of type FQDN, got "a_b"',
    ),
    "port 0": (
        HEAD + "ports: [{port: 0}]\nendpoints: [{addresses: [10.0.0.1]}]",
        "6: ports[0].port: expected a port from 1 to 65535, got 0",
    ),
    "no ports": (
        HEAD + "endpoints: [{addresses: [10.0.0.1]}]",
        "2: ports: expected one TCP port, or one that is mesh, app, nestjs or 3001, got []",
    ),
    "ports of which none is meant": (
        HEAD + "ports: [{name: a, port: 1}, {name: b, port: 2}]\nendpoints: [{addresses: [10.0.0.1]}]",
        "6: ports: expected one TCP port, or one that is mesh, app, nestjs or 3001, got [1,2]",
    ),
    "a port of another protocol": (
        HEAD + "ports: [{name: mesh, port: 1, protocol: UDP}]\nendpoints: [{addresses: [10.0.0.1]}]",
        "6: ports: expected one TCP port, or one that is mesh, app, nestjs or 3001, got []",
    ),
    "an unknown protocol": (
        HEAD + "ports: [{port: 1, protocol: tcp}]\nendpoints: [{addresses: [10.0.0.1]}]",
        '6: ports[0].protocol: expected SCTP, TCP or UDP, got "tcp"',
    ),
    "text for a condition": (
        HEAD + PORT + 'endpoints: [{addresses: [10.0.0.1], conditions: {ready: "true"}}]',
        '7: endpoints[0].conditions.ready: expected true or false, got "true"; remove the quotes',
    ),
    "a pod twice in a slice": (
        HEAD
        + PORT
        + "endpoints:\n"
        + "- {addresses: [10.0.0.1], targetRef: {uid: a}}\n"
        + "- {addresses: [10.0.0.2], targetRef: {uid: a}}",
        "9: endpoints[1].targetRef.uid: already the pod of endpoints[0]",
    ),
    "an address twice": (
        HEAD + PORT + "endpoints:\n- addresses: [10.0.0.1]\n- addresses: [10.0.0.1]",
        "9: endpoints[1]: 10.0.0.1:3001 is already the address of orders.yaml:17: EndpointSlice shop/orders-1: "
        "endpoints[0]",
    ),
    "an address of two pods": (
        HEAD
        + PORT
        + "endpoints:\n"
        + "- {addresses: [10.0.0.1], targetRef: {uid: a}}\n"
        + "- {addresses: [10.0.0.1], targetRef: {uid: b}}",
        "9: endpoints[1]: 10.0.0.1:3001 is already the address of orders.yaml:17: EndpointSlice shop/orders-1: "
        "endpoints[0]",
    ),
    "a host twice": (
        HEAD.replace("IPv4", "FQDN") + PORT + "endpoints: [{addresses: [db]}, {addresses: [DB]}]",
        "7: endpoints[1]: DB:3001 is already the address of orders.yaml:16: EndpointSlice shop/orders-1: endpoints[0]",
    ),
    "an IPv6 address twice": (
        HEAD.replace("IPv4", "IPv6") + PORT + 'endpoints: [{addresses: ["::1"]}, {addresses: ["::1"]}]',
        "7: endpoints[1]: [::1]:3001 is already the address of orders.yaml:16: EndpointSlice shop/orders-1: "
        "endpoints[0]",
    ),
}


def lines_of(text: str) -> list[str]:
    reading = read([("orders.yaml", text)])
    assert reading.snapshot is None
    return [str(problem) for problem in reading.problems]


@pytest.mark.parametrize(("text", "line"), SLICES.values(), ids=SLICES)
def test_one_slice(text: str, line: str) -> None:
    number, message = line.split(": ", 1)
    namespace = "_" if "namespace: _" in text else "shop"
    above = SERVICES.count("\n")
    assert lines_of(SERVICES + text) == [
        f"orders.yaml:{above + int(number)}: EndpointSlice {namespace}/orders-1: {message}"
    ]


def test_an_address_in_two_slices() -> None:
    endpoints = "endpoints: [{addresses: [10.0.0.1]}]\n"
    assert lines_of(SERVICES + HEAD + PORT + endpoints + SECOND + PORT + endpoints) == [
        "orders.yaml:23: EndpointSlice shop/orders-2: endpoints[0]: 10.0.0.1:3001 is already the address of "
        "orders.yaml:16: EndpointSlice shop/orders-1: endpoints[0]"
    ]


def test_the_services_that_exist_are_named() -> None:
    names = [f"service-{number}" for number in range(10)]
    services = [SERVICES.split("---\n")[1].replace("billing", name) for name in names]
    shown = ", ".join(f"default/{name}" for name in names[:8])
    (line,) = lines_of("---\n".join(services) + HEAD + PORT)
    assert line.endswith(f'expected a TcpService that exists ({shown} and 2 more), got "shop/orders"')
    (line,) = lines_of(HEAD + PORT)
    assert line.endswith('expected a TcpService that exists (none does), got "shop/orders"')


@pytest.mark.parametrize(
    "service",
    ["apiVersion: tcpservice.dev/v1alpha1\nkind: TcpService\nmetadata: {name: Orders}\nspec: {port: 1}", "a: b: c"],
)
def test_a_slice_of_a_service_that_cannot_be_read_is_no_mistake(service: str) -> None:
    reading = read([("slices.yaml", HEAD + PORT), ("services.yaml", service)])
    assert [problem.file for problem in reading.problems] == ["services.yaml"]


@pytest.mark.parametrize("mistake", ["port: 0", "port: 3001, targetPort: 0"])
def test_a_port_is_not_missed_where_the_service_says_it_wrongly(mistake: str) -> None:
    ports = "ports: [{name: a, port: 1}, {name: b, port: 2}]\nendpoints: [{addresses: [10.0.0.1]}]"
    (line,) = lines_of(SERVICES.replace("port: 3001, targetPort: nestjs", mistake) + HEAD + ports)
    assert line.startswith("orders.yaml:4: TcpService shop/orders: spec.")
