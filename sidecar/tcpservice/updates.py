"""What the operator streams to a sidecar: JSON, one update a line; a whole snapshot first, then what changed.

Written by the operator, read by `following`. A line is whole (`base` is left out) or leads from version `base` to
`version`; one that changes nothing is the heartbeat. Both ends keep the endpoints of a service in the order of their
names, so that what was changed bit by bit equals what was read at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tcpservice.errors import TcpServiceError
from tcpservice.snapshot import Endpoint, Service, Snapshot

LONGEST_LINE: Final = 32 << 20
"""Bytes; 10,000 endpoints take one to two of these 32 MiB."""


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to the endpoints of a service: those that are new or different, and the names of those that went.

    All else of the service is as it was.
    """

    service: str
    put: tuple[Endpoint, ...] = ()
    gone: tuple[str, ...] = ()


class Update(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `revisions` tells how far the operator has seen each kind of object of the cluster."""

    version: int
    base: int | None = None
    revisions: dict[str, int] = {}
    services: tuple[Service, ...] = ()
    changes: tuple[Change, ...] = ()
    gone: tuple[str, ...] = ()


class Malformed(TcpServiceError):
    """A line that is no update; the text says where it is wrong."""


class OutOfStep(TcpServiceError):
    """An update of something else than what is there."""


class _Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An update whose parts are written already, since many lines share them."""

    version: int
    base: int | None = None
    revisions: Mapping[str, int] = {}
    services: tuple[msgspec.Raw, ...] = ()
    changes: tuple[msgspec.Raw, ...] = ()
    gone: tuple[str, ...] = ()


def encode(part: Service | Change) -> bytes:
    """Write a part of a line."""
    return _ENCODER.encode(part)


def join(
    version: int,
    revisions: Mapping[str, int],
    *,
    base: int | None = None,
    services: Iterable[bytes] = (),
    changes: Iterable[bytes] = (),
    gone: Iterable[str] = (),
) -> bytes:
    """Write a line from parts that are written already."""
    line = _Line(
        version=version,
        base=base,
        revisions=revisions,
        services=tuple(map(msgspec.Raw, services)),
        changes=tuple(map(msgspec.Raw, changes)),
        gone=tuple(gone),
    )
    return _ENCODER.encode(line) + b"\n"


def decode(line: bytes) -> Update:
    """Read a line. Raises Malformed."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{error}; the line begins with {line[:40]!r}") from error


def difference(before: Service, after: Service) -> Change | None:
    """Return what happened to the endpoints; None where more than these changed."""
    if replace(before, endpoints=after.endpoints) != after:
        return None
    old = {endpoint.name: endpoint for endpoint in before.endpoints}
    new = {endpoint.name: endpoint for endpoint in after.endpoints}
    put = tuple(endpoint for name, endpoint in new.items() if old.get(name) != endpoint)
    return Change(service=after.key, put=put, gone=tuple(name for name in old if name not in new))


def apply(snapshot: Snapshot, update: Update) -> Snapshot:
    """Return what an update makes of a snapshot. Raises OutOfStep where it changes what is not there."""
    services = {} if update.base is None else {service.key: service for service in snapshot.services}
    for key in update.gone:
        services.pop(key, None)
    for service in update.services:
        services[service.key] = service
    for change in update.changes:
        if change.service not in services:
            raise OutOfStep(f"a change of {change.service}, which is not there")
        services[change.service] = _changed(services[change.service], change)
    return Snapshot(services=tuple(services[key] for key in sorted(services)))


def _changed(service: Service, change: Change) -> Service:
    endpoints = {endpoint.name: endpoint for endpoint in service.endpoints}
    for name in change.gone:
        endpoints.pop(name, None)
    endpoints |= {endpoint.name: endpoint for endpoint in change.put}
    return replace(service, endpoints=tuple(endpoints[name] for name in sorted(endpoints)))


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Update)
