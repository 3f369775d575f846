"""Wrong TcpServices, and what is said of them: for the judge of files, and for the API server and the operator.

Each entry is what follows `SERVICE` (or `SERVICE` and `ROUTE`), and the lines that the judge of files says, from the
line number on.
"""

from __future__ import annotations

SERVICE = """\
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata: {name: orders, namespace: shop}
spec:
  port: 3001
"""
ROUTE = """\
  routes:
  - name: sum
    match: {type: Exact, pattern: sum}
"""
SECOND = """\
  - name: second
    match: {type: Exact, pattern: second}
"""

FIELDS = {
    "unknown field": ("  timeout: {}", '6: spec.timeout: unknown field, did you mean "timeouts"?'),
    "unknown field like none": ("  zzz: 1", "6: spec.zzz: unknown field"),
    "unknown field in another case": (
        "  limits: {maxframesize: 1Mi}",
        '6: spec.limits.maxframesize: unknown field, did you mean "maxFrameSize"?',
    ),
    "unknown field with an odd name": ('  "a b\\n": 1', r'6: spec["a b\n"]: unknown field'),
    "unknown field that belongs elsewhere": (
        "  request: 1s",
        "6: spec.request: unknown field here; request belongs at spec.timeouts.request",
    ),
    "unknown field that belongs at one of two places": (
        "  interval: 1s",
        "6: spec.interval: unknown field here; interval belongs at spec.retryConstraint.budget.interval or "
        "spec.retryConstraint.minRetryRate.interval",
    ),
    "unknown field with the name of a field of the status": ("  replicas: 3", "6: spec.replicas: unknown field"),
    "unknown field with the name of an unsupported field": ("  path: id", "6: spec.path: unknown field"),
    "unknown null field": ("  timeout:", '6: spec.timeout: unknown field, did you mean "timeouts"?'),
    "text for a mapping": ("  timeouts: fast", '6: spec.timeouts: expected a mapping, got "fast"'),
    "a list for a mapping": ("  limits:\n  - 1", "6: spec.limits: expected a mapping, got [1]"),
    "a mapping for a list": ("  routes: {name: sum}", '6: spec.routes: expected a list, got {"name":"sum"}'),
    "a null item": ("  routes: [null]", "6: spec.routes[0]: expected a mapping, got null"),
    "no duration": (
        "  timeouts:\n    request: fast",
        "7: spec.timeouts.request: expected a duration in whole numbers with a unit, such as 250ms, 5s or 1m30s, "
        'got "fast"',
    ),
    "a number for a duration": (
        "  timeouts: {request: 5}",
        "6: spec.timeouts.request: expected a duration in whole numbers with a unit, such as 250ms, 5s or 1m30s, got 5",
    ),
    "a fractional duration": (
        "  retry: {backoff: 1.5s}",
        "6: spec.retry.backoff: expected a duration in whole numbers with a unit, such as 250ms, 5s or 1m30s, got "
        '"1.5s"',
    ),
    "a duration and a line break": (
        '  retry: {backoff: "1s\\n"}',
        "6: spec.retry.backoff: expected a duration in whole numbers with a unit, such as 250ms, 5s or 1m30s, got "
        '"1s\\n"',
    ),
    "a selector of namespaces without from": (
        "  allowedCallers:\n    namespaces: {selector: {team: web}}",
        "7: spec.allowedCallers.namespaces: expected no selector with from: Same",
    ),
    "no selector of namespaces": (
        "  allowedCallers:\n    namespaces: {from: Selector}",
        "7: spec.allowedCallers.namespaces: expected a selector with from: Selector",
    ),
    "no time to connect": (
        "  timeouts: {connect: 0s}",
        '6: spec.timeouts.connect: expected a duration above 0s, got "0s"',
    ),
    "no interval": (
        "  retryConstraint:\n    budget: {interval: 0s}\n    minRetryRate: {interval: 0ms}",
        '7: spec.retryConstraint.budget.interval: expected a duration above 0s, got "0s"',
        '8: spec.retryConstraint.minRetryRate.interval: expected a duration above 0s, got "0ms"',
    ),
    "an attempt longer than the request": (
        "  timeouts: {request: 1s, backendRequest: 2000ms}",
        '6: spec.timeouts.backendRequest: expected at most timeouts.request, 1s, got "2000ms"',
    ),
    "more than all": (
        "  retryConstraint: {budget: {percent: 101}}",
        "6: spec.retryConstraint.budget.percent: expected a percentage from 0 to 100, got 101",
    ),
    "fewer attempts than none": (
        "  retry: {attempts: -1}",
        "6: spec.retry.attempts: expected an integer from 0 to 100, got -1",
    ),
    "a fraction for a number": (
        "  retry: {attempts: 1.5}",
        "6: spec.retry.attempts: expected an integer from 0 to 100, got 1.5",
    ),
    "true for a number": (
        "  retry: {attempts: true}",
        "6: spec.retry.attempts: expected an integer from 0 to 100, got true",
    ),
    "a pool of none": (
        "  connectionPool: {size: 0}",
        "6: spec.connectionPool.size: expected an integer from 1 to 64, got 0",
    ),
    "text for a count that is too large": (
        '  limits: {maxRequestsPerReplica: "1000001"}',
        '6: spec.limits.maxRequestsPerReplica: expected an integer from 0 to 1000000, got "1000001"',
    ),
    "text for a count with thousands of digits": (
        f'  limits: {{maxRequestsPerReplica: "{"1" * 5000}"}}',
        f'6: spec.limits.maxRequestsPerReplica: expected an integer from 0 to 1000000, got "{"1" * 76}...',
    ),
    "text for a count": (
        '  limits: {maxRequestsPerReplica: "1024"}',
        '6: spec.limits.maxRequestsPerReplica: expected an integer from 0 to 1000000, got "1024"; remove the quotes',
    ),
    "no size": (
        "  limits: {maxFrameSize: big}",
        '6: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, got "big"',
    ),
    "a size of nothing": (
        "  limits: {maxFrameSize: 0}",
        "6: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, got 0",
    ),
    "a size of nothing as text": (
        "  limits: {maxFrameSize: 0Mi}",
        '6: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, got "0Mi"',
    ),
    "a size too large": (
        "  limits: {maxFrameSize: 2Gi}",
        '6: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, got "2Gi"',
    ),
    "a size in megabytes": (
        "  limits: {maxFrameSize: 1.5mb}",
        '6: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, got "1.5mb"; write 1.5Mi, not 1.5mb',
    ),
    "a size in mebibytes": (
        "  limits: {maxFrameSize: 16MiB}",
        '6: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, got "16MiB"; write 16Mi, not 16MiB',
    ),
    "a size that is true": (
        "  limits: {maxFrameSize: on}",
        "6: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, got true",
    ),
    "an unknown protocol": ("  protocol: nestjs", '6: spec.protocol: expected NestJS or Opaque, got "nestjs"'),
    "an unknown algorithm": (
        "  loadBalancing: {algorithm: Best}",
        '6: spec.loadBalancing.algorithm: expected LeastRequest, Random or RoundRobin, got "Best"',
    ),
    "a target port that is none": (
        "  targetPort: 0",
        "6: spec.targetPort: expected a port from 1 to 65535 or the name of a container's port, got 0",
    ),
    "a target port's number as text": (
        '  targetPort: "3001"',
        '6: spec.targetPort: expected a port from 1 to 65535 or the name of a container\'s port, got "3001"; remove '
        "the quotes",
    ),
    "an empty selector": (
        "  selector: {}",
        "6: spec.selector: expected labels of the pods such as {app: orders}, got {}",
    ),
    "a selector that is text": (
        "  selector: app=orders",
        '6: spec.selector: expected labels of the pods such as {app: orders}, got "app=orders"',
    ),
    "a selector by number": (
        "  selector: {version: 1}",
        "6: spec.selector.version: expected a label's value, as text, got 1; put it in quotes",
    ),
    "a selector with matchLabels": (
        "  selector: {matchLabels: {app: orders}}",
        '6: spec.selector.matchLabels: expected a label\'s value, as text, got {"app":"orders"}; write the labels '
        "directly below selector, such as {app: orders}",
    ),
    "a selector by nothing": (
        "  selector: {version: null}",
        "6: spec.selector.version: expected a label's value, as text, got null",
    ),
    "a selector with an odd label": (
        "  selector: {a b: c}",
        '6: spec.selector["a b"]: expected a label such as app or example.com/app',
    ),
    "streams cut before requests": (
        "  drain: {timeout: 30s, streamTimeout: 10s}",
        '6: spec.drain.streamTimeout: expected at least drain.timeout, 30s, got "10s"',
    ),
    "streams cut before the default for requests": (
        "  drain: {streamTimeout: 10s}",
        '6: spec.drain.streamTimeout: expected at least drain.timeout, 20s, got "10s"',
    ),
    "sampling by number": (
        "  tracing: {samplingPercent: 1}",
        '6: spec.tracing.samplingPercent: expected a percentage in quotes from "0" to "100", without %, got 1; put '
        "it in quotes",
    ),
    "a repeated key": ("  port: 3002", "6: spec.port: the key is given twice, on lines 5 and 6"),
    "routes where there are no messages": (
        "  protocol: Opaque\n" + ROUTE,
        "7: spec.routes: expected no routes with the protocol Opaque, because sidecars then do not read messages",
    ),
    "too many routes": (
        "  routes:\n" + "".join(f"  - {{name: r{n}, match: {{type: Prefix, pattern: p{n}}}}}\n" for n in range(257)),
        "6: spec.routes: expected at most 256 items, got 257",
    ),
}

