"""What is to run: workloads and services, made from the whole of the manifests, never from what changed in them.

Used by `fleet`. A workload is a Deployment's container with its variables as far as they are known before a pod has
its ports. A service is a TcpService with the workloads that it selects, or a port of a Kubernetes Service, such as that
of an HTTP gateway, which sidecars balance by connection. Pure, but for `exists`, which is passed in.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, convert
from msgspec.structs import replace

from tcpservice.spec.check import check
from tcpservice.spec.checked import Checked
from tcpservice.spec.documents import DEFAULT_NAMESPACE
from tcpservice.spec.problems import Finding, expected, show
from tcpservice.spec.problems import Path as Place
from tcpservice.spec.schema import TcpService
from tcpservice_local.manifests import Manifests, Refused
from tcpservice_local.variables import Variable, read_variables
from tcpservice_local.workloads import Container, Deployment, Probe, Service

API_VERSION: Final = "tcpservice.dev/v1alpha1"
TCP_SERVICE: Final = "TcpService"
COMMAND: Final = "tcpservice.dev/local-command"
FOLDER: Final = "tcpservice.dev/local-dir"
CONTAINERS: Final[Place] = ("spec", "template", "spec", "containers")
_GRACE_S: Final = 30
FIRST_FREE: Final = 1024

_PACKAGE_RUNNERS: Final = ("npm", "npx", "pnpm", "yarn", "nest")
"""Commands that find what they run by the package.json above them."""


class ServicePlan(Struct, frozen=True, kw_only=True):
    """A service: what callers dial, and the document that sidecars read.

    `by_connection` says that it is a port of a Kubernetes Service, of any protocol; `host` is the name of that Service,
    by which apps dial each of its ports. `local_port` is the port on this machine that is tried first, which differs
    from `port` where only root may have that.
    """

    key: str
    namespace: str
    name: str
    port: int
    local_port: int
    host: str
    document: dict[str, Any]
    by_connection: bool = False


class Workload(Struct, frozen=True, kw_only=True):
    """A Deployment's program. `serves` has the container's port for each service that selects it, `ports` its names."""

    key: str
    namespace: str
    name: str
    replicas: int
    words: tuple[str, ...]
    folder: Path
    variables: tuple[Variable, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    account: str
    serves: Mapping[str, int]
    ports: Mapping[str, int]
    probe: Probe | None
    grace: float

    @property
    def numbers(self) -> list[int]:
        """The container's ports, those that are served first."""
        return list(dict.fromkeys([*self.serves.values(), *self.ports.values()]))


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that is to run; `notes` is what a reader of the manifests should know."""

    services: tuple[ServicePlan, ...]
    workloads: tuple[Workload, ...]
    notes: tuple[str, ...]


class _Target(Struct, frozen=True):
    """A service, and the labels and the port of the pods that serve it."""

    plan: ServicePlan
    selector: Mapping[str, str]
    port: int | str


class _Draft(Struct, frozen=True):
    """A Deployment on its way to a workload, and the one of its containers that is run."""

    key: str
    found: Checked
    deployment: Deployment
    targets: Mapping[str, _Target]
    index: int

    @property
    def container(self) -> Container:
        return self.deployment.spec.template.spec.containers[self.index]

    @property
    def annotations(self) -> Mapping[str, str]:
        template = self.deployment.spec.template.metadata
        return {
            **(self.deployment.metadata.annotations or {}),
            **((template.annotations if template else None) or {}),
        }

    def annotation(self, name: str) -> Place:
        """Return where an annotation is: at the pods, which win, or at the Deployment."""
        template = self.deployment.spec.template.metadata
        of_pods = name in ((template.annotations if template else None) or {})
        return (*CONTAINERS[:2], "metadata", "annotations", name) if of_pods else ("metadata", "annotations", name)

    def refuse(self, path: Place, message: str) -> None:
        """Take note of a mistake in the container."""
        self.found.add(Finding((*CONTAINERS, self.index, *path), message))


def make_plan(manifests: Manifests, exists: Callable[[Path], bool] = Path.exists) -> Plan:
    """Plan what runs. Raises Refused for what cannot run here."""
    targets = {key: _target(key, found, manifests) for key, found in manifests.tcp_services.items()}
    own = dict(targets)
    notes = [f"{name} is not run here" for name in manifests.skipped]
    for key, found in manifests.services.items():
        targets.update(_plain_targets(key, found, own, {*targets, *manifests.services} - {key}, notes))
    drafts = [_draft(key, found, targets) for key, found in manifests.deployments.items()]
    workloads = [_workload(draft, manifests, exists, notes) for draft in drafts]
    if problems := manifests.problems():
        raise Refused(problems)
    served = {key for draft in drafts for key in draft.targets}
    notes += [_unserved(key, target, workloads) for key, target in own.items() if key not in served]
    return Plan(
        services=tuple(
            _placed(target.plan, workloads) for key, target in targets.items() if key in own or key in served
        ),
        workloads=tuple(workloads),
        notes=tuple(notes),
    )


def _placed(service: ServicePlan, workloads: Sequence[Workload]) -> ServicePlan:
    """Let a Service whose port is only for root be tried at its container's port."""
    numbers = [each.serves[service.key] for each in workloads if service.key in each.serves]
    if not service.by_connection or service.port >= FIRST_FREE or not numbers:
        return service
    return replace(service, local_port=numbers[0])


