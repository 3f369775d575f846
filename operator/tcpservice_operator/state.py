"""The cluster as the operator knows it: kept by events, asked by all that plans.

An event replaces or removes one object and says which TcpServices it may concern; nothing is ever worked out from the
difference between two events, so that a missed one costs no more than time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from tcpservice.snapshot import Endpoint
from tcpservice.spec.slices import SERVICE_LABEL
from tcpservice_operator.endpoints import REPLICAS_SUFFIX, Slice, merge, read_slice, service_of
from tcpservice_operator.objects import (
    INJECT,
    Body,
    Key,
    Labels,
    Pod,
    Policy,
    Service,
    Wanted,
    has_ended,
    key_of,
    read_pod,
    read_policy,
    read_service,
    read_wanted,
)

SERVICES: Final = "services"
SLICES: Final = "slices"


class State:
    """All that was seen of TcpServices, Services, slices, pods, namespaces and NetworkPolicies.

    `revisions` is how far TcpServices and slices were seen, by the store's own count; `views` counts the changes after
    which pods may have to be told of other TcpServices.
    """

    def __init__(self) -> None:
        self.wanted: dict[Key, Wanted] = {}
        self.services: dict[Key, Service] = {}
        self.namespaces: dict[str, Labels] = {}
        self.revisions: dict[str, int] = {SERVICES: 0, SLICES: 0}
        self.views = 0
        self._there: dict[str, set[Key]] = defaultdict(set)
        self._pods: dict[str, dict[Key, Pod]] = defaultdict(dict)
        self._slices: dict[Key, dict[Key, Slice]] = defaultdict(dict)
        self._others: dict[Key, set[Key]] = {}
        self._policies: dict[str, dict[Key, Policy]] = defaultdict(dict)

    # Events; each returns the TcpServices that are to be looked at again.

    def see_wanted(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a TcpService; all that may share its pods are concerned."""
        key = key_of(body)
        before = self.wanted.get(key)
        if gone:
            self.wanted.pop(key, None)
            self._there[key[0]].discard(key)
        else:
            self.wanted[key] = read_wanted(body, before)
            self._there[key[0]].add(key)
        self._advance(SERVICES, body)
        if before is None or gone or before.generation != self.wanted[key].generation:
            self.views += 1
        return {key} | self._there[key[0]]

    def see_service(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a Service."""
        namespace, name = key = key_of(body)
        before = self.services.pop(key, None)
        if not gone:
            self.services[key] = read_service(body)
        concerned = {key, (namespace, name.removesuffix(REPLICAS_SUFFIX))} & self.wanted.keys()
        if concerned and self.services.get(key) != before:
            self.views += 1
        return concerned

    def see_slice(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of an EndpointSlice."""
        key, service = key_of(body), service_of(body)
        if service is None:
            self._see_other_slice(body, gone=gone)
            return set()
        self._advance(SLICES, body)
        if gone:
            self._slices[service].pop(key, None)
        else:
            self._slices[service][key] = read_slice(body, service)
        if not self._slices[service]:
            del self._slices[service]
        return {service}

    def _see_other_slice(self, body: Body, *, gone: bool) -> None:
        """Keep which Services have endpoints: a slice of another Service, where it lists one."""
        namespace, _ = key = key_of(body)
        service = (namespace, (body["metadata"].get("labels") or {}).get(SERVICE_LABEL, ""))
        slices = self._others.pop(service, set())
        slices.discard(key)
        if not gone and any(one["addresses"] for one in body.get("endpoints") or []):
            slices.add(key)
        if slices:
            self._others[service] = slices

    def see_pod(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a pod; one that has ended has gone."""
        key = key_of(body)
        there = self._pods[key[0]]
        before = there.get(key)
        after = None if gone or has_ended(body) else read_pod(body)
        if after == before:
            return set()
        there.pop(key, None)
        if after is not None:
            there[key] = after
        if before is not None and after is not None and (before.labels, before.calls) != (after.labels, after.calls):
            self.views += 1
        pods = [pod for pod in (before, after) if pod is not None]
        outlived = self._outlived_by(pods)
        serving = {wanted.key for pod in pods for wanted in self.served_by(pod)}
        return serving | outlived | (self._called_by(pods) if _stands_out(before) != _stands_out(after) else set())

    def see_namespace(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a namespace."""
        name: str = body["metadata"]["name"]
        before = self.namespaces.pop(name, None)
        if not gone and "deletionTimestamp" not in body["metadata"]:
            self.namespaces[name] = body["metadata"].get("labels") or {}
        if self.namespaces.get(name) != before:
            self.views += 1
        return set()

    def see_policy(self, body: Body, *, gone: bool = False) -> set[Key]:
        """Take an event of a NetworkPolicy."""
        key = key_of(body)
        self._policies[key[0]].pop(key, None)
        policy = None if gone else read_policy(body)
        if policy is not None:
            self._policies[key[0]][key] = policy
        return {wanted.key for wanted in self.wanted_in(key[0])}

    # What was seen, as much of each object as taking it away needs

    def known_tcp_services(self) -> list[Body]:
        """Return the TcpServices."""
        return [_stub(key) for key in self.wanted]

    def known_services(self) -> list[Body]:
        """Return the Services."""
        return [_stub(key) for key in self.services]

    def known_slices(self) -> list[Body]:
        """Return the slices."""
        return [
            _stub(key, labels={SERVICE_LABEL: service[1] + REPLICAS_SUFFIX})
            for service, there in self._slices.items()
            for key in there
        ] + [
            _stub(key, labels={SERVICE_LABEL: service[1]}) for service, others in self._others.items() for key in others
        ]

    def known_pods(self) -> list[Body]:
        """Return the pods."""
        return [_stub(key) for there in self._pods.values() for key in there]

    def known_policies(self) -> list[Body]:
        """Return the NetworkPolicies."""
        return [_stub(key) for there in self._policies.values() for key in there]

    def known_namespaces(self) -> list[Body]:
        """Return the namespaces."""
        return [{"metadata": {"name": name}} for name in self.namespaces]

    # Questions

    def as_of(self, namespace: str, wanted: Iterable[Body], services: Iterable[Body]) -> State:
        """Return what is known, with the TcpServices and Services of a namespace as they were read just now."""
        there, found = State(), {key_of(body): read_wanted(body, self.wanted.get(key_of(body))) for body in wanted}
        there.namespaces = self.namespaces
        there.wanted = {key: each for key, each in self.wanted.items() if key[0] != namespace} | found
        there.services = {key: each for key, each in self.services.items() if key[0] != namespace}
        there.services |= {key_of(body): read_service(body) for body in services}
        there._pods, there._slices, there._others = self._pods, self._slices, self._others
        for key in there.wanted:
            there._there[key[0]].add(key)
        return there

    def wanted_in(self, namespace: str) -> list[Wanted]:
        """Return the TcpServices of a namespace."""
        return [self.wanted[key] for key in sorted(self._there.get(namespace, ()))]

    def selector_of(self, wanted: Wanted) -> Labels:
        """Return the labels of the pods that serve: its own, or those of the Service of its name, or none."""
        own: Labels | None = wanted.document["spec"].get("selector")
        service = self.services.get(wanted.key)
        return own or (service.selector if service else {})

    def pods_of(self, wanted: Wanted) -> list[Pod]:
        """Return the pods that serve, by name."""
        selector = self.selector_of(wanted)
        there = self._pods[wanted.key[0]].values() if selector else ()
        return sorted((pod for pod in there if selector.items() <= pod.labels.items()), key=lambda pod: pod.key)

    def served_by(self, pod: Pod) -> Iterator[Wanted]:
        """Give the TcpServices that select a pod."""
        for wanted in self.wanted_in(pod.key[0]):
            selector = self.selector_of(wanted)
            if selector and selector.items() <= pod.labels.items():
                yield wanted

    def called_by(self, pod: Pod) -> Iterator[Wanted]:
        """Give the TcpServices that a pod calls: those that it names, else all of its namespace."""
        if not self._calls(pod):
            return
        called = pod.called()
        if called is None:
            yield from self.wanted_in(pod.key[0])
        else:
            yield from (self.wanted[key] for key in sorted(called & self.wanted.keys()))

    def unknown_to(self, pod: Pod) -> frozenset[Key]:
        """Return the TcpServices that a pod names as called, and that are not there."""
        return ((pod.called() if self._calls(pod) else None) or frozenset()) - self.wanted.keys()

    def services_of(self, pod: Pod) -> Iterator[Service]:
        """Give the Services that select a pod."""
        for (namespace, _), service in self.services.items():
            if namespace == pod.key[0] and service.selector and service.selector.items() <= pod.labels.items():
                yield service

    def callers_of(self, wanted: Wanted) -> list[Pod]:
        """Return the pods of its namespace that call a TcpService, by name."""
        calling = (pod for pod in self._pods[wanted.key[0]].values() if self._calls(pod))
        named = ((pod, pod.called()) for pod in calling)
        found = (pod for pod, called in named if called is None or wanted.key in called)
        return sorted(found, key=lambda pod: pod.key)

    def pod(self, key: Key) -> Pod | None:
        """Return a pod, None where it was not seen (yet) or has gone."""
        return self._pods[key[0]].get(key)

    def endpoints_of(self, key: Key) -> tuple[Endpoint, ...] | None:
        """Return the replicas of a TcpService, by name; None where no slice is there.

        Kubernetes keeps an empty slice for a Service without replicas, so that none means: the Service itself is not
        there, or not yet.
        """
        slices = self._slices.get(key)
        if slices is None:
            return None
        there = self._pods[key[0]]

        def is_served(endpoint: Endpoint) -> bool:
            pod = there.get((key[0], endpoint.name))
            return pod is None or pod.has_front(key)

        return merge(slices.values(), is_served)

    def outlived(self, key: Key) -> Service | None:
        """Return the Service `<name>-replicas` of a TcpService that is gone, None where it is released already."""
        service = self.services.get((key[0], key[1] + REPLICAS_SUFFIX))
        kept = service is not None and service.ours and service.made_for and not service.owner
        return service if kept and key not in self.wanted else None

    def all_outlived(self) -> set[Key]:
        """Return the TcpServices that are gone and whose replicas still have a Service."""
        keys = ((namespace, name.removesuffix(REPLICAS_SUFFIX)) for namespace, name in self.services)
        return {key for key in keys if self.outlived(key) is not None}

    def is_resolved(self, key: Key) -> bool:
        """Whether a pod's sidecar serves or calls a TcpService: it may resolve the Service of its replicas."""
        name = "/".join(key)
        return any(
            name in (pod.fronts or ()) or name in (pod.aliases or ())
            for there in self._pods.values()
            for pod in there.values()
        )

    def pods_in(self, namespace: str) -> Iterable[Pod]:
        """Return the pods of a namespace."""
        return self._pods[namespace].values()

    def has_endpoints(self, service: Service) -> bool:
        """Whether a Service other than `<name>-replicas` has endpoints, from any source of EndpointSlices."""
        return service.key in self._others

    def policies_in(self, namespace: str) -> list[Policy]:
        """Return the NetworkPolicies of a namespace, by name."""
        there = self._policies[namespace]
        return [there[key] for key in sorted(there)]

    def _outlived_by(self, pods: Iterable[Pod]) -> set[Key]:
        """Return the TcpServices that are gone and that sidecars of some pods serve or call."""
        names = {name for pod in pods for name in (*(pod.fronts or ()), *(pod.aliases or ()))}
        keys = ((namespace, own) for namespace, _, own in (name.partition("/") for name in names))
        return {key for key in keys if self.outlived(key) is not None}

    def _calls(self, pod: Pod) -> bool:
        return (pod.inject or self.namespaces.get(pod.key[0], {}).get(INJECT)) == "enabled"

    def _called_by(self, pods: Iterable[Pod]) -> set[Key]:
        return {wanted.key for pod in pods for wanted in self.called_by(pod)}

    def _advance(self, kind: str, body: Body) -> None:
        """Note how far a kind of object was seen; Kubernetes lets versions of one kind be compared."""
        revision = body["metadata"].get("resourceVersion", "")
        if revision.isdigit():
            self.revisions[kind] = max(self.revisions[kind], int(revision))


def _stands_out(pod: Pod | None) -> tuple[object, ...]:
    """Return what the TcpServices that a pod calls say of it."""
    return () if pod is None or pod.leaving else (pod.aliases, pod.crashing, pod.refused)


def _stub(key: Key, **more: Labels) -> Body:
    return {"metadata": {"namespace": key[0], "name": key[1], **more}}
