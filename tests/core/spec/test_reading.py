from __future__ import annotations

from tcpservice.snapshot import (
    MEBIBYTE,
    MILLISECOND,
    SECOND,
    Algorithm,
    Drain,
    Endpoint,
    Limits,
    MatchType,
    Protocol,
    Retry,
    RetryConstraint,
    Route,
    Service,
    Snapshot,
    Timeouts,
)
from tcpservice.spec import Problem, Reading, read

FIVE_MISTAKES = """\
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata: {name: orders, namespace: shop}
spec:
  port: 3001
  timeout: {}
  limits: {maxRequestsPerReplica: many}
  routes:
  - name: sum
    match: {type: Exact, pattern: '{"cmd": "sum"}'}
  - name: again
    match: {type: Exact, pattern: '{"cmd":"sum"}'}
    timeouts: {request: fast}
  - name: report
    match: {type: Prefix, pattern: report.}
    backendRefs: [{name: orders}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
endpoints:
- addresses: [10.0.0.1]
ports:
- port: 0
"""

WHOLE = """\
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  port: 3001
  targetPort: nestjs
  protocol: NestJS
  timeouts: {request: 10s, backendRequest: 2s, streamIdle: 1m, connect: 500ms}
  loadBalancing: {algorithm: RoundRobin}
  retry: {attempts: 3, backoff: 50ms}
  retryConstraint: {budget: {percent: 10, interval: 5s}, minRetryRate: {count: 4, interval: 2s}}
  limits: {maxFrameSize: 4Mi, maxRequestsPerReplica: 256}
  connectionPool: {size: 3}
  drain: {timeout: 10s, streamTimeout: 15s}
  routes:
  - name: sum
    match: {type: Exact, pattern: '{"op": "+", "cmd": "sum"}'}
    idempotent: true
    timeouts: {request: 2s}
    retry: {attempts: 5}
  - name: five
    match: {type: Exact, pattern: "5.0"}
    delivery: OneReplica
    retry: {backoff: 0s}
  - name: report
    match: {type: Prefix, pattern: '{"report'}
    timeouts: {streamIdle: 0s, backendRequest: 30s}
  injection: {restart: Evict}
status: {observedGeneration: 1, conditions: []}
"""

LEAST = """\
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata: {name: orders}
spec: {port: 3001}
"""


def read_one(text: str) -> Reading:
    return read([("orders.yaml", text)])


def lines_of(reading: Reading) -> list[str]:
    assert reading.snapshot is None
    return [str(problem) for problem in reading.problems]


def endpoints_of(service: str, slices: str) -> list[Endpoint]:
    reading = read([("orders.yaml", service), ("slices.yaml", slices)])
    assert reading.problems == ()
    assert reading.snapshot is not None
    return list(reading.snapshot.services[0].endpoints)


def slice_of(endpoints: str, ports: str, service: str = "orders", kind: str = "IPv4") -> str:
    return f"""\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: slice, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: {kind}
endpoints: {endpoints}
ports: {ports}
"""


def test_mistakes_of_all_kinds_are_told_at_once() -> None:
    assert lines_of(read_one(FIVE_MISTAKES)) == [
        'orders.yaml:6: TcpService shop/orders: spec.timeout: unknown field, did you mean "timeouts"?',
        "orders.yaml:7: TcpService shop/orders: spec.limits.maxRequestsPerReplica: expected an integer from 0 to "
        '1000000, got "many"',
        "orders.yaml:12: TcpService shop/orders: spec.routes[1].match.pattern: expected a unique pattern, "
        "but spec.routes[0] has the same pattern",
        "orders.yaml:13: TcpService shop/orders: spec.routes[1].timeouts.request: expected a duration in whole numbers "
        'with a unit, such as 250ms, 5s or 1m30s, got "fast"',
        "orders.yaml:16: TcpService shop/orders: not supported yet: spec.routes[2].backendRefs",
        "orders.yaml:25: EndpointSlice shop/orders-1: ports[0].port: expected a port from 1 to 65535, got 0",
    ]


def test_a_problem_is_data() -> None:
    (problem,) = read_one(LEAST.replace("3001", "0")).problems
    assert problem == Problem(
        file="orders.yaml",
        line=4,
        document="TcpService default/orders",
        path="spec.port",
        message="spec.port: expected a port from 1 to 65535, got 0",
    )


def test_problems_come_in_the_order_of_files_and_lines() -> None:
    reading = read(
        [
            ("b.yaml", f"{LEAST.replace('3001', '0')}---\nkind: X\n"),
            ("a.yaml", "- 1"),
            ("empty.yaml", "# nothing\n---\n"),
            ("broken.yaml", "kind: X\n---\n'"),
        ]
    )
    assert lines_of(reading) == [
        "b.yaml:4: TcpService default/orders: spec.port: expected a port from 1 to 65535, got 0",
        "b.yaml:6: document 2: apiVersion: missing; expected a version such as tcpservice.dev/v1alpha1",
        "a.yaml:1: document 1: expected a mapping with apiVersion and kind, got [1]",
        "empty.yaml:1: expected a manifest such as a TcpService, got an empty file",
        "broken.yaml:1: document 1: apiVersion: missing; expected a version such as tcpservice.dev/v1alpha1",
        "broken.yaml:3: not YAML: found unexpected end of stream (column 2)",
    ]


