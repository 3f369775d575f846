"""Handlers apart from a server: those of one module or one class, which a server includes.

    orders = Router()

    class Orders:
        def __init__(self, database: Database) -> None:
            self.database = database

        @orders.message_pattern("order.find")
        async def find(self, order_id: int) -> Order:
            return await self.database.order(order_id)

    server.include(orders, Orders(database))

Used by apps with more than one module. A wrong declaration raises where it stands, as a server's own does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tcpservice_transport.errors import PatternError
from tcpservice_transport.handlers import F, Function, Handler, declaring, name_of, routes_of
from tcpservice_transport.parameters import MISSING, is_method


class Declaration(NamedTuple):
    """A function that was declared for a pattern: of requests, or of events (`event`)."""

    event: bool
    pattern: object
    function: Function
    wanted: object


class Router:
    """Declarations in the order in which they were made."""

    def __init__(self) -> None:
        self._declarations: list[Declaration] = []

    def message_pattern(self, pattern: object = MISSING, *, type: object = MISSING) -> Callable[[F], F]:  # noqa: A002
        """Declare who answers the requests of a pattern, as `Server.message_pattern` does. Raises PatternError."""
        return declaring(lambda *given: self._declare(False, *given), pattern, type)

    def event_pattern(self, pattern: object = MISSING, *, type: object = MISSING) -> Callable[[F], F]:  # noqa: A002
        """Declare who hears the events of a pattern, as `Server.event_pattern` does. Raises PatternError."""
        return declaring(lambda *given: self._declare(True, *given), pattern, type)

    def bound(self, owner: object) -> Iterator[Declaration]:
        """Give the declarations; methods are those of `owner`. Raises PatternError for a method of another class."""
        for declaration in self._declarations:
            function: Any = declaration.function
            if is_method(function):
                name = name_of(function)
                classes = type(owner).__mro__
                if not any(vars(each).get(function.__name__) is function for each in classes):
                    raise PatternError(
                        f"{name} is a method: include the router with an object of its class, "
                        f"as in server.include(router, {name.partition('.')[0]}())"
                    )
                function = getattr(owner, function.__name__)
            yield declaration._replace(function=function)

    def _declare(self, event: bool, pattern: object, function: Function, wanted: object) -> None:
        routes_of(pattern, name_of(function))
        if not is_method(function):
            Handler(function, wanted)  # says what is wrong with it
        self._declarations.append(Declaration(event, pattern, function, wanted))
