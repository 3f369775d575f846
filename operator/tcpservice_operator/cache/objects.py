"""The records that the operator keeps of Kubernetes objects.

`cluster_state` makes a record of each object that a list or watch returns; the folders that decide something read the
records. A record has the few fields that the operator needs, because a cluster may have many thousands of pods.
`Service` is a Kubernetes Service; `TcpService` is the operator's own kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from sys import intern
from typing import Any, Final

from msgspec import Struct

from tcpservice import snapshot
from tcpservice.spec import read
from tcpservice_operator.api.names import (
    APP_FLAG,
    APP_PORTS_ANNOTATION,
    CALLS_ANNOTATION,
    FIELD_MANAGER,
    INJECT_LABEL,
    INJECTION_NOTES,
    LISTEN_FLAG,
    MADE_FOR_LABEL,
    MANAGED_BY_LABEL,
    NO_ALIAS_NOTE,
    NOT_INJECTED,
    SERVES_ANNOTATION,
    SIDECAR_CONTAINER,
)
from tcpservice_operator.api.plain_objects import Body, Key, Labels, key_of

MOST_SETS: Final = 1024
"""How many different sets of called TcpServices are shared by pods; further ones are made for each pod."""

_WRITTEN: Final = frozenset({"f:selector", "f:ports"})
_SKELETON: Final = ("selector", "port", "targetPort", "protocol")


class Pod(Struct, frozen=True, kw_only=True):
    """A pod.

    `serves` are the TcpServices that its sidecar serves, `aliases` those that its sidecar listens for because the app
    calls them, each as `namespace/name`. Both are None if the pod has no sidecar. `left_out` are the TcpServices that
    the app calls without an alias. `refused` is why the pod has no sidecar. `port_names` are the named ports of all
    containers, `sidecar_ports` those of the sidecar. `app_ports` are the port numbers of the other containers, or those
    of the annotation. `asks_to_serve` are the TcpServices, of its namespace, that its annotation lists as served.
    """

    uid: str
    key: Key
    labels: Labels
    ready: bool
    leaving: bool
    injected: bool
    serves: tuple[str, ...] | None
    aliases: frozenset[str] | None
    left_out: tuple[str, ...]
    refused: str
    crashing: bool
    host_network: bool
    port_names: tuple[tuple[str, int], ...]
    sidecar_ports: tuple[tuple[str, int], ...]
    app_ports: tuple[int, ...]
    container: str
    owner: str
    inject: str
    calls: str | None
    asks_to_serve: tuple[str, ...]

    def asked_to_serve(self) -> frozenset[Key]:
        """Return the TcpServices that its annotation lists as served."""
        return frozenset((self.key[0], name) for name in self.asks_to_serve)

    def called(self) -> frozenset[Key] | None:
        """Return the TcpServices that its annotation lists as called; None if it has no such annotation."""
        if self.calls is None:
            return None
        parts = (part.strip().partition(".") for part in self.calls.split(","))
        return frozenset((namespace or self.key[0], name) for name, _, namespace in parts if name)

    @property
    def workload(self) -> str:
        """The owner of the pod for `kubectl rollout restart`; empty if that command does not support it."""
        kind, _, name = self.owner.partition("/")
        if kind == "ReplicaSet":
            return f"deployment/{name.rpartition('-')[0]}"
        return f"{kind.lower()}/{name}" if kind in ("StatefulSet", "DaemonSet") else ""

    @property
    def restart_command(self) -> str:
        """The command that recreates the pod; empty if there is none."""
        return f"kubectl rollout restart -n {self.key[0]} {self.workload}" if self.workload else ""

    @property
    def known_to_sidecar(self) -> frozenset[str]:
        """The TcpServices that its sidecar serves or calls, as `namespace/name`."""
        return frozenset((*(self.serves or ()), *(self.aliases or ())))

    def has_sidecar_for(self, key: Key) -> bool:
        """Whether the pod has a sidecar that serves a TcpService; a sidecar may be older than the TcpService."""
        return self.injected and (self.serves is None or "/".join(key) in self.serves)


class ServicePort(Struct, frozen=True, kw_only=True):
    """One port of a Service. `target` is a port name, a number, or None for the same number as `port`."""

    name: str
    port: int
    target: str | int | None


class Service(Struct, frozen=True, kw_only=True):
    """A Kubernetes Service.

    `ours`: the operator created it, and no other client has written its selector or ports since. `owner` is the uid of
    the TcpService that owns it, `made_for` the uid of the TcpService that its label names; both are empty if there is
    none. `external`: its type is ExternalName.
    """

    uid: str
    key: Key
    selector: Labels
    headless: bool
    ports: tuple[ServicePort, ...]
    ours: bool
    owner: str = ""
    made_for: str = ""
    external: bool = False


class TcpService(Struct, frozen=True, kw_only=True):
    """A TcpService.

    `problems` are the errors of its document. `sound` is the document that sidecars use: the current one if it is
    valid, else the last valid one, else the skeleton of the current one. `policy` is `sound` as a value, without
    endpoints.
    """

    uid: str
    key: Key
    generation: int
    document: dict[str, Any]
    status: dict[str, Any]
    problems: tuple[str, ...]
    sound: dict[str, Any]
    policy: snapshot.Service

    @property
    def version(self) -> tuple[str, int]:
        """What differs if its spec does: one that is deleted and created again begins with the same generation."""
        return self.uid, self.generation

    def lets_call(self, namespace: str, labels: Labels) -> bool:
        """Whether pods of a namespace with these labels may call it through their sidecars."""
        if namespace == self.key[0]:
            return True
        allowed = (self.sound["spec"].get("allowedCallers") or {}).get("namespaces") or {}
        selector: Labels = allowed.get("selector") or {}
        is_selected = allowed.get("from") == "Selector" and selector.items() <= labels.items()
        return is_selected or allowed.get("from") == "All"


Opened = tuple[int | str, ...] | None
"""The ports that a rule of a NetworkPolicy opens to any peer; None is all ports."""


class NetworkPolicy(Struct, frozen=True, kw_only=True):
    """A NetworkPolicy. `ingress` and `egress` are its rules; None if it does not restrict that direction."""

    key: Key
    labels: Labels
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...]
    ingress: tuple[Opened, ...] | None
    egress: tuple[Opened, ...] | None


def has_ended(body: Body) -> bool:
    """Whether all containers of a pod have exited for good; the object of such a pod may remain for a long time."""
    return (body.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def read_pod(body: Body, before: Pod | None = None) -> Pod:
    """Make the record of a pod. What never changes is taken from the record of the same pod before, if there is one."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    sidecar = next((container for container in containers if container["name"] == SIDECAR_CONTAINER), None)
    if before is not None and before.uid == metadata["uid"]:
        serves, aliases = before.serves, before.aliases
    else:
        arguments = sidecar.get("args") if sidecar is not None else None
        serves, listening = named_by(arguments, APP_FLAG), named_by(arguments, LISTEN_FLAG)
        aliases = _same_set(listening) if listening is not None else None
    listed = listed_ports(annotations)
    apps = [container for container in containers if container is not sidecar]
    owner: Body = next(iter(metadata.get("ownerReferences") or []), {})
    return Pod(
        uid=metadata["uid"],
        key=key_of(body),
        labels={intern(name): intern(value or "") for name, value in labels.items()},
        ready=any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or []),
        leaving="deletionTimestamp" in metadata,
        injected=sidecar is not None and NOT_INJECTED not in annotations,
        serves=serves,
        aliases=aliases,
        left_out=_left_out(annotations.get(INJECTION_NOTES, "")),
        refused=intern(annotations.get(NOT_INJECTED, "")),
        crashing=any(
            ((one.get("state") or {}).get("waiting") or {}).get("reason") == "CrashLoopBackOff"
            for one in status.get("containerStatuses") or []
        ),
        host_network=bool(spec.get("hostNetwork")),
        port_names=_port_names(containers),
        sidecar_ports=_port_names([sidecar] if sidecar is not None else []),
        app_ports=tuple(port["containerPort"] for port in _ports(apps)) if listed is None else listed,
        container=intern(containers[0]["name"]),
        owner=intern(f"{owner['kind']}/{owner['name']}") if owner else "",
        inject=labels.get(INJECT_LABEL, ""),
        calls=annotations.get(CALLS_ANNOTATION),
        asks_to_serve=tuple(intern(name) for name in annotations.get(SERVES_ANNOTATION, "").replace(",", " ").split()),
    )