ROUTES = {
    "no name and no match": (
        "  - {}",
        "9: spec.routes[1].match: missing; expected a mapping",
        "9: spec.routes[1].name: missing; expected a name of at most 63 lowercase letters, digits and hyphens",
    ),
    "no pattern": (
        "  - {name: second, match: {type: Exact}}",
        '9: spec.routes[1].match.pattern: missing; expected text such as order.created or \'{"cmd":"sum"}\'',
    ),
    "no type": (
        "  - {name: second, match: {pattern: a}}",
        "9: spec.routes[1].match.type: missing; expected Exact or Prefix",
    ),
    "a bad name": (
        "  - {name: orderCreated, match: {type: Exact, pattern: a}}",
        "9: spec.routes[1].name: expected a name of at most 63 lowercase letters, digits and hyphens, "
        'got "orderCreated"',
    ),
    "a pattern that is a mapping": (
        "  - {name: second, match: {type: Exact, pattern: {cmd: sum}}}",
        '9: spec.routes[1].match.pattern: expected text such as order.created or \'{"cmd":"sum"}\', got {"cmd":"sum"}',
    ),
    "an empty pattern": (
        '  - {name: second, match: {type: Prefix, pattern: ""}}',
        '9: spec.routes[1].match.pattern: expected text such as order.created or \'{"cmd":"sum"}\', got ""',
    ),
    "a pattern of no handler": (
        '  - {name: second, match: {type: Exact, pattern: "true"}}',
        '9: spec.routes[1].match.pattern: expected a pattern that a message handler can have, got "true"',
    ),
    "the same name": (
        "  - {name: sum, match: {type: Exact, pattern: a}}",
        '9: spec.routes[1].name: expected a unique name, but spec.routes[0] is also named "sum"',
    ),
    "the same pattern": (
        "  - {name: second, match: {type: Exact, pattern: sum}}",
        "9: spec.routes[1].match.pattern: expected a unique pattern, but spec.routes[0] has the same pattern",
    ),
    "the same pattern as JSON": (
        "  - {name: second, match: {type: Exact, pattern: '\"sum\"'}}",
        "9: spec.routes[1].match.pattern: expected a unique pattern, but spec.routes[0] has the same pattern",
    ),
    "the same pattern in another order": (
        '  - {name: second, match: {type: Exact, pattern: \'{"a":1,"b":2}\'}}\n'
        '  - {name: third, match: {type: Exact, pattern: \'{"b": 2, "a": 1.0}\'}}',
        "10: spec.routes[2].match.pattern: expected a unique pattern, but spec.routes[1] has the same pattern",
    ),
    "the same prefix": (
        "  - {name: second, match: {type: Prefix, pattern: a}}\n  - {name: third, match: {type: Prefix, pattern: a}}",
        "10: spec.routes[2].match.pattern: expected a unique pattern, but spec.routes[1] has the same pattern",
    ),
    "a time to connect": (
        SECOND + "    timeouts: {connect: 1s}",
        "11: spec.routes[1].timeouts.connect: unknown field here; connect belongs at spec.timeouts.connect",
    ),
    "a bad duration": (
        SECOND + "    timeouts:\n      request: fast",
        "12: spec.routes[1].timeouts.request: expected a duration in whole numbers with a unit, such as 250ms, 5s "
        'or 1m30s, got "fast"',
    ),
    "an attempt longer than the request": (
        SECOND + "    timeouts: {request: 1s, backendRequest: 1m}",
        '11: spec.routes[1].timeouts.backendRequest: expected at most timeouts.request, 1s, got "1m"',
    ),
    "text for a truth": (
        SECOND + '    idempotent: "yes"',
        '11: spec.routes[1].idempotent: expected true or false, got "yes"',
    ),
    "an unknown delivery": (
        SECOND + "    delivery: Both",
        '11: spec.routes[1].delivery: expected OneReplica, got "Both"',
    ),
    "two mistakes in a duplicate": (
        "  - {name: sum, match: {type: Exact, pattern: sum}, retry: {attempts: x}}",
        '9: spec.routes[1].retry.attempts: expected an integer from 0 to 100, got "x"',
        '9: spec.routes[1].name: expected a unique name, but spec.routes[0] is also named "sum"',
        "9: spec.routes[1].match.pattern: expected a unique pattern, but spec.routes[0] has the same pattern",
    ),
}

