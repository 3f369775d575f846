"""The OTLP receiver: an HTTP server on this machine that takes what exporters send.

Used by `tcpservice up`, which names it to the sidecars and apps as their collector. Metrics and logs are thanked for
and thrown away, as an exporter that gets an error for them says so every minute. Nothing that comes in can raise into
the log, where people look for their own apps' lines: what was wrong is answered, counted, and kept as `last_refusal`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Final

from aiohttp import web

from tcpservice_traces.body import Refused, too_large
from tcpservice_traces.cells import safe
from tcpservice_traces.otlp import JSON, LIMIT, PROTOBUF, accepted, decode, explained
from tcpservice_traces.store import TraceStore

_HOST: Final = "127.0.0.1"
_CLOSING_S: Final = 1.0
_ELSEWHERE: Final = "this is the trace receiver of tcpservice up: POST /v1/traces takes OTLP over HTTP\n"


class Receiver:
    """The server, which puts all spans that it gets into one store.

    `counts` has `requests`, `refused` ones (answered with 400, 413 or 415), `spans`, and spans `left_out` as their ids
    were none; `last_refusal` is the sentence of the last refused request, safe to print.
    """

    def __init__(self, traces: TraceStore) -> None:
        self._traces = traces
        self._runner: web.AppRunner | None = None
        self.counts: Counter[str] = Counter()
        self.last_refusal = ""

    async def start(self, port: int = 0) -> str:
        """Listen on a port of 127.0.0.1, 0 for any; return the URL for OTEL_EXPORTER_OTLP_ENDPOINT. Raises OSError."""
        app = web.Application(client_max_size=LIMIT)
        app.add_routes(
            [
                web.post("/v1/traces", self._take),
                web.post("/v1/metrics", self._ignored),
                web.post("/v1/logs", self._ignored),
                web.route("*", "/{path:.*}", _nothing_here),
            ]
        )
        # aiohttp's own decompression has a limit of its own and answers in its own words.
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSING_S, auto_decompress=False
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _HOST, port).start()
        except OSError:
            await self.close()
            raise
        host, bound = self._runner.addresses[0][:2]
        return f"http://{host}:{bound}"

    async def close(self) -> None:
        """Stop listening; requests that are being answered get a second."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        self.counts["requests"] += 1
        try:
            body = await _read(request)
            # A large body takes a while, in which whoever shows the traces is to go on.
            encoding = request.headers.get("Content-Encoding", "")
            batch = await asyncio.to_thread(decode, body, request.content_type, encoding)
        except Refused as refused:
            return self._refuse(request, refused)
        self.counts["spans"] += len(batch.spans)
        self.counts["left_out"] += batch.left_out
        self._traces.add(batch.spans, time.time())
        return web.Response(body=accepted(request.content_type, batch.left_out), content_type=request.content_type)

    async def _ignored(self, request: web.Request) -> web.Response:
        """Take metrics or logs: read, so that the connection can be used again, and forgotten."""
        self.counts["requests"] += 1
        try:
            await _read(request)
        except Refused as refused:
            return self._refuse(request, refused)
        content_type = JSON if request.content_type == JSON else PROTOBUF
        return web.Response(body=accepted(content_type), content_type=content_type)

    def _refuse(self, request: web.Request, refused: Refused) -> web.Response:
        """Answer with what was wrong, in the encoding that was used, or as text where that is not OTLP's."""
        self.counts["refused"] += 1
        self.last_refusal = safe(str(refused))
        if request.content_type not in (PROTOBUF, JSON):
            return web.Response(status=refused.status, text=f"{refused}\n")
        body = explained(request.content_type, str(refused))
        return web.Response(status=refused.status, body=body, content_type=request.content_type)


async def _read(request: web.Request) -> bytes:
    """Return the body as it came. Raises Refused."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large(LIMIT) from error


async def _nothing_here(_: web.Request) -> web.Response:
    return web.Response(status=404, text=_ELSEWHERE)
