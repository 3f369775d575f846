"""Pods of many shapes, as people write them, for properties that a real API server judges.

Not every pod that is drawn is one that the API server accepts: those that it refuses say nothing, and are left out.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

SERVED_NAME = "nestjs"
SERVED_NUMBER = 3001
IMAGE = "registry.example.com/app:1"
NAMES = ("app", "worker", "proxy", "metrics-exporter")
PORT_NAMES = (SERVED_NAME, "http", "metrics", "tcps-admin", "tcps-mesh", "nestjs-app", "a-long-port-nam")
NUMBERS = (SERVED_NUMBER, 3000, 8080, 9090, 15801, 15820, 15821, 15890, 65535)
CPU = ("10m", "50m", "100m", "1", "0.5")
MEMORY = ("16Mi", "64Mi", "128M", "1Gi", "67108864")


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """Draw an object in which each field may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


def _ports() -> st.SearchStrategy[list[Document]]:
    port = st.fixed_dictionaries(
        {"containerPort": st.sampled_from(NUMBERS)},
        optional={
            "name": st.sampled_from(PORT_NAMES),
            "protocol": st.sampled_from(["TCP", "UDP"]),
        },
    )
    return st.lists(
        port, max_size=3, unique_by=(lambda each: each.get("name") or id(each), lambda each: each["containerPort"])
    )


def _action() -> st.SearchStrategy[Document]:
    port = st.sampled_from([SERVED_NAME, "http", SERVED_NUMBER, 8080, 15890])
    return st.one_of(
        st.builds(lambda port: {"httpGet": {"path": "/health", "port": port}}, port),
        st.builds(lambda port: {"tcpSocket": {"port": port}}, port),
        st.just({"exec": {"command": ["true"]}}),
        st.builds(lambda port: {"grpc": {"port": port}}, st.sampled_from([SERVED_NUMBER, 8080])),
    )


def _probe() -> st.SearchStrategy[Document]:
    return st.builds(lambda action, more: {**action, **more}, _action(), _some(periodSeconds=st.integers(1, 60)))


def _lifecycle() -> st.SearchStrategy[Document]:
    hook = st.one_of(
        st.just({"exec": {"command": ["true"]}}),
        st.builds(lambda port: {"httpGet": {"path": "/stop", "port": port}}, st.sampled_from(["http", 8080])),
        st.just({"sleep": {"seconds": 1}}),
    )
    return _some(postStart=hook, preStop=hook)


def _resources() -> st.SearchStrategy[Document]:
    amounts = _some(cpu=st.sampled_from(CPU), memory=st.sampled_from(MEMORY))
    return _some(requests=amounts, limits=amounts)


def _environment() -> st.SearchStrategy[list[Document]]:
    variable = st.one_of(
        st.builds(lambda name: {"name": name, "value": "1"}, st.sampled_from(["A", "ORDERS_SERVICE_HOST", "PORT"])),
        st.just({"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        st.just({"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}}),
    )
    return st.lists(variable, max_size=3, unique_by=lambda each: each["name"])


def _security() -> st.SearchStrategy[Document]:
    return _some(
        runAsUser=st.sampled_from([0, 1000, 65532]),
        runAsNonRoot=st.booleans(),
        readOnlyRootFilesystem=st.booleans(),
        allowPrivilegeEscalation=st.booleans(),
        capabilities=st.just({"drop": ["ALL"]}),
        seccompProfile=st.sampled_from([{"type": "RuntimeDefault"}, {"type": "Unconfined"}]),
    )


