"""A pod with its sidecar: one function, for pods that are being made and for manifests (`offline`).

Pure: a pod and what it has to do with TcpServices go in, the pod as it should be comes out. Every step adds only what
is missing, so that doing it again changes nothing, and a container that somebody added in between is not left out. The
API server asks twice for most pods; a TcpService that appeared in between is left for the next pod, as the sidecar that
is there does not listen for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Final

import orjson
from msgspec import Struct

from tcpservice.spec.schema import GROUP
from tcpservice_operator.aliases import Alias, addresses_of
from tcpservice_operator.objects import ALIAS, FRONT, HOOK_KEY, INJECT, NOTES, SIDECAR, Key, named_by, skeleton_of
from tcpservice_operator.ports import app_ports, move_ports
from tcpservice_operator.roles import Called, Served
from tcpservice_operator.sidecar import Options, container_of, hook_of, volume_of

INJECTED: Final = f"{GROUP}/injected"
"""The annotation that says which version's sidecar a pod has."""

BOOTSTRAP: Final = f"{GROUP}/bootstrap"
"""The annotation with the TcpServices that the sidecar begins with; the kubelet hands it on as a file."""

LARGEST_BOOTSTRAP: Final = 128 << 10
"""In bytes. The API server takes 256 KiB of annotations in all, and the pod has others."""

Document = dict[str, Any]


class Injected(Struct, frozen=True, kw_only=True):
    """The pod as it should be, and what was left out on the way, for people; `reason` where nothing was done at all."""

    pod: Document
    notes: tuple[str, ...] = ()
    reason: str = ""


def inject(pod: Document, serves: Sequence[Served], calls: Sequence[Called], options: Options) -> Injected:
    """Return a pod (or the template of one: metadata and spec) with its sidecar."""
    reason = _why_not(pod, serves, calls)
    if reason:
        return Injected(pod=pod, reason=reason)
    serves, calls = _known_to_sidecar(pod, serves, calls)
    made = deepcopy(pod)
    listened = app_ports(made)
    fronts = move_ports(made, serves)
    aliases, notes = addresses_of(made, calls, listened, [front.app_port for front in fronts])
    if not fronts and not aliases:
        return Injected(pod=pod, reason=f"nothing could lead to its sidecar ({'; '.join(notes)})")
    key = _key_of(pod, options.secret)
    _add_sidecar(made, container_of(_name_of(made, serves), key, fronts, aliases, options), options)
    _add_aliases(made, aliases)
    for container in made["spec"]["containers"]:
        _add_gate(container, key)
        _add_variables(container, aliases)
    _annotate(made, serves, aliases, notes, options)
    return Injected(pod=made, notes=tuple(notes))


def _known_to_sidecar(
    pod: Document, serves: Sequence[Served], calls: Sequence[Called]
) -> tuple[Sequence[Served], Sequence[Called]]:
    """Return of these what the pod's sidecar was made for; all, where there is none yet."""
    there: list[Document] = pod["spec"].get("initContainers") or []
    arguments = next((each.get("args") for each in there if each["name"] == SIDECAR), None)
    fronts, aliases = named_by(arguments, FRONT), named_by(arguments, ALIAS)
    return (
        [each for each in serves if fronts is None or "/".join(each.key) in fronts],
        [each for each in calls if aliases is None or "/".join(each.key) in aliases],
    )


def _why_not(pod: Document, serves: Sequence[Served], calls: Sequence[Called]) -> str:
    spec = pod["spec"]
    if not serves and not calls:
        return "it serves no TcpService and calls none"
    return next((reason for holds, reason in _REFUSALS if holds(spec, pod.get("metadata") or {})), "")


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


def _key_of(pod: Document, secret: str) -> str:
    """Return the key of a pod's hooks: that of the sidecar that is there, else one that nobody can guess."""
    there: list[Document] = pod["spec"].get("initContainers") or []
    arguments = next((each.get("args") for each in there if each["name"] == SIDECAR), None) or []
    given = next((argument for argument in arguments if argument.startswith(HOOK_KEY)), "")
    if given:
        return str(given.removeprefix(HOOK_KEY))
    text = orjson.dumps(pod, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, key=secret.encode(), digest_size=16).hexdigest()


def _name_of(pod: Document, serves: Sequence[Served]) -> str:
    """Return what a pod is called in traces: what people label it with, else what it serves."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    served = serves[0].key[1] if serves else ""
    name: str = labels.get("app.kubernetes.io/name") or labels.get("app") or served or "tcpservice"
    return name


def _add_sidecar(pod: Document, container: Document, options: Options) -> None:
    first: list[Document] = pod["spec"].setdefault("initContainers", [])
    if all(container["name"] != SIDECAR for container in first):
        first.insert(0, container)
    volume = volume_of(BOOTSTRAP, options)
    volumes: list[Document] = pod["spec"].setdefault("volumes", [])
    if all(each["name"] != volume["name"] for each in volumes):
        volumes.append(volume)


def _add_aliases(pod: Document, aliases: Sequence[Alias]) -> None:
    if not aliases:
        return
    there: list[Document] = pod["spec"].setdefault("hostAliases", [])
    known = {each["ip"] for each in there}
    there += [{"ip": each.address, "hostnames": list(each.names)} for each in aliases if each.address not in known]


def _add_gate(container: Document, key: str) -> None:
    """Let the app's SIGTERM wait until the sidecar has nothing in flight for it."""
    lifecycle: Document = container.get("lifecycle") or {}
    if "preStop" not in lifecycle:
        container["lifecycle"] = {**lifecycle, "preStop": hook_of("/gate", key)}


def _add_variables(container: Document, aliases: Sequence[Alias]) -> None:
    """Let Kubernetes' own variables lead to the sidecar, too: the Service's address would go past it."""
    there: list[Document] = container.get("env") or []
    known = {each["name"] for each in there}
    new = [{"name": each.variable, "value": each.address} for each in aliases if each.variable not in {"", *known}]
    if new:
        container["env"] = [*there, *new]


def _annotate(
    pod: Document, serves: Sequence[Served], aliases: Sequence[Alias], notes: Sequence[str], options: Options
) -> None:
    annotations: Document = pod.setdefault("metadata", {}).setdefault("annotations", {})
    annotations.setdefault(INJECTED, options.version)
    annotations.setdefault(BOOTSTRAP, _bootstrap(serves, [each.called for each in aliases]))
    if notes:
        annotations.setdefault(NOTES, "; ".join(notes))


def _bootstrap(serves: Sequence[Served], calls: Sequence[Called]) -> str:
    """Write the TcpServices that the sidecar begins with, each once, by name.

    Where they are too large, those that are called leave their policies to the operator, then all.
    """
    called, served = _documents(calls), _documents(serves)
    texts = (
        _write({**called, **served}),
        _write({**_skeletons(called), **served}),
        _write(_skeletons({**called, **served})),
    )
    return next((text for text in texts if len(text) <= LARGEST_BOOTSTRAP), texts[-1]).decode()


def _documents(services: Sequence[Served | Called]) -> dict[Key, Document]:
    return {service.key: service.document for service in services}


def _skeletons(documents: dict[Key, Document]) -> dict[Key, Document]:
    return {key: skeleton_of(document) for key, document in documents.items()}


def _write(documents: dict[Key, Document]) -> bytes:
    items = [documents[key] for key in sorted(documents)]
    return orjson.dumps({"apiVersion": "v1", "kind": "List", "items": items})
