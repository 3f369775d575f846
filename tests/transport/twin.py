"""The handlers of interop/nest/server.mjs, served by Python: what a NestJS client is told must be the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from tcpservice_transport import Context, RpcError, Server

UNDEFINED_HERE = {
    "pattern-request-to-event-handlers": [["next", None], ["complete"]],
    "value-undefined-result": [["next", None], ["complete"]],
    "stream-undefined-in-the-middle": [["next", 1], ["next", None], ["next", 3], ["complete"]],
}
"""Where Python differs: it has no `undefined`, and a handler that returns None answers null."""


class Twin:
    """A server, and what ran on it."""

    def __init__(self, server: Server | None = None) -> None:
        self.server = server or Server(port=0)
        self.runs: Counter[str] = Counter()
        self._gates: dict[str, asyncio.Event] = {}
        for pattern, handler in {
            "echo": lambda data: data,
            "typeofd": lambda data: "object" if data is None else type(data).__name__,
            "large": lambda characters: "x" * characters,
            "who": lambda _: "python",
            "undef": lambda _: None,
            "nul": lambda _: None,
            "count": lambda key: self.runs[key],
            "runs": lambda _: dict(self.runs),
        }.items():
            self.server.message_pattern(pattern)(handler)
        self.server.message_pattern({"cmd": "sum"})(lambda data: sum(data))
        self.server.message_pattern(123)(lambda _: "numPat")
        self.server.message_pattern({"b": 1, "a": {"d": "x", "c": 2}})(lambda _: "objPat")
        for name in ("metadata", "slow", "empty", "stream", "ticks", "lateDone", "undefMid", "obsErr", "lateErr"):
            self.server.message_pattern(name)(getattr(self, name))
        for name in ("boom", "boomWith", "boomLater", "crash", "once", "ran", "gate", "open"):
            self.server.message_pattern(name)(getattr(self, name))
        self.server.message_pattern("crashText")(self.crash)
        for pattern_of_event, names in {
            "ev": ["ev1", "ev2"], '{"a":"x","b":1}': ["objectEvent"], "5": ["numberEvent"], "evCrash": ["evCrash"],
        }.items():  # fmt: skip
            for name in names:
                self._listen(pattern_of_event, name)
        self.server.event_pattern("evMetadata")(lambda _, context: self._note(f"evMetadata:{context.metadata}"))

    def _listen(self, pattern: object, name: str) -> None:
        def hear(data: Any) -> None:
            self._note(f"{name}:{data.get('key', 'none') if isinstance(data, dict) else data}")
            if name == "evCrash":
                raise RuntimeError("secret detail")

        self.server.event_pattern(pattern)(hear)

    def _note(self, key: str) -> int:
        self.runs[key] += 1
        return self.runs[key]

    def metadata(self, _: object, context: Context) -> object:
        return context.metadata

    async def slow(self, ms: int) -> object:
        await asyncio.sleep(ms / 1000)
        return {"slept": ms}

    async def empty(self, _: object) -> AsyncIterator[object]:
        return
        yield

    def stream(self, data: dict[str, int]) -> Any:
        yield from range(1, data["n"] + 1)

    async def ticks(self, data: dict[str, Any]) -> AsyncIterator[object]:
        for tick in range(data["n"]):
            await asyncio.sleep(data["every"] / 1000)
            if "key" in data:
                self._note(f"ticks:{data['key']}")
            yield tick

    async def lateDone(self, _: object) -> AsyncIterator[object]:  # noqa: N802 - the pattern's own name
        yield 1
        yield 2
        await asyncio.sleep(0.02)

    async def undefMid(self, _: object) -> AsyncIterator[object]:  # noqa: N802
        for value in (1, None, 3):
            yield value

    async def obsErr(self, _: object) -> AsyncIterator[object]:  # noqa: N802
        yield 1
        yield 2
        raise RpcError("mid")

    async def lateErr(self, _: object) -> AsyncIterator[object]:  # noqa: N802
        yield 1
        await asyncio.sleep(0.005)
        yield 0
        raise RpcError("late")

    def boom(self, reason: object) -> object:
        raise RpcError(reason)

    def boomWith(self, data: dict[str, object]) -> object:  # noqa: N802
        raise RpcError(data["reason"])

    async def boomLater(self, reason: object) -> object:  # noqa: N802
        await asyncio.sleep(0.001)
        raise RpcError(reason)

    def crash(self, _: object) -> object:
        raise RuntimeError("secret detail")

    def once(self, data: Any) -> int:
        return self._note(f"once:{data['key'] if isinstance(data, dict) else data}")

    async def ran(self, data: dict[str, Any]) -> int:
        while self.runs[data["key"]] < data.get("times", 1):
            await asyncio.sleep(0.001)
        return self.runs[data["key"]]

    async def gate(self, key: str) -> str:
        self._note(f"gate:{key}")
        await self._gates.setdefault(key, asyncio.Event()).wait()
        return key

    def open(self, key: str) -> bool:
        self._gates.setdefault(key, asyncio.Event()).set()
        return True
