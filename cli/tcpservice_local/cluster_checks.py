"""Checks of manifests beyond the types of their fields: what the API server refuses, and what would not work together.

Used by `tcpservice validate`. `refusals` are errors. `warnings` are most likely mistakes, but other files may have what
is missing here. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, convert

from tcpservice.snapshot import SECOND
from tcpservice.spec import Problem
from tcpservice.spec.checked import Checked
from tcpservice.spec.documents import DEFAULT_NAMESPACE, SLICE, Document
from tcpservice.spec.paths import look_up
from tcpservice.spec.policies import Drain
from tcpservice.spec.problems import Finding, Path, show
from tcpservice.spec.schema import GROUP, Spec, TcpService
from tcpservice.spec.units import parse_duration
from tcpservice_local.kubernetes_fields import nearest
from tcpservice_local.manifests import Manifests, key_of
from tcpservice_local.workloads import Deployment, Service

_TEMPLATE: Final[Path] = ("spec", "template")
_SELECTOR: Final[Path] = ("spec", "selector")
_INJECT: Final = f"{GROUP}/inject"
_INJECT_VALUES: Final = ("enabled", "disabled")
ANNOTATIONS: Final = tuple(
    f"{GROUP}/{name}"
    for name in (
        "app-ports", "calls", "local-command", "local-dir", "serves", "sidecar-cpu", "sidecar-cpu-limit",
        "sidecar-image", "sidecar-memory", "sidecar-memory-limit",
    )
)  # fmt: skip
"""The annotations that people set on Deployments and their pods."""
_MOST_SHOWN: Final = 4
_SOME: Final = 0.5
_GRACE_S: Final = 30
_PROBES: Final = ("readinessProbe", "livenessProbe", "startupProbe")


class _Pods(Struct, frozen=True, kw_only=True):
    """The pods of a workload of any kind: their labels, and the ports that their containers declare."""

    label: str
    namespace: str
    labels: Mapping[str, object]
    numbers: frozenset[int]
    names: Mapping[str, int]
    grace: float

    @property
    def ports(self) -> str:
        """The declared ports, for people."""
        named = [f"{name} ({number})" for name, number in self.names.items()]
        return ", ".join([*named, *map(str, sorted(self.numbers - {*self.names.values()}))])


def refusals(manifests: Manifests) -> Iterator[Problem]:
    """Give what the API server refuses, though `tcpservice up` can run it."""
    for found in manifests.deployments.values():
        yield from map(found.document.problem, _refused_deployment(convert(found.document.value, Deployment)))
    for found in manifests.services.values():
        yield from map(found.document.problem, _refused_service(convert(found.document.value, Service)))


def warnings(manifests: Manifests) -> Iterator[Problem]:
    """Give what most likely is a mistake, though another file or the cluster may have what is missing."""
    documents = [each.document for each in manifests.deployments.values()] + list(manifests.others)
    pods = [each for document in documents for each in _pods_of(document)]
    for key, found in manifests.tcp_services.items():
        yield from map(found.document.problem, _warn_tcp_service(key, found, manifests, pods))
    for key, found in manifests.services.items():
        yield from map(found.document.problem, _warn_service(key, convert(found.document.value, Service), pods))
    for found in manifests.deployments.values():
        yield from map(found.document.problem, _warn_deployment(found.document.value))


def _refused_deployment(deployment: Deployment) -> Iterator[Finding]:
    template = deployment.spec.template
    labels = (template.metadata.labels if template.metadata else None) or {}
    if deployment.spec.selector is None:
        example = json.dumps(dict(list(labels.items())[:1]) or {"app": deployment.metadata.name})
        yield Finding(_SELECTOR, f"missing; expected the labels of the pods, such as matchLabels: {example}")
    else:
        wanted = deployment.spec.selector.match_labels or {}
        if not wanted.items() <= labels.items():
            there = (
                f"spec.template.metadata.labels has {_shown(labels)}" if labels else "the pod template has no labels"
            )
            yield Finding((*_SELECTOR, "matchLabels"), f"expected labels of the pods, got {_shown(wanted)}; {there}")
    for index, container in enumerate(template.spec.containers):
        path = (*_TEMPLATE, "spec", "containers", index, "ports")
        names = Counter(port.name for port in container.ports or () if port.name)
        for name, count in names.items():
            if count > 1:
                yield Finding(path, f'{count} ports have the name "{name}"; give each port a name of its own')


def _refused_service(service: Service) -> Iterator[Finding]:
    spec = service.spec
    if spec is None:
        yield Finding(("spec",), "missing; expected a mapping with selector and ports")
        return
    if not spec.ports and spec.type != "ExternalName" and spec.cluster_ip != "None":
        yield Finding(("spec", "ports"), "missing; expected a list such as [{name: http, port: 80}]")
    for index, port in enumerate(spec.ports or ()):
        if port.name is None and len(spec.ports or ()) > 1:
            yield Finding(
                ("spec", "ports", index, "name"), "missing; a Service with several ports needs a name for each"
            )


def _warn_tcp_service(key: str, found: Checked, manifests: Manifests, pods: Sequence[_Pods]) -> Iterator[Finding]:
    spec = convert(found.document.value, TcpService).spec
    twin = manifests.services.get(key)
    service = convert(twin.document.value, Service).spec if twin is not None else None
    ports = {port.port: port.target_port for port in (service.ports if service is not None else None) or ()}
    yield from _warn_patterns(spec)
    if ports and spec.port not in ports:
        there = ", ".join(map(str, ports))
        yield Finding(("spec", "port"), f"callers connect to the Service {key}, which has {there}, but no {spec.port}")
    selector = spec.selector or (service.selector if service is not None else None)
    if selector:
        selected = _selected(key, selector, pods)
        yield from _warn_selector(key, selector, pods) if spec.selector else ()
        if spec.target_port or spec.port not in ports:
            path = ("spec", "targetPort" if spec.target_port else "port")
            yield from _warn_port(path, spec.target_port or spec.port, selected)
        yield from _warn_grace(spec, selected)
    elif (pods or manifests.services) and not any(document.kind == SLICE for document in manifests.others):
        hint = f"add spec.selector, such as {{app: {key.partition('/')[2]}}}, or a Service {key} with a selector"
        yield Finding(_SELECTOR, f"missing, and no Service {key} with a selector is in the files; {hint}")


def _warn_grace(spec: Spec, pods: Sequence[_Pods]) -> Iterator[Finding]:
    """Find pods that end before their messages may take that long."""
    drain = spec.drain or Drain()
    for name, text in (("streamTimeout", drain.stream_timeout), ("timeout", drain.timeout)):
        if not text:
            continue
        longest = parse_duration(text) / SECOND
        pod = next((each for each in pods if each.grace <= longest), None)
        if pod is not None:
            ending = f"but the pods of {pod.label} end {pod.grace:g}s after their deletion"
            fix = f"set terminationGracePeriodSeconds there to more than {longest:g}"
            yield Finding(("spec", "drain", name), f"messages may take {text}, {ending}; {fix}")
            return


def _warn_service(key: str, service: Service, pods: Sequence[_Pods]) -> Iterator[Finding]:
    spec = service.spec
    if spec is None or not spec.selector:
        return
    yield from _warn_selector(key, spec.selector, pods)
    for index, port in enumerate(spec.ports or ()):
        path = ("spec", "ports", index, "targetPort" if port.target_port else "port")
        yield from _warn_port(path, port.target_port or port.port, _selected(key, spec.selector, pods))


def _warn_selector(key: str, selector: Mapping[str, str], pods: Sequence[_Pods]) -> Iterator[Finding]:
    """Find a selector that selects no pods, though the files have workloads."""
    if not pods or _selected(key, selector, pods):
        return
    namespace = key.partition("/")[0]
    elsewhere = next((each for each in pods if selector.items() <= each.labels.items()), None)
    if elsewhere is not None:
        hint = f"{elsewhere.label} has them in the namespace {elsewhere.namespace}, not in {namespace}"
    else:
        known = sorted(pods, key=lambda each: each.namespace != namespace)
        hint = "; ".join(f"{each.label} has {_shown(each.labels)}" for each in known[:_MOST_SHOWN])
    yield Finding(_SELECTOR, f"no workload in the files has pods with the labels {_shown(selector)} ({hint})")


def _warn_port(path: Path, target: int | str, pods: Sequence[_Pods]) -> Iterator[Finding]:
    """Find a port that no selected pod declares. Containers that declare no ports may listen on any number."""
    if not pods or any(target in one.names or target in one.numbers for one in pods):
        return
    where, there = pods[0].label, pods[0].ports
    if isinstance(target, str):
        ports = f"expected one of these: {there}" if there else "none of them declares a port"
        yield Finding(path, f'no container of {where} has a port named "{target}"; {ports}')
    elif all(one.numbers for one in pods):
        hint = "set targetPort to the port on which the app listens"
        yield Finding(path, f"no container of {where} declares the port {target}, only {there}; {hint}")


def _warn_patterns(spec: Spec) -> Iterator[Finding]:
    """Find patterns that are meant as more than the text that they are."""
    for index, route in enumerate(spec.routes or ()):
        path, pattern = ("spec", "routes", index, "match", "pattern"), route.match.pattern
        if "*" in pattern:
            hint = "for all patterns that begin so, use type: Prefix without the *"
            yield Finding(path, f'the * in "{pattern}" is an ordinary character, not a wildcard; {hint}')
        elif route.match.type == "Exact" and pattern.startswith(("{", "[")) and not _is_json(pattern):
            hint = 'expected JSON such as \'{"cmd":"sum"}\''
            yield Finding(path, f"begins as JSON, but is not JSON; {hint}, got {show(pattern)}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _warn_deployment(value: object) -> Iterator[Finding]:
    """Find ports of probes that do not exist, and names of ours that are misspelt or have no effect."""
    path = (*_TEMPLATE, "spec", "containers")
    for index, container in enumerate(_list(look_up(value, path))):
        yield from _warn_probes((*path, index), container)
    template = (*_TEMPLATE, "metadata")
    for path in (
        ("metadata", "annotations"),
        (*template, "annotations"),
        ("metadata", "labels"),
        (*template, "labels"),
    ):
        texts = look_up(value, path)
        for name, text in texts.items() if isinstance(texts, dict) else ():
            if name == _INJECT:
                yield from _warn_inject((*path, name), str(text))
            elif name.startswith(f"{GROUP}/"):
                yield from _warn_name((*path, name), name)


def _warn_probes(path: Path, container: object) -> Iterator[Finding]:
    names = [look_up(port, ("name",)) for port in _list(look_up(container, ("ports",)))]
    for probe in _PROBES:
        for how in ("tcpSocket", "httpGet"):
            port = look_up(container, (probe, how, "port"))
            if isinstance(port, str) and port not in names:
                there = f"expected one of these: {', '.join(map(str, names))}" if names else "it declares no ports"
                yield Finding((*path, probe, how, "port"), f'the container has no port named "{port}"; {there}')


def _warn_name(path: Path, name: str) -> Iterator[Finding]:
    if path[-2] == "annotations":
        if name not in ANNOTATIONS:
            near = nearest(name, [*ANNOTATIONS], _SOME)
            hint = f'did you mean "{near}"?' if near else f"expected one of these: {', '.join(ANNOTATIONS)}"
            yield Finding(path, f"unknown annotation, {hint}")
    elif name in ANNOTATIONS:
        yield Finding(path, "has no effect as a label; set it in annotations")
    else:
        yield Finding(path, f'unknown label, did you mean "{_INJECT}"?')


def _warn_inject(path: Path, text: str) -> Iterator[Finding]:
    if path[:-1] != (*_TEMPLATE, "metadata", "labels"):
        yield Finding(path, "has no effect here; set this label in spec.template.metadata.labels")
    elif text not in _INJECT_VALUES:
        yield Finding(path, f'expected {" or ".join(_INJECT_VALUES)}, got "{text}"')


def _selected(key: str, selector: Mapping[str, str], pods: Sequence[_Pods]) -> list[_Pods]:
    namespace = key.partition("/")[0]
    return [each for each in pods if each.namespace == namespace and selector.items() <= each.labels.items()]


def _pods_of(document: Document) -> Iterator[_Pods]:
    """Give the pods of a workload, a Pod for itself; nothing for all other kinds."""
    value = document.value
    path = () if document.kind == "Pod" else _TEMPLATE
    labels, containers = (look_up(value, (*path, *rest)) for rest in (("metadata", "labels"), ("spec", "containers")))
    if not isinstance(containers, list):
        return
    grace = look_up(value, (*path, "spec", "terminationGracePeriodSeconds"))
    ports = [port for each in containers for port in _list(look_up(each, ("ports",))) if isinstance(port, dict)]
    numbered = [(port.get("name"), port["containerPort"]) for port in ports if type(port.get("containerPort")) is int]
    yield _Pods(
        label=document.label,
        namespace=key_of(document).partition("/")[0] or DEFAULT_NAMESPACE,
        labels=labels if isinstance(labels, dict) else {},
        numbers=frozenset(number for _, number in numbered),
        names={name: number for name, number in numbered if isinstance(name, str)},
        grace=_GRACE_S if not isinstance(grace, int) else grace,
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _shown(labels: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in labels.items()) + "}"