@lru_cache(maxsize=MOST_SETS)
def _same_set(names: tuple[str, ...]) -> frozenset[str]:
    """Return names as a set, the same one for all pods of a workload: a pod may call a thousand TcpServices."""
    return frozenset(names)


def listed_ports(annotations: Labels) -> tuple[int, ...] | None:
    """Return the app ports that a pod's annotation lists, None if there is no such annotation."""
    listed = annotations.get(APP_PORTS_ANNOTATION)
    if listed is None:
        return None
    return tuple(int(word) for word in listed.replace(",", " ").split() if word.isdigit())


def _ports(containers: Iterable[Body]) -> Iterator[Body]:
    for container in containers:
        yield from container.get("ports") or []


def _port_names(containers: Iterable[Body]) -> tuple[tuple[str, int], ...]:
    named = ((port.get("name"), port["containerPort"]) for port in _ports(containers))
    return tuple((intern(name), number) for name, number in named if name)


def _left_out(notes: str) -> tuple[str, ...]:
    """Return the TcpServices that the injection notes list as left out."""
    return tuple(intern(note.partition(":")[0]) for note in notes.split("; ") if NO_ALIAS_NOTE in note)


def named_by(arguments: list[str] | None, flag: str) -> tuple[str, ...] | None:
    """Return the names in the values of a flag of a sidecar, None if there are no arguments."""
    if arguments is None:
        return None
    given = (argument.removeprefix(flag) for argument in arguments if argument.startswith(flag))
    return tuple(intern(value.partition("=")[0]) for value in given)


