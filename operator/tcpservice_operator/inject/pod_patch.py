"""Adds the sidecar to a pod or a pod template.

Used by `webhook` for pods and by `offline` for manifests. It is pure: a pod and its roles go in, the patched pod comes
out. Every step adds only what is missing, so that applying it again changes nothing, and a container that another
webhook added in between is patched, too. The API server calls the webhook twice for most pods. The second call ignores
TcpServices that appeared in between, because the sidecar of the first call does not listen for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Final

import orjson
from msgspec import Struct

from tcpservice.spec.schema import GROUP
from tcpservice_operator.api.names import (
    HOOK_KEY_FLAG,
    INJECT_LABEL,
    INJECTION_NOTES,
    LISTEN_FLAG,
    NO_ALIAS_NOTE,
    NOT_INJECTED,
    SIDECAR_CONTAINER,
)
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.objects import named_by, skeleton_of
from tcpservice_operator.cache.pod_roles import Called, Roles, Served
from tcpservice_operator.inject.aliases import Alias, aliases_of, left_out
from tcpservice_operator.inject.pod_ports import app_ports, move_ports, sidecar_ports
from tcpservice_operator.inject.resource_fit import NO_RULES, NamespaceRules, fit
from tcpservice_operator.inject.sidecar_container import GRACE_S, VOLUME, container_of, hook_of, volume_of
from tcpservice_operator.inject.sidecar_options import Options, for_pod

INJECTED: Final = f"{GROUP}/injected"
"""The annotation with the version of a pod's sidecar."""

BOOTSTRAP: Final = f"{GROUP}/bootstrap"
"""The annotation with the TcpServices that the sidecar starts with; the kubelet mounts it as a file."""

LARGEST_BOOTSTRAP: Final = 128 << 10
"""In bytes. The API server limits all annotations of a pod to 256 KiB, and the pod has others."""

LARGEST_ANNOTATIONS: Final = 256 << 10
"""How many bytes of annotations the API server accepts of an object."""

_ADDRESS: Final = ("port", "protocol")

Document = dict[str, Any]


class Injected(Struct, frozen=True, kw_only=True):
    """The patched pod. `notes` list what was left out. `reason` is why the pod gets no sidecar, or empty."""

    pod: Document
    notes: tuple[str, ...] = ()
    reason: str = ""


def inject(pod: Document, roles: Roles, options: Options, rules: NamespaceRules = NO_RULES) -> Injected:
    """Return a pod (or the template of one: metadata and spec) with its sidecar.

    The API server judges the pod by the `rules` of its namespace after injection; the sidecar must not break them.
    """
    there = _arguments_of(pod)
    if there is not None:
        return Injected(pod=_completed(pod, roles, there))
    reason = _why_not(pod, roles)
    return Injected(pod=pod, reason=reason) if reason else _inject(pod, roles, options, rules)


def _inject(pod: Document, roles: Roles, options: Options, rules: NamespaceRules) -> Injected:
    """Add the sidecar to a pod that has none."""
    made = deepcopy(pod)
    options, notes = for_pod(options, _annotations_of(pod))
    listened = app_ports(made, roles.targeted)
    ports = move_ports(made, roles.serves)
    reasons = left_out(made, roles.calls, listened, set(ports.apps.values()))
    aliases = aliases_of(made, [each for each in roles.calls if each.key not in reasons])
    notes += ports.notes
    notes += [f"{'/'.join(key)}{NO_ALIAS_NOTE}{reason}" for key, reason in reasons.items()]
    notes += [_not_there(key, pod) for key in roles.unknown]
    if not ports.apps and not aliases:
        return Injected(pod=pod, reason=f"no traffic would reach the sidecar ({'; '.join(notes)})")
    taken = listened.numbers & sidecar_ports(ports)
    if taken:
        return Injected(pod=pod, reason=f"the app listens on port {min(taken)}, which the sidecar uses")
    resources = fit(
        pod,
        {"cpu": options.cpu, "memory": options.memory},
        {"cpu": options.cpu_limit, "memory": options.memory_limit},
        rules,
    )
    if resources.reason:
        return Injected(pod=pod, reason=resources.reason)
    key, spec = options.hook_key(), made["spec"]
    grace = spec.get("terminationGracePeriodSeconds")
    name = _name_of(made, roles.serves)
    grace = GRACE_S if grace is None else grace
    container = container_of(name, key, grace, ports, aliases, resources, options)
    spec["initContainers"] = [container, *(spec.get("initContainers") or [])]
    spec["volumes"] = [*(spec.get("volumes") or []), volume_of(BOOTSTRAP, options)]
    _add_pull_secrets(spec, options.pull_secrets)
    _add_to_apps(made, aliases, key)
    _annotate(made, roles.serves, aliases, notes, options)
    size = sum(len(name) + len(value) for name, value in _annotations_of(made).items())
    if size > LARGEST_ANNOTATIONS:
        most = f"the API server accepts at most {LARGEST_ANNOTATIONS}"
        return Injected(pod=pod, reason=f"its annotations would have {size} bytes with the sidecar, and {most}")
    return Injected(pod=made, notes=tuple(notes))


