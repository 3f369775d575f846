"""An operator that says what a test wants: right things, wrong things, nothing at all.

The real operator never sends what is malformed or older than what it sent before; this one does.
"""

from __future__ import annotations

import queue
import select
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from tcpservice.snapshot import Endpoint, Service
from tcpservice.updates import encode, join

HANG_S = 30.0
SCRIPT_S = 10.0
"""How long a stream waits for its script. An answer of 503 would have the sidecar come again only after a pause."""


class ScriptedOperator(ThreadingHTTPServer):
    """Each stream is one script: a status, and the lines to send; what follows the lines is silence, or the end."""

    daemon_threads = True

    def __init__(self, authority: trustme.CA, name: str = "127.0.0.1") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripts: queue.Queue[Script] = queue.Queue()
        self.tokens: list[str] = []
        self.ended = threading.Event()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_address[1]}"

    def say(self, *lines: bytes, status: int = 200, ends: bool = False) -> None:
        """Let the next stream be this."""
        self.scripts.put(Script(status, lines, ends))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: sidecars break off."""

    @contextmanager
    def running(self) -> Iterator[ScriptedOperator]:
        """Serve until the end."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self.shutdown()
            self.server_close()
            thread.join()


class Script:
    """What one stream is."""

    def __init__(self, status: int, lines: tuple[bytes, ...], ends: bool) -> None:
        self.status = status
        self.lines = lines
        self.ends = ends


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedOperator

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        script = self._script()
        self.send_response(script.status)
        self.end_headers()
        for line in script.lines:
            self.wfile.write(line)
        self.wfile.flush()
        if not script.ends:
            self.server.ended.wait(HANG_S)

    def _script(self) -> Script:
        """Return what this stream is to be; none is taken for a sidecar that has gone."""
        until = time.monotonic() + SCRIPT_S
        while time.monotonic() < until and not self.server.ended.is_set() and not self._gone():
            with suppress(queue.Empty):
                return self.server.scripts.get(timeout=0.02)
        return Script(503, (b"nothing to say",), ends=True)

    def _gone(self) -> bool:
        return bool(select.select([self.connection], [], [], 0)[0])  # after its question it only closes

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def orders(*hosts: str, port: int = 3001) -> bytes:
    """Write the service `default/orders` with replicas at these addresses."""
    endpoints = tuple(Endpoint(host=host, port=port, name=f"at-{host}") for host in sorted(hosts))
    return encode(Service(namespace="default", name="orders", port=3001, endpoints=endpoints))


def whole(*services: bytes, version: int = 1, **revisions: int) -> bytes:
    """Write a whole line."""
    return join(version, revisions, services=services)


def write_authority(authority: trustme.CA, path: Path) -> None:
    """Write what verifies an operator."""
    path.write_bytes(authority.cert_pem.bytes())
