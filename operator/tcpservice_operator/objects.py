"""What the operator keeps of Kubernetes' objects: few fields of each, since there may be many thousands.

Made from the bodies that watches give, by `state`; read by all that plans.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from sys import intern
from typing import Any, Final

from msgspec import Struct

from tcpservice import snapshot
from tcpservice.spec import read
from tcpservice.spec.schema import GROUP

SIDECAR: Final = "tcpservice-sidecar"
"""The name of the sidecar's container, by which an injected pod is known."""

FRONT: Final = "--app="
ALIAS: Final = "--listen="
HOOK_KEY: Final = "--hook-key="
"""The flags by which an injected sidecar serves a TcpService, takes one from its app, and knows the kubelet."""

OWNER: Final = "tcpservice-operator"
"""The field manager of all that the operator writes, and the value of `app.kubernetes.io/managed-by`."""

LEASE: Final = "tcpservice-operator"
"""The name of the Lease by which one of several copies leads."""

TRUST: Final = "tcpservice-ca"
"""The name of the Secret with the authority, and of the ConfigMaps with what verifies it."""

WEBHOOK: Final = "tcpservice"
"""The name of the MutatingWebhookConfiguration, which whoever installs the operator makes."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MADE_FOR: Final = f"{GROUP}/made-for"
"""The label of a Service `<name>-replicas` with the uid of its TcpService, which does not own it (`services`)."""

INJECT: Final = f"{GROUP}/inject"
"""The label by which a namespace or a pod says that it calls: `enabled`, or `disabled`."""

NOTES: Final = f"{GROUP}/injection-notes"
"""The annotation that says what injection left out, and why."""

NO_ALIAS: Final = ": no alias, as "
NOT_INJECTED: Final = f"{GROUP}/not-injected"
"""The annotation that says why a pod that serves or calls has no sidecar."""

APP_PORTS: Final = f"{GROUP}/app-ports"
"""The annotation that lists the ports on which a pod's apps listen, where it declares fewer or none."""

CALLS: Final = f"{GROUP}/calls"
"""The annotation by which a pod names what it calls: `orders, billing.payments`."""

_SKELETON: Final = ("selector", "port", "targetPort", "protocol")

Body = Mapping[str, Any]
Labels = Mapping[str, str]
Key = tuple[str, str]
"""Namespace and name."""


class Pod(Struct, frozen=True, kw_only=True):
    """A pod: where it is, and what it has to do with messages.

    `fronts` are the TcpServices that its sidecar serves, `aliases` those that it takes from its app, each by namespace
    and name; both are None where there is no sidecar, or one that somebody wrote by hand. `left_out` are those that it
    calls without an alias, for a reason; `refused` is why it has no sidecar. `port_names` are those of all containers,
    `sidecar_ports` those of the sidecar; `app_ports` are the numbers of the others, or what the annotation lists.
    """

    uid: str
    key: Key
    labels: Labels
    ready: bool
    leaving: bool
    injected: bool
    fronts: tuple[str, ...] | None
    aliases: tuple[str, ...] | None
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

    def called(self) -> frozenset[Key] | None:
        """Return the TcpServices that it names as called; None where it does not say."""
        if self.calls is None:
            return None
        words = (word.strip().partition(".") for word in self.calls.split(","))
        return frozenset((elsewhere or self.key[0], name) for name, _, elsewhere in words if name)

    @property
    def workload(self) -> str:
        """What `kubectl rollout restart` takes for the owner of the pod, nothing where it takes none."""
        kind, _, name = self.owner.partition("/")
        if kind == "ReplicaSet":
            return f"deployment/{name.rpartition('-')[0]}"
        return f"{kind.lower()}/{name}" if kind in ("StatefulSet", "DaemonSet") else ""

    @property
    def restart(self) -> str:
        """The command that has the pod made anew, nothing where there is none."""
        return f"kubectl rollout restart -n {self.key[0]} {self.workload}" if self.workload else ""

    def has_front(self, key: Key) -> bool:
        """Whether a sidecar is there that serves a TcpService: one may be older than the TcpService."""
        return self.injected and (self.fronts is None or "/".join(key) in self.fronts)


class ServicePort(Struct, frozen=True, kw_only=True):
    """One port of a Service; `target` is a name, a number, or None where it is the port itself."""

    name: str
    port: int
    target: str | int | None


