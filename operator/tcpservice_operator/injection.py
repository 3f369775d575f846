"""A pod with its sidecar: one function, for pods that are being made and for manifests (`offline`).

Pure: a pod and what it has to do with TcpServices go in, the pod as it should be comes out. Every step adds only what
is missing, so that doing it again changes nothing, and a container that somebody added in between is not left out. The
API server asks twice for most pods; a TcpService that appeared in between is left for the next pod, as the sidecar that
is there does not listen for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Final

import orjson
from msgspec import Struct

from tcpservice.spec.schema import GROUP
from tcpservice_operator.aliases import Alias, aliases_of, left_out
from tcpservice_operator.objects import (
    ALIAS,
    HOOK_KEY,
    INJECT,
    NO_ALIAS,
    NOT_INJECTED,
    NOTES,
    SIDECAR,
    Key,
    named_by,
    skeleton_of,
)
from tcpservice_operator.options import Options
from tcpservice_operator.ports import app_ports, move_ports
from tcpservice_operator.roles import Called, Roles, Served
from tcpservice_operator.sidecar import GRACE_S, VOLUME, container_of, hook_of, volume_of

INJECTED: Final = f"{GROUP}/injected"
"""The annotation that says which version's sidecar a pod has."""

BOOTSTRAP: Final = f"{GROUP}/bootstrap"
"""The annotation with the TcpServices that the sidecar begins with; the kubelet hands it on as a file."""

LARGEST_BOOTSTRAP: Final = 128 << 10
"""In bytes. The API server takes 256 KiB of annotations in all, and the pod has others."""

_ADDRESS: Final = ("port", "protocol")

Document = dict[str, Any]


class Injected(Struct, frozen=True, kw_only=True):
    """The pod as it should be, and what was left out on the way, for people; `reason` where nothing was done at all."""

    pod: Document
    notes: tuple[str, ...] = ()
    reason: str = ""


def inject(pod: Document, roles: Roles, options: Options) -> Injected:
    """Return a pod (or the template of one: metadata and spec) with its sidecar."""
    there = _arguments_of(pod)
    if there is not None:
        return Injected(pod=_completed(pod, roles, there))
    reason = _why_not(pod, roles)
    return Injected(pod=pod, reason=reason) if reason else _inject(pod, roles, options)


def _inject(pod: Document, roles: Roles, options: Options) -> Injected:
    """Give a pod its sidecar."""
    made = deepcopy(pod)
    listened = app_ports(made, roles.targeted)
    fronts = move_ports(made, roles.serves)
    reasons = left_out(made, roles.calls, listened, [front.app_port for front in fronts])
    aliases = aliases_of(made, [each for each in roles.calls if each.key not in reasons])
    notes = [f"{'/'.join(key)}{NO_ALIAS}{reason}" for key, reason in reasons.items()]
    notes += [_not_there(key) for key in roles.unknown]
    if not fronts and not aliases:
        return Injected(pod=pod, reason=f"nothing could lead to its sidecar ({'; '.join(notes)})")
    key, spec = options.hook_key(), made["spec"]
    grace = spec.get("terminationGracePeriodSeconds")
    name = _name_of(made, roles.serves)
    container = container_of(name, key, GRACE_S if grace is None else grace, fronts, aliases, options)
    spec["initContainers"] = [container, *(spec.get("initContainers") or [])]
    spec["volumes"] = [*(spec.get("volumes") or []), volume_of(BOOTSTRAP, options)]
    _add_to_apps(made, aliases, key)
    _annotate(made, roles.serves, aliases, notes, options)
    return Injected(pod=made, notes=tuple(notes))


def _arguments_of(pod: Document) -> list[str] | None:
    """Return what the sidecar was given that injection made, None where it made none."""
    there: list[Document] = pod["spec"].get("initContainers") or []
    given = next((each.get("args") or [] for each in there if each["name"] == SIDECAR), [])
    return given if INJECTED in _annotations_of(pod) and named_by(given, HOOK_KEY) else None


def _completed(pod: Document, roles: Roles, arguments: list[str]) -> Document:
    """Give what came to a pod after its sidecar what the rest has, by what that sidecar was made for."""
    made, aliased = deepcopy(pod), named_by(arguments, ALIAS) or ()
    (key,) = named_by(arguments, HOOK_KEY) or ()
    _add_to_apps(made, aliases_of(made, [each for each in roles.calls if "/".join(each.key) in aliased]), key)
    return made


def _annotations_of(pod: Document) -> Document:
    annotations: Document = (pod.get("metadata") or {}).get("annotations") or {}
    return annotations


def _not_there(key: Key) -> str:
    return f"there is no TcpService {key[1]} in {key[0]}"


def _why_not(pod: Document, roles: Roles) -> str:
    if not roles:
        return "it serves no TcpService and calls none"
    reasons = (reason for holds, reason in _REFUSALS if holds(pod["spec"], pod.get("metadata") or {}))
    reason = next(reasons, "") or _why_taken(pod["spec"])
    if not reason and not roles.serves and not roles.calls:
        reason = "; ".join(map(_not_there, roles.unknown))
    return reason


