"""The sidecar as a container of a pod, and the files that it needs.

Used by `injection`. It is a native sidecar (an init container that stays), the first of all: it starts before the app
and ends after it. It needs no privilege.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tcpservice_operator.aliases import Alias
from tcpservice_operator.objects import ALIAS, FRONT, HOOK_KEY, SIDECAR
from tcpservice_operator.options import Options
from tcpservice_operator.ports import ADMIN, Front
from tcpservice_operator.services import MESH_NUMBER, MESH_PORT

FILES: Final = "/var/run/secrets/tcpservice.dev"
VOLUME: Final = "tcpservice-sidecar"
GRACE_S: Final = 30
"""The grace period of a pod that says nothing of it."""

USER: Final = 65532
_TOKEN_LIFE_S: Final = 3600
_FIELDS: Final = (
    ("POD_NAME", "metadata.name", "k8s.pod.name"),
    ("POD_NAMESPACE", "metadata.namespace", "k8s.namespace.name"),
    ("NODE_NAME", "spec.nodeName", "k8s.node.name"),
)

_ADDRESS: Final = ("POD_IP", "status.podIP")

Document = dict[str, Any]


def hook_of(path: str, key: str) -> Document:
    """Make a hook that the kubelet calls when the pod ends."""
    return {"httpGet": {"path": path, "port": ADMIN, "httpHeaders": [{"name": "X-TcpService-Key", "value": key}]}}


def container_of(
    name: str, key: str, grace: int, fronts: Sequence[Front], aliases: Sequence[Alias], options: Options
) -> Document:
    """Make the container; `name` is what its pod is called in traces, `key` lets the kubelet call the hooks.

    `grace` is the pod's grace period in seconds.
    """
    limits = {"cpu": options.cpu_limit, "memory": options.memory_limit}
    return {
        "name": SIDECAR,
        "image": options.image,
        "imagePullPolicy": options.pull_policy,
        "restartPolicy": "Always",
        "args": [*_arguments(fronts, aliases, options), f"--grace={grace}s", f"{HOOK_KEY}{key}"],
        "env": _variables(name, options, serves=bool(fronts)),
        "ports": _ports(fronts),
        "resources": {
            "requests": {"cpu": options.cpu, "memory": options.memory},
            "limits": {resource: limit for resource, limit in limits.items() if limit},
        },
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "startupProbe": {**_probe("/readyz"), "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 5},
        "livenessProbe": {**_probe("/livez"), "periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": hook_of("/leave", key)},
        "volumeMounts": [{"name": VOLUME, "mountPath": FILES, "readOnly": True}],
    }


def volume_of(bootstrap: str, options: Options) -> Document:
    """Make the volume: the pod's token, what verifies the operator (it may come later), and what to begin with."""
    field = {"fieldPath": f"metadata.annotations['{bootstrap}']"}
    token = {"path": "token", "audience": options.audience, "expirationSeconds": _TOKEN_LIFE_S}
    trust = {"name": "tcpservice-ca", "optional": True, "items": [{"key": "ca.crt", "path": "ca/ca.crt"}]}
    return {
        "name": VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": token},
                {"configMap": trust},
                {"downwardAPI": {"items": [{"path": "bootstrap.yaml", "fieldRef": field}]}},
            ]
        },
    }


def _arguments(fronts: Sequence[Front], aliases: Sequence[Alias], options: Options) -> list[str]:
    pairs = [
        ("--file=", f"{FILES}/bootstrap.yaml"), ("--discovery=", options.operator), ("--admin=", f"*:{ADMIN}"),
    ]  # fmt: skip
    if fronts:
        pairs += [("--mesh=", f"*:{MESH_NUMBER}"), ("--pod-address=", f"$({_ADDRESS[0]})")]
    for front in fronts:
        name = "/".join(front.served.key)
        pairs.append(("--front=", f"{name}=*:{front.number}"))
        pairs.append((FRONT, f"{name}=localhost:{front.app_port}"))
    pairs += [(ALIAS, f"{'/'.join(each.called.key)}={each.address}:{each.called.port}") for each in aliases]
    return [flag + value for flag, value in pairs]


def _variables(name: str, options: Options, *, serves: bool) -> list[Document]:
    """Make the variables: who the pod is, in the terms of OpenTelemetry, and what the installation asks for."""
    fields = [*((name, path) for name, path, _ in _FIELDS), *([_ADDRESS] if serves else [])]
    given = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields]
    attributes = ",".join(f"{attribute}=$({variable})" for variable, _, attribute in _FIELDS)
    values = {"OTEL_SERVICE_NAME": name, "OTEL_RESOURCE_ATTRIBUTES": attributes, **dict(options.variables)}
    return [*given, *({"name": name, "value": value} for name, value in values.items())]


def _ports(fronts: Sequence[Front]) -> list[Document]:
    ports = [{"name": front.name, "containerPort": front.number} for front in fronts]
    mesh = [{"name": MESH_PORT, "containerPort": MESH_NUMBER}] if fronts else []
    return [*ports, *mesh, {"name": "tcps-admin", "containerPort": ADMIN}]


def _probe(path: str) -> Document:
    return {"httpGet": {"path": path, "port": ADMIN}}