def _arguments_of(pod: Document) -> list[str] | None:
    """Return the arguments of the sidecar that an earlier call added, None if there is none."""
    there: list[Document] = pod["spec"].get("initContainers") or []
    given = next((each.get("args") or [] for each in there if each["name"] == SIDECAR_CONTAINER), [])
    return given if INJECTED in _annotations_of(pod) and named_by(given, HOOK_KEY_FLAG) else None


def _completed(pod: Document, roles: Roles, arguments: list[str]) -> Document:
    """Patch containers that were added after the sidecar, by the arguments of that sidecar."""
    made, aliased = deepcopy(pod), named_by(arguments, LISTEN_FLAG) or ()
    (key,) = named_by(arguments, HOOK_KEY_FLAG) or ()
    _add_to_apps(made, aliases_of(made, [each for each in roles.calls if "/".join(each.key) in aliased]), key)
    return made


def _annotations_of(pod: Document) -> Document:
    annotations: Document = (pod.get("metadata") or {}).get("annotations") or {}
    return annotations


def _not_there(key: Key, pod: Document) -> str:
    """Say that a pod calls nothing of a name. It does not learn what exists in a namespace that it may not call."""
    is_elsewhere = key[0] != (pod.get("metadata") or {}).get("namespace")
    return (
        f"the TcpService {'/'.join(key)} does not exist"
        + ", or does not allow calls from this namespace" * is_elsewhere
    )


def _why_not(pod: Document, roles: Roles) -> str:
    if not roles:
        return "the pod serves no TcpService and calls none"
    reasons = (reason for holds, reason in _REFUSALS if holds(pod["spec"], pod.get("metadata") or {}))
    reason = next(reasons, "") or _why_taken(pod["spec"])
    if not reason and not roles.serves and not roles.calls:
        reason = "; ".join(_not_there(key, pod) for key in roles.unknown)
    return reason


def _why_taken(spec: Document) -> str:
    """Return the conflict of a pod's own container or volume with the name of the sidecar's; empty if there is none."""
    containers = (*spec["containers"], *(spec.get("initContainers") or []))
    if any(each["name"] == SIDECAR_CONTAINER for each in containers):
        return f"the pod already has a container with the name {SIDECAR_CONTAINER}"
    if any(each["name"] == VOLUME for each in spec.get("volumes") or []):
        return f"the pod already has a volume with the name {VOLUME}"
    return ""


def _is_windows(spec: Document, _: Document) -> bool:
    named = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    return named == "windows"


def _is_opted_out(_: Document, metadata: Document) -> bool:
    return (metadata.get("labels") or {}).get(INJECT_LABEL) == "disabled"


def _is_on_host_network(spec: Document, _: Document) -> bool:
    return bool(spec.get("hostNetwork"))


_REFUSALS: Final[tuple[tuple[Callable[[Document, Document], bool], str], ...]] = (
    (_is_opted_out, f"the pod has the label {INJECT_LABEL}: disabled"),
    (_is_on_host_network, "the pod uses the host network"),
    (_is_windows, "the pod runs on Windows"),
)


