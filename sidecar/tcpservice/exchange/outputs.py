"""What the exchange asks of its shell and tells it, beside the bytes to write.

Taken by the shell once a turn: commands to obey in order, notices to log, finished messages as rows for metrics and
traces. Connections are integers that are never used twice, so that a late event cannot reach a successor.
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


class HandOver(NamedTuple):
    """Relay this connection, on which another sidecar asked for an Opaque service, to `relay_app(service)`.

    `rest` are the bytes that had come behind its preface.
    """

    conn: int
    service: str
    rest: bytes


Command = Connect | Close | Pause | Resume | HandOver


class Notice(NamedTuple):
    """Something that people should know of, to be logged once: a stable key, a sentence, and whom it concerns."""

    key: str
    text: str
    service: str
    conn: int | None = None
    replica: str | None = None


class Attempt(NamedTuple):
    """An attempt that failed: at which replica, why, when it ended (ns), and as which id on which connection."""

    replica: str
    reason: str
    ended: int
    conn: int
    key: bytes


class Span(NamedTuple):
    """One span of a trace, ready to be exported. Ids are integers, `parent` 0 for none; times in ns.

    `kind` is client (all attempts of a message, seen from its caller's sidecar) or server (seen from its replica's, or
    from a front listener); `method` names it, None where no name may be taken from `original`, the route as it was
    sent; `kept` says why a message that was not sampled is there: error, retry, slow, or caller.
    """

    trace: int
    span: int
    parent: int
    kind: str
    front: bool
    method: str | None
    original: str
    service: str
    message: str
    code: Code
    kept: str | None
    replica: Endpoint | None
    failed: tuple[Attempt, ...]
    responses: int
    started: int
    ended: int


class Finished(NamedTuple):
    """One message that came to its end. Times in ns; `replica` is the last one tried, `route` the manifest's name."""

    service: str
    route: str | None
    kind: str
    code: Code
    replica: str | None
    attempts: int
    responses: int
    started: int
    ended: int
    mesh: bool