LATER = {
    "algorithm ConsistentHash": (
        "  loadBalancing:\n    algorithm: ConsistentHash\n    consistentHash: {source: Caller}",
        "7: not supported yet: spec.loadBalancing.algorithm: ConsistentHash",
        "8: not supported yet: spec.loadBalancing.consistentHash",
    ),
    "algorithm LeastLatency": (
        "  loadBalancing: {algorithm: LeastLatency}",
        "6: not supported yet: spec.loadBalancing.algorithm: LeastLatency",
    ),
    "slow start": (
        "  loadBalancing: {slowStart: {window: 30s}}",
        "6: not supported yet: spec.loadBalancing.slowStart",
    ),
    "zones": (
        "  loadBalancing: {trafficDistribution: PreferSameZone}",
        "6: not supported yet: spec.loadBalancing.trafficDistribution",
    ),
    "outliers": ("  outlierDetection: {consecutiveErrors: 5}", "6: not supported yet: spec.outlierDetection"),
    "rate limit": ("  rateLimit: {requests: 500, interval: 1s}", "6: not supported yet: spec.rateLimit"),
    "access": (
        "  access: {mode: Audit, rules: [{name: web, from: [{namespace: shop}], to: [{type: Prefix, pattern: a}]}]}",
        "6: not supported yet: spec.access",
    ),
    "fallback": (
        ROUTE + "    fallback: {type: Response, response: '0'}",
        "9: not supported yet: spec.routes[0].fallback",
    ),
    "delivery": (ROUTE + "    delivery: AllReplicas", "9: not supported yet: spec.routes[0].delivery: AllReplicas"),
    "backends": (
        ROUTE + SECOND + "    backendRefs: [{name: orders, weight: 90}]",
        "11: not supported yet: spec.routes[1].backendRefs",
    ),
}