def _why_taken(spec: Document) -> str:
    """Say whether a pod has something of its own that is called as the sidecar's."""
    containers = (*spec["containers"], *(spec.get("initContainers") or []))
    if any(each["name"] == SIDECAR for each in containers):
        return f"it has a container {SIDECAR} of its own"
    if any(each["name"] == VOLUME for each in spec.get("volumes") or []):
        return f"it has a volume {VOLUME} of its own"
    return ""


def _is_windows(spec: Document, _: Document) -> bool:
    named = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    return named == "windows"


def _is_opted_out(_: Document, metadata: Document) -> bool:
    return (metadata.get("labels") or {}).get(INJECT) == "disabled"


def _is_on_host_network(spec: Document, _: Document) -> bool:
    return bool(spec.get("hostNetwork"))


_REFUSALS: Final[tuple[tuple[Callable[[Document, Document], bool], str], ...]] = (
    (_is_opted_out, f"it has the label {INJECT}: disabled"),
    (_is_on_host_network, "it is on the host's network"),
    (_is_windows, "it runs on Windows"),
)


def _name_of(pod: Document, serves: Sequence[Served]) -> str:
    """Return what a pod is called in traces: what people label it with, else what it serves."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    served = serves[0].key[1] if serves else ""
    name: str = labels.get("app.kubernetes.io/name") or labels.get("app") or served or "tcpservice"
    return name


def _add_to_apps(pod: Document, aliases: Sequence[Alias], key: str) -> None:
    """Let the apps of a pod find the sidecar, and wait for it when the pod ends."""
    _add_aliases(pod["spec"], aliases)
    for container in pod["spec"]["containers"]:
        _add_gate(container, key)
        _add_variables(container, aliases)


def _add_aliases(spec: Document, aliases: Sequence[Alias]) -> None:
    there: list[Document] = spec.get("hostAliases") or []
    known = {each["ip"] for each in there}
    new = [{"ip": each.address, "hostnames": list(each.names)} for each in aliases if each.address not in known]
    if new:
        spec["hostAliases"] = [*there, *new]


def _add_gate(container: Document, key: str) -> None:
    """Let the app's SIGTERM wait until the sidecar has nothing in flight for it."""
    lifecycle: Document = container.get("lifecycle") or {}
    if not lifecycle.get("preStop"):
        container["lifecycle"] = {**lifecycle, "preStop": hook_of("/gate", key)}


def _add_variables(container: Document, aliases: Sequence[Alias]) -> None:
    """Let Kubernetes' own variables lead to the sidecar, too: the Service's address would go past it.

    They stand first, as a variable can refer to those before it alone.
    """
    there: list[Document] = container.get("env") or []
    known = {each["name"] for each in there}
    new = [{"name": each.variable, "value": each.address} for each in aliases if each.variable not in {"", *known}]
    if new:
        container["env"] = [*new, *there]


def _annotate(
    pod: Document, serves: Sequence[Served], aliases: Sequence[Alias], notes: Sequence[str], options: Options
) -> None:
    annotations = {name: value for name, value in _annotations_of(pod).items() if name not in (NOT_INJECTED, NOTES)}
    annotations |= {INJECTED: options.version, BOOTSTRAP: _bootstrap(serves, [each.called for each in aliases])}
    if notes:
        annotations[NOTES] = "; ".join(notes)
    pod["metadata"] = {**(pod.get("metadata") or {}), "annotations": annotations}


def _bootstrap(serves: Sequence[Served], calls: Sequence[Called]) -> str:
    """Write the TcpServices that the sidecar begins with, each once, by name.

    Of a TcpService that the pod calls, the bootstrap has the name, the port and the protocol only. The sidecar receives
    the policies on its stream, where the operator verifies the pod's token; the webhook cannot verify its client. Of a
    TcpService that the pod serves, the bootstrap has all policies, because the sidecar applies limits and timeouts to
    the pod's own app before the stream begins. Where those are too large, the bootstrap leaves their policies out.
    """
    called, served = {each.key: _address_of(each.document) for each in calls}, _documents(serves)
    texts = (_write({**called, **served}), _write({**called, **_skeletons(served)}))
    return next((text for text in texts if len(text) <= LARGEST_BOOTSTRAP), texts[-1]).decode()


def _address_of(document: Document) -> Document:
    """Return a TcpService with what a caller needs to listen for it: its name, its port and its protocol."""
    return {**document, "spec": {name: value for name, value in document["spec"].items() if name in _ADDRESS}}


def _documents(services: Sequence[Served]) -> dict[Key, Document]:
    return {service.key: service.document for service in services}


def _skeletons(documents: dict[Key, Document]) -> dict[Key, Document]:
    return {key: skeleton_of(document) for key, document in documents.items()}


def _write(documents: dict[Key, Document]) -> bytes:
    items = [documents[key] for key in sorted(documents)]
    return orjson.dumps({"apiVersion": "v1", "kind": "List", "items": items})
