"""What the conditions of a TcpService are drawn from, and how one check says what it found.

Made by `planning`; read by `conditions`, `fronts` and `evicting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from tcpservice_operator.objects import Labels, Pod, Policy, Service, Wanted
from tcpservice_operator.services import target_of

Truth = Literal["True", "False", "Unknown"]
_MOST_NAMES: Final = 5


class View(Struct, frozen=True, kw_only=True):
    """All that the conditions of one TcpService are drawn from; `stopped` is why evictions do not go on."""

    wanted: Wanted
    selector: Labels
    service: Service | None
    replicas: Service | None
    pods: Sequence[Pod]
    callers: Sequence[Pod]
    rivals: Sequence[str]
    policies: Sequence[Policy]
    stopped: str

    @property
    def place(self) -> str:
        """Namespace and name, as people write them."""
        return "/".join(self.wanted.key)

    @property
    def port(self) -> int:
        """What callers dial."""
        port: int = self.wanted.document["spec"]["port"]
        return port

    @property
    def target(self) -> str | int:
        """The port of the pods: a container's port name, or a number."""
        return target_of(self.wanted, self.service)

    @property
    def labels(self) -> str:
        """The selector as kubectl takes it."""
        return ",".join(f"{name}={value}" for name, value in self.selector.items())

    @property
    def staying(self) -> list[Pod]:
        """The pods that do not go."""
        return [pod for pod in self.pods if not pod.leaving]

    @property
    def ready(self) -> list[Pod]:
        """Those of them that are ready."""
        return [pod for pod in self.staying if pod.ready]


Said = tuple[Truth, str, str]
"""Status, reason and message of a condition."""

Check = Callable[[View], Said | None]


def some(names: Sequence[str]) -> str:
    """Name a few, and count the rest."""
    shown = ", ".join(names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def restarts(pods: Iterable[Pod]) -> list[str]:
    """Return the commands that have pods made anew."""
    return sorted({pod.restart for pod in pods} - {""})