def _container(*, stays: bool) -> st.SearchStrategy[Document]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        "ports": _ports(),
        "env": _environment(),
        "envFrom": st.just([{"configMapRef": {"name": "settings", "optional": True}}]),
        "resources": _resources(),
        "securityContext": _security(),
        "command": st.just(["node", "main.js"]),
        "args": st.just(["--port", "$(PORT)"]),
        "imagePullPolicy": st.sampled_from(["Always", "Never"]),
        "workingDir": st.just("/app"),
        "terminationMessagePolicy": st.just("FallbackToLogsOnError"),
        "volumeMounts": st.just([{"name": "scratch", "mountPath": "/scratch"}]),
        "resizePolicy": st.just([{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
        "tty": st.booleans(),
    }
    if stays:
        fields |= {
            "livenessProbe": _probe(), "readinessProbe": _probe(), "startupProbe": _probe(), "lifecycle": _lifecycle(),
        }  # fmt: skip
    return st.fixed_dictionaries({"image": st.just(IMAGE)}, optional=fields)


def _named(containers: list[Document], names: list[str]) -> list[Document]:
    return [{"name": name, **each} for name, each in zip(names, containers, strict=False)]


@st.composite
def pods(draw: st.DrawFn) -> Document:
    """Draw a pod, without a namespace; every pod has the label `app: orders`, by which a TcpService selects it."""
    names = draw(st.permutations(NAMES))
    apps = draw(st.lists(_container(stays=True), min_size=1, max_size=2))
    before = draw(st.lists(_container(stays=False), max_size=1))
    natives = draw(st.lists(_container(stays=True), max_size=1))
    spec: Document = {
        "containers": _named(apps, names[:2]),
        "volumes": [{"name": "scratch", "emptyDir": {}}, *draw(_volumes())],
        **draw(_pod_fields()),
    }
    initial = [
        *_named(before, names[2:3]),
        *({"restartPolicy": "Always", **each} for each in _named(natives, names[3:])),
    ]
    if initial:
        spec["initContainers"] = initial
    metadata: Document = {"name": "drawn", "labels": {"app": "orders", **draw(_labels())}}
    annotations = draw(_annotations())
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _volumes() -> st.SearchStrategy[list[Document]]:
    return st.lists(
        st.sampled_from([
            {"name": "config", "configMap": {"name": "settings", "optional": True}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "a"}}]}},
        ]),
        max_size=2,
        unique_by=lambda each: str(each["name"]),
    )  # fmt: skip


def _labels() -> st.SearchStrategy[Document]:
    return _some(**{
        "version": st.just("1"),
        "tcpservice.dev/inject": st.sampled_from(["enabled", "disabled", "maybe"]),
        "app.kubernetes.io/name": st.sampled_from(["orders", "a b", "x" * 63]).filter(lambda text: " " not in text),
    })  # fmt: skip


def _annotations() -> st.SearchStrategy[Document]:
    return _some(**{
        "tcpservice.dev/calls": st.sampled_from(["stock", "stock, nowhere", "", ",,", "stock.elsewhere", "../x"]),
        "tcpservice.dev/app-ports": st.sampled_from(["", "3001", "8080 9090", "many", "99999999999"]),
        "large": st.sampled_from(["x" * 1000, "x" * (200 << 10), "x" * (255 << 10)]),
    })  # fmt: skip


def _pod_fields() -> st.SearchStrategy[Document]:
    amounts = _some(cpu=st.sampled_from(["100m", "1"]), memory=st.sampled_from(["64Mi", "128Mi", "1Gi"]))
    return _some(
        restartPolicy=st.sampled_from(["Always", "OnFailure", "Never"]),
        terminationGracePeriodSeconds=st.sampled_from([0, 1, 30, 604_800]),
        hostAliases=st.sampled_from(
            [
                [{"ip": "10.0.0.1", "hostnames": ["db"]}],
                [{"ip": "10.0.0.1", "hostnames": ["stock"]}, {"ip": "10.0.0.2"}],
                [{"ip": "127.77.1.1", "hostnames": ["mine"]}],
            ]
        ),
        hostNetwork=st.booleans(),
        hostPID=st.booleans(),
        shareProcessNamespace=st.booleans(),
        automountServiceAccountToken=st.booleans(),
        enableServiceLinks=st.booleans(),
        setHostnameAsFQDN=st.booleans(),
        dnsPolicy=st.sampled_from(["ClusterFirst", "Default"]),
        os=st.sampled_from([{"name": "linux"}, {"name": "windows"}]),
        nodeSelector=st.just({"kubernetes.io/os": "linux"}),
        securityContext=_some(
            runAsUser=st.sampled_from([0, 1000]),
            runAsNonRoot=st.booleans(),
            fsGroup=st.just(1000),
            supplementalGroups=st.just([7]),
            seccompProfile=st.just({"type": "RuntimeDefault"}),
        ),
        resources=_some(requests=amounts, limits=amounts),
        tolerations=st.just([{"key": "a", "operator": "Exists"}]),
        readinessGates=st.just([{"conditionType": "example.com/ready"}]),
        schedulingGates=st.just([{"name": "example.com/later"}]),
        hostUsers=st.booleans(),
        activeDeadlineSeconds=st.just(60),
        priorityClassName=st.just("system-cluster-critical"),
        subdomain=st.just("orders"),
        hostname=st.just("one"),
    )


def confined(pod: Document) -> Document:
    """Return a pod as the standard `restricted` demands it, where a namespace enforces that."""
    spec = pod["spec"]
    spec["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 1000}
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    for field in ("hostNetwork", "hostPID", "os"):
        spec.pop(field, None)
    return pod
