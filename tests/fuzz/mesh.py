"""Fuzz what sidecars say to each other, words and opening lines: `python -m fuzz.mesh --seconds 60`.

No bytes raise anything but ProtocolError; an opening line is the same however it arrives; and what is written is what
is read.
"""

from __future__ import annotations

import re
import sys
from random import Random

from fuzz import campaign, streams
from fuzz.campaign import Finding
from tcpservice.errors import ProtocolError
from tcpservice.wire import mesh
from tcpservice.wire.frames import Control, FrameReader, Malformed

PLAIN = re.compile(rb"[a-z]+")
LINES = [
    b"TCPS/1 shop/orders -\n", b"TCPS/1 shop/orders opaque\n", b"TCPS/1 shop/orders a,b,c\n", b"TCPS/1 shop/orders\n",
    b"TCPS/2 shop/orders -\n", b"TCPS/1  shop/orders -\n", b"TCPS/1 SHOP/orders -\n", b"TCPS/1 shop/orders -\r\n",
    b"TCPS/1 shop/../x -\n", b"TCPS/1 " + b"a" * 600 + b" -\n", b"GET / HTTP/1.1\r\n", b"\n", b"", b"\x16\x03\x01",
    b"TCPS",    b"TCPS/1 shop/orders \xff\n", b"TCPS/1 shop/orders -",
]  # fmt: skip


def attempt(random: Random) -> None:
    """Try one opening line and a stream of words."""
    opening(random)
    words(random)


def opening(random: Random) -> None:
    """Read an opening line at once and piece by piece."""
    line = bytearray(random.choice(LINES))
    if line and random.random() < 0.4:
        line[random.randrange(len(line))] = random.choice(b" \n\r-/,.azAZ09\x00\xff")
    data = bytes(line) + random.choice([b"", streams.stream(random)])
    at_once = read(data)
    for end in range(min(len(data), 700)):
        found = read(data[:end])
        if isinstance(found, mesh.Preface) and found != at_once:
            raise Finding(f"{end} bytes say {found}, all say {at_once}", data)
        if found == "refused" and at_once != "refused":
            raise Finding(f"{end} bytes are refused, and all are not", data)
    if isinstance(at_once, mesh.Preface) and "" not in at_once.features and _written(at_once) != at_once:
        raise Finding("an opening line does not read back", data)


def _written(preface: mesh.Preface) -> mesh.Preface | str:
    return read(mesh.encode_preface(preface))


def read(data: bytes) -> mesh.Preface | str:
    """Read an opening line; say `refused` or `waits` where there is none."""
    try:
        found = mesh.read_preface(data)
    except ProtocolError as error:
        if len(str(error)) > 400:
            raise Finding("a refusal quotes what came at length", data) from None
        return "refused"
    if found is None:
        if len(data) > mesh.MAX_PREFACE + 1:
            raise Finding("an opening line is waited for that is too long", data)
        return "waits"
    if not data.endswith(found[1]):
        raise Finding("what follows the opening line is not what was sent", data)
    return found[0]


def words(random: Random) -> None:
    """Read control frames, sound ones and others."""
    word, argument = random.choice(streams.WORDS), random.choice(streams.IDS).encode()
    if PLAIN.fullmatch(word):
        (item,) = FrameReader(64, control=True).feed(mesh.encode_control(word, argument))
        if not isinstance(item, Control) or mesh.read_control(item.body) != (word, argument):
            raise Finding("a word does not read back", (word, argument))
    stream = streams.stream(random, [streams.control, streams.control, streams.request, streams.noise])
    reader = FrameReader(1000, control=True)
    for chunk in streams.chunks(random, stream):
        for item in reader.feed(chunk):
            if isinstance(item, Control):
                mesh.read_control(item.body)
                if len(item.body) > 1024:
                    raise Finding("a word is longer than 1,024 bytes", stream)
            if isinstance(item, Malformed) and reader.feed(stream):
                raise Finding("something follows the end", stream)


def main() -> int:
    """Fuzz as asked; return the exit status."""
    asked = campaign.options(campaign.parser(__doc__ or "").parse_args())
    return campaign.report("mesh", asked, campaign.run(asked, attempt))


if __name__ == "__main__":
    sys.exit(main())
