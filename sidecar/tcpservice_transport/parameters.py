"""What a handler's function takes: nothing, data, or data and context; and of which type its data must be.

Used by `handlers` when a handler is declared. The type is the annotation of the first parameter where the declaration
has no `type=`, so that a handler gets what its signature says, as with FastAPI.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import NoneType, SimpleNamespace
from typing import Any, Final, NamedTuple

import msgspec

from tcpservice_transport.errors import PatternError

MISSING: Final = object()
_JSON_TYPES: Final = (dict, list, str, int, float, bool, NoneType)


class Context(NamedTuple):
    """What a handler may know of a message beside its data: pattern, metadata, and address of who sent it."""

    pattern: object
    metadata: object
    peer: str


class Parameters(NamedTuple):
    """How many arguments a function is called with, and the type of its data; `object` takes any."""

    arity: int
    type: Any


def parameters_of(function: Callable[..., Any], name: str, wanted: object) -> Parameters:
    """Read the signature of a handler; `wanted` is the `type=` of its declaration, or MISSING.

    Raises PatternError for a signature that no handler has, and for a type that JSON cannot become.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C do not tell
        return Parameters(1, object if wanted is MISSING else _checked(wanted, name))
    parameters = list(signature.parameters.values())
    if is_method(function):
        raise PatternError(
            f"{name} is a method, which a server cannot take without its object: declare it with a Router, "
            f"and call server.include(router, {name.partition('.')[0]}())"
        )
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = sum(one.default is one.empty for one in positional)
    many = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    if needed > 2 or any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in parameters):
        raise PatternError(f"{name}{signature}: expected {name}(), {name}(data) or {name}(data, context)")
    if wanted is MISSING:
        wanted = _annotated(positional[0].annotation, function, name) if positional else object
        if wanted is Context:
            raise PatternError(f"{name}: the data comes first: expected {name}(data, context: Context)")
    if len(positional) > 1 and positional[1].default is inspect.Parameter.empty:
        _check_second(positional[1].annotation, function, name)
    if needed == 2 or (many and needed < 2):
        return Parameters(2, _checked(wanted, name))
    return Parameters(1 if positional else 0, _checked(wanted, name))


def _check_second(annotation: object, function: Callable[..., Any], name: str) -> None:
    """Refuse a second parameter that is surely not the context; an annotation that cannot be resolved may be."""
    try:
        second = _annotated(annotation, function, name)
    except PatternError:
        return
    if second not in (Context, object) and Context not in typing.get_args(second):
        raise PatternError(f"{name}: the second parameter is the Context of the message, not {second!r}")


def is_method(function: Callable[..., Any]) -> bool:
    """Whether a function is a method that has no object yet."""
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except ValueError:
        return False
    return first == "self"


def _annotated(annotation: object, function: Callable[..., Any], name: str) -> object:
    """Resolve the annotation of a parameter; none, and None for data that the handler ignores, is `object`."""
    if annotation is inspect.Parameter.empty:
        return object
    holder = SimpleNamespace(__annotations__={"data": annotation})
    try:
        found = typing.get_type_hints(holder, globalns=_globals(function), include_extras=True)["data"]
    except Exception as error:
        raise PatternError(
            f"{name}: the annotation {annotation!r} cannot be resolved ({error}); declare the type with type="
        ) from error
    return object if found in (NoneType, Any) else found


def _globals(function: Any) -> dict[str, Any]:
    """Return the names that the annotations of a function, method, partial or callable object may use."""
    while hasattr(function, "__wrapped__") or hasattr(function, "func"):
        function = getattr(function, "__wrapped__", None) or function.func
    found: dict[str, Any] = getattr(function if inspect.isroutine(function) else function.__call__, "__globals__", {})
    return found


def _checked(wanted: Any, name: str) -> Any:
    """Return a type that JSON can become. Raises PatternError for any other."""
    if wanted in (object, Any):
        return object
    try:
        msgspec.json.schema(wanted, schema_hook=_schema_of_other)
    except Exception as error:
        reason = str(error).rpartition("\n")[2]
        raise PatternError(
            f"{name}: {wanted!r} cannot be decoded from JSON ({reason}); set type= to another type, "
            "or to object for any data"
        ) from error
    return wanted


def _schema_of_other(wanted: Any) -> dict[str, Any]:
    """Let pass what a JSON value is by itself, such as `object` and `Iterable`."""
    origin = typing.get_origin(wanted) or wanted
    if not any(issubclass(one, origin) for one in _JSON_TYPES):
        raise NotImplementedError
    return {"description": "any"}
