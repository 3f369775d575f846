"""What the checks of a TcpService's conditions read, and what one check returns.

Made by `reconcile.plan`; read by `condition_checks`, `inbound` and `reconcile.eviction`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from tcpservice.snapshot import Endpoint
from tcpservice_operator.api.plain_objects import Labels
from tcpservice_operator.cache.objects import NetworkPolicy, Pod, Service, TcpService
from tcpservice_operator.cache.pod_cache import Callers
from tcpservice_operator.cache.refused_pods import RefusedPods
from tcpservice_operator.cache.targets import target_of

_MOST_NAMES: Final = 5


class Evidence(Struct, frozen=True, kw_only=True):
    """Everything that the conditions of one TcpService depend on.

    `service` is the Service of the TcpService's name, `replicas` the Service `<name>-replicas`; each is None if it does
    not exist. `sharing` are the Services and TcpServices that lead to the same port but select other pods.
    `endpoints` are those that the operator pushes to sidecars.
    `refused_pods` are those that cannot be created.
    `older` are the pods whose sidecars are older than those. `stopped` is why evictions have stopped, or empty.
    `refused` names a Service that the API server refused, with its words, or is empty.
    """

    tcp_service: TcpService
    selector: Labels
    service: Service | None
    replicas: Service | None
    pods: Sequence[Pod]
    callers: Sequence[Callers]
    sharing: Sequence[str]
    older: Sequence[Pod]
    policies: Sequence[NetworkPolicy]
    refused_pods: Sequence[RefusedPods]
    endpoints: Sequence[Endpoint]
    stopped: str
    refused: str

    @property
    def has_own_slices(self) -> bool:
        """Whether the endpoints come from EndpointSlices of a Service without a selector; the user creates these."""
        return not self.selector and self.service is not None and not self.service.external

    @property
    def full_name(self) -> str:
        """Namespace and name, separated by a slash."""
        return "/".join(self.tcp_service.key)

    @property
    def port(self) -> int:
        """The port that callers dial."""
        port: int = self.tcp_service.document["spec"]["port"]
        return port

    @property
    def target(self) -> str | int:
        """The target port of the pods: the name of a container's port, or a number."""
        return target_of(self.tcp_service, self.service)

    @property
    def labels(self) -> str:
        """The selector, in the syntax of `kubectl -l`."""
        return ",".join(f"{name}={value}" for name, value in self.selector.items())

    @property
    def staying(self) -> list[Pod]:
        """The pods that are not being deleted."""
        return [pod for pod in self.pods if not pod.leaving]

    @property
    def ready(self) -> list[Pod]:
        """The ready pods among those that are not being deleted."""
        return [pod for pod in self.staying if pod.ready]


Problem = tuple[str, str]
"""Reason and message of a condition."""

Check = Callable[[Evidence], Problem | None]
"""Looks for one problem; returns None if there is none."""


def list_some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 pod` or `2 pods`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def ready_of(ready: int, total: int, noun: str = "pod") -> str:
    """Return how many of all are ready, such as `1 of 2 pods is ready`."""
    return f"{ready} of {count_of(total, noun)} {'is' if 1 in (ready, total) else 'are'} ready"


def restart_commands(pods: Iterable[Pod]) -> list[str]:
    """Return the commands that recreate pods, without repetitions."""
    return sorted({pod.restart_command for pod in pods} - {""})
