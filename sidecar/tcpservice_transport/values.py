"""Python values to JSON text and back, as JavaScript writes and reads it.

Used by `packets`. orjson does nearly all of it. What it refuses is written and read by the standard library: integers
above 64 bits, lone surrogates, bytes that are not UTF-8 and numbers such as 1e999, all of which NestJS takes.
Dataclasses, msgspec Structs, dates, UUIDs, enums and decimals may be sent; they come back as what JSON makes of them.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import orjson

from tcpservice_transport.errors import NotJson, UnexpectedValue

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS
_LONGEST_64_BIT: Final = len(str(2**64))


def to_json(value: object) -> bytes:
    """Write a value. Raises NotJson for what JSON cannot hold: other types, NaN and infinities, cycles."""
    try:
        text = orjson.dumps(value, _builtin, _OPTIONS)
    except TypeError as refused:
        return _slowly(value, refused)
    if b"null" in text:
        # orjson writes NaN as null, and so does JavaScript; here it is a mistake that would go unseen.
        _refuse_nan(value)
    return text


def _builtin(value: object) -> object:
    """Turn what orjson does not know into what it does. Raises TypeError."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes: decode them, or write them as text, such as base64")
    return msgspec.to_builtins(value)


def _slowly(value: object, refused: TypeError) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":")).encode()
    except RecursionError:
        raise NotJson("JSON cannot hold what contains itself, or is nested so deeply") from None
    except (TypeError, ValueError):
        raise NotJson(f"JSON cannot hold it: {refused.__cause__ or refused}") from refused


def _refuse_nan(value: object) -> None:
    try:
        json.dumps(value, allow_nan=False, default=_plain, skipkeys=True)
    except ValueError as error:
        raise NotJson(f"JSON cannot hold it: {error}") from None


def _plain(value: object) -> object:
    """Turn what only orjson and msgspec know into what the standard library writes."""
    return orjson.loads(orjson.dumps(value, _builtin, _OPTIONS))


def from_json(text: memoryview) -> object:
    """Read JSON text that the scan of frames has found to be JSON. Raises ValueError for what no parser here takes."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return _DECODER.decode(bytes(text).decode("utf-8", "replace"))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


def _number(text: str) -> int | float:
    """Read an integer as orjson does: one above 64 bits becomes a float, as all numbers of JavaScript are."""
    if len(text) <= _LONGEST_64_BIT and -(2**63) <= (number := int(text)) < 2**64:
        return number
    return float(text)


_DECODER: Final = json.JSONDecoder(parse_int=_number)


def as_written(value: object) -> object:
    """Return a value that was read as it reads after JavaScript has written it: infinities have become null."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def as_type(value: object, wanted: Any) -> Any:
    """Convert to a type as msgspec does, strictly; keys of objects may become numbers. Raises UnexpectedValue."""
    if wanted is object:
        return value
    try:
        return msgspec.convert(value, wanted, str_keys=True)
    except msgspec.ValidationError as error:
        raise UnexpectedValue(f"{error}") from None
