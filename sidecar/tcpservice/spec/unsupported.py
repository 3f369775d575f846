"""What the manifest can already say and the sidecar cannot yet do: refused, never silently ignored.

Used by `reading`, and for the CustomResourceDefinition, which leaves these out. A feature that arrives takes its line
out of these tables, and nothing else here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tcpservice.spec.paths import select
from tcpservice.spec.problems import Finding, Unsupported

UNSUPPORTED_FIELDS: Final = (
    "spec.loadBalancing.consistentHash",
    "spec.loadBalancing.slowStart",
    "spec.loadBalancing.trafficDistribution",
    "spec.outlierDetection",
    "spec.rateLimit",
    "spec.access",
    "spec.routes[].fallback",
    "spec.routes[].backendRefs",
)

UNSUPPORTED_VALUES: Final = (
    ("spec.loadBalancing.algorithm", "ConsistentHash"),
    ("spec.loadBalancing.algorithm", "LeastLatency"),
    ("spec.routes[].delivery", "AllReplicas"),
)


def find_unsupported(document: object) -> Iterator[Finding]:
    """Give the fields and values of a TcpService whose behaviour comes later."""
    for pattern in UNSUPPORTED_FIELDS:
        for path, _ in select(document, pattern):
            yield Unsupported(path, "")
    for pattern, later in UNSUPPORTED_VALUES:
        for path, value in select(document, pattern):
            if value == later:
                yield Unsupported(path, later)
