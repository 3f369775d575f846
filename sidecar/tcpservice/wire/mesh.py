"""The mesh hop: the protocol that two sidecars speak around the frames of their apps. No I/O.

Used by the `exchange`, one `MeshHop` for each mesh connection, the same class on both sides. A connection opens with
one line each way, `TCPS/1 <namespace/name> <features>`, where features are joined by commas (`-`: none). The caller's
sidecar sends its line first. The replica's sidecar answers with the features that both sides know; only these are in
force. Frames of the apps follow. Between them stand control frames, whose prefix begins with `!`, which no app can
produce: `!<units>#<word>[ <argument>]`. Unknown features and unknown words are ignored and counted, so that sidecars of
different versions work together. The feature `place=<n>` numbers the connections of a caller's sidecar. A
connection that is opened again has the same number, and the replica's sidecar then uses the same connection to the app.

| word | sent by the sidecar of | means |
|---|---|---|
| `goaway` | the replica | pick other endpoints; requests in flight are still served |
| `goaway app` | the replica | the same, since its app does not accept connections (feature `app-state`) |
| `back` | the replica | after `goaway`: its app accepts messages again |
| `refused <id>` | the replica | the request did not reach the app and may be sent elsewhere |
| `lost <id>` | the replica | the app's connection was lost; the request may have run |
| `keep <id>` | the caller | the trace of this request is kept: keep your part of it |
| `cancel <id>` | the caller | the reply to this request is no longer needed |
| `ping <n>`, `pong <n>` | both | a probe and its answer |
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final, NamedTuple

from tcpservice.errors import ProtocolError
from tcpservice.wire.scan import units

MAX_PREFACE: Final = 512
MAX_CONTROL: Final = 1024
"""The longest body of a control frame in units."""

GOAWAY: Final = b"goaway"
BACK: Final = b"back"
REFUSED: Final = b"refused"
LOST: Final = b"lost"
CANCEL: Final = b"cancel"
KEEP: Final = b"keep"
PING: Final = b"ping"
PONG: Final = b"pong"

APP: Final = b"app"
"""The argument of a `goaway` that is sent because the app is absent."""

OPAQUE: Final = "opaque"
"""Asks for an Opaque service: after the prefaces, the connection carries the app's bytes as they are."""

APP_STATE: Final = "app-state"
FEATURES: Final = frozenset({APP_STATE})
"""What this version can do on a connection that carries messages."""

_PLACE = re.compile(r"place=([0-9]{1,4})")
_PREFACE = re.compile(r"TCPS/1 ([a-z0-9./-]{1,320}) ([a-z0-9,=-]{1,120})")


class Preface(NamedTuple):
    """Which service a mesh connection is for (`namespace/name`) and what the speaker can do."""

    service: str
    features: frozenset[str] = frozenset()


class HopState(IntEnum):
    """How far a mesh connection has come."""

    AWAIT_PREFACE = 0
    OPEN = 1


class MeshHop:
    """One side of one mesh connection: its prefaces, the features in force, and its control words.

    `service` and `place` are given by the caller's side, and learned by the replica's side. `features` are those that
    both sides know, empty until the other side's preface has arrived.
    """

    __slots__ = ("_received", "features", "offered", "place", "service", "state")

    def __init__(self, service: str = "", offered: frozenset[str] = FEATURES) -> None:
        self.service = service
        self.place = 0
        self.offered = offered
        self.features: frozenset[str] = frozenset()
        self.state = HopState.AWAIT_PREFACE
        self._received = b""

    def request(self) -> bytes:
        """Return the preface of the caller's side, which it sends as soon as it is connected."""
        place = {f"place={self.place}"} if self.place else set[str]()
        return encode_preface(Preface(self.service, self.offered | place))

    def answer(self) -> bytes:
        """Return the preface of the replica's side, which it sends once it has accepted the caller's."""
        return encode_preface(Preface(self.service, self.features & self.offered))

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes until the other side's preface is complete; return what follows it, None while it is not.

        The replica's side learns the service from it. Raises ProtocolError for anything that is no preface, and for the
        answer of a sidecar that serves another service.
        """
        self._received += data
        found = read_preface(self._received)
        if found is None:
            return None
        preface, rest = found
        if self.service and preface.service != self.service:
            raise ProtocolError(f"expected a sidecar of {self.service}, got one of {preface.service}", 0)
        self._received = b""
        self.service = preface.service
        self.features = preface.features
        for feature in preface.features:
            if (place := _PLACE.fullmatch(feature)) is not None:
                self.place = int(place[1])
        self.state = HopState.OPEN
        return rest

    def goaway(self, *, app_absent: bool) -> bytes:
        """Return the control frame that asks the caller's sidecar to pick other endpoints."""
        if app_absent and APP_STATE in self.features:
            return encode_control(GOAWAY, APP)
        return encode_control(GOAWAY)


def encode_preface(preface: Preface) -> bytes:
    """Write the opening line."""
    return f"TCPS/1 {preface.service} {','.join(sorted(preface.features)) or '-'}\n".encode()


def read_preface(data: bytes) -> tuple[Preface, bytes] | None:
    """Take the opening line off the beginning of a connection's bytes; None while it is not complete.

    Returns the preface and what follows it. Raises ProtocolError for anything else.
    """
    line, end, rest = data.partition(b"\n")
    if not end and len(data) <= MAX_PREFACE and b"TCPS/1 ".startswith(line[:7]):
        return None
    match = _PREFACE.fullmatch(line.decode("ascii", "replace"))
    if not end or match is None:
        raise ProtocolError(f"expected 'TCPS/1 <service> <features>', got {line[:40]!r}", 0)
    features = frozenset(match[2].split(",")) - {"-"}
    return Preface(match[1], features), rest


def encode_control(word: bytes, argument: bytes = b"") -> bytes:
    """Write a control frame; the argument is an id's JSON text or a number."""
    body = word + b" " + argument if argument else word
    return b"!%d#%b" % (units(body), body)


def read_control(body: bytes) -> tuple[bytes, bytes]:
    """Split a control frame's body into its word and argument."""
    word, _, argument = body.partition(b" ")
    return word, argument