def _unserved(key: str, target: _Target, workloads: Sequence[Workload]) -> str:
    """Say that nothing here has the labels of a service, and which labels there are."""
    there = [f"{one.name} has {_shown(one.labels)}" for one in workloads if key.startswith(f"{one.namespace}/")]
    found = "; ".join(there) or "there is none in its namespace"
    return f"TcpService {key}: no Deployment's pods have the labels {_shown(target.selector)} ({found})"


def _shown(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in labels.items()) + "}"


def _service(key: str, service: TcpService, found: Checked) -> ServicePlan:
    """Make a service; where its manifest does not say, all of its messages are traced, as one wants on a laptop."""
    document = convert(found.document.value, dict[str, Any])
    tracing = {"samplingPercent": "100", **(document["spec"].get("tracing") or {})}
    return ServicePlan(
        key=key,
        namespace=key.partition("/")[0],
        name=service.metadata.name,
        port=service.spec.port,
        local_port=service.spec.port,
        host=service.metadata.name,
        document={**document, "spec": {**document["spec"], "tracing": tracing}},
    )


def _plain_targets(
    key: str, found: Checked, own: Mapping[str, _Target], taken: Set[str], notes: list[str]
) -> Iterator[tuple[str, _Target]]:
    """Give the ports of a Kubernetes Service that are no TcpService's: the first by its name, others by theirs, too.

    `own` are the TcpServices, `taken` the keys of all other services. A port that cannot have an address is noted.
    """
    spec = convert(found.document.value, Service).spec
    namespace, _, name = key.partition("/")
    if spec is None or not spec.selector:
        return
    twin = own.get(key)
    for port in spec.ports or ():
        if twin is not None and port.port == twin.plan.port:
            continue
        named = name if twin is None and port is (spec.ports or ())[0] else f"{name}-{port.name or port.port}"
        full = f"{namespace}/{named}"
        target = port.target_port or port.port
        manifest = {"selector": spec.selector, "port": port.port, "targetPort": target, "protocol": "Opaque"}
        document = {
            "apiVersion": API_VERSION,
            "kind": TCP_SERVICE,
            "metadata": {"name": named, "namespace": namespace},
            "spec": manifest,
        }
        problem = next(iter(check(document, TcpService)), None)
        if full in taken or problem is not None:
            why = f"{problem.path[-1]}: {problem.message}" if problem is not None else f"{named} is another Service"
            notes.append(f"Service {key}: its port {port.port} has no address here ({why})")
            continue
        plan = ServicePlan(
            key=full,
            namespace=namespace,
            name=named,
            port=port.port,
            local_port=port.port,
            host=name,
            document=document,
            by_connection=True,
        )
        yield full, _Target(plan, spec.selector, target)


def _target(key: str, found: Checked, manifests: Manifests) -> _Target:
    """Find the labels of the pods that serve: the TcpService's own, or those of the Service of its name."""
    service = convert(found.document.value, TcpService)
    twin = manifests.services.get(key)
    selector = service.spec.selector or (twin.part(("spec", "selector"), dict[str, str]) if twin else None)
    if not selector:
        hint = f"add the labels of the pods, such as {{app: {service.metadata.name}}}"
        found.add(
            Finding(("spec", "selector"), f"missing, and no Service {key} with a selector is in the files; {hint}")
        )
    port = service.spec.target_port or _target_of(twin, service.spec.port)
    return _Target(_service(key, service, found), selector or {}, port)


def _target_of(twin: Checked | None, port: int) -> int | str:
    """Return the target of the Service's port of this number, as the operator does; else the number itself."""
    spec = convert(twin.document.value, Service).spec if twin is not None else None
    return next((one.target_port or port for one in (spec.ports if spec else None) or () if one.port == port), port)


def _draft(key: str, found: Checked, targets: Mapping[str, _Target]) -> _Draft:
    deployment = convert(found.document.value, Deployment)
    metadata = deployment.spec.template.metadata
    labels = (metadata.labels if metadata else None) or {}
    namespace = key.partition("/")[0]
    mine = {
        name: target
        for name, target in targets.items()
        if name.startswith(f"{namespace}/") and target.selector and target.selector.items() <= labels.items()
    }
    declared = [_declared(container) for container in deployment.spec.template.spec.containers]
    index = _container_for(declared, mine.values())
    others = set[int | str]().union(*(each for at, each in enumerate(declared) if at != index))
    mine = {name: target for name, target in mine.items() if _leads_there(target, declared[index], others)}
    return _Draft(key, found, deployment, mine, index)