class Service(Struct, frozen=True, kw_only=True):
    """A Service, and whether the operator made it.

    `owner` is the uid of the TcpService with which the garbage collector deletes it, `made_for` that of a TcpService
    which it outlives; both are empty where there is none. `external`: a name outside the cluster.
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


class Wanted(Struct, frozen=True, kw_only=True):
    """A TcpService: its document, what its status says by now, what is wrong with it, and what sidecars run by.

    Sidecars run by `sound`: the document, or where that is wrong the last one that was right, or else its skeleton.
    `policy` is what that says, without endpoints.
    """

    uid: str
    key: Key
    generation: int
    document: dict[str, Any]
    status: dict[str, Any]
    problems: tuple[str, ...]
    sound: dict[str, Any]
    policy: snapshot.Service


class Policy(Struct, frozen=True, kw_only=True):
    """A NetworkPolicy that closes pods but for what its rules open: the ports of each, to whomever; None are all."""

    key: Key
    labels: Labels
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...]
    rules: tuple[tuple[int | str, ...] | None, ...]


def key_of(body: Body) -> Key:
    """Return namespace and name of an object."""
    metadata = body["metadata"]
    return metadata["namespace"], metadata["name"]


def has_ended(body: Body) -> bool:
    """Whether a pod has run its last: its object stays, and nothing of it can change."""
    return (body.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def read_pod(body: Body) -> Pod:
    """Keep what matters of a pod."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    sidecar = next((container for container in containers if container["name"] == SIDECAR), None)
    arguments = sidecar.get("args") if sidecar is not None else None
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
        fronts=named_by(arguments, FRONT),
        aliases=named_by(arguments, ALIAS),
        left_out=_left_out(annotations.get(NOTES, "")),
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
        inject=labels.get(INJECT, ""),
        calls=annotations.get(CALLS),
    )


def listed_ports(annotations: Labels) -> tuple[int, ...] | None:
    """Return the ports that a pod's annotation lists as those of its apps, None where there is no such annotation."""
    listed = annotations.get(APP_PORTS)
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
    """Return the TcpServices that the notes of an injection say are left out."""
    return tuple(intern(note.partition(":")[0]) for note in notes.split("; ") if NO_ALIAS in note)


def named_by(arguments: list[str] | None, flag: str) -> tuple[str, ...] | None:
    """Return the TcpServices for which a sidecar was given a flag."""
    if arguments is None:
        return None
    given = (argument.removeprefix(flag) for argument in arguments if argument.startswith(flag))
    return tuple(intern(value.partition("=")[0]) for value in given)


def read_service(body: Body) -> Service:
    """Keep what matters of a Service."""
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
        ours=labels.get(MANAGED_BY) == OWNER,
        owner=next(owners, ""),
        made_for=labels.get(MADE_FOR, ""),
        external=spec.get("type") == "ExternalName",
    )


def read_wanted(body: Body, before: Wanted | None = None) -> Wanted:
    """Keep a TcpService; what was made of the same generation before is kept, too."""
    metadata = body["metadata"]
    uid, generation = metadata["uid"], metadata.get("generation", 0)
    kept = {name: metadata[name] for name in ("name", "namespace")}
    document = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": kept, "spec": body["spec"]}
    if before is not None and (before.uid, before.generation) == (uid, generation):
        problems, sound, policy = before.problems, before.sound, before.policy
    else:
        problems, sound, policy = _judge(document, before)
    return Wanted(
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
    """Return a TcpService without its policies: whom it is for, and where."""
    spec = {name: value for name, value in document["spec"].items() if name in _SKELETON}
    return {**document, "spec": spec}


def _judge(document: dict[str, Any], before: Wanted | None) -> tuple[tuple[str, ...], dict[str, Any], snapshot.Service]:
    """Say what is wrong with a document, as the judge of files does, and what sidecars run by."""
    problems, policy = _read(document)
    if policy is not None:
        return (), document, policy
    if before is not None:
        return problems, before.sound, before.policy
    skeleton = skeleton_of(document)
    return problems, skeleton, _read(skeleton)[1] or _bare(document)


def _read(document: dict[str, Any]) -> tuple[tuple[str, ...], snapshot.Service | None]:
    reading = read([("", json.dumps(document))])
    policy = reading.snapshot.services[0] if reading.snapshot is not None else None
    return tuple(problem.message for problem in reading.problems), policy


def _bare(document: dict[str, Any]) -> snapshot.Service:
    """Make what can be made of a document whose very skeleton is wrong: the API server lets none through."""
    metadata = document["metadata"]
    return snapshot.Service(namespace=metadata["namespace"], name=metadata["name"], port=document["spec"]["port"])


def read_policy(body: Body) -> Policy | None:
    """Keep what matters of a NetworkPolicy; None of one that closes nothing."""
    spec = body["spec"]
    if "Ingress" not in (spec.get("policyTypes") or ["Ingress"]):
        return None
    selector = spec.get("podSelector") or {}
    return Policy(
        key=key_of(body),
        labels=selector.get("matchLabels") or {},
        expressions=tuple(
            (one["key"], one["operator"], tuple(one.get("values") or ()))
            for one in selector.get("matchExpressions") or []
        ),
        rules=tuple(_opened(rule) for rule in spec.get("ingress") or []),
    )


def _opened(rule: Body) -> tuple[int | str, ...] | None:
    """Return the ports that a rule opens, None for all; a range is taken for all, too."""
    ports = rule.get("ports") or [{}]
    everything = any("port" not in port or "endPort" in port for port in ports)
    return None if everything else tuple(port["port"] for port in ports)