def _name_of(pod: Document, serves: Sequence[Served]) -> str:
    """Return the name of a pod in traces: the app name of its labels, else the TcpService that it serves."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    served = serves[0].key[1] if serves else ""
    name: str = labels.get("app.kubernetes.io/name") or labels.get("app") or served or "tcpservice"
    return name


def _add_to_apps(pod: Document, aliases: Sequence[Alias], key: str) -> None:
    """Let the apps of a pod find the sidecar, and wait for it when the pod is deleted."""
    spec = pod["spec"]
    _add_aliases(spec, aliases)
    for container in spec["containers"]:
        _add_gate(container, key)
    if spec.get("enableServiceLinks") is not False:
        for container in (*spec["containers"], *(spec.get("initContainers") or [])):
            if container["name"] != SIDECAR_CONTAINER:
                _add_variables(container, aliases)


def _add_pull_secrets(spec: Document, names: Sequence[str]) -> None:
    there: list[Document] = spec.get("imagePullSecrets") or []
    known = {each.get("name") for each in there}
    new = [{"name": name} for name in names if name not in known]
    if new:
        spec["imagePullSecrets"] = [*there, *new]


def _add_aliases(spec: Document, aliases: Sequence[Alias]) -> None:
    there: list[Document] = spec.get("hostAliases") or []
    known = {each["ip"] for each in there}
    new = [{"ip": each.address, "hostnames": list(each.names)} for each in aliases if each.address not in known]
    if new:
        spec["hostAliases"] = [*there, *new]


def _add_gate(container: Document, key: str) -> None:
    """Delay the app's SIGTERM until the sidecar has no messages in flight for it."""
    lifecycle: Document = container.get("lifecycle") or {}
    if not lifecycle.get("preStop"):
        container["lifecycle"] = {**lifecycle, "preStop": hook_of("/gate", key)}


def _add_variables(container: Document, aliases: Sequence[Alias]) -> None:
    """Set Kubernetes' variables NAME_SERVICE_HOST to the sidecar's address; the Service's address would bypass it.

    The variables come first, because other variables can refer only to earlier ones. A container with `envFrom` keeps
    what it has: a ConfigMap of the user's may set the same variables, and would lose against these.
    """
    if container.get("envFrom"):
        return
    there: list[Document] = container.get("env") or []
    known = {each["name"] for each in there}
    new = [{"name": each.variable, "value": each.address} for each in aliases if each.variable not in {"", *known}]
    if new:
        container["env"] = [*new, *there]


def _annotate(
    pod: Document, serves: Sequence[Served], aliases: Sequence[Alias], notes: Sequence[str], options: Options
) -> None:
    annotations = {
        name: value for name, value in _annotations_of(pod).items() if name not in (NOT_INJECTED, INJECTION_NOTES)
    }
    annotations |= {INJECTED: options.version, BOOTSTRAP: _bootstrap(serves, [each.called for each in aliases])}
    if notes:
        annotations[INJECTION_NOTES] = "; ".join(notes)
    pod["metadata"] = {**(pod.get("metadata") or {}), "annotations": annotations}


def _bootstrap(serves: Sequence[Served], calls: Sequence[Called]) -> str:
    """Return the TcpServices that the sidecar starts with as a document, each once, by name.

    Of a TcpService that the pod calls, the bootstrap has the name, the port and the protocol only. The sidecar receives
    the policies on its stream, where the operator verifies the pod's token; the webhook cannot verify its client. Of a
    TcpService that the pod serves, the bootstrap has all policies, because the sidecar applies limits and timeouts to
    the pod's own app before the stream begins. If these policies are too large, the bootstrap leaves them out.
    """
    called, served = {each.key: _address_of(each.document) for each in calls}, _documents(serves)
    texts = (_write({**called, **served}), _write({**called, **_skeletons(served)}))
    return next((text for text in texts if len(text) <= LARGEST_BOOTSTRAP), texts[-1]).decode()


def _address_of(document: Document) -> Document:
    """Return what a caller's sidecar needs to listen for a TcpService: name, port and protocol."""
    return {**document, "spec": {name: value for name, value in document["spec"].items() if name in _ADDRESS}}


def _documents(services: Sequence[Served]) -> dict[Key, Document]:
    return {service.key: service.document for service in services}


def _skeletons(documents: dict[Key, Document]) -> dict[Key, Document]:
    return {key: skeleton_of(document) for key, document in documents.items()}


def _write(documents: dict[Key, Document]) -> bytes:
    items = [documents[key] for key in sorted(documents)]
    return orjson.dumps({"apiVersion": "v1", "kind": "List", "items": items})
