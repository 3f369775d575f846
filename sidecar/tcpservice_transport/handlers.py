"""Who answers a message: functions declared for patterns, checked when they are declared, found by route.

Used by `server`. What is wrong with a declaration is said at once, with the function's name: at import time, not when
the first message comes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextvars import Context as Variables
from enum import Enum
from typing import Any, Final, NamedTuple, TypeVar

from tcpservice.pattern import PatternTooDeep, route_of
from tcpservice_transport.errors import NotJson, PatternError, RpcError, UnexpectedValue
from tcpservice_transport.parameters import MISSING, Context, parameters_of
from tcpservice_transport.values import as_type, to_json

_KNOWN_TEXTS: Final = 4096
_COLLIDING: Final = ("[MAX_DEPTH_REACHED]", "[TOO_MANY_KEYS]")

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


Said = tuple[object, Context]
"""The data of a message, and what else is known of it."""


class UnfitData(RpcError):
    """The data of a message is not of the type that its handler has; the caller is told where."""

    def __init__(self, error: UnexpectedValue) -> None:
        super().__init__({"status": "error", "message": str(error), "code": error.code})


class Kind(Enum):
    """What a function is, and so what becomes of its result."""

    PLAIN = "a function"
    ASYNC = "a coroutine function"
    STREAM = "an async generator function"
    ITERATION = "a generator function"


class Handler:
    """One function: its kind, how many arguments it takes, and the type that its data must have."""

    __slots__ = ("_arity", "_function", "_type", "kind", "name")

    def __init__(self, function: Function, wanted: object) -> None:
        self._function = function
        self.name = name_of(function)
        self.kind = _kind(function)
        self._arity, self._type = parameters_of(function, self.name, wanted)

    @property
    def streams(self) -> bool:
        """Whether it gives several values."""
        return self.kind is Kind.STREAM or self.kind is Kind.ITERATION

    def __call__(self, said: Said, variables: Variables | None) -> Any:
        """Call it, with the variables of its message where these are given.

        Raises UnfitData for data of another type, and what the function raises.
        """
        return self._call(*said) if variables is None else variables.run(self._call, *said)

    def _call(self, data: object, context: Context) -> Any:
        if self._type is not object:
            try:
                data = as_type(data, self._type)
            except UnexpectedValue as error:
                raise UnfitData(error) from None
        if self._arity == 1:
            return self._function(data)
        return self._function(data, context) if self._arity else self._function()


class Found(NamedTuple):
    """The handlers of one route: of its requests, and of its events."""

    message: Handler | None
    events: tuple[Handler, ...]


_NOBODY: Final = Found(None, ())


class Handlers:
    """All handlers of one server."""

    def __init__(self) -> None:
        self._messages: dict[str, Handler] = {}
        self._events: dict[str, list[Handler]] = {}
        self._found: dict[str | bytes, Found] = {}

    def declare_message(self, pattern: object, function: Function, wanted: object) -> None:
        """Let a function answer the requests of a pattern. Raises PatternError, also where another one does already."""
        handler = Handler(function, wanted)
        for route in routes_of(pattern, handler.name):
            other = self._messages.get(route)
            if other is not None:
                raise PatternError(f"{handler.name}: {route} has a handler already, {other.name}")
            self._messages[route] = handler
        self._found.clear()

    def declare_event(self, pattern: object, function: Function, wanted: object) -> None:
        """Let a function hear the events of a pattern, as others may. Raises PatternError."""
        handler = Handler(function, wanted)
        for route in routes_of(pattern, handler.name):
            self._events.setdefault(route, []).append(handler)
        self._found.clear()

    def find(self, pattern: object) -> Found:
        """Find the handlers of a message by its pattern as it came. What was found is remembered by its text."""
        try:
            text = pattern if isinstance(pattern, str) else to_json(pattern)
        except NotJson:
            return _NOBODY
        found = self._found.get(text)
        if found is None:
            found = self._look_up(pattern)
            if found is not _NOBODY:
                if len(self._found) >= _KNOWN_TEXTS:
                    self._found.clear()
                self._found[text] = found
        return found

    def _look_up(self, pattern: object) -> Found:
        try:
            route = route_of(pattern)
        except PatternTooDeep:
            return _NOBODY
        if route is None or (route not in self._messages and route not in self._events):
            return _NOBODY
        return Found(self._messages.get(route), tuple(self._events.get(route, ())))


def declaring(declare: Callable[[object, Function, object], None], pattern: object, wanted: object) -> Callable[[F], F]:
    """Make the decorator of a pattern; used without one, it says so."""

    def register(function: F) -> F:
        if not callable(function):
            raise PatternError(f"expected a function as the handler of {pattern!r}, got {function!r}")
        declare(pattern, function, wanted)
        return function

    if callable(pattern):
        routes_of(MISSING, name_of(pattern))
    return register


def routes_of(pattern: object, name: str) -> Iterable[str]:
    """Return the routes of a declared pattern, of which a list holds several, as in NestJS. Raises PatternError."""
    patterns = pattern if isinstance(pattern, list) and pattern else [pattern]
    return list(dict.fromkeys(_route(one, name) for one in patterns))


def _route(pattern: object, name: str) -> str:
    if pattern is MISSING or pattern is None or pattern in ("", {}, []):
        shown = "" if pattern is MISSING else f", got {pattern!r}"
        raise PatternError(f'{name}: expected a pattern, such as "order.find" or {{"cmd": "find"}}{shown}')
    try:
        route = route_of(pattern)
    except (PatternTooDeep, TypeError, AssertionError):
        route = None
    if route is None:
        raise PatternError(f"{name}: no message can have the pattern {pattern!r}; expected a string, number or object")
    if any(word in route for word in _COLLIDING):
        raise PatternError(f"{name}: the pattern has more than 6 levels or 20 keys, of which NestJS makes {route}")
    return route


def _kind(function: Function) -> Kind:
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if inspect.isasyncgenfunction(called):
        return Kind.STREAM
    if inspect.isgeneratorfunction(called):
        return Kind.ITERATION
    return Kind.ASYNC if inspect.iscoroutinefunction(called) else Kind.PLAIN


def name_of(function: object) -> str:
    """Return what a function is called in messages."""
    return getattr(function, "__qualname__", None) or repr(function)