def _container_for(declared: Sequence[set[int | str]], targets: Iterable[_Target]) -> int:
    """Choose the container that runs: the one with the port of a TcpService, else with that of a Service."""
    for by_connection in (False, True):
        wanted = {target.port for target in targets if target.plan.by_connection is by_connection}
        index = next((at for at, ports in enumerate(declared) if wanted & ports), None)
        if index is not None:
            return index
    return 0


def _leads_there(target: _Target, declared: set[int | str], others: set[int | str]) -> bool:
    """Whether a service leads to the container that runs: a Service may lead to another one, or to none."""
    if not target.plan.by_connection or target.port in declared:
        return True
    return isinstance(target.port, int) and target.port not in others


def _declared(container: Container) -> set[int | str]:
    return {known for port in container.ports or () for known in (port.container_port, port.name) if known}


def _workload(draft: _Draft, manifests: Manifests, exists: Callable[[Path], bool], notes: list[str]) -> Workload:
    namespace, _, name = draft.key.partition("/")
    spec = draft.deployment.spec
    metadata = spec.template.metadata
    words = _words(draft)
    pod = spec.template.spec
    place = (*CONTAINERS, draft.index)
    variables = read_variables(draft.container, place, draft.found, manifests.config_maps, notes)
    notes += _left_out(draft)
    return Workload(
        key=draft.key,
        namespace=namespace,
        name=name,
        replicas=1 if spec.replicas is None else spec.replicas,
        words=words,
        folder=_folder(draft, words, exists),
        variables=variables,
        labels=(metadata.labels if metadata else None) or {},
        annotations=draft.annotations,
        account=pod.service_account_name or DEFAULT_NAMESPACE,
        serves=dict(_serves(draft)),
        ports=_ports(draft.container),
        probe=draft.container.readiness_probe,
        grace=_GRACE_S if pod.termination_grace_period_seconds is None else pod.termination_grace_period_seconds,
    )


def _ports(container: Container) -> dict[str, int]:
    return {port.name or str(port.container_port): port.container_port for port in container.ports or ()}


def _serves(draft: _Draft) -> Iterator[tuple[str, int]]:
    """Give the number of the container's port for each service that selects the pods."""
    ports = _ports(draft.container)
    for key, target in draft.targets.items():
        if isinstance(target.port, int):
            yield key, target.port
        elif target.port in ports:
            yield key, ports[target.port]
        else:
            there = ", ".join(f"{name} ({number})" for name, number in ports.items())
            known = f"it has {there}" if there else "it has no ports"
            draft.refuse(
                ("ports",), f'expected a port named "{target.port}", the targetPort of TcpService {key}; {known}'
            )


def _words(draft: _Draft) -> tuple[str, ...]:
    """Return the command: the one for here, or the container's own; what an image would run is not known."""
    given = draft.annotations.get(COMMAND)
    if given is not None:
        try:
            words = tuple(shlex.split(given))
        except ValueError:
            words = ()
        if not words:
            draft.found.add(
                expected(draft.annotation(COMMAND), "a command as in a shell, such as node dist/main.js", given)
            )
        return words
    container = draft.container
    if not container.command:
        draft.refuse(
            ("command",),
            "missing, and images do not run here; give the command, "
            f'or annotate the Deployment with {COMMAND}: "node dist/main.js"',
        )
        return ()
    return (*container.command, *(container.args or ()))


def _folder(draft: _Draft, words: tuple[str, ...], exists: Callable[[Path], bool]) -> Path:
    """Return where it runs: what the annotation says, else the folder from which its script is found.

    Manifests are kept beside the app or in a folder of their own inside it, so that the manifest's folder and those
    above it are looked through, up to the repository's.
    """
    home = Path(draft.found.document.file).absolute().parent
    given = draft.annotations.get(FOLDER)
    if given is not None:
        folder = (home / given).resolve()
        if not exists(folder):
            hint = f"expected a folder, relative to that of the file, got {show(given)}; there is no folder {folder}"
            draft.found.add(Finding(draft.annotation(FOLDER), hint))
        return folder
    for folder in (home, *home.parents):
        if any(exists(folder / place) for place in _searched(words)):
            return folder
        if exists(folder / ".git"):
            break
    return home


def _searched(words: tuple[str, ...]) -> Iterator[str]:
    """Give the files, one of which is in the folder where a command runs.

    Node finds `dist/main` as `dist/main.js` or `dist/main/index.js`.
    """
    program = Path(words[0]).name if words else ""
    if program in _PACKAGE_RUNNERS:
        yield "package.json"
        return
    for word in words[1:]:
        if word and not word.startswith(("-", "/")):
            yield word
            if program == "node":
                yield from (f"{word}.js", f"{word}/index.js")


def _left_out(draft: _Draft) -> Iterator[str]:
    containers = draft.deployment.spec.template.spec.containers
    for index, container in enumerate(containers):
        if index != draft.index:
            yield f"Deployment {draft.key}: the container {container.name} is not run here"
    probe = draft.container.readiness_probe
    if probe is not None and probe.tcp_socket is None and probe.http_get is None:
        yield f"Deployment {draft.key}: its readinessProbe is neither tcpSocket nor httpGet, and is not run here"
