"""The limits that guard memory, and the times that guard against silence.

Given to the `exchange` once, from the sidecar's flags (which document them). What belongs to a service stands in its
manifest instead.
"""

from __future__ import annotations

from msgspec import Struct

from tcpservice.snapshot import MEBIBYTE, MILLISECOND, SECOND


class Bounds(Struct, frozen=True, kw_only=True):
    """Counts, bytes and nanoseconds.

    `caller_requests`, `caller_bytes`: in flight for one caller, above which it is not read.
    `total_bytes`: request bytes in flight in all, above which no caller is read.
    `unread_bytes`, `unread_total`: replies that one caller, or all, have not read yet; above it one is closed.
    `replica_backlog`: bytes a replica has not taken yet, above which it is not chosen.
    `place_wait`: how long a message waits for a place before it ends as `overloaded`.
    `stall`: silence in the middle of a frame, or with unread replies, after which a caller is closed.
    `closing_grace`: how long a caller that is closed waits for the replies it is owed.
    `probe_after`, `probe_timeout`: silence of a replica that owes replies until it is probed, then given up.
    `link_idle`: how long an unused connection to a replica is kept.
    `app_stop`: how long the pod's own app may take to stop once that was said; later it is taken to go on.
    `drain_idle`: silence after which a plain caller's connection is closed while draining.
    `drain_quiet`: silence of all callers after which a drain counts as done.
    `retry_bytes`: the largest frame kept for another attempt once its bytes have left.
    `kept_per_second`: traces of failed, repeated and slow messages that are kept beside the sample.
    `forgotten`: replies nobody waits for that one connection may owe before it is replaced.
    """

    caller_requests: int = 10_000
    caller_bytes: int = 64 * MEBIBYTE
    total_bytes: int = 256 * MEBIBYTE
    unread_bytes: int = 128 * MEBIBYTE
    unread_total: int = 512 * MEBIBYTE
    replica_backlog: int = MEBIBYTE
    place_wait: int = 10 * SECOND
    stall: int = 30 * SECOND
    closing_grace: int = 5 * SECOND
    probe_after: int = 30 * SECOND
    probe_timeout: int = 30 * SECOND
    link_idle: int = 300 * SECOND
    app_stop: int = 60 * SECOND
    drain_idle: int = 2 * SECOND
    drain_quiet: int = 500 * MILLISECOND
    retry_bytes: int = 64 * 1024
    kept_per_second: int = 50
    forgotten: int = 1024
