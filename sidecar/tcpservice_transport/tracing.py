"""Trace context between messages and OpenTelemetry, where the app uses that: from what comes, into what goes.

Used by `server` and `client`. It travels as NestJS 12 and the sidecar have it, in the message's `metadata`. This
package does not need OpenTelemetry: it looks whether the app has loaded it, and makes no spans of its own.
"""

from __future__ import annotations

import sys
from contextvars import Context, copy_context
from typing import Final

_LOADED: Final = "opentelemetry.trace"
_TRACEPARENT: Final = "traceparent"


def outgoing(metadata: object) -> object:
    """Return the metadata of a message with the current trace context in it; an app's own `traceparent` stays."""
    if _LOADED not in sys.modules or not (metadata is None or isinstance(metadata, dict)):
        return metadata
    from opentelemetry import propagate

    carrier: dict[str, object] = {}
    propagate.inject(carrier)
    return {**carrier, **(metadata or {})} if carrier else metadata


def incoming(metadata: object) -> Context | None:
    """Return the variables to run a handler with, in which the message's trace context is current; None without one."""
    if _LOADED not in sys.modules or not isinstance(metadata, dict) or _TRACEPARENT not in metadata:
        return None
    from opentelemetry import context, propagate

    carrier = {key: value for key, value in metadata.items() if isinstance(key, str) and isinstance(value, str)}
    variables = copy_context()
    variables.run(context.attach, propagate.extract(carrier))
    return variables
