"""The state of the cluster as the operator knows it, updated by events.

Used by all folders that decide something. An event replaces or removes one record and returns the TcpServices that it
may affect. Nothing is computed from the difference of two events, so a missed event delays an update but never leaves
the state wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from tcpservice.snapshot import Endpoint
from tcpservice.spec.slices import SERVICE_LABEL
from tcpservice_operator.api.names import INJECT_LABEL
from tcpservice_operator.api.plain_objects import Body, Key, Labels, key_of
from tcpservice_operator.api.workloads import Workload
from tcpservice_operator.cache.endpoints import (
    REPLICAS_SUFFIX,
    SidecarPorts,
    Slice,
    in_own_service,
    in_replicas,
    merge,
    read_slice,
)
from tcpservice_operator.cache.label_index import SelectorIndex, selects
from tcpservice_operator.cache.objects import (
    NetworkPolicy,
    Pod,
    Service,
    TcpService,
    has_ended,
    read_network_policy,
    read_pod,
    read_service,
    read_tcp_service,
)
from tcpservice_operator.cache.pod_cache import Callers, PodCache
from tcpservice_operator.cache.refused_pods import Refusals, RefusedPods
from tcpservice_operator.cache.targets import MESH_PORT

MOST_DELETED: Final = 1000
"""How many deleted TcpServices may have their last resourceVersion kept."""

SERVICES: Final = "services"
SLICES: Final = "slices"


class ClusterState:
    """The records of TcpServices, Services, EndpointSlices, pods, namespaces and NetworkPolicies.

    `new_namespaces` counts namespaces that appeared. `revisions` has the newest resourceVersion of TcpServices and of
    slices.
    """

    def __init__(self) -> None:
        self.tcp_services: dict[Key, TcpService] = {}
        self.services: dict[Key, Service] = {}
        self.namespaces: dict[str, Labels] = {}
        self.revisions: dict[str, int] = {SERVICES: 0, SLICES: 0}
        self.new_namespaces = 0
        self._newest: dict[Key, int] = {}
        self._keys_in: dict[str, frozenset[Key]] = {}
        self._selectors = SelectorIndex()
        self._service_selectors = SelectorIndex()
        self._pods = PodCache()
        self._refusals = Refusals()
        self._changed_views = set[Key]()
        self._slices: dict[Key, dict[Key, Slice]] = defaultdict(dict)
        self._policies: dict[str, dict[Key, NetworkPolicy]] = defaultdict(dict)

    # Events. Each method returns the TcpServices that must be reconciled again.

    def apply_tcp_service_event(self, body: Body, *, deleted: bool = False) -> set[Key]:
        """Apply an event of a TcpService. A change of its spec affects the TcpServices that share pods with it."""
        key = key_of(body)
        if not self._is_news(key, body, deleted=deleted):
            return set()
        before = self.tcp_services.get(key)
        sharing = self._sharing_pods_of(before)
        if deleted:
            self.tcp_services.pop(key, None)
        else:
            self.tcp_services[key] = read_tcp_service(body, before)
        self._advance(SERVICES, body)
        after = self.tcp_services.get(key)
        if (before is None) != (after is None):
            there = self._keys_in.get(key[0], frozenset())
            self._keys_in[key[0]] = there | {key} if after is not None else there - {key}
            self._change_views_of_others(key)
        self._set_selector(key)
        if before is not None and after is not None and before.version == after.version:
            return {key}
        self._changed_views.update(pod.key for pod in self._pods.naming(key) if pod.key[0] != key[0])
        return {key} | sharing | self._sharing_pods_of(after)

    def _is_news(self, key: Key, body: Body, *, deleted: bool) -> bool:
        """Whether neither this state of a TcpService was seen nor a newer one, such as that it was deleted.

        kopf watches TcpServices while they may be listed, so that a list can be older than the last event, and has most
        of what the events have. Kubernetes lets the resourceVersions of one kind be compared.
        """
        text = body["metadata"].get("resourceVersion", "")
        if not text.isdigit():
            return True
        revision, newest = int(text), self._newest.get(key, 0)
        if len(self._newest) > len(self.tcp_services) + MOST_DELETED:
            self._newest = {each: version for each, version in self._newest.items() if each in self.tcp_services}
        self._newest[key] = max(revision, newest)
        return revision > newest or (revision == newest and deleted)

    def apply_service_event(self, body: Body, *, deleted: bool = False) -> set[Key]:
        """Apply an event of a Service. A change also affects the TcpServices with the pods that it leads to."""
        namespace, name = key = key_of(body)
        before = self.services.pop(key, None)
        if not deleted:
            self.services[key] = read_service(body)
        after = self.services.get(key)
        concerned = {key, (namespace, name.removesuffix(REPLICAS_SUFFIX))} & self.tcp_services.keys()
        if before == after:
            return concerned
        leading = [service for service in (before, after) if service is not None and not service.ours]
        pods = [pod for service in leading for pod in self._pods.selected(namespace, service.selector)]
        self._service_selectors.put(key, after.selector if after is not None else {})
        self._set_selector(key)
        return concerned | self._served_by_any(pods)

    def apply_slice_event(self, body: Body, *, deleted: bool = False) -> set[Key]:
        """Apply an event of an EndpointSlice."""
        found = read_slice(body)
        if found is None:
            return set()
        there = self._slices.setdefault(found.service, {})
        if deleted:
            there.pop(found.key, None)
        else:
            there[found.key] = found
        if not there:
            del self._slices[found.service]
        namespace, name = found.service
        affected = {(namespace, name.removesuffix(REPLICAS_SUFFIX))}
        if self.replicas_slices_of(found.service) is None:
            affected.add(found.service)
        # TcpServices are listed last, so a slice counts before its TcpService is known.
        self._advance(SLICES, body)
        return affected & self.tcp_services.keys()

    def apply_pod_event(self, body: Body, *, deleted: bool = False) -> set[Key]:
        """Apply an event of a pod. A pod whose containers have exited for good counts as deleted."""
        key = key_of(body)
        before = self._pods.get(key)
        after = None if deleted or has_ended(body) else read_pod(body, before)
        if after == before:
            return set()
        self._pods.put(key, after)
        if before is None and after is not None:
            self._refusals.end(key[0], after.owner)
        if before is not None and after is not None and _view_fields(before) != _view_fields(after):
            self._changed_views.add(key)
        pods = [pod for pod in (before, after) if pod is not None]
        affected = self._served_by_any(pods) | self._unreleased_of(pods)
        if _caller_fields(before) != _caller_fields(after):
            affected |= {key for pod in pods for key in self._reported_by(pod)}
        return affected

    def apply_namespace_event(self, body: Body, *, deleted: bool = False) -> set[Key]:
        """Apply an event of a namespace. Its label decides whether its pods call."""
        name: str = body["metadata"]["name"]
        before = self.namespaces.pop(name, None)
        if not deleted and "deletionTimestamp" not in body["metadata"]:
            self.namespaces[name] = body["metadata"].get("labels") or {}
        after = self.namespaces.get(name)
        if before is None and after is not None:
            self.new_namespaces += 1
        if before == after:
            return set()
        self._changed_views.update(pod.key for pod in self._pods.in_namespace(name))
        return set(self.keys_in(name)) if (before or {}).get(INJECT_LABEL) != (after or {}).get(INJECT_LABEL) else set()

    def apply_policy_event(self, body: Body, *, deleted: bool = False) -> set[Key]:
        """Apply an event of a NetworkPolicy. Without labels that must match, it may select any pod of the namespace."""
        key = key_of(body)
        before = self._policies[key[0]].pop(key, None)
        if not deleted:
            self._policies[key[0]][key] = read_network_policy(body)
        after = self._policies[key[0]].get(key)
        if before == after:
            return set()
        policies = [policy for policy in (before, after) if policy is not None]
        if not all(policy.labels for policy in policies):
            return set(self.keys_in(key[0]))
        pods = [pod for policy in policies for pod in self._pods.selected(key[0], policy.labels)]
        restricts_callers = any(policy.egress is not None for policy in policies)
        called = {key for pod in pods for key in self.called_by(pod)} if restricts_callers else set()
        return self._served_by_any(pods) | called

    def apply_refusal_event(self, body: Body, *, deleted: bool = False) -> set[Key]:
        """Apply an Event FailedCreate; a workload that is not known yet has to be looked up (`unknown_workloads`)."""
        found = self._refusals.put(body, deleted=deleted)
        if found is None or found.labels is None:
            return set()
        return set(self._selectors.selecting(found.namespace, found.labels))

    def unknown_workloads(self) -> set[tuple[str, str]]:
        """Return the workloads (`Kind/name`, with the namespace) that cannot create pods and have to be looked up.

        Only those of namespaces with TcpServices: no status depends on the other workloads.
        """
        return {each for each in self._refusals.unknown() if self.keys_in(each[0])}

    def apply_workload(self, namespace: str, workload: str, found: Workload | None) -> set[Key]:
        """Record what a workload is that cannot create pods."""
        labels = self._refusals.resolve(namespace, workload, found)
        return set(self._selectors.selecting(namespace, labels)) if labels is not None else set()

    # The known objects, with the fields that an event of their deletion needs

    def known_tcp_services(self) -> list[Body]:
        """Return the TcpServices, with the version that is known: a newer one is not removed by an older list."""
        stubs = [_stub(key) for key in self.tcp_services]
        for key, stub in zip(self.tcp_services, stubs, strict=True):
            if key in self._newest:
                stub["metadata"]["resourceVersion"] = str(self._newest[key])
        return stubs

    def known_services(self) -> list[Body]:
        """Return the Services."""
        return [_stub(key) for key in self.services]

    def known_slices(self) -> list[Body]:
        """Return the slices."""
        return [
            _stub(key, labels={SERVICE_LABEL: service[1]}) for service, there in self._slices.items() for key in there
        ]

    def known_pods(self) -> list[Body]:
        """Return the pods."""
        return [_stub(key) for key in self._pods]

    def known_refusals(self) -> list[Body]:
        """Return the Events FailedCreate."""
        return [_stub(key) for key in self._refusals.keys()]  # noqa: SIM118 - it is no dict

    def known_policies(self) -> list[Body]:
        """Return the NetworkPolicies."""
        return [_stub(key) for there in self._policies.values() for key in there]

    def known_namespaces(self) -> list[Body]:
        """Return the namespaces."""
        return [{"metadata": {"name": name}} for name in self.namespaces]

    # Queries

    def as_of(self, namespace: str, tcp_services: Iterable[Body], services: Iterable[Body]) -> ClusterState:
        """Return a copy of the state in which one namespace has the given TcpServices and Services."""
        there, found = (
            ClusterState(),
            {key_of(body): read_tcp_service(body, self.tcp_services.get(key_of(body))) for body in tcp_services},
        )
        there.namespaces = self.namespaces
        there.tcp_services = {key: each for key, each in self.tcp_services.items() if key[0] != namespace} | found
        there.services = {key: each for key, each in self.services.items() if key[0] != namespace}
        there.services |= {key_of(body): read_service(body) for body in services}
        there._pods, there._slices = self._pods, self._slices
        there._keys_in = {**self._keys_in, namespace: frozenset(found)}
        for key in found:
            there._set_selector(key)
        for key in there.services:
            if key[0] == namespace:
                there._service_selectors.put(key, there.services[key].selector)
        return there

    def keys_in(self, namespace: str) -> frozenset[Key]:
        """Return the TcpServices of a namespace."""
        return self._keys_in.get(namespace, frozenset())

    def take_changed_views(self) -> set[Key]:
        """Return the pods whose view (the TcpServices that they serve or call) may differ since the last call."""
        changed, self._changed_views = self._changed_views, set()
        return changed

    def selector_of(self, tcp_service: TcpService) -> Labels:
        """Return the selector of a TcpService, else that of the Service of its name; empty if there is none.

        It is also empty if it is not valid: manifests that no API server has checked may have anything.
        """
        own = tcp_service.document["spec"].get("selector")
        service = self.services.get(tcp_service.key)
        if not own:
            return service.selector if service else {}
        is_valid = isinstance(own, dict) and all(isinstance(value, str) for value in own.values())
        return own if is_valid else {}

    def pods_of(self, tcp_service: TcpService) -> list[Pod]:
        """Return the pods that a TcpService selects, by name."""
        return self._pods.selected(tcp_service.key[0], self.selector_of(tcp_service))

    def served_by(self, pod: Pod) -> list[TcpService]:
        """Return the TcpServices that select a pod, and those that its annotation lists as served, by name."""
        found = self.selecting(pod)
        listed = pod.asked_to_serve() & self.tcp_services.keys()
        if listed:
            found += [self.tcp_services[key] for key in listed - {each.key for each in found}]
            found.sort(key=lambda each: each.key)
        return found

    def selecting(self, pod: Pod) -> list[TcpService]:
        """Return the TcpServices that select a pod, by name."""
        return [self.tcp_services[key] for key in self._selectors.selecting(pod.key[0], pod.labels)]

    def called_by(self, pod: Pod) -> frozenset[Key]:
        """Return the TcpServices that a pod calls: those of its annotation, else all of its namespace.

        Those of other namespaces are only called if they allow it (`spec.allowedCallers`).
        """
        if not self._calls(pod):
            return frozenset()
        called = pod.called()
        if called is None:
            return self.keys_in(pod.key[0])
        namespace, labels = pod.key[0], self.namespaces.get(pod.key[0], {})
        known = called & self.tcp_services.keys()
        return frozenset(key for key in known if self.tcp_services[key].lets_call(namespace, labels))

    def unknown_to(self, pod: Pod) -> frozenset[Key]:
        """Return the TcpServices that a pod's annotation lists and that do not exist, or do not allow its calls."""
        return ((pod.called() if self._calls(pod) else None) or frozenset()) - self.called_by(pod)

    def services_of(self, pod: Pod) -> list[Service]:
        """Return the Services that select a pod, by name."""
        return [self.services[key] for key in self._service_selectors.selecting(pod.key[0], pod.labels)]

    def callers_of(self, tcp_service: TcpService) -> list[Callers]:
        """Return the pods of its namespace that call a TcpService, by name; none that are being deleted."""
        found = (each for each in self._pods.callers(tcp_service.key) if self._calls(each.pod))
        return sorted(found, key=lambda each: each.pod.key)

    def pod(self, key: Key) -> Pod | None:
        """Return a pod, None if it is not known."""
        return self._pods.get(key)

    def endpoints_of(self, key: Key) -> tuple[Endpoint, ...] | None:
        """Return the replicas of a TcpService, by name; None if neither of its Services has a slice.

        Kubernetes keeps an empty slice for a Service without replicas. So a Service without a slice does not exist, or
        Kubernetes has not processed it yet.
        """
        slices = self.replicas_slices_of(key)
        if slices is None:
            return self._own_endpoints_of(key)

        def is_served(pod: str) -> bool:
            found = self._pods.get((key[0], pod))
            return found is None or found.has_sidecar_for(key)

        return merge((each.family, in_replicas(each, is_served)) for each in slices.values())

    def replicas_slices_of(self, key: Key) -> dict[Key, Slice] | None:
        """Return the slices of the Service `<name>-replicas`; None if it has none, or is not the operator's."""
        name = (key[0], key[1] + REPLICAS_SUFFIX)
        service = self.services.get(name)
        return self._slices.get(name) if service is None or service.ours else None

    def _own_endpoints_of(self, key: Key) -> tuple[Endpoint, ...] | None:
        """Return the replicas that the Service of a TcpService's name has."""
        slices, service, tcp_service = self._slices.get(key), self.services.get(key), self.tcp_services.get(key)
        if slices is None or service is None or tcp_service is None:
            return None
        ports = (port.name for port in service.ports if port.port == tcp_service.sound["spec"]["port"])
        name = next(ports, None)
        if name is None:
            return None

        def sidecar_of(pod: str, number: int) -> SidecarPorts | None:
            found = self._pods.get((key[0], pod))
            if found is None or not found.has_sidecar_for(key):
                return None
            own = dict(found.sidecar_ports)
            mesh = own.get(MESH_PORT)
            return SidecarPorts(mesh, None if number in own.values() else number) if mesh is not None else None

        return merge((each.family, in_own_service(each, name, sidecar_of)) for each in slices.values())

    def unreleased_service(self, key: Key) -> Service | None:
        """Return the Service `<name>-replicas` of a deleted TcpService, None if it is released already."""
        service = self.services.get((key[0], key[1] + REPLICAS_SUFFIX))
        kept = service is not None and service.ours and service.made_for and not service.owner
        return service if kept and key not in self.tcp_services else None

    def all_unreleased(self) -> set[Key]:
        """Return the deleted TcpServices whose Service `<name>-replicas` is not released yet."""
        keys = ((namespace, name.removesuffix(REPLICAS_SUFFIX)) for namespace, name in self.services)
        return {key for key in keys if self.unreleased_service(key) is not None}

    def is_resolved(self, key: Key) -> bool:
        """Whether any sidecar serves or calls a TcpService: such a sidecar may resolve `<name>-replicas`."""
        return self._pods.has_sidecar_with(key)

    def pods_in(self, namespace: str) -> Iterable[Pod]:
        """Return the pods of a namespace."""
        return self._pods.in_namespace(namespace)

    def has_endpoints(self, service: Service) -> bool:
        """Whether a Service has endpoints, from any source of EndpointSlices."""
        return any(each.listed for each in self._slices.get(service.key, {}).values())

    def refused_pods_of(self, tcp_service: TcpService) -> list[RefusedPods]:
        """Return the pods of a TcpService that the API server does not let their workloads create."""
        selector = self.selector_of(tcp_service)
        return self._refusals.of(tcp_service.key[0], lambda labels: bool(selector) and selects(selector, labels))

    def policies_in(self, namespace: str) -> list[NetworkPolicy]:
        """Return the NetworkPolicies of a namespace, by name."""
        there = self._policies[namespace]
        return [there[key] for key in sorted(there)]

    def _unreleased_of(self, pods: Iterable[Pod]) -> set[Key]:
        """Return the deleted TcpServices that sidecars of these pods serve or call, if not released yet."""
        names = {name for pod in pods for name in pod.known_to_sidecar}
        keys = ((namespace, own) for namespace, _, own in (name.partition("/") for name in names))
        return {key for key in keys if self.unreleased_service(key) is not None}

    def _calls(self, pod: Pod) -> bool:
        return (pod.inject or self.namespaces.get(pod.key[0], {}).get(INJECT_LABEL)) == "enabled"

    def _reported_by(self, pod: Pod) -> Iterable[Key]:
        """Return the TcpServices whose status may report a pod as a caller."""
        called = frozenset[Key]() if pod.leaving else self.called_by(pod)
        policies = self._policies[pod.key[0]].values()
        if pod.refused or pod.crashing or any(policy.egress is not None for policy in policies):
            return called
        aliases = pod.aliases or frozenset()
        return [key for key in called if "/".join(key) not in aliases]

    def _served_by_any(self, pods: Iterable[Pod]) -> set[Key]:
        return {key for pod in pods for key in self._selectors.selecting(pod.key[0], pod.labels)}

    def _sharing_pods_of(self, tcp_service: TcpService | None) -> set[Key]:
        """Return the TcpServices that serve pods of a TcpService."""
        return self._served_by_any(self.pods_of(tcp_service)) if tcp_service is not None else set()

    def _set_selector(self, key: Key) -> None:
        """Update the index after a change of a TcpService, or of the Service of its name."""
        tcp_service = self.tcp_services.get(key)
        selector = self.selector_of(tcp_service) if tcp_service is not None else {}
        before = self._selectors.get(key)
        if before != selector:
            self._selectors.put(key, selector)
            for each in (before, selector):
                self._changed_views.update(pod.key for pod in self._pods.selected(key[0], each))

    def _change_views_of_others(self, key: Key) -> None:
        """Note that callers of a TcpService that is new or gone, and pods that ask to serve it, need another view."""
        self._changed_views.update(self._pods.asking_to_serve(key))
        self._changed_views.update(pod.key for pod in self._pods.naming(key))
        self._changed_views.update(pod.key for pod in self._pods.calling_all(key[0]) if self._calls(pod))

    def _advance(self, kind: str, body: Body) -> None:
        """Record the newest resourceVersion of a kind; Kubernetes allows comparing versions of one kind."""
        revision = body["metadata"].get("resourceVersion", "")
        if revision.isdigit():
            self.revisions[kind] = max(self.revisions[kind], int(revision))


def _view_fields(pod: Pod) -> tuple[object, ...]:
    return pod.labels, pod.calls, pod.asks_to_serve


def _caller_fields(pod: Pod | None) -> tuple[object, ...]:
    """Return the fields of a pod that the conditions of the TcpServices that it calls depend on."""
    if pod is None or pod.leaving:
        return ()
    return pod.aliases, pod.crashing, pod.refused, pod.inject, pod.calls, pod.labels


def _stub(key: Key, **more: Labels) -> Body:
    return {"metadata": {"namespace": key[0], "name": key[1], **more}}
