"""Broken manifests as people write them, and the lines that `tcpservice validate` and `up` print for them.

Each entry is a text of the file `orders.yaml`, and the lines that follow its name. `TCP_SERVICES` are also what a test
of the API server gives to kubectl.
"""

from __future__ import annotations

TCP_SERVICE = """\
apiVersion: tcpservice.dev/v1alpha1
kind: TcpService
metadata:
  name: orders
spec:
  selector: {app: orders}
  port: 3001
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
spec:
  replicas: 2
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec:
      containers:
      - name: orders
        image: orders
        command: [node, dist/main.js]
        ports: [{name: nestjs, containerPort: 3001}]
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: orders
spec:
  selector: {app: orders}
  ports: [{port: 3001, targetPort: nestjs}]
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {PORT: 3001}\n"
JSON = (
    '{"apiVersion": "tcpservice.dev/v1alpha1", "kind": "TcpService", '
    '"metadata": {"name": "orders"}, "spec": {"port": 3001}}'
)


def spec(*lines: str) -> str:
    """Return a TcpService with more lines in its spec."""
    return TCP_SERVICE + "".join(f"  {line}\n" for line in lines)


def routes(*routes: str) -> str:
    """Return a TcpService with routes."""
    return spec("routes:", *(f"- {{{route}}}" for route in routes))


def annotated(annotations: str) -> str:
    """Return a Deployment with annotations."""
    return DEPLOYMENT.replace("  name: orders\n", f"  name: orders\n  annotations: {{{annotations}}}\n", 1)


def documents(*texts: str) -> str:
    """Return a file of several documents."""
    return "---\n".join(texts)


TCP_SERVICES: dict[str, tuple[str, ...]] = {
    "a misspelt field": (
        spec("timeout: {request: 5s}"),
        '8: TcpService default/orders: spec.timeout: unknown field, did you mean "timeouts"?',
    ),
    "a misspelt field below another": (
        spec("timeouts: {requst: 5s}"),
        '8: TcpService default/orders: spec.timeouts.requst: unknown field, did you mean "request"?',
    ),
    "a field beside the spec": (
        TCP_SERVICE + "timeouts: {request: 5s}\n",
        "8: TcpService default/orders: timeouts: unknown field here; timeouts belongs at spec.timeouts",
    ),
    "a field one level too high": (
        spec("request: 5s"),
        "8: TcpService default/orders: spec.request: unknown field here; request belongs at spec.timeouts.request",
    ),
    "a field in snake case": (
        spec("load_balancing: {algorithm: Random}"),
        '8: TcpService default/orders: spec.load_balancing: unknown field, did you mean "loadBalancing"?',
    ),
    "a field of another product": (
        spec("circuitBreaker: {max: 1}"),
        "8: TcpService default/orders: spec.circuitBreaker: unknown field",
    ),
    "a port in quotes": (
        TCP_SERVICE.replace("3001", '"3001"'),
        '7: TcpService default/orders: spec.port: expected a port from 1 to 65535, got "3001"; remove the quotes',
    ),
    "a list of ports as in a Service": (
        TCP_SERVICE.replace("port: 3001", "ports: [{port: 3001}]"),
        "5: TcpService default/orders: spec.port: missing; expected a port from 1 to 65535",
        '7: TcpService default/orders: spec.ports: unknown field, did you mean "port"?',
    ),
    "port 0": (
        TCP_SERVICE.replace("3001", "0"),
        "7: TcpService default/orders: spec.port: expected a port from 1 to 65535, got 0",
    ),
    "a port above 65535": (
        TCP_SERVICE.replace("3001", "70000"),
        "7: TcpService default/orders: spec.port: expected a port from 1 to 65535, got 70000",
    ),
    "a label that is a number": (
        TCP_SERVICE.replace("app: orders}", "app: orders, version: 2}"),
        "6: TcpService default/orders: spec.selector.version: expected a label's value, as text, got 2; put it in "
        "quotes",
    ),
    "a label that is yes": (
        TCP_SERVICE.replace("app: orders}", "app: orders, canary: yes}"),
        "6: TcpService default/orders: spec.selector.canary: expected a label's value, as text, got true; put it "
        "in quotes",
    ),
    "matchLabels as in a Deployment": (
        TCP_SERVICE.replace("{app: orders}", "{matchLabels: {app: orders}}"),
        (
            "6: TcpService default/orders: spec.selector.matchLabels: expected a label's value, as text, got "
            '{"app":"orders"}; write the labels directly below selector, such as {app: orders}'
        ),
    ),
    "a duration without a unit": (
        spec("timeouts: {request: 5}"),
        "8: TcpService default/orders: spec.timeouts.request: expected a duration in whole numbers with a unit, "
        "such as 250ms, 5s or 1m30s, got 5",
    ),
    "a duration without a unit, in quotes": (
        spec('timeouts: {request: "30"}'),
        "8: TcpService default/orders: spec.timeouts.request: expected a duration in whole numbers with a unit, "
        'such as 250ms, 5s or 1m30s, got "30"',
    ),
    "a duration with a space": (
        spec("timeouts: {request: 5 s}"),
        "8: TcpService default/orders: spec.timeouts.request: expected a duration in whole numbers with a unit, "
        'such as 250ms, 5s or 1m30s, got "5 s"',
    ),
    "a duration in sec": (
        spec("timeouts: {request: 5sec}"),
        "8: TcpService default/orders: spec.timeouts.request: expected a duration in whole numbers with a unit, "
        'such as 250ms, 5s or 1m30s, got "5sec"',
    ),
    "a duration with a fraction": (
        spec("timeouts: {request: 1.5s}"),
        "8: TcpService default/orders: spec.timeouts.request: expected a duration in whole numbers with a unit, "
        'such as 250ms, 5s or 1m30s, got "1.5s"',
    ),
    "an algorithm in another case": (
        spec("loadBalancing: {algorithm: leastRequest}"),
        (
            "8: TcpService default/orders: spec.loadBalancing.algorithm: expected LeastRequest, Random or "
            'RoundRobin, got "leastRequest"'
        ),
    ),
    "an algorithm as in Envoy": (
        spec("loadBalancing: {algorithm: ROUND_ROBIN}"),
        (
            "8: TcpService default/orders: spec.loadBalancing.algorithm: expected LeastRequest, Random or "
            'RoundRobin, got "ROUND_ROBIN"'
        ),
    ),
    "a protocol in another case": (
        spec("protocol: nestjs"),
        '8: TcpService default/orders: spec.protocol: expected NestJS or Opaque, got "nestjs"',
    ),
    "two routes of one name": (
        routes("name: find, match: {type: Exact, pattern: find}", "name: find, match: {type: Exact, pattern: list}"),
        "10: TcpService default/orders: spec.routes[1].name: expected a unique name, but spec.routes[0] is also "
        'named "find"',
    ),
    "two routes of one pattern": (
        routes(
            'name: find, match: {type: Exact, pattern: \'{"cmd":"find"}\'}',
            'name: find2, match: {type: Exact, pattern: \'{ "cmd": "find" }\'}',
        ),
        "10: TcpService default/orders: spec.routes[1].match.pattern: expected a unique pattern, but "
        "spec.routes[0] has the same pattern",
    ),
    "a pattern as a mapping": (
        routes("name: find, match: {type: Exact, pattern: {cmd: find}}"),
        (
            "9: TcpService default/orders: spec.routes[0].match.pattern: expected text such as "
            'order.created or \'{"cmd":"sum"}\', got {"cmd":"find"}'
        ),
    ),
    "a pattern that is a number": (
        routes("name: find, match: {type: Exact, pattern: 7}"),
        (
            "9: TcpService default/orders: spec.routes[0].match.pattern: expected text such as order.created or "
            '\'{"cmd":"sum"}\', got 7; put it in quotes'
        ),
    ),
    "a regular expression": (
        routes("name: find, match: {type: Regex, pattern: order.*}"),
        '9: TcpService default/orders: spec.routes[0].match.type: expected Exact or Prefix, got "Regex"',
    ),
    "a route without its hyphen": (
        spec("routes:", "  name: find", "  match: {type: Exact, pattern: find}"),
        (
            "8: TcpService default/orders: spec.routes: expected a list, got "
            '{"name":"find","match":{"type":"Exact","pattern":"find"}}'
        ),
    ),
    "a line too deep": (
        TCP_SERVICE.replace("  port: 3001", "   port: 3001"),
        (
            "7: not YAML: did not find expected key (column 4); line 7 has 3 spaces before it, line 6 "
            "has 2: fields of one object need the same number"
        ),
    ),
    "a line not deep enough": (
        TCP_SERVICE.replace("  port: 3001", "port: 3001"),
        "5: TcpService default/orders: spec.port: missing; expected a port from 1 to 65535",
        "7: TcpService default/orders: port: unknown field here; port belongs at spec.port",
    ),
    "a list's line not deep enough": (
        spec("routes:", "- name: find", " match: {type: Exact, pattern: find}"),
        (
            "10: not YAML: did not find expected key (column 4); line 10 has 3 spaces before it, line 9 "
            "has 2: fields of one object need the same number"
        ),
    ),
    "a tab": (
        TCP_SERVICE.replace("  port", "\tport"),
        (
            "7: not YAML: found character that cannot start any token (column 1); the line begins with a "
            "tab: indent with spaces"
        ),
    ),
    "a tab after spaces": (
        TCP_SERVICE.replace("  port", "  \tport"),
        (
            "7: not YAML: found character that cannot start any token (column 3); the line begins with a "
            "tab: indent with spaces"
        ),
    ),
    "no space after a colon": (
        TCP_SERVICE.replace("port: 3001", "port:3001"),
        (
            "8: not YAML: could not find expected ':' (column 1); line 7 needs a space after the colon, "
            'as in "port: 3001"'
        ),
    ),
    "no spec": (
        TCP_SERVICE.split("spec:")[0],
        "1: TcpService default/orders: spec: missing; expected a mapping",
    ),
    "an empty spec": (
        TCP_SERVICE.split("spec:")[0] + "spec:\n",
        "5: TcpService default/orders: spec: expected a mapping, got null",
    ),
    "no port": (
        TCP_SERVICE.replace("  port: 3001\n", ""),
        "5: TcpService default/orders: spec.port: missing; expected a port from 1 to 65535",
    ),
    "a spec that is a list": (
        TCP_SERVICE.replace("spec:\n  selector: {app: orders}\n  port: 3001", "spec:\n  - port: 3001"),
        '5: TcpService default/orders: spec: expected a mapping, got [{"port":3001}]',
    ),
    "another version": (
        TCP_SERVICE.replace("v1alpha1", "v1"),
        '1: TcpService default/orders: apiVersion: expected tcpservice.dev/v1alpha1, got "tcpservice.dev/v1"',
    ),
    "a version without its group": (
        TCP_SERVICE.replace("tcpservice.dev/v1alpha1", "v1alpha1"),
        '1: TcpService default/orders: apiVersion: expected tcpservice.dev/v1alpha1, got "v1alpha1"',
    ),
    "apiVersion in another case": (
        TCP_SERVICE.replace("apiVersion", "apiversion"),
        "1: TcpService default/orders: apiVersion: missing; expected tcpservice.dev/v1alpha1",
        '1: TcpService default/orders: apiversion: unknown field, did you mean "apiVersion"?',
    ),
    "a misspelt group": (
        TCP_SERVICE.replace("tcpservice.dev", "tcpservices.dev"),
        '1: TcpService default/orders: apiVersion: expected tcpservice.dev/v1alpha1, got "tcpservices.dev/v1alpha1"',
    ),
    "a kind in lower case": (
        TCP_SERVICE.replace("TcpService", "tcpservice"),
        '2: tcpservice orders: kind: expected TcpService, got "tcpservice"',
    ),
    "a kind in another case": (
        TCP_SERVICE.replace("TcpService", "TCPService"),
        '2: TCPService orders: kind: expected TcpService, got "TCPService"',
    ),
    "no kind": (
        TCP_SERVICE.replace("kind: TcpService\n", ""),
        "1: document 1: kind: missing; expected a kind such as TcpService",
    ),
    "a template of Helm as a value": (
        TCP_SERVICE.replace("3001", "{{ .Values.port }}"),
        (
            '7: expected text as a key, got {".Values.port":null}; this is a Helm template: render it '
            "first (helm template CHART | tcpservice validate -f -)"
        ),
    ),
    "a template of Helm within a value": (
        TCP_SERVICE.replace("name: orders", "name: {{ .Release.Name }}-orders"),
        (
            '4: expected text as a key, got {".Release.Name":null}; this is a Helm template: render it '
            "first (helm template CHART | tcpservice validate -f -)"
        ),
    ),
    "a condition of Helm": (
        TCP_SERVICE + "  {{- if .Values.retry }}\n  retry: {attempts: 1}\n  {{- end }}\n",
        (
            "9: not YAML: could not find expected ':' (column 3); this is a Helm template: render it "
            "first (helm template CHART | tcpservice validate -f -)"
        ),
    ),
    "a template of Helm in quotes": (
        TCP_SERVICE.replace("3001", "'{{ .Values.port }}'"),
        (
            '7: TcpService default/orders: spec.port: expected a port from 1 to 65535, got "{{ '
            '.Values.port }}"; this is a Helm template: render it first (helm template CHART | '
            "tcpservice validate -f -)"
        ),
    ),
    "a variable of a shell": (
        TCP_SERVICE.replace("3001", "${PORT}"),
        '7: TcpService default/orders: spec.port: expected a port from 1 to 65535, got "${PORT}"',
    ),
    "port 0 with line ends of Windows": (
        TCP_SERVICE.replace("3001", "0").replace("\n", "\r\n"),
        "7: TcpService default/orders: spec.port: expected a port from 1 to 65535, got 0",
    ),
    "port 0 after a byte order mark": (
        "\ufeff" + TCP_SERVICE.replace("3001", "0"),
        "7: TcpService default/orders: spec.port: expected a port from 1 to 65535, got 0",
    ),
    "a field given twice": (
        spec("port: 3002"),
        "8: TcpService default/orders: spec.port: the key is given twice, on lines 7 and 8",
    ),
    "no line of hyphens between two documents": (
        TCP_SERVICE + DEPLOYMENT,
        (
            "8: Deployment orders: apiVersion: the key is given twice, on lines 1 and 8; if a new "
            "document begins here, write a line --- before it"
        ),
        (
            "9: Deployment orders: kind: the key is given twice, on lines 2 and 9; if a new document "
            "begins here, write a line --- before it"
        ),
        "10: Deployment orders: metadata: the key is given twice, on lines 3 and 10",
        "12: Deployment orders: spec: the key is given twice, on lines 5 and 12",
    ),
    "an empty file": (
        "",
        "1: expected a manifest such as a TcpService, got an empty file",
    ),
    "only comments": (
        "# nothing\n---\n",
        "1: expected a manifest such as a TcpService, got an empty file",
    ),
    "a text": (
        "hello\n",
        '1: document 1: expected a mapping with apiVersion and kind, got "hello"',
    ),
    "a compose file": (
        "services:\n  orders:\n    image: orders\n",
        "1: document 1: apiVersion: missing; expected a version such as tcpservice.dev/v1alpha1",
        "1: document 1: kind: missing; expected a kind such as TcpService",
    ),
    "JSON without its last bracket": (
        JSON[:-1] + "\n",
        "2: not YAML: did not find expected ',' or '}' (column 1); the bracket { on line 1 is not closed",
    ),
    "JSON with a comment": (
        JSON.replace("{", "{\n  // orders\n  ", 1),
        (
            "3: not YAML: did not find expected ',' or '}' (column 15); JSON has no comments: remove the "
            "comment, or write YAML, where comments begin with #"
        ),
    ),
    "an alias without an anchor": (
        spec("timeouts: *fast"),
        "8: not YAML: nothing before the alias *fast has that name",
    ),
    "a merge of a text": (
        TCP_SERVICE.replace("spec:", "spec:\n  <<: fast"),
        '6: expected a mapping to merge, got "fast"',
    ),
    "a quote that is not closed": (
        spec('protocol: "NestJS'),
        "9: not YAML: found unexpected end of stream (column 1); the quote on line 8 is not closed",
    ),
    "a bracket that is not closed": (
        TCP_SERVICE.replace("{app: orders}", "{app: orders"),
        "7: not YAML: did not find expected ',' or '}' (column 7); the bracket { on line 6 is not closed",
    ),
    "two TcpServices of one name": (
        documents(TCP_SERVICE, TCP_SERVICE),
        (
            "12: TcpService default/orders: metadata.name: TcpService default/orders is already defined at "
            "orders.yaml:4; rename or remove one of them"
        ),
    ),
    "a name too long": (
        TCP_SERVICE.replace("name: orders", "name: " + "o" * 60),
        (
            "4: TcpService default/oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo: "
            "metadata.name: expected a name of at most 54 lowercase letters, digits and hyphens that "
            'begins with a letter, got "oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo"'
        ),
    ),
    "a name with a capital": (
        TCP_SERVICE.replace("name: orders", "name: Orders"),
        (
            "4: TcpService default/Orders: metadata.name: expected a name of at most 54 lowercase "
            'letters, digits and hyphens that begins with a letter, got "Orders"'
        ),
    ),
    "a name with an underscore": (
        TCP_SERVICE.replace("name: orders", "name: order_service"),
        (
            "4: TcpService default/order_service: metadata.name: expected a name of at most 54 lowercase "
            'letters, digits and hyphens that begins with a letter, got "order_service"'
        ),
    ),
    "a name that is a number": (
        TCP_SERVICE.replace("name: orders", "name: 42"),
        (
            "4: document 1: metadata.name: expected a name of at most 54 lowercase letters, digits and "
            "hyphens that begins with a letter, got 42"
        ),
    ),
    "a name of the operator's Services": (
        TCP_SERVICE.replace("name: orders", "name: orders-replicas"),
        (
            "4: TcpService default/orders-replicas: metadata.name: expected a name that does not end "
            "with -replicas, because the operator creates Services with that ending, got "
            '"orders-replicas"'
        ),
    ),
    "no name": (
        TCP_SERVICE.replace("  name: orders", "  namespace: shop"),
        (
            "3: document 1: metadata.name: missing; expected a name of at most 54 lowercase letters, "
            "digits and hyphens that begins with a letter"
        ),
    ),
    "an annotation that is a number": (
        TCP_SERVICE.replace("  name: orders", "  name: orders\n  annotations: {a: 1}"),
        '5: TcpService default/orders: metadata.annotations.a: expected text such as "3001", got 1; put it in quotes',
    ),
    "a label of its own that is true": (
        TCP_SERVICE.replace("  name: orders", "  name: orders\n  labels: {a: true}"),
        '5: TcpService default/orders: metadata.labels.a: expected text such as "3001", got true; put it in quotes',
    ),
    "an attempt longer than the request": (
        spec("timeouts: {request: 2s, backendRequest: 5s}"),
        '8: TcpService default/orders: spec.timeouts.backendRequest: expected at most timeouts.request, 2s, got "5s"',
    ),
    "streams that end before requests": (
        spec("drain: {timeout: 60s, streamTimeout: 30s}"),
        '8: TcpService default/orders: spec.drain.streamTimeout: expected at least drain.timeout, 60s, got "30s"',
    ),
    "no time to connect": (
        spec("timeouts: {connect: 0s}"),
        '8: TcpService default/orders: spec.timeouts.connect: expected a duration above 0s, got "0s"',
    ),
    "a size in MB": (
        spec("limits: {maxFrameSize: 16MB}"),
        (
            "8: TcpService default/orders: spec.limits.maxFrameSize: expected a size from 1 to 1Gi such as 4Mi, "
            'got "16MB"; write 16Mi, not 16MB'
        ),
    ),
    "a number in quotes": (
        spec('retry: {attempts: "3"}'),
        '8: TcpService default/orders: spec.retry.attempts: expected an integer from 0 to 100, got "3"; remove the '
        "quotes",
    ),
    "too many retries": (
        spec("retry: {attempts: 1000}"),
        "8: TcpService default/orders: spec.retry.attempts: expected an integer from 0 to 100, got 1000",
    ),
    "a percentage with its sign": (
        spec("retryConstraint: {budget: {percent: 20%}}"),
        (
            "8: TcpService default/orders: spec.retryConstraint.budget.percent: expected a percentage "
            'from 0 to 100, got "20%"'
        ),
    ),
    "a percentage that is not in quotes": (
        spec("tracing: {samplingPercent: 50}"),
        '8: TcpService default/orders: spec.tracing.samplingPercent: expected a percentage in quotes from "0" to '
        '"100", without %, got 50; put it in quotes',
    ),
    "a percentage in quotes with its sign": (
        spec('tracing: {samplingPercent: "50%"}'),
        '8: TcpService default/orders: spec.tracing.samplingPercent: expected a percentage in quotes from "0" to '
        '"100", without %, got "50%"',
    ),
    "routes for bytes": (
        spec("protocol: Opaque", "routes:", "- {name: find, match: {type: Exact, pattern: find}}"),
        (
            "9: TcpService default/orders: spec.routes: expected no routes with the protocol Opaque, "
            "because sidecars then do not read messages"
        ),
    ),
    "a field that is not supported yet": (
        spec("rateLimit: {requests: 5, interval: 1s}"),
        "8: TcpService default/orders: not supported yet: spec.rateLimit",
    ),
    "true in quotes": (
        routes('name: find, idempotent: "true", match: {type: Exact, pattern: find}'),
        '9: TcpService default/orders: spec.routes[0].idempotent: expected true or false, got "true"; remove the '
        "quotes",
    ),
    "a list of namespaces": (
        spec("allowedCallers: {namespaces: [shop]}"),
        '8: TcpService default/orders: spec.allowedCallers.namespaces: expected a mapping, got ["shop"]',
    ),
    "a selector without from": (
        spec("allowedCallers: {namespaces: {selector: {team: web}}}"),
        "8: TcpService default/orders: spec.allowedCallers.namespaces: expected no selector with from: Same",
    ),
    "a value for a mapping": (
        spec("injection: Evict"),
        '8: TcpService default/orders: spec.injection: expected a mapping, got "Evict"',
    ),
    "a value in another case": (
        spec("injection: {restart: evict}"),
        '8: TcpService default/orders: spec.injection.restart: expected Evict or Manual, got "evict"',
    ),
}
"""TcpServices that `validate` refuses."""

WORKLOADS: dict[str, tuple[str, ...]] = {
    "an empty list of containers": (
        DEPLOYMENT.split("      containers:")[0] + "      containers: []\n",
        "11: Deployment orders: spec.template.spec.containers: expected a list of at least one container, got []",
    ),
    "container for containers": (
        DEPLOYMENT.replace("containers:", "container:"),
        "10: Deployment orders: spec.template.spec.containers: missing; expected a list of at least one container",
        '11: Deployment orders: spec.template.spec.container: unknown field, did you mean "containers"?',
    ),
    "a command that is a text": (
        DEPLOYMENT.replace("[node, dist/main.js]", "node dist/main.js"),
        (
            "14: Deployment orders: spec.template.spec.containers[0].command: expected a list of texts "
            'such as ["node", "main.js"], got "node dist/main.js"'
        ),
    ),
    "a variable that is a number": (
        DEPLOYMENT + "        env: [{name: PORT, value: 3001}]\n",
        (
            '16: Deployment orders: spec.template.spec.containers[0].env[0].value: expected text such as "3001", '
            "got 3001; put it in quotes"
        ),
    ),
    "a variable that is true": (
        DEPLOYMENT + "        env: [{name: DEBUG, value: true}]\n",
        (
            '16: Deployment orders: spec.template.spec.containers[0].env[0].value: expected text such as "3001", '
            "got true; put it in quotes"
        ),
    ),
    "variables as a mapping": (
        DEPLOYMENT + '        env: {PORT: "3001"}\n',
        (
            "16: Deployment orders: spec.template.spec.containers[0].env: expected a list such as "
            '[{name: PORT, value: "3001"}], got {"PORT":"3001"}'
        ),
    ),
    "a variable without a name": (
        DEPLOYMENT + "        env: [{value: a}]\n",
        "16: Deployment orders: spec.template.spec.containers[0].env[0].name: missing; expected text",
    ),
    "a container port in quotes": (
        DEPLOYMENT.replace("containerPort: 3001", 'containerPort: "3001"'),
        (
            "15: Deployment orders: spec.template.spec.containers[0].ports[0].containerPort: expected a port from "
            '1 to 65535, got "3001"; remove the quotes'
        ),
    ),
    "a container port without its number": (
        DEPLOYMENT.replace(", containerPort: 3001", ""),
        (
            "15: Deployment orders: spec.template.spec.containers[0].ports[0].containerPort: missing; expected a "
            "port from 1 to 65535"
        ),
    ),
    "a list of numbers for ports": (
        DEPLOYMENT.replace("[{name: nestjs, containerPort: 3001}]", "[3001]"),
        (
            "15: Deployment orders: spec.template.spec.containers[0].ports[0]: expected a mapping such "
            "as {name: nestjs, containerPort: 3001}, got 3001"
        ),
    ),
    "replicas in quotes": (
        DEPLOYMENT.replace("replicas: 2", 'replicas: "2"'),
        '6: Deployment orders: spec.replicas: expected an integer from 0 to 1000, got "2"; remove the quotes',
    ),
    "fewer replicas than none": (
        DEPLOYMENT.replace("replicas: 2", "replicas: -2"),
        "6: Deployment orders: spec.replicas: expected an integer from 0 to 1000, got -2",
    ),
    "a Deployment of v1": (
        DEPLOYMENT.replace("apps/v1", "v1"),
        '1: Deployment orders: apiVersion: expected apps/v1 for the kind Deployment, got "v1"',
    ),
    "a Deployment of an old version": (
        DEPLOYMENT.replace("apps/v1", "extensions/v1beta1"),
        '1: Deployment orders: apiVersion: expected apps/v1 for the kind Deployment, got "extensions/v1beta1"',
    ),
    "a misspelt kind": (
        DEPLOYMENT.replace("Deployment", "Deployement"),
        '2: Deployement orders: kind: unknown kind "Deployement", did you mean "Deployment"?',
    ),
    "a Deployment in lower case": (
        DEPLOYMENT.replace("Deployment", "deployment"),
        '2: deployment orders: kind: unknown kind "deployment", did you mean "Deployment"?',
    ),
    "a selector of other labels": (
        DEPLOYMENT.replace("labels: {app: orders}", "labels: {app: order}"),
        (
            "7: Deployment orders: spec.selector.matchLabels: expected labels of the pods, got {app: "
            "orders}; spec.template.metadata.labels has {app: order}"
        ),
    ),
    "pods without labels": (
        DEPLOYMENT.replace("    metadata: {labels: {app: orders}}\n", ""),
        (
            "7: Deployment orders: spec.selector.matchLabels: expected labels of the pods, got {app: "
            "orders}; the pod template has no labels"
        ),
    ),
    "no selector": (
        DEPLOYMENT.replace("  selector: {matchLabels: {app: orders}}\n", ""),
        (
            "5: Deployment orders: spec.selector: missing; expected the labels of the pods, such as "
            'matchLabels: {"app": "orders"}'
        ),
    ),
    "a pod's label that is a number": (
        DEPLOYMENT.replace("labels: {app: orders}", "labels: {app: orders, v: 1}"),
        '9: Deployment orders: spec.template.metadata.labels.v: expected text such as "3001", got 1; put it in quotes',
    ),
    "replica for replicas": (
        DEPLOYMENT.replace("replicas: 2", "replica: 2"),
        '6: Deployment orders: spec.replica: unknown field, did you mean "replicas"?',
    ),
    "a misspelt command": (
        DEPLOYMENT.replace("command:", "comand:"),
        '14: Deployment orders: spec.template.spec.containers[0].comand: unknown field, did you mean "command"?',
    ),
    "envs for env": (
        DEPLOYMENT + "        envs: [{name: A, value: b}]\n",
        '16: Deployment orders: spec.template.spec.containers[0].envs: unknown field, did you mean "env"?',
    ),
    "a Deployment's annotation that is a number": (
        annotated("prometheus.io/port: 9090"),
        (
            '5: Deployment orders: metadata.annotations["prometheus.io/port"]: expected text such as "3001", got '
            "9090; put it in quotes"
        ),
    ),
    "a label that is true": (
        DEPLOYMENT.replace("labels: {app: orders}", "labels: {app: orders, tcpservice.dev/inject: true}"),
        (
            '9: Deployment orders: spec.template.metadata.labels["tcpservice.dev/inject"]: expected text such as '
            '"3001", got true; put it in quotes'
        ),
    ),
    "two Deployments of one name": (
        documents(DEPLOYMENT, DEPLOYMENT),
        (
            "20: Deployment orders: metadata.name: Deployment orders is already at orders.yaml:4; rename "
            "or remove one of them"
        ),
    ),
    "two ports of one name": (
        DEPLOYMENT.replace(
            "[{name: nestjs, containerPort: 3001}]",
            "[{name: nestjs, containerPort: 3001},{name: nestjs, containerPort: 3002}]",
        ),
        (
            "15: Deployment orders: spec.template.spec.containers[0].ports: 2 ports have the name "
            '"nestjs"; give each port a name of its own'
        ),
    ),
    "a target port with a fraction": (
        SERVICE.replace("targetPort: nestjs", "targetPort: 30.5"),
        "7: Service orders: spec.ports[0].targetPort: expected the number of a port or its name, got 30.5",
    ),
    "a Service's port in quotes": (
        SERVICE.replace("port: 3001", 'port: "3001"'),
        '7: Service orders: spec.ports[0].port: expected a port from 1 to 65535, got "3001"; remove the quotes',
    ),
    "a Service's port without its number": (
        SERVICE.replace("port: 3001, ", ""),
        "7: Service orders: spec.ports[0].port: missing; expected a port from 1 to 65535",
    ),
    "a Service's ports as a mapping": (
        SERVICE.replace("[{port: 3001, targetPort: nestjs}]", "{port: 3001}"),
        '7: Service orders: spec.ports: expected a list such as [{name: http, port: 80}], got {"port":3001}',
    ),
    "a Service without ports": (
        SERVICE.replace("  ports: [{port: 3001, targetPort: nestjs}]\n", ""),
        "5: Service orders: spec.ports: missing; expected a list such as [{name: http, port: 80}]",
    ),
    "matchLabels in a Service": (
        SERVICE.replace("{app: orders}", "{matchLabels: {app: orders}}"),
        (
            '6: Service orders: spec.selector.matchLabels: expected text such as "1" (selector has '
            'labels directly, without matchLabels), got {"app":"orders"}'
        ),
    ),
    "several ports without names": (
        SERVICE.replace("[{port: 3001, targetPort: nestjs}]", "[{port: 3001}, {port: 80}]"),
        "7: Service orders: spec.ports[0].name: missing; a Service with several ports needs a name for each",
        "7: Service orders: spec.ports[1].name: missing; a Service with several ports needs a name for each",
    ),
    "a number in a ConfigMap": (
        CONFIG_MAP,
        '4: ConfigMap settings: data.PORT: expected text such as "3001", got 3001; put it in quotes',
    ),
    "a mapping in a ConfigMap": (
        CONFIG_MAP.replace("PORT: 3001", "db: {host: a}"),
        '4: ConfigMap settings: data.db: expected text such as "3001", got {"host":"a"}',
    ),
}
"""Deployments, Services and ConfigMaps that `validate` refuses."""

WARNED: dict[str, tuple[str, ...]] = {
    "a selector that selects no pods": (
        documents(TCP_SERVICE.replace("{app: orders}", "{app: order}"), DEPLOYMENT),
        (
            "6: TcpService default/orders: spec.selector: no workload in the files has pods with the "
            "labels {app: order} (Deployment orders has {app: orders})"
        ),
    ),
    "no selector and no Service": (
        documents(TCP_SERVICE.replace("  selector: {app: orders}\n", ""), DEPLOYMENT),
        (
            "5: TcpService default/orders: spec.selector: missing, and no Service default/orders with a "
            "selector is in the files; add spec.selector, such as {app: orders}, or a Service "
            "default/orders with a selector"
        ),
    ),
    "another namespace": (
        documents(TCP_SERVICE.replace("  name: orders", "  name: orders\n  namespace: shop"), DEPLOYMENT),
        (
            "7: TcpService shop/orders: spec.selector: no workload in the files has pods with the labels "
            "{app: orders} (Deployment orders has them in the namespace default, not in shop)"
        ),
    ),
    "a target port that no container has": (
        documents(spec("targetPort: tcp"), DEPLOYMENT),
        (
            "8: TcpService default/orders: spec.targetPort: no container of Deployment orders has a port "
            'named "tcp"; expected one of these: nestjs (3001)'
        ),
    ),
    "a target port that no container declares": (
        documents(spec("targetPort: 4000"), DEPLOYMENT),
        (
            "8: TcpService default/orders: spec.targetPort: no container of Deployment orders declares "
            "the port 4000, only nestjs (3001); set targetPort to the port on which the app listens"
        ),
    ),
    "a port that no container declares": (
        documents(TCP_SERVICE.replace("3001", "4000"), DEPLOYMENT),
        (
            "7: TcpService default/orders: spec.port: no container of Deployment orders declares the "
            "port 4000, only nestjs (3001); set targetPort to the port on which the app listens"
        ),
    ),
    "a Service's target port that no container has": (
        documents(TCP_SERVICE, DEPLOYMENT, SERVICE.replace("nestjs}", "tcp}")),
        (
            "31: Service orders: spec.ports[0].targetPort: no container of Deployment orders has a port "
            'named "tcp"; expected one of these: nestjs (3001)'
        ),
    ),
    "a Service that selects no pods": (
        documents(SERVICE.replace("app: orders", "app: order"), DEPLOYMENT),
        (
            "6: Service orders: spec.selector: no workload in the files has pods with the labels {app: "
            "order} (Deployment orders has {app: orders})"
        ),
    ),
    "a Service with another port": (
        documents(TCP_SERVICE, SERVICE.replace("port: 3001", "port: 4000"), DEPLOYMENT),
        (
            "7: TcpService default/orders: spec.port: callers connect to the Service default/orders, "
            "which has 4000, but no 3001"
        ),
    ),
    "a pattern that is nearly JSON": (
        routes("name: find, match: {type: Exact, pattern: '{\"cmd\":find}'}"),
        (
            "9: TcpService default/orders: spec.routes[0].match.pattern: begins as JSON, but is not "
            'JSON; expected JSON such as \'{"cmd":"sum"}\', got "{\\"cmd\\":find}"'
        ),
    ),
    "a pattern with an asterisk": (
        routes("name: find, match: {type: Exact, pattern: order.*}"),
        (
            '9: TcpService default/orders: spec.routes[0].match.pattern: the * in "order.*" is an ordinary '
            "character, not a wildcard; for all patterns that begin so, use type: Prefix without the *"
        ),
    ),
    "a misspelt annotation": (
        annotated("tcpservice.dev/local-comand: node"),
        (
            '5: Deployment orders: metadata.annotations["tcpservice.dev/local-comand"]: unknown '
            'annotation, did you mean "tcpservice.dev/local-command"?'
        ),
    ),
    "another value of the label inject": (
        DEPLOYMENT.replace("labels: {app: orders}", "labels: {app: orders, tcpservice.dev/inject: 'true'}"),
        (
            '9: Deployment orders: spec.template.metadata.labels["tcpservice.dev/inject"]: expected '
            'enabled or disabled, got "true"'
        ),
    ),
    "the label inject of the Deployment itself": (
        DEPLOYMENT.replace("  name: orders\nspec", "  name: orders\n  labels: {tcpservice.dev/inject: enabled}\nspec"),
        (
            '5: Deployment orders: metadata.labels["tcpservice.dev/inject"]: has no effect here; set '
            "this label in spec.template.metadata.labels"
        ),
    ),
    "a probe of a port that does not exist": (
        DEPLOYMENT + "        readinessProbe: {tcpSocket: {port: tcp}}\n",
        (
            "16: Deployment orders: spec.template.spec.containers[0].readinessProbe.tcpSocket.port: the "
            'container has no port named "tcp"; expected one of these: nestjs'
        ),
    ),
    "pods that end before their messages": (
        documents(spec("drain: {timeout: 60s, streamTimeout: 60s}"), DEPLOYMENT),
        (
            "8: TcpService default/orders: spec.drain.streamTimeout: messages may take 60s, but the pods "
            "of Deployment orders end 30s after their deletion; set terminationGracePeriodSeconds there "
            "to more than 60"
        ),
    ),
}
"""Files that are valid, but have objects that do not fit together: lines after `warning: `."""

VALID: dict[str, str] = {
    "line ends of Windows": TCP_SERVICE.replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + TCP_SERVICE,
    "JSON with a comma at its end": JSON.replace("3001", "3001,"),
    "anchors and merges": TCP_SERVICE.replace("{app: orders}", "&labels {app: orders}")
    + "  timeouts: &slow {request: 5s}\n  loadBalancing:\n    <<: {algorithm: Random}\n",
}
"""Files that look broken and are valid, as for kubectl."""

ONLY_UP: dict[str, tuple[str, ...]] = {
    "no command": (
        DEPLOYMENT.replace("        command: [node, dist/main.js]\n", ""),
        (
            "12: Deployment orders: spec.template.spec.containers[0].command: missing, and images do not "
            "run here; give the command, or annotate the Deployment with tcpservice.dev/local-command: "
            '"node dist/main.js"'
        ),
    ),
    "a command with an open quote": (
        annotated("tcpservice.dev/local-command: 'node \"dist'"),
        (
            '5: Deployment orders: metadata.annotations["tcpservice.dev/local-command"]: expected a '
            'command as in a shell, such as node dist/main.js, got "node \\"dist"'
        ),
    ),
    "a folder that does not exist": (
        annotated("tcpservice.dev/local-dir: nowhere"),
        (
            '5: Deployment orders: metadata.annotations["tcpservice.dev/local-dir"]: expected a folder, '
            'relative to that of the file, got "nowhere"; there is no folder HERE/nowhere'
        ),
    ),
    "a ConfigMap that does not exist": (
        DEPLOYMENT + "        envFrom: [{configMapRef: {name: settings}}]\n",
        (
            "16: Deployment orders: spec.template.spec.containers[0].envFrom[0].configMapRef.name: no "
            "ConfigMap default/settings is in the files; add it, or set optional: true"
        ),
    ),
    "a key that a ConfigMap does not have": (
        documents(
            DEPLOYMENT + "        env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: host}}}]\n",
            CONFIG_MAP.replace("PORT: 3001", "hosts: a"),
        ),
        (
            "16: Deployment orders: "
            "spec.template.spec.containers[0].env[0].valueFrom.configMapKeyRef.key: the ConfigMap "
            'default/settings has no key "host"; it has hosts'
        ),
    ),
    "an unknown field of the pod": (
        DEPLOYMENT + "        env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.nam}}}]\n",
        (
            "16: Deployment orders: "
            "spec.template.spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: there is no field "
            '"metadata.nam", did you mean "metadata.name"?'
        ),
    ),
    "a target port that does not exist": (
        documents(spec("targetPort: tcp"), DEPLOYMENT),
        (
            '24: Deployment orders: spec.template.spec.containers[0].ports: expected a port named "tcp", '
            "the targetPort of TcpService default/orders; it has nestjs (3001)"
        ),
    ),
    "no selector and no Service": (
        TCP_SERVICE.replace("  selector: {app: orders}\n", ""),
        (
            "5: TcpService default/orders: spec.selector: missing, and no Service default/orders with a "
            "selector is in the files; add the labels of the pods, such as {app: orders}"
        ),
    ),
}
"""What only `tcpservice up` refuses: a cluster has what is missing here."""
