"""One span, as all of this package knows it: OTLP's, without what nobody looks at.

Made by `otlp`, kept by `store`, shown through `tree`.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

REQUEST: Final = "tcpservice.request"
RESPONSE: Final = "tcpservice.response"
"""The attributes with the packets of a message, where a sidecar puts them on spans."""

Kind = Literal["client", "server", "internal", "producer", "consumer"]
Value = str | int | float | bool


class FailedAttempt(Struct, frozen=True):
    """An attempt that failed, as the caller's sidecar saw it: at which replica, why, and when it ended (ns)."""

    replica: str
    reason: str
    at_ns: int


class Span(Struct, frozen=True, kw_only=True):
    """One span. Times are nanoseconds since 1970, and `start_ns` is never above `end_ns`.

    `trace_id` has 32 lower-case hexadecimal digits, `span_id` and `parent_id` 16; `parent_id` is '' for none.
    `replica` is '' where the resource names none; `error` is '' where the span did not fail. `failed` has the attempts
    that a sidecar noted with the span: a replica that died with a message makes no span of its own.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str
    kind: Kind = "internal"
    service: str
    replica: str = ""
    start_ns: int
    end_ns: int
    error: str = ""
    attributes: dict[str, Value] = {}
    failed: tuple[FailedAttempt, ...] = ()
