"""The mesh hop's own words: what two sidecars say to each other around the frames of their apps.

Used by the `exchange`. A connection opens with one line both ways, `TCPS/1 <namespace/name> <features>`, where
features are joined by commas (`-`: none). Then frames follow, among them control frames, whose prefix begins with `!`,
which no app can produce: `!<units>#<word>[ <argument>]`. Unknown words are passed over, so that newer sidecars can say
more.

| word | from | means |
|---|---|---|
| `goaway` | replica's | choose others; what is on its way is still served |
| `back` | replica's | after a `goaway`: its app takes messages (again) |
| `refused <id>` | replica's | never reached the app: may be tried elsewhere |
| `lost <id>` | replica's | its app was lost under it: may have run |
| `keep <id>` | caller's | this one's trace is kept, so keep yours |
| `cancel <id>` | caller's | nobody waits for this any more |
| `ping <n>`, `pong <n>` | both | is anyone there? |
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tcpservice.errors import ProtocolError
from tcpservice.wire.scan import units

MAX_PREFACE: Final = 512

GOAWAY: Final = b"goaway"
BACK: Final = b"back"
REFUSED: Final = b"refused"
LOST: Final = b"lost"
CANCEL: Final = b"cancel"
KEEP: Final = b"keep"
PING: Final = b"ping"
PONG: Final = b"pong"

OPAQUE: Final = "opaque"

_PREFACE = re.compile(r"TCPS/1 ([a-z0-9./-]{1,320}) ([a-z0-9,=-]{1,120})")


class Preface(NamedTuple):
    """Which service a mesh connection is for (`namespace/name`) and what the speaker can do."""

    service: str
    features: frozenset[str] = frozenset()


def encode_preface(preface: Preface) -> bytes:
    """Write the opening line."""
    return f"TCPS/1 {preface.service} {','.join(sorted(preface.features)) or '-'}\n".encode()


def read_preface(data: bytes) -> tuple[Preface, bytes] | None:
    """Take the opening line off the beginning of a connection's bytes; None while it is not all there.

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
