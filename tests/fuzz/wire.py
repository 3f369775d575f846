"""Fuzz the reader of frames, and the reading of requests and replies: `python -m fuzz.wire --seconds 60`.

For each stream: no bytes raise; any chunking and any bound of items give the same items; frames are the stream's own
bytes; what is held never exceeds what came; and both twins of the scan say the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from random import Random
from types import ModuleType

from core.wire.twins import NUMBERS
from fuzz import campaign, streams
from fuzz.campaign import Finding
from tcpservice.implementation import COMPILED, running
from tcpservice.pattern import PatternTooDeep, read_routes
from tcpservice.wire import reference, scan
from tcpservice.wire.frames import TAIL_KEPT, Control, FrameReader, Item, Malformed, Oversized
from tcpservice.wire.ids import with_id
from tcpservice.wire.replies import read_reply
from tcpservice.wire.requests import Refused, TooDeep, oversized_id, read_request
from tcpservice.wire.scan import Frame
from tcpservice.wire.shape import DEEP, INVALID
from tcpservice.wire.utf16 import units

compiled: ModuleType | None = scan if running() == COMPILED else None
UNBOUNDED = 1 << 30
KINDS: list[list[Callable[[Random], bytes]]] = [streams.PIECES, [streams.small], [streams.small, streams.control]]


def attempt(random: Random) -> None:
    """Try one stream. Raises Finding."""
    stream = streams.stream(random, random.choice(KINDS))
    limit, control = random.choice([64, 1000, 1 << 20]), random.random() < 0.6
    items = read(random, stream, [stream], limit, UNBOUNDED, control=control)
    again = read(
        random, stream, streams.chunks(random, stream), limit, random.choice([1, 2, 7, UNBOUNDED]), control=control
    )
    if described(items) != described(again):
        raise Finding(f"another chunking gives other items (limit {limit}, control {control})", stream)
    check_order(items, stream)
    for item in items:
        if isinstance(item, Frame):
            check_frame(item)
        elif isinstance(item, Oversized):
            oversized_id(item)


def read(random: Random, stream: bytes, chunks: list[bytes], limit: int, most: int, *, control: bool) -> list[Item]:
    """Feed chunks, with a bound of items; the reader is asked for more at any time."""
    reader, items, fed = FrameReader(limit, control=control), list[Item](), 0
    again = random.choice([0, 0.2, 0.7])
    for chunk in chunks:
        fed += len(chunk)
        found = reader.feed(chunk, most)
        while random.random() < again and reader.has_more and len(found) <= most:
            items += found
            found = reader.feed(b"", most)
        if len(found) > most:
            raise Finding(f"{len(found)} items instead of {most}", stream)
        items += found
        check_held(reader, fed, stream)
    while reader.has_more:
        items += reader.feed(b"", most)
    check_held(reader, fed, stream)
    if reader.feed(b""):
        raise Finding("items came of no bytes", stream)
    return items


def check_held(reader: FrameReader, fed: int, stream: bytes) -> None:
    """See that no more is held than came (both ends of a frame that is skipped may be the same bytes)."""
    if not 0 <= reader.buffered <= fed + TAIL_KEPT:
        raise Finding(f"{reader.buffered} bytes are held of {fed}", stream)
    if reader.wanted and not reader.partial:
        raise Finding("units are wanted, but the reader is in no frame", stream)


def described(items: list[Item]) -> list[object]:
    """Say what items are, but for the words of a reason, which quote what had come."""
    return [
        (item.raw, item.at, item.units, item.offset) if isinstance(item, Frame)
        else ("oversized", item.head, item.tail, item.offset) if isinstance(item, Oversized)
        else (type(item).__name__, item.offset, getattr(item, "body", b""))
        for item in items
    ]  # fmt: skip


def check_order(items: list[Item], stream: bytes) -> None:
    """See that items stand in the stream where they say, in order, and that nothing follows the end."""
    for item, following in pairwise(items):
        if isinstance(item, Malformed) or following.offset <= item.offset:
            raise Finding(f"an item at {following.offset} follows one at {item.offset}", stream)
    ends = [*(following.offset for following in items[1:]), len(stream)][: len(items)]
    for item, end in zip(items, ends, strict=True):
        body = item.body if isinstance(item, Frame | Control) else b""
        if isinstance(item, Frame | Control) and not stream[item.offset : end].find(b"#" + body) >= 0:
            raise Finding(f"the body at {item.offset} is not the stream's", stream)


def check_frame(frame: Frame) -> None:
    """Read a frame in both directions, and its shape by both twins."""
    if frame.units != units(frame.body):
        raise Finding("the length is not that of the body", frame.raw)
    shapes = [
        [getattr(twin.Frame(frame.raw, frame.at, frame.units, 0), name) for name in NUMBERS]
        for twin in (compiled, reference)
        if twin is not None
    ]
    if shapes[0] != shapes[-1]:
        raise Finding(f"the twins differ: {shapes}", frame.raw)
    for take in (read_request, read_reply):
        try:
            found = take(frame)
        except TooDeep:
            _expect(frame.kind == DEEP, "refused as too deep", frame)
        except Refused:
            _expect(frame.kind == INVALID, "refused as no JSON", frame)
        else:
            _expect(frame.kind not in (DEEP, INVALID), "not refused", frame)
            if found.id is not None:
                check_id(frame, found.id_at, found.id_end)
    if frame.kind not in (DEEP, INVALID):
        with suppress(PatternTooDeep):
            read_routes(read_request(frame).pattern or b"null")


def check_id(frame: Frame, start: int, end: int) -> None:
    """Put another id in and the old one back: the frame must be what it was."""
    changed = with_id(frame, start, end, b'"tcps-1"')
    (other,) = list(_frames(changed))
    (back,) = list(_frames(with_id(other, other.id_at, other.id_end, frame.raw[start:end])))
    _expect(other.raw[other.id_at : other.id_end] == b'"tcps-1"', "the id is not the new one", frame)
    _expect(back.raw == frame.raw, "the frame is not what it was", frame)


def _frames(data: bytes) -> Iterator[Frame]:
    for item in FrameReader(1 << 30).feed(data):
        if isinstance(item, Frame):
            yield item


def _expect(holds: bool, what: str, frame: Frame) -> None:
    if not holds:
        raise Finding(f"{what}, kind {frame.kind}", frame.raw)


def main() -> int:
    """Fuzz as asked; return the exit status."""
    asked = campaign.options(campaign.parser(__doc__ or "").parse_args())
    return campaign.report("wire", asked, campaign.run(asked, attempt))


if __name__ == "__main__":
    sys.exit(main())
