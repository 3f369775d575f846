"""An app as strict as NestJS up to 11.1.18, for `fuzz.process`: `python -m fuzz.app` prints its port and echoes.

What such a NestJS server would stop at ends this process with status 3, and the bytes on stderr: a body that is not
JSON, one nested so deeply that parsers give up, and frames that are none.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import Final

from fuzz import streams
from fuzz.seam import REFUSES_EMPTY
from tcpservice.wire.frames import FrameReader
from tcpservice.wire.scan import Frame
from tcpservice.wire.shape import DEEP, INVALID, OBJECT

STOPPED: Final = 3


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of a connection with its data."""
    frames = FrameReader(1 << 30)
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            for item in frames.feed(data):
                if not isinstance(item, Frame):
                    stop(item)
                elif answer := answer_to(item):
                    writer.write(answer)
            await writer.drain()
    writer.close()


def answer_to(frame: Frame) -> bytes:
    """Answer one frame; an event has no answer."""
    empty = frame.kind != OBJECT or (frame.pattern_at < 0 and frame.data_at < 0)
    if frame.kind in (DEEP, INVALID) or (empty and REFUSES_EMPTY):
        stop(frame.raw[:300])
    return b"" if empty or frame.id_at < 0 else streams.echo(frame)


def stop(what: object) -> None:
    """End the process, as NestJS would."""
    print(f"the app stops at {what!r}", file=sys.stderr, flush=True)
    os._exit(STOPPED)


async def main() -> None:
    """Listen, and say where."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
