"""What comes of a request: its handler is run, and its result becomes packets, or its exception an error.

Used by `server`. A plain function is run at once, in the event loop; all else becomes a task. A handler's None is JSON
null; a generator gives a stream. Exceptions other than RpcError are logged here, and the caller learns no more than
that there was one, as with NestJS.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing
from contextvars import Context as Variables
from typing import Any, Final

from tcpservice.errors import Code
from tcpservice_transport.errors import NotJson, RpcError
from tcpservice_transport.handlers import Handler, Kind, Said, UnfitData
from tcpservice_transport.packets import Packet, answer, completion, encode, failure, own_error, response
from tcpservice_transport.peer import Peer

_LOGGER: Final = logging.getLogger("tcpservice_transport")

Serializer = Callable[[Packet], object]


class Replies:
    """Where the replies to one request go; a peer that is gone gets none."""

    __slots__ = ("_connection", "_id", "_peer", "_serializer", "name")

    def __init__(self, peer: Peer, request_id: object, name: str, serializer: Serializer | None) -> None:
        self._peer = peer
        self._connection = peer.connection
        self._id = request_id
        self.name = name
        self._serializer = serializer

    def answer(self, value: object) -> None:
        """Answer with one value."""
        self._write(answer(value, self._id))

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self._write(failure(_as_rpc_error(error, self.name), self._id))

    def send_now(self) -> None:
        """Send at once where nothing else runs for the peer, which will have nothing to add."""
        if len(self._peer.running) == 1:
            self._connection.flush()

    async def stream(self, values: AsyncIterator[object]) -> None:
        """Answer with each value as it comes, no faster than the peer takes them."""
        async for value in values:
            if not self._write(response(value, self._id)):
                return
            if self._connection.full:
                await self._connection.drained()
        self._write(completion(self._id))

    def _write(self, packet: Packet) -> bool:
        """Write a packet; return whether the request may go on."""
        if not self._connection.open:
            return False
        try:
            self._connection.send(self._encode(packet))
        except Exception as error:
            self._connection.send(encode(failure(_as_rpc_error(error, self.name), self._id)))
            return False
        return True

    def _encode(self, packet: Packet) -> bytes:
        return encode(packet if self._serializer is None else self._serializer(packet))


def begin(handler: Handler, said: Said, replies: Replies, variables: Variables | None) -> Awaitable[None] | None:
    """Run the handler of a request as far as it goes at once; return what is to be awaited, None where that was all."""
    try:
        result = handler(said, variables)
        if handler.kind is Kind.PLAIN and not inspect.isawaitable(result):
            replies.answer(result)
            return None
    except Exception as error:
        replies.fail(error)
        return None
    return _run(handler, result, replies)


async def finish(running: Awaitable[None], replies: Replies, patience: float | None) -> None:
    """Await what `begin` returned, for so many seconds at most, and answer with whatever it raises."""
    try:
        if patience is None:
            await running
        else:
            await _within(patience, running, replies.name)
    except asyncio.CancelledError:
        replies.fail(own_error("The server is closing", Code.DRAINING.value))
        raise
    except Exception as error:
        replies.fail(error)
    replies.send_now()


async def answer_in_turn(handler: Handler, said: Said, replies: Replies, patience: float | None) -> None:
    """Run the handler of a request, a plain function, once the tasks before it have begun."""
    running = begin(handler, said, replies, None)
    if running is not None:
        await finish(running, replies, patience)
    else:
        replies.send_now()


async def hear_in_turn(handler: Handler, said: Said) -> None:
    """Run the handler of an event, a plain function, once the tasks before it have begun."""
    hearing = hear(handler, said, None)
    if hearing is not None:
        await hearing


async def _within(seconds: float, running: Awaitable[None], name: str) -> None:
    try:
        async with asyncio.timeout(seconds) as timer:
            await running
    except TimeoutError:
        if not timer.expired():
            raise
        _LOGGER.warning("%s took longer than %g s, and was ended", name, seconds)
        raise own_error(f"The handler took longer than {seconds:g} s", Code.TIMEOUT.value) from None


async def _run(handler: Handler, result: Any, replies: Replies) -> None:
    if handler.streams:
        async with aclosing(_values(handler, result)) as values:
            await replies.stream(values)
    else:
        replies.answer(await result)


def hear(handler: Handler, said: Said, variables: Variables | None) -> Coroutine[Any, Any, None] | None:
    """Run the handler of an event as far as it goes at once; return what is to be awaited, None where that was all."""
    try:
        result = handler(said, variables)
    except UnfitData as error:
        context = said[1]
        _LOGGER.warning("%s did not run for an event from %s: %s", handler.name, context.peer, error)
        return None
    except Exception:
        _LOGGER.exception("%s failed on an event", handler.name)
        return None
    if handler.kind is Kind.PLAIN and not inspect.isawaitable(result):
        return None
    return _hear_out(handler, result)


async def _hear_out(handler: Handler, result: Any) -> None:
    try:
        if handler.streams:
            async with aclosing(_values(handler, result)) as values:
                async for _ in values:
                    pass
        else:
            await result
    except Exception:
        _LOGGER.exception("%s failed on an event", handler.name)


def _values(handler: Handler, result: Any) -> AsyncGenerator[object]:
    """Return the values of a generator; between those of a plain one, the event loop gets its turn."""
    if handler.kind is Kind.STREAM:
        values: AsyncGenerator[object] = result
        return values
    return _each(result)


async def _each(values: Iterator[object]) -> AsyncGenerator[object]:
    for value in values:
        yield value
        await asyncio.sleep(0)


def _as_rpc_error(error: Exception, name: str) -> RpcError:
    """Make of any exception what the caller is told."""
    if isinstance(error, RpcError):
        return error
    if isinstance(error, NotJson):
        _LOGGER.error("%s returned a value that cannot be sent as JSON: %s", name, error)
    else:
        _LOGGER.error("%s failed", name, exc_info=error)
    return own_error("Internal server error")
