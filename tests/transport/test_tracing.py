"""Trace context, with the real OpenTelemetry API and SDK in the app, and without."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider

from tcpservice_transport import Client, Context, Server

TRACER = TracerProvider().get_tracer(__name__)


def server_of(seen: list[int]) -> Server:
    server = Server(port=0)

    def note() -> None:
        seen.append(trace.get_current_span().get_span_context().trace_id)

    @server.message_pattern("plain")
    def plain(_: object, context: Context) -> object:
        note()
        return context.metadata

    @server.message_pattern("async")
    async def later(_: object) -> object:
        await asyncio.sleep(0)
        note()
        return baggage.get_baggage("tenant")

    @server.message_pattern("nested")
    async def nested(_: object) -> object:
        async with Client(port=server.port) as client:
            return await client.send("plain")

    @server.event_pattern("event")
    async def event(_: object) -> None:
        note()

    return server


def test_it_goes_with_the_message_and_is_current_in_its_handler() -> None:
    seen: list[int] = []

    async def scene() -> None:
        async with server_of(seen) as server, Client(port=server.port) as client:
            assert await client.send("plain") is None
            with TRACER.start_as_current_span("own") as span:
                token = context.attach(baggage.set_baggage("tenant", "a"))
                metadata = await client.send("plain", metadata={"k": 1})
                assert (metadata["k"], metadata["baggage"]) == (1, "tenant=a")
                assert await client.send("async") == "a"
                await client.emit("event")
                nested = await client.send("nested")
                assert nested["traceparent"].split("-")[1] == metadata["traceparent"].split("-")[1]
                given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
                assert (await client.send("plain", metadata={"traceparent": given}))["traceparent"] == given
                assert await client.send("plain", metadata="text") == "text"
                context.detach(token)
            own = span.get_span_context().trace_id
            assert seen == [0, own, own, own, own, int(given.split("-")[1], 16), 0]

    asyncio.run(scene())


def test_the_package_does_not_load_it() -> None:
    code = "import sys, tcpservice_transport; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
