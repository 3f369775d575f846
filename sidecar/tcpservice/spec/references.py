"""Which documents speak of the same service: TcpServices by their names, EndpointSlices by their label.

Used by `reading`. In a cluster the slices are those of the Service `NAME`, or of the headless `NAME-replicas` that the
operator keeps; a pod is often in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tcpservice.spec.checked import Checked
from tcpservice.spec.documents import DEFAULT_NAMESPACE
from tcpservice.spec.problems import Finding, Path, expected
from tcpservice.spec.schema import Metadata
from tcpservice.spec.slices import SERVICE_LABEL

_NAME: Final[Path] = ("metadata", "name")
_LABEL: Final[Path] = ("metadata", "labels", SERVICE_LABEL)
_REPLICAS: Final = "-replicas"
_MOST_SHOWN: Final = 8


class Services:
    """The TcpServices by `namespace/name`, and the slices of each."""

    def __init__(self, services: Iterable[Checked], slices: Iterable[Checked], *, complete: bool) -> None:
        """Pair them. Where not everything could be read (`complete`), a slice may be of what is missing."""
        self.slices: dict[str, list[Checked]] = {}
        self.named: dict[str, Checked] = {}
        self._complete = complete
        for service in services:
            self._add_service(service)
        for each in slices:
            self._add_slice(each)

    def _add_service(self, service: Checked) -> None:
        metadata = service.part(("metadata",), Metadata)
        if metadata is None:
            self._complete = False
            return
        key = f"{metadata.namespace or DEFAULT_NAMESPACE}/{metadata.name}"
        first = self.named.setdefault(key, service)
        if first is not service:
            place = f"{first.document.file}:{first.document.tree.line_of(_NAME)}"
            words = f"{service.document.label} is already defined at {place}; rename or remove one of them"
            service.add(Finding(_NAME, words))
        self.slices.setdefault(key, [])

    def _add_slice(self, each: Checked) -> None:
        if not each.whole(_LABEL) or not each.whole(("metadata", "namespace")):
            return
        name = each.part(_LABEL, str)
        if name is None:
            each.add(Finding(_LABEL, "missing; expected the name of a TcpService"))
            return
        namespace = each.part(("metadata", "namespace"), str) or DEFAULT_NAMESPACE
        keys = (f"{namespace}/{name}", f"{namespace}/{name.removesuffix(_REPLICAS)}")
        key = next((key for key in keys if key in self.named), None)
        if key is not None:
            self.slices[key].append(each)
        elif self._complete:
            each.add(expected(_LABEL, f"a TcpService that exists ({_listed(self.named)})", keys[0]))


def _listed(names: Mapping[str, object]) -> str:
    shown = [*names][:_MOST_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "none does"
