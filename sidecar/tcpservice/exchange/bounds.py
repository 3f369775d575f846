"""The bounds that protect memory, and the times after which silence means something.

Given to the `exchange` once. The sidecar's flags document and override them; limits of one service are in its
manifest instead. The byte bounds follow from the memory that the container may use, so that a sidecar is slow before
it is killed: `Bounds.for_memory` divides it.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tcpservice.snapshot import MEBIBYTE, MILLISECOND, SECOND
from tcpservice.unread import PRESSURE_STALL

PROCESS_BYTES: Final = 64 * MEBIBYTE
"""What the interpreter, the libraries and the tables of an idle sidecar need."""

MESSAGE_OVERHEAD: Final = 1024
"""Bytes of the records of one message, counted beside its frame."""

CONNECTION_OVERHEAD: Final = 12 * 1024
"""Bytes of one idle connection: its transport, its protocol object and its record."""


class Bounds(Struct, frozen=True, kw_only=True):
    """Counts, bytes and nanoseconds.

    Memory:
    `request_bytes`: messages that are held, with `MESSAGE_OVERHEAD` each; above it, no caller is read.
    `partial_bytes`: bytes of frames that have not arrived whole; above it, large frames arrive one at a time.
    `unsent_bytes`: replies that callers have not read; above it, replies to slow readers are read more slowly.
    `downstream_bytes`: messages of one caller's connection that are held; above it, this connection is not read.
    `downstream_requests`: requests of one caller's connection that wait for their first response; likewise.
    `upstream_backlog`: bytes an endpoint has not taken on a connection; above it, that connection is not picked.
    `connections`: connections of callers; more are refused.
    `pending`: requests that wait for a reply; above it, the one that was silent for longest ends as `abandoned`.
    `large`: a message from which on others should not have to wait behind it; a connection is congested with four times
    as many bytes of requests under way, or a quarter of it that the kernel has not taken.
    `retry_bytes`: the largest frame that is kept for another attempt while memory is short.

    Time:
    `queue_timeout`: how long a message waits for an endpoint that can take it.
    `place_expiry`: how long a request without a response counts against limits on requests.
    `unreachable_grace`: how long no endpoint of a service can be reached before its port is closed.
    `preconnect`: how long a new connection may be silent before the sidecar finds out whether an endpoint is there.
    `stall`: silence in the middle of a frame, or with unread replies, after which a caller's connection is closed.
    `pressure_stall`: the same for unread replies while memory is short.
    `closing_grace`: how long a connection that is being closed waits for the replies it is owed.
    `probe_after`: silence of an endpoint that owes replies until it is probed.
    `probe_timeout`: silence after that probe until the connection is closed.
    `probe_answer`: how long an endpoint that was ejected may take to answer a probe.
    `connection_idle`: how long an unused connection to an endpoint is kept.
    `app_stop`: how long the pod's own app may take to stop once the kubelet has said so.
    `drain_idle`: silence after which a caller's connection is closed while the sidecar drains.
    `drain_quiet`: silence of all callers after which a drain is complete.

    Rates:
    `control_frames`: control frames a second that a mesh connection may send.
    `unknown_replies`: replies without a request that one connection may send before it is closed.
    `unanswered`: replies that one connection may owe to requests that have ended before it is replaced.
    `kept_traces`: traces a second that are kept of failed, repeated and slow messages beside the sample.

    Traces:
    `traced_payload`: bytes of a request, and of its last response, that its spans have; 0: spans have no payload.
    """

    request_bytes: int = 128 * MEBIBYTE
    partial_bytes: int = 64 * MEBIBYTE
    unsent_bytes: int = 128 * MEBIBYTE
    downstream_bytes: int = 64 * MEBIBYTE
    downstream_requests: int = 10_000
    upstream_backlog: int = MEBIBYTE
    connections: int = 20_000
    pending: int = 50_000
    large: int = 256 * 1024
    retry_bytes: int = 64 * 1024
    queue_timeout: int = 10 * SECOND
    place_expiry: int = 60 * SECOND
    unreachable_grace: int = 5 * SECOND
    preconnect: int = 100 * MILLISECOND
    stall: int = 30 * SECOND
    pressure_stall: int = PRESSURE_STALL
    closing_grace: int = 5 * SECOND
    probe_after: int = 30 * SECOND
    probe_timeout: int = 30 * SECOND
    probe_answer: int = SECOND
    connection_idle: int = 300 * SECOND
    app_stop: int = 60 * SECOND
    drain_idle: int = 2 * SECOND
    drain_quiet: int = 500 * MILLISECOND
    control_frames: int = 20_000
    unknown_replies: int = 1000
    unanswered: int = 1024
    kept_traces: int = 50
    traced_payload: int = 0

    @staticmethod
    def for_memory(limit: int) -> Bounds:
        """Return the bounds for a process that may use `limit` bytes in all.

        Half of what the process itself leaves is divided; the other half covers what the interpreter copies while it
        joins and cuts frames, and what the kernel charges to the container for socket buffers.
        """
        budget = max(16 * MEBIBYTE, (limit - PROCESS_BYTES) // 2)
        return Bounds(
            request_bytes=budget // 3,
            partial_bytes=budget // 6,
            unsent_bytes=budget // 3,
            downstream_bytes=budget // 6,
            connections=max(1000, budget // 6 // CONNECTION_OVERHEAD * 4),
            pending=max(1000, min(50_000, budget // 3 // (2 * MESSAGE_OVERHEAD))),
        )
