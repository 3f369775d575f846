"""Whether the own app answers: a health check for apps that speak only the TCP transport.

Used by `admin` for `/app/readyz`, and by `gate`. The question is a request that no app handles; NestJS answers that it
has no handler, and logs nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tcpservice.snapshot import Endpoint
from tcpservice.wire.frames import FrameReader, encode_frame
from tcpservice.wire.scan import Frame
from tcpservice_sidecar.connector import Connector
from tcpservice_sidecar.stream import Stream

PATIENCE_S: Final = 1.0

_QUESTION: Final = b'{"pattern":"tcpservice.dev/probe","data":null,"id":"tcps-ready"}'
_LARGEST: Final = 1 << 20


class AppCheck:
    """Asks the pod's own apps, which are named by the services that they serve."""

    def __init__(self, apps: dict[str, Endpoint], connector: Connector) -> None:
        self.apps = apps
        self._connector = connector
        self._asking: asyncio.Task[str | None] | None = None

    async def why_not_ready(self) -> str | None:
        """Ask all; return None when they answered, else which one did not, and what happened instead.

        Those who ask at the same time share one answer.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> str | None:
        for name, endpoint in self.apps.items():
            reason = await self._ask(endpoint)
            if reason is not None:
                return f"{name} at {endpoint.host}:{endpoint.port}: {reason}"
        return None

    async def _ask(self, endpoint: Endpoint) -> str | None:
        stream = Stream()
        try:
            async with asyncio.timeout(PATIENCE_S):
                channel = await self._connector.connect(endpoint, stream)
                try:
                    return await _answer(stream)
                finally:
                    channel.close()
        except TimeoutError:
            return "connected, but it did not answer in time"
        except OSError as failure:
            return failure.strerror or str(failure)


async def _answer(stream: Stream) -> str | None:
    stream.channel.write([encode_frame(_QUESTION, len(_QUESTION))])
    frames = FrameReader(_LARGEST)
    while data := await stream.read():
        items = frames.feed(data)
        if items:
            return None if isinstance(items[0], Frame) else "it answered, but not in NestJS's protocol"
    return "it closed the connection without an answer"