def read_service(body: Body) -> Service:
    """Make the record of a Service."""
    metadata, spec = body["metadata"], body["spec"]
    labels = metadata.get("labels") or {}
    owners = (each["uid"] for each in metadata.get("ownerReferences") or [] if each["kind"] == "TcpService")
    return Service(
        uid=metadata["uid"],
        key=key_of(body),
        selector=spec.get("selector") or {},
        headless=spec.get("clusterIP") == "None",
        ports=tuple(
            ServicePort(name=port.get("name", ""), port=port["port"], target=port.get("targetPort"))
            for port in spec.get("ports") or []
        ),
        ours=labels.get(MANAGED_BY_LABEL) == FIELD_MANAGER and not _is_written_by_others(metadata, labels),
        owner=next(owners, ""),
        made_for=labels.get(MADE_FOR_LABEL, ""),
        external=spec.get("type") == "ExternalName",
    )


def _is_written_by_others(metadata: Body, labels: Labels) -> bool:
    """Whether another client than the operator has written the selector or the ports of a Service.

    If a user applies the manifest of a Service after the operator has created one of that name, the user owns it.
    The operator keeps `<name>-replicas`: its name is reserved.
    """
    if MADE_FOR_LABEL in labels:
        return False
    return any(
        entry.get("manager") != FIELD_MANAGER
        and not entry.get("subresource")
        and not _WRITTEN.isdisjoint((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in metadata.get("managedFields") or []
    )


def read_tcp_service(body: Body, before: TcpService | None = None) -> TcpService:
    """Make the record of a TcpService. The problems of the same generation are reused."""
    metadata = body["metadata"]
    uid, generation = metadata["uid"], metadata.get("generation", 0)
    kept = {name: metadata[name] for name in ("name", "namespace")}
    document = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": kept, "spec": body["spec"]}
    if before is not None and before.version == (uid, generation):
        problems, sound, policy = before.problems, before.sound, before.policy
    else:
        problems, sound, policy = _validate(document, before)
    return TcpService(
        uid=uid,
        key=key_of(body),
        generation=generation,
        document=document,
        status=dict(body.get("status") or {}),
        problems=problems,
        sound=sound,
        policy=policy,
    )


def skeleton_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document of a TcpService with its selector and ports only, without policies."""
    spec = {name: value for name, value in document["spec"].items() if name in _SKELETON}
    return {**document, "spec": spec}


def _validate(
    document: dict[str, Any], before: TcpService | None
) -> tuple[tuple[str, ...], dict[str, Any], snapshot.Service]:
    """Validate a document as the sidecar validates files. Return the problems, `sound` and `policy` of the record."""
    problems, policy = _read(document)
    if policy is not None:
        return (), document, policy
    if before is not None:
        return problems, before.sound, before.policy
    skeleton = skeleton_of(document)
    return problems, skeleton, _read(skeleton)[1] or _minimal_policy(document)


def _read(document: dict[str, Any]) -> tuple[tuple[str, ...], snapshot.Service | None]:
    reading = read([("", json.dumps(document))])
    policy = reading.snapshot.services[0] if reading.snapshot is not None else None
    return tuple(problem.message for problem in reading.problems), policy


def _minimal_policy(document: dict[str, Any]) -> snapshot.Service:
    """Return the policy of a document whose skeleton is invalid. The API server admits no such document."""
    metadata = document["metadata"]
    return snapshot.Service(namespace=metadata["namespace"], name=metadata["name"], port=document["spec"]["port"])


def read_network_policy(body: Body) -> NetworkPolicy:
    """Make the record of a NetworkPolicy. Without types, it restricts ingress, and egress if it has rules for that."""
    spec = body["spec"]
    selector = spec.get("podSelector") or {}
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return NetworkPolicy(
        key=key_of(body),
        labels=selector.get("matchLabels") or {},
        expressions=tuple(
            (one["key"], one["operator"], tuple(one.get("values") or ()))
            for one in selector.get("matchExpressions") or []
        ),
        ingress=tuple(_opened(rule) for rule in spec.get("ingress") or []) if "Ingress" in types else None,
        egress=tuple(_opened(rule) for rule in spec.get("egress") or []) if "Egress" in types else None,
    )


def _opened(rule: Body) -> Opened:
    """Return the ports that a rule opens. A range counts as all ports."""
    ports = rule.get("ports") or [{}]
    everything = any("port" not in port or "endPort" in port for port in ports)
    return None if everything else tuple(port["port"] for port in ports)
