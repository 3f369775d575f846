"""The simple values of manifests, each with the bounds it has and the words that a problem says it with.

Used by the modules that describe TcpService (`schema`, `policies`, `routes`) and EndpointSlice (`slices`). The patterns
are such as both Python and Kubernetes (RE2) read, since the CustomResourceDefinition is generated from them.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta, Struct

from tcpservice.spec.units import DURATION_PATTERN, QUANTITY_PATTERN

LARGEST_SIZE: Final = 1 << 30
SIZE_WORDS: Final = "a size from 1 to 1Gi such as 4Mi"
_DURATION_WORDS: Final = "a duration in whole numbers with a unit, such as 250ms, 5s or 1m30s"
_LABEL_NAME: Final = r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE: Final = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"

_BYTES: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGTPkmgtp])[iI]?[Bb]")


def _fix_size(value: object) -> str:
    """Write sizes such as `16MB` and `16MiB` as Kubernetes does."""
    parts = _BYTES.fullmatch(value) if isinstance(value, str) else None
    return f"write {parts[1]}{parts[2].upper()}i, not {parts[0]}" if parts else ""


def _fix_label(value: object) -> str:
    """Explain the one mapping that is common below `selector`: `matchLabels`, as in a Deployment."""
    return "write the labels directly below selector, such as {app: orders}" if isinstance(value, dict) else ""


Port = Annotated[int, Meta(ge=1, le=65535, extra={"expected": "a port from 1 to 65535"})]
PortName = Annotated[str, Meta(pattern=r"^([0-9]-?)*[a-z](-?[a-z0-9])*$", max_length=15)]
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, max_length=32, extra={"expected": _DURATION_WORDS})]
Size = Annotated[
    Annotated[int, Meta(ge=1, le=LARGEST_SIZE)] | Annotated[str, Meta(pattern=QUANTITY_PATTERN)],
    Meta(extra={"expected": SIZE_WORDS, "fix": _fix_size}),
]
Percent = Annotated[int, Meta(ge=0, le=100, extra={"expected": "a percentage from 0 to 100"})]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
ServiceName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$",
        max_length=54,
        extra={"expected": "a name of at most 54 lowercase letters, digits and hyphens that begins with a letter"},
    ),
]
Label = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=63,
        extra={"expected": "a name of at most 63 lowercase letters, digits and hyphens"},
    ),
]
LabelName = Annotated[
    str, Meta(pattern=_LABEL_NAME, max_length=317, extra={"expected": "a label such as app or example.com/app"})
]
LabelValue = Annotated[
    str, Meta(pattern=_LABEL_VALUE, extra={"expected": "a label's value, as text", "fix": _fix_label})
]


class Group(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Fields that belong together; any other is refused."""
