"""The sidecar container of a pod, and the volume with its files.

Used by `pod_patch`. It is a native sidecar: an init container that keeps running. It comes first, so that it starts
before the app and ends after it. It needs no privileges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tcpservice_operator.api.names import APP_FLAG, HOOK_KEY_FLAG, LISTEN_FLAG, SIDECAR_CONTAINER
from tcpservice_operator.cache.targets import ADMIN_PORT, MESH_NUMBER, MESH_PORT
from tcpservice_operator.inject.aliases import Alias
from tcpservice_operator.inject.pod_ports import ADMIN, ServingPorts
from tcpservice_operator.inject.resource_fit import Fit
from tcpservice_operator.inject.sidecar_options import Options

FILES: Final = "/var/run/secrets/tcpservice.dev"
VOLUME: Final = "tcpservice-sidecar"
GRACE_S: Final = 30
"""Kubernetes' default termination grace period of a pod, in seconds."""

_TOKEN_LIFE_S: Final = 3600
_FIELDS: Final = (
    ("POD_NAME", "metadata.name", "k8s.pod.name"),
    ("POD_NAMESPACE", "metadata.namespace", "k8s.namespace.name"),
    ("NODE_NAME", "spec.nodeName", "k8s.node.name"),
)

_ADDRESS: Final = ("POD_IP", "status.podIP")

Document = dict[str, Any]


def hook_of(path: str, key: str) -> Document:
    """Return a preStop hook, which the kubelet calls when the pod is deleted."""
    return {"httpGet": {"path": path, "port": ADMIN, "httpHeaders": [{"name": "X-TcpService-Key", "value": key}]}}


def container_of(
    name: str, key: str, grace: int, ports: ServingPorts, aliases: Sequence[Alias],
    resources: Fit, options: Options,
) -> Document:  # fmt: skip
    """Return the container.

    `name` is the name of the pod in traces. `key` authenticates the kubelet at the hooks. `grace` is the termination
    grace period of the pod in seconds. `resources` are those of `options`, fitted to the pod and its namespace.
    """
    return {
        "name": SIDECAR_CONTAINER,
        "image": options.image,
        "imagePullPolicy": options.pull_policy,
        "restartPolicy": "Always",
        "args": [*_arguments(ports, aliases, options), f"--grace={grace}s", f"{HOOK_KEY_FLAG}{key}"],
        "env": _variables(name, options, serves=bool(ports.apps)),
        "ports": _ports(ports),
        "resources": {"requests": dict(resources.requests), "limits": dict(resources.limits)},
        **({"securityContext": dict(options.security_context)} if options.security_context else {}),
        "startupProbe": {**_probe("/readyz"), "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 5},
        "livenessProbe": {**_probe("/livez"), "periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": hook_of("/leave", key)},
        "volumeMounts": [{"name": VOLUME, "mountPath": FILES, "readOnly": True}],
    }


def volume_of(bootstrap: str, options: Options) -> Document:
    """Return the volume: the pod's token, the CA bundle (optional: it may follow later) and the bootstrap file."""
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


def _arguments(ports: ServingPorts, aliases: Sequence[Alias], options: Options) -> list[str]:
    pairs = [
        ("--file=", f"{FILES}/bootstrap.yaml"), ("--discovery=", options.operator), ("--admin=", f"*:{ADMIN}"),
    ]  # fmt: skip
    if ports.apps:
        pairs += [("--mesh=", f"*:{MESH_NUMBER}"), ("--pod-address=", f"$({_ADDRESS[0]})")]
    pairs += [("--front=", f"{'/'.join(listener.key)}=*:{listener.number}") for listener in ports.listeners]
    pairs += [(APP_FLAG, f"{'/'.join(key)}=localhost:{port}") for key, port in ports.apps.items()]
    pairs += [(LISTEN_FLAG, f"{'/'.join(each.called.key)}={each.address}:{each.called.port}") for each in aliases]
    return [flag + value for flag, value in pairs]


def _variables(name: str, options: Options, *, serves: bool) -> list[Document]:
    """Return the environment: the pod's identity for OpenTelemetry, and the variables of the installation."""
    fields = [*((name, path) for name, path, _ in _FIELDS), *([_ADDRESS] if serves else [])]
    given = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields]
    attributes = ",".join(f"{attribute}=$({variable})" for variable, _, attribute in _FIELDS)
    values = {"OTEL_SERVICE_NAME": name, "OTEL_RESOURCE_ATTRIBUTES": attributes, **dict(options.variables)}
    return [*given, *({"name": name, "value": value} for name, value in values.items())]


def _ports(ports: ServingPorts) -> list[Document]:
    inbound = [{"name": listener.name, "containerPort": listener.number} for listener in ports.listeners]
    mesh = [{"name": MESH_PORT, "containerPort": MESH_NUMBER}] if ports.apps else []
    return [*inbound, *mesh, {"name": ADMIN_PORT, "containerPort": ADMIN}]


def _probe(path: str) -> Document:
    return {"httpGet": {"path": path, "port": ADMIN}}
