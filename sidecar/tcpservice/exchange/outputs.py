"""The outputs of the exchange beside the bytes to write: commands, notices, rows and spans.

The shell takes them once a turn of its event loop: commands to carry out in order, notices to log, ended messages as
rows for the metrics, and spans for the traces. A connection is an integer that is never used twice, so that a late
event cannot reach the wrong connection.
"""

from __future__ import annotations

from typing import NamedTuple

from tcpservice.errors import Code
from tcpservice.snapshot import Endpoint


class Connect(NamedTuple):
    """Dial the endpoint for connection `conn`; then call `connected` or `failed`."""

    conn: int
    service: str
    endpoint: Endpoint


class Close(NamedTuple):
    """Close the connection: at once if `abort`, else when all that was written has left."""

    conn: int
    abort: bool


class Pause(NamedTuple):
    """Stop reading from the connection."""

    conn: int


class Resume(NamedTuple):
    """Read from the connection again."""

    conn: int


class StopListening(NamedTuple):
    """Refuse connections to the service's listeners, as a closed port does: no endpoint of it can be reached."""

    service: str


class StartListening(NamedTuple):
    """Accept connections to the service's listeners again."""

    service: str


class HandOver(NamedTuple):
    """Relay this mesh connection, which asked for an Opaque service, to `relay_app(service)`.

    `rest` are the bytes that followed its preface.
    """

    conn: int
    service: str
    rest: bytes


Command = Connect | Close | Pause | Resume | HandOver | StopListening | StartListening


class Notice(NamedTuple):
    """A line for the log: a stable key, a sentence, and the service, connection and endpoint it is about."""

    key: str
    text: str
    service: str
    conn: int | None = None
    endpoint: str | None = None


class FailedAttempt(NamedTuple):
    """An attempt that failed: at which endpoint, why, when it ended (ns), and as which id on which connection."""

    endpoint: str
    reason: str
    ended: int
    conn: int
    key: bytes


class Span(NamedTuple):
    """One span of a trace, ready to be exported. Ids are integers, `parent` 0 for none; times in ns.

    `kind` is client (all attempts of a message, seen from its caller's sidecar) or server (seen from its replica's, or
    from a front listener); `method` names it, None where no name may be taken from `original`, the route as it was
    sent; `kept` says why a message that was not sampled is there: error, retry, slow, or caller. `request` and
    `response` are the beginnings of the packets, empty where `Bounds.traced_payload` does not ask for them.
    """

    trace: int
    span: int
    parent: int
    kind: str
    inbound: bool
    method: str | None
    original: str
    service: str
    message: str
    code: Code
    kept: str | None
    endpoint: Endpoint | None
    failed: tuple[FailedAttempt, ...]
    responses: int
    started: int
    ended: int
    request: bytes = b""
    response: bytes = b""


class Finished:
    """One message that came to its end. Times in ns; `endpoint` is the last one tried, `route` the manifest's name."""

    __slots__ = (
        "attempts", "code", "ended", "endpoint", "kind", "mesh", "responses", "route", "service", "started",
    )  # fmt: skip

    service: str
    route: str | None
    kind: str
    code: Code
    endpoint: str | None
    attempts: int
    responses: int
    started: int
    ended: int
    mesh: bool
