"""Handlers are checked when they are declared, with the function's name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from tcpservice_transport import Context, PatternError, Server


def find(data: object) -> object:
    return data


def none() -> None:
    """Takes nothing."""


def many(a: object, b: object, c: object) -> object:
    return a, b, c


def keyword(data: object, *, needed: int) -> object:
    return data, needed


def only_context(context: Context) -> object:
    return context


def wrong_context(data: object, context: str) -> object:
    return data, context


def unresolved(data: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Has a type that is not there."""


def custom(data: list[Service]) -> None:
    """Has a type that JSON cannot become."""


class Service:
    def find(self, data: object) -> object:
        return data

    def __call__(self, data: object) -> object:
        return data


DEEP: object = {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}
WIDE = {f"key{number}": 1 for number in range(21)}


@pytest.mark.parametrize("kind", ["message_pattern", "event_pattern"])
@pytest.mark.parametrize(
    ("pattern", "function", "said"),
    [
        ("", find, 'find: expected a pattern, such as "order.find" or {"cmd": "find"}, got \'\''),
        (None, find, "find: expected a pattern, such as"),
        ({}, find, "find: expected a pattern, such as"),
        ([], find, "find: expected a pattern, such as"),
        (["a", ""], find, "find: expected a pattern, such as"),
        (True, find, "find: no message can have the pattern True"),
        ("true", find, "find: no message can have the pattern 'true'"),
        (float("nan"), find, "find: no message can have the pattern nan"),
        (b"a", find, "find: no message can have the pattern b'a'"),
        (DEEP, find, "find: the pattern has more than 6 levels or 20 keys, of which NestJS makes"),
        (WIDE, find, "find: the pattern has more than 6 levels or 20 keys, of which NestJS makes"),
        ("a", many, "expected many(), many(data) or many(data, context)"),
        ("a", keyword, "expected keyword(), keyword(data) or keyword(data, context)"),
        (
            "a",
            unresolved,
            "unresolved: the annotation 'Missing' cannot be resolved (name 'Missing' is not defined); "
            "declare the type with type=",
        ),
        (
            "a",
            custom,
            f"custom: {list[Service]} cannot be decoded from JSON (type {Service} is not supported); "
            "set type= to another type, or to object for any data",
        ),
        ("a", only_context, "the data comes first: expected only_context(data, context: Context)"),
        ("a", wrong_context, "wrong_context: the second parameter is the Context of the message, not <class 'str'>"),
        ("a", 5, "expected a function as the handler of 'a', got 5"),
        ("a", Service.find, "Service.find is a method, which a server cannot take without its object"),
    ],
)
def test_what_cannot_be_declared(kind: str, pattern: object, function: Callable[..., Any], said: str) -> None:
    with pytest.raises(PatternError) as raised:
        getattr(Server(), kind)(pattern)(function)
    assert said in str(raised.value)


def test_a_pattern_that_is_missing_is_said_with_the_functions_name() -> None:
    with pytest.raises(PatternError, match=r"^find: expected a pattern"):
        Server().message_pattern()(find)
    with pytest.raises(PatternError, match=r"^find: expected a pattern"):
        Server().event_pattern(find)


def test_a_pattern_has_one_handler_of_requests_and_any_of_events() -> None:
    server = Server()
    server.message_pattern({"cmd": "a", "b": 1})(find)
    with pytest.raises(PatternError) as raised:
        server.message_pattern('{"b":1,"cmd":"a"}')(Service().find)
    assert str(raised.value) == 'Service.find: {"b":1,"cmd":"a"} has a handler already, find'
    server.event_pattern({"cmd": "a", "b": 1})(find)
    server.event_pattern({"cmd": "a", "b": 1})(find)


@pytest.mark.parametrize("kind", ["message_pattern", "event_pattern"])
@pytest.mark.parametrize("wanted", [5, "int", Service, list[Service], dict[str, Service]])
def test_types_that_json_cannot_become(kind: str, wanted: object) -> None:
    with pytest.raises(PatternError, match=r"^find: .* cannot be decoded from JSON"):
        getattr(Server(), kind)("a", type=wanted)(find)


@pytest.mark.parametrize(
    "wanted",
    [object, Any, int, list[int], dict[str, object], dict[int, Any], Iterable[int], Sequence[str], int | None, None,
     datetime, UUID, Literal["a"], Annotated[int, msgspec.Meta(gt=0)]],
)  # fmt: skip
def test_types_that_json_can_become(wanted: object) -> None:
    assert Server().message_pattern("a", type=wanted)(find) is find


def plain(data: object) -> object:
    return data


def typed(data: dict[str, object], context: Context) -> object:
    return data, context


def late(data: list[Late]) -> None:
    """Has a type that is written below."""


class Late(msgspec.Struct):
    id: int


async def coroutine(data: object) -> object:
    return data


async def stream(data: object) -> AsyncIterator[object]:
    yield data


def iteration(data: object) -> Iterator[object]:
    yield data


@pytest.mark.parametrize(
    "function",
    [
        none, plain, typed, late, partial(late), coroutine, stream, iteration, len, print, Service().find, Service(),
        lambda data, context: (data, context), lambda data, context=None: (data, context), lambda *both: both,
    ],
)  # fmt: skip
def test_what_can_be_declared(function: Callable[..., Any]) -> None:
    server = Server()
    assert server.message_pattern("a")(function) is function
    assert server.event_pattern(["b", 5, {"c": 1}])(function) is function