def test_documents_that_do_not_say_what_they_are() -> None:
    assert lines_of(read_one("apiVersion: 5\n---\nkind: [a]\napiVersion: v1\n---\nmetadata: {name: a}")) == [
        "orders.yaml:1: document 1: apiVersion: expected a version such as tcpservice.dev/v1alpha1, got 5",
        "orders.yaml:1: document 1: kind: missing; expected a kind such as TcpService",
        'orders.yaml:3: document 2: kind: expected a kind such as TcpService, got ["a"]',
        "orders.yaml:6: document 3: apiVersion: missing; expected a version such as tcpservice.dev/v1alpha1",
        "orders.yaml:6: document 3: kind: missing; expected a kind such as TcpService",
    ]


def test_other_kinds_are_named_and_left_alone() -> None:
    deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: orders, namespace: shop}\nspec: 5\n"
    reading = read_one(
        f"---\n---\n{deployment}---\n{LEAST}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}"
    )
    assert reading.problems == ()
    assert reading.ignored == ("orders.yaml: Deployment shop/orders", "orders.yaml: Namespace shop")


def test_a_kind_without_a_name_is_left_alone_too() -> None:
    assert read_one("apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}").ignored == (
        "orders.yaml: document 1",
    )


LISTED = """\
apiVersion: v1
kind: List
items:
- apiVersion: tcpservice.dev/v1alpha1
  kind: TcpService
  metadata: {name: orders}
  spec:
    port: 3001
    port: 3002
- apiVersion: v1
  kind: List
  items:
  - {apiVersion: v1, kind: Service, metadata: {name: orders}}
  - {kind: X}
- apiVersion: v1
  kind: List
  items: 5
kind: List
"""


def test_a_list_is_the_documents_in_it() -> None:
    reading = read_one(LISTED)
    assert lines_of(reading) == [
        "orders.yaml:9: TcpService default/orders: spec.port: the key is given twice, on lines 8 and 9",
        "orders.yaml:14: document 1, items[1], items[1]: apiVersion: missing; expected a version such as "
        "tcpservice.dev/v1alpha1",
        "orders.yaml:17: document 1, items[2]: items: expected a list, got 5",
        "orders.yaml:18: document 1: kind: the key is given twice, on lines 2 and 18",
    ]
    assert reading.ignored == ("orders.yaml: Service orders",)


def test_nothing_to_read() -> None:
    assert read([]) == Reading(snapshot=Snapshot())


def test_the_least_that_can_be_said() -> None:
    assert read_one(LEAST) == Reading(
        snapshot=Snapshot(services=(Service(namespace="default", name="orders", port=3001),))
    )


def test_everything_that_can_be_said() -> None:
    timeouts = Timeouts(
        request=10 * SECOND, backend_request=2 * SECOND, stream_idle=60 * SECOND, connect=500 * MILLISECOND
    )
    own = {"backend_request": 2 * SECOND, "stream_idle": 60 * SECOND, "connect": 500 * MILLISECOND}
    reading = read_one(WHOLE)
    assert reading.problems == ()
    assert reading.snapshot == Snapshot(
        services=(
            Service(
                namespace="shop",
                name="orders",
                port=3001,
                protocol=Protocol.NESTJS,
                algorithm=Algorithm.ROUND_ROBIN,
                timeouts=timeouts,
                retry=Retry(attempts=3, backoff=50 * MILLISECOND),
                retry_constraint=RetryConstraint(percent=10, interval=5 * SECOND, min_count=4, min_interval=2 * SECOND),
                limits=Limits(max_frame_size=4 * MEBIBYTE, max_requests_per_replica=256),
                pool_size=3,
                drain=Drain(timeout=10 * SECOND, stream_timeout=15 * SECOND),
                routes=(
                    Route(
                        name="sum",
                        match=MatchType.EXACT,
                        pattern='{"cmd":"sum","op":"+"}',
                        idempotent=True,
                        timeouts=Timeouts(request=2 * SECOND, **own),
                        retry=Retry(attempts=5, backoff=50 * MILLISECOND),
                    ),
                    Route(
                        name="five",
                        match=MatchType.EXACT,
                        pattern="5",
                        timeouts=timeouts,
                        retry=Retry(attempts=3, backoff=0),
                    ),
                    Route(
                        name="report",
                        match=MatchType.PREFIX,
                        pattern='{"report',
                        timeouts=Timeouts(request=10 * SECOND, backend_request=30 * SECOND, connect=500 * MILLISECOND),
                        retry=Retry(attempts=3, backoff=50 * MILLISECOND),
                    ),
                ),
            ),
        )
    )


