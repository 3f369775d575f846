"""A client for code without an event loop: scripts, Django views, notebooks, threads.

    with SyncClient("orders", 3001) as client:
        total = client.send({"cmd": "sum"}, [1, 2])
        for row in client.stream("report", {"year": 2026}): ...
        client.emit("order.created", {"id": 7})

It is a `Client` whose event loop runs in a thread of its own, so it is the same in all else: connections, retries,
timeouts, errors. Any number of threads may use one.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any, Self, TypeVar, overload

from tcpservice_transport.client import AS_SET, Client, Default
from tcpservice_transport.errors import ClientClosed
from tcpservice_transport.messages import Serializer
from tcpservice_transport.options import Limits, Retry, Timeouts
from tcpservice_transport.pool import Status
from tcpservice_transport.session import Deserializer

T = TypeVar("T")


class SyncClient:
    """A `Client` that blocks its caller; takes the same settings. Raises ValueError for settings that are invalid.

    A process that forks makes one in each child: threads do not survive a fork.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 3000,
        *,
        addresses: Iterable[str | tuple[str, int]] | None = None,
        connections: int = 1,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        on_status: Callable[[Status], object] | None = None,
    ) -> None:
        self._client = Client(
            host, port, addresses=addresses, connections=connections, timeouts=timeouts, retry=retry, limits=limits,
            tls=tls, serializer=serializer, deserializer=deserializer, on_status=on_status,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcpservice-client", daemon=True)
        self._thread.start()

    @overload
    def send(
        self, pattern: object, data: object = ..., *, type: type[T],
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> T: ...  # fmt: skip

    @overload
    def send(
        self, pattern: object, data: object = ..., *, type: object = ...,
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> Any: ...  # fmt: skip

    def send(
        self,
        pattern: object,
        data: object = None,
        *,
        type: Any = object,  # noqa: A002 - as in Client
        timeout: float | Default | None = AS_SET,
        metadata: object = None,
        idempotent: bool = False,
    ) -> Any:
        """Ask, and wait for the answer, as `Client.send` does."""
        return self._wait(
            self._client.send(pattern, data, type=type, timeout=timeout, metadata=metadata, idempotent=idempotent)
        )

    @overload
    def stream(
        self, pattern: object, data: object = ..., *, type: type[T],
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> Iterator[T]: ...  # fmt: skip

    @overload
    def stream(
        self, pattern: object, data: object = ..., *, type: object = ...,
        timeout: float | Default | None = ..., metadata: object = ..., idempotent: bool = ...,
    ) -> Iterator[Any]: ...  # fmt: skip

    def stream(
        self,
        pattern: object,
        data: object = None,
        *,
        type: Any = object,  # noqa: A002 - as in Client
        timeout: float | Default | None = AS_SET,
        metadata: object = None,
        idempotent: bool = False,
    ) -> Iterator[Any]:
        """Ask, and give each value of the answer as it comes, as `Client.stream` does."""
        values = self._client.stream(
            pattern, data, type=type, timeout=timeout, metadata=metadata, idempotent=idempotent
        )
        try:
            while True:
                try:
                    yield self._wait(values.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self._let_go(values)

    def emit(self, pattern: object, data: object = None, *, metadata: object = None) -> None:
        """Tell, as `Client.emit` does."""
        self._wait(self._client.emit(pattern, data, metadata=metadata))

    def connect(self) -> None:
        """Connect now, not with the first message. Raises Unreachable, ClientClosed."""
        self._wait(self._client.connect())

    def close(self, grace: float = 10.0) -> None:
        """Close for good, as `Client.close` does, and end the thread.

        What other threads wait for ends with ClientClosed.
        """
        with self._lock:
            first, self._closing = not self._closing, True
        if first:
            asyncio.run_coroutine_threadsafe(self._end(grace), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if first:
            self._loop.close()

    def __enter__(self) -> Self:
        """Give the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    async def _end(self, grace: float) -> None:
        """Close the client, and end all that still runs in its loop."""
        await self._client.close(grace)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _wait(self, awaitable: Any) -> Any:
        """Run something in the loop's thread; what its caller waits for no more (Ctrl-C) is cancelled.

        Raises ClientClosed for a client that was closed, and RuntimeError in the loop's own thread, which would wait
        for itself.
        """
        if threading.get_ident() == self._thread.ident:
            _drop(awaitable)
            raise RuntimeError("a function that the client calls, such as on_status, cannot wait for the client")
        with self._lock:
            if self._closing:
                _drop(awaitable)
                raise ClientClosed("the client was closed")
            running = asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._loop)
        try:
            return running.result()
        except CancelledError:
            raise ClientClosed("the client was closed") from None
        except BaseException:
            running.cancel()
            raise

    def _let_go(self, values: AsyncGenerator[Any]) -> None:
        """End a stream, without waiting: a generator may be collected in any thread."""
        with self._lock:
            if not self._closing:
                asyncio.run_coroutine_threadsafe(_awaited(values.aclose()), self._loop)


def _drop(awaitable: Any) -> None:
    """Give up a coroutine that was not begun."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()


async def _awaited(awaitable: Any) -> Any:
    """Make a coroutine of any awaitable: that of an async generator is none."""
    return await awaitable