HEADS = {
    "a version that is none": (
        SERVICE.replace("v1alpha1", "v1"),
        '1: TcpService shop/orders: apiVersion: expected tcpservice.dev/v1alpha1, got "tcpservice.dev/v1"',
    ),
    "no version": (
        SERVICE.split("\n", 1)[1],
        "1: TcpService shop/orders: apiVersion: missing; expected tcpservice.dev/v1alpha1",
    ),
    "a kind in another case": (
        SERVICE.replace(": TcpService", ": TCPService"),
        '2: TCPService shop/orders: kind: expected TcpService, got "TCPService"',
    ),
    "no spec": (
        SERVICE[: SERVICE.index("spec")],
        "1: TcpService shop/orders: spec: missing; expected a mapping",
    ),
    "an empty spec": (
        SERVICE.replace("  port: 3001\n", ""),
        "4: TcpService shop/orders: spec: expected a mapping, got null",
    ),
    "no port": (
        SERVICE.replace("port: 3001", "selector: {app: orders}"),
        "4: TcpService shop/orders: spec.port: missing; expected a port from 1 to 65535",
    ),
    "port 0": (
        SERVICE.replace("3001", "0"),
        "5: TcpService shop/orders: spec.port: expected a port from 1 to 65535, got 0",
    ),
    "a port above all": (
        SERVICE.replace("3001", "65536"),
        "5: TcpService shop/orders: spec.port: expected a port from 1 to 65535, got 65536",
    ),
    "a port as text": (
        SERVICE.replace("3001", '"3001"'),
        '5: TcpService shop/orders: spec.port: expected a port from 1 to 65535, got "3001"; remove the quotes',
    ),
    "no metadata": (
        SERVICE.replace("metadata: {name: orders, namespace: shop}\n", ""),
        "1: document 1: metadata: missing; expected a mapping",
    ),
    "no name": (
        SERVICE.replace("name: orders, ", ""),
        "3: document 1: metadata.name: missing; expected a name of at most 54 lowercase letters, digits and hyphens "
        "that begins with a letter",
    ),
    "a name too long": (
        SERVICE.replace("orders", "o" * 55),
        f"3: TcpService shop/{'o' * 55}: metadata.name: expected a name of at most 54 lowercase letters, digits and "
        f'hyphens that begins with a letter, got "{"o" * 55}"',
    ),
    "a name that is none": (
        SERVICE.replace("orders", '"a\\nb"'),
        "3: document 1: metadata.name: expected a name of at most 54 lowercase letters, digits and hyphens that begins "
        r'with a letter, got "a\nb"',
    ),
    "a namespace that is none": (
        SERVICE.replace("shop", "Shop"),
        "3: TcpService Shop/orders: metadata.namespace: expected a name of at most 63 lowercase letters, digits and "
        'hyphens, got "Shop"',
    ),
    "a field beside the spec": (
        SERVICE + "specs: {}\n",
        '6: TcpService shop/orders: specs: unknown field, did you mean "spec"?',
    ),
    "the same service again": (
        f"{SERVICE}---\n{SERVICE}",
        "9: TcpService shop/orders: metadata.name: TcpService shop/orders is already defined at orders.yaml:3; "
        "rename or remove one of them",
    ),
    "the same service in the default namespace": (
        f"{SERVICE}---\n{SERVICE}".replace("shop", "default").replace(", namespace: default", "", 1),
        "9: TcpService default/orders: metadata.name: TcpService default/orders is already defined at "
        "orders.yaml:3; rename or remove one of them",
    ),
}