def test_a_size_in_bytes_and_an_opaque_service() -> None:
    spec = "spec: {port: 1, protocol: Opaque, limits: {maxFrameSize: 1000}, drain: {timeout: 1m}, routes: []}"
    reading = read_one(LEAST.replace("spec: {port: 3001}", spec))
    assert reading.snapshot == Snapshot(
        services=(
            Service(
                namespace="default",
                name="orders",
                port=1,
                protocol=Protocol.OPAQUE,
                limits=Limits(max_frame_size=1000),
                drain=Drain(timeout=60 * SECOND, stream_timeout=60 * SECOND),
            ),
        )
    )


def test_conditions_zones_and_names() -> None:
    endpoints = """
- {addresses: [10.0.0.1, 10.0.9.9], zone: a, targetRef: {name: orders-1, uid: u1}}
- {addresses: [10.0.0.2], conditions: {ready: false}, targetRef: {uid: ""}}
- {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}, hints: {}}
- {addresses: [10.0.0.4], conditions: {ready: null, serving: null, terminating: null}, nodeName: n}
- {addresses: [10.0.0.5], conditions: {ready: true, serving: false}}
"""
    assert endpoints_of(LEAST, slice_of(endpoints, "[{port: 3001}]")) == [
        Endpoint(host="10.0.0.1", port=3001, name="orders-1", zone="a"),
        Endpoint(host="10.0.0.2", port=3001, name="10.0.0.2:3001", ready=False, serving=False),
        Endpoint(host="10.0.0.3", port=3001, name="10.0.0.3:3001", ready=False, terminating=True),
        Endpoint(host="10.0.0.4", port=3001, name="10.0.0.4:3001"),
        Endpoint(host="10.0.0.5", port=3001, name="10.0.0.5:3001", serving=False),
    ]


def test_the_types_of_addresses() -> None:
    slices = slice_of('[{addresses: ["fd00::1"]}]', "[{port: 1}]", kind="IPv6")
    slices += slice_of("[{addresses: [orders-1.local]}]", "[{port: 1}]", kind="FQDN")
    assert endpoints_of(LEAST, slices) == [
        Endpoint(host="fd00::1", port=1, name="[fd00::1]:1"),
        Endpoint(host="orders-1.local", port=1, name="orders-1.local:1"),
    ]


def port_of(spec: str, ports: str) -> tuple[int, bool]:
    service = LEAST.replace("port: 3001", spec)
    (endpoint,) = endpoints_of(service, slice_of("[{addresses: [10.0.0.1]}]", ports))
    return endpoint.port, endpoint.mesh


def test_which_port_is_dialled() -> None:
    named, numbered = "port: 3001, targetPort: nestjs", "port: 80, targetPort: 3001"
    assert port_of(named, "[{name: app, port: 1}, {name: mesh, port: 2}]") == (2, True)
    assert port_of(named, "[{name: nestjs, port: 1}, {name: app, port: 2}]") == (2, False)
    assert port_of(named, "[{name: x, port: 3001}, {name: nestjs, port: 2}]") == (2, False)
    assert port_of(named, "[{name: x, port: 1}, {name: y, port: 3001}]") == (3001, False)
    assert port_of(numbered, "[{name: x, port: 80}, {name: y, port: 3001}]") == (3001, False)
    assert port_of("port: 3001", "[{name: x, port: 1}, {name: y, port: 3001}]") == (3001, False)
    assert port_of("port: 3001", "[{name: '', port: 9, protocol: TCP}]") == (9, False)
    assert port_of("port: 3001", "[{name: a, port: 3001, protocol: UDP}, {name: b}, {name: c, port: 7}]") == (7, False)


def test_a_pod_in_two_slices_is_one_replica() -> None:
    first, second = "{addresses: [10.0.0.1], targetRef: {uid: a}}", "{addresses: [10.0.0.2], targetRef: {uid: b}}"
    front = slice_of(f"[{first}, {second}]", "[{port: 3001}]")
    mesh = slice_of(f"[{second}]", "[{name: app, port: 3000}, {name: mesh, port: 15001}]", "orders-replicas")
    expected = [
        Endpoint(host="10.0.0.1", port=3001, name="10.0.0.1:3001"),
        Endpoint(host="10.0.0.2", port=15001, name="10.0.0.2:15001", mesh=True, app_port=3000),
    ]
    assert endpoints_of(LEAST, front + mesh) == expected
    assert endpoints_of(LEAST, mesh + front) == expected[::-1]


def test_a_slice_without_endpoints_or_ports() -> None:
    assert endpoints_of(LEAST, slice_of("null", "null")) == []
    assert endpoints_of(LEAST, slice_of("[]", "[]")) == []


def test_a_service_whose_name_ends_like_its_headless_one() -> None:
    services = f"{LEAST.replace('orders', 'orders-replicas')}---\n{LEAST}"
    slices = slice_of("[{addresses: [10.0.0.1]}]", "[{port: 1}]", "orders-replicas")
    assert endpoints_of(services, slices) == [Endpoint(host="10.0.0.1", port=1, name="10.0.0.1:1")]


def test_services_come_in_the_order_of_their_documents() -> None:
    reading = read([("b.yaml", LEAST), ("a.yaml", LEAST.replace("orders", "billing"))])
    assert reading.snapshot is not None
    assert [service.key for service in reading.snapshot.services] == ["default/orders", "default/billing"]
