"""A hybrid app of the local mode's tests: HTTP at HTTP_PORT, and messages at NESTJS_PORT where it has that.

Run as a replica by `tcpservice up`. A page says which replica answered, and passes a request on to the address in
BACKEND_URL where there is one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

from tcpservice_transport import Context, Server

NAME = os.environ["HOSTNAME"]


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = NAME
        if "BACKEND_URL" in os.environ:
            with urlopen(os.environ["BACKEND_URL"], timeout=5) as backend:
                answer += f" {backend.read().decode()}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Log nothing."""


async def main() -> None:
    web = ThreadingHTTPServer(("127.0.0.1", int(os.environ["HTTP_PORT"])), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    if "NESTJS_PORT" not in os.environ:
        await asyncio.Event().wait()
    server = Server("127.0.0.1", int(os.environ["NESTJS_PORT"]))

    @server.message_pattern("whoami")
    async def whoami(_data: object, _context: Context) -> object:
        return NAME

    await server.serve()


if __name__ == "__main__":
    asyncio.run(main())
