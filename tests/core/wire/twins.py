"""What both twins of the scan say of the same bytes, side by side.

Used by the tests and by the longer comparison `python -m core.wire.twins --seconds N` (see `make fuzz`).
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random
from types import ModuleType
from typing import Any

from core.wire import texts
from tcpservice.implementation import COMPILED, running
from tcpservice.wire import reference, scan

NUMBERS = (
    "kind", "pattern_at", "pattern_end", "data_at", "metadata_at", "metadata_end", "id_at", "id_end", "err_at",
    "err_end", "is_disposed_at", "is_disposed_end", "unknown_at", "unknown_end",
)  # fmt: skip


def shape(twin: ModuleType, body: bytes) -> list[int]:
    """Return all that a twin finds in a body."""
    frame = twin.Frame(b"#" + body, 1, len(body), 0)
    return [getattr(frame, name) for name in NUMBERS]


def frames(twin: ModuleType, stream: bytes, limit: int) -> list[tuple[Any, ...]]:
    """Return the frames that a twin finds in a stream, with what it leaves to others cut by the reference."""
    found: list[Any] = []
    at = 0
    while at < len(stream):
        end = twin.cut(stream, at, limit, 100, found, 1 << 30)
        mark = stream.find(b"#", end)
        prefix = stream[end:mark]
        if mark < 0 or not prefix.isdigit() or prefix.startswith(b"0") or int(prefix) > limit:
            break
        body_end, wanted = reference.advance(stream, mark + 1, int(prefix))
        if wanted or body_end - mark - 1 > limit:
            break
        found.append(twin.Frame(stream[end:body_end], mark + 1 - end, int(prefix), 100 + end))
        at = body_end
    return [(f.raw, f.at, f.units, f.offset, f.body) for f in found]


def stream(random: Random) -> bytes:
    """Make a stream of frames, not all of them sound."""
    parts = []
    for _ in range(random.randrange(1, 5)):
        body = texts.text(random)[: random.randrange(1, 200)]
        count = reference.units(body) + random.choice([0, 0, 0, 0, 0, 1, -1])
        parts.append(b"%b%d#%b" % (random.choice([b"", b"", b"", b"", b"0", b" "]), count, body))
    return b"".join(parts)[: random.randrange(1, 900)]


def difference(compiled: ModuleType, random: Random) -> str | None:
    """Compare the twins on one random input; say where they differ."""
    body = texts.text(random)
    if shape(compiled, body) != shape(reference, body):
        return f"shape of {body!r}: {shape(compiled, body)} is not {shape(reference, body)}"
    if compiled.units(body) != reference.units(body):
        return f"units of {body!r}"
    start, wanted = random.randrange(len(body) + 2), random.choice([random.randrange(60), 2**70])
    if compiled.advance(body, start, wanted) != reference.advance(body, start, wanted):
        return f"advance({body!r}, {start}, {wanted})"
    data, limit = stream(random), random.choice([50, 1000])
    if frames(compiled, data, limit) != frames(reference, data, limit):
        return f"frames of {data!r} with limit {limit}"
    return None


def main() -> int:
    """Compare for as long as asked; return the exit status."""
    parser = argparse.ArgumentParser(description="Compare the compiled scan with its reference on random bytes.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args()
    if running() != COMPILED:
        print("the compiled form is not built: nothing to compare")
        return 2
    random, cases = Random(given.seed), 0
    until = time.monotonic() + given.seconds
    while time.monotonic() < until:
        found = difference(scan, random)
        cases += 1
        if found is not None:
            print(f"seed {given.seed}, case {cases}: {found}")
            return 1
    print(f"seed {given.seed}: {cases} cases in {given.seconds:g} s, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
