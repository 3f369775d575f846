"""Single requests, and what a caller sees of each when it talks to the replica directly.

A cell's `events` are written down, so that the direct connection, the fixtures and every way over sidecars are held to
the same words; None where they depend on the client's major. `core` cells are run between different majors too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

COMPLETE = ["complete"]
MEBIBYTE_TEXT = "A" * 1_048_576
MULTIBYTE_TEXT = "\U0001f600漢é" * 150_000
NESTED: Any = {"level": 0}
for level in range(1, 100):
    NESTED = {"level": level, "inner": [NESTED]}


class Cell(NamedTuple):
    """One request and the events that it leads to."""

    pattern: object
    data: object
    events: list[Any] | None
    core: bool = False


def value(result: object) -> list[Any]:
    return [["next", result], COMPLETE]


def error(reason: object, *before: object) -> list[Any]:
    return [*(["next", item] for item in before), ["error", reason]]


def message(text: object) -> dict[str, object]:
    return {"status": "error", "message": text}


def echo(data: object, *, core: bool = False) -> Cell:
    return Cell("echo", data, value(data), core)


NO_HANDLER = error("There is no matching message handler defined in the remote service.")
INTERNAL = error(message("Internal server error"))

PATTERNS = {
    "string-pattern": Cell("echo", "hi", value("hi"), core=True),
    "object-pattern": Cell({"cmd": "sum"}, [1, 2, 3], value(6), core=True),
    "number-pattern": Cell(123, 1, value("numPat"), core=True),
    "number-pattern-as-text": Cell(" 1.23e2 ", 1, value("numPat")),
    "nested-pattern-unsorted": Cell({"a": {"d": "x", "c": 2}, "b": 1}, 1, value("objPat")),
    "object-pattern-in-event-form": Cell('{"cmd":"sum"}', [1, 2], value(3)),
    "string-pattern-in-quotes": Cell('"echo"', "hi", value("hi")),
    "request-to-event-handlers": Cell("ev", {"key": "as-request"}, value({"next": 2}), core=True),
    "no-handler": Cell("nope", 1, NO_HANDLER, core=True),
    "no-handler-number": Cell(7, 1, NO_HANDLER),
    "no-handler-multibyte": Cell("größe.\U0001f600", 1, NO_HANDLER),
    "no-handler-hash": Cell("a#b", 1, NO_HANDLER),
}

VALUES = {
    "empty-string": echo(""),
    "false": echo(False),
    "zero": echo(0),
    "negative-and-fraction": echo([-1.5, 1e-7, 1e21, 9007199254740991]),
    "nested-null": echo({"a": None, "b": [None, 1.5, -2], "c": True}),
    "empty-object": echo({}),
    "empty-array": echo([]),
    "emoji-and-multibyte": echo("\U0001f600é漢\u2028", core=True),
    "escapes": echo('a"b\\c/\n\t\x00\x7f<>\r\b\f'),
    "lone-surrogates": echo(["\ud83d!", "!\ude00", "\ude00\ud83d"], core=True),
    "multibyte-keys": echo({"\U0001f600": {"é": "漢"}}),
    "looks-like-an-id": echo('","id":"0123456789abcdef01234"}'),
    "looks-like-a-frame": echo('12#{"pattern":"echo","data":1,"id":"a"}'),
    "keys-of-the-packet": echo(
        {"id": 1, "err": "x", "response": 2, "isDisposed": True, "pattern": "p", "metadata": {}}
    ),
    "nested-100-deep": echo(NESTED),
    "undefined-result": Cell("undef", 1, [COMPLETE], core=True),
    "null-result": Cell("nul", 1, value(None)),
    "mebibyte": echo(MEBIBYTE_TEXT),
    "mebibyte-multibyte": echo(MULTIBYTE_TEXT, core=True),
    "large-reply": Cell("large", 300_000, value("x" * 300_000)),
}

STREAMS = {
    "empty": Cell("empty", 1, [COMPLETE]),
    "sync": Cell("stream", {"n": 3}, [["next", 1], ["next", 2], ["next", 3], COMPLETE], core=True),
    "sync-long": Cell("stream", {"n": 500}, [*(["next", item] for item in range(1, 501)), COMPLETE]),
    "async": Cell("ticks", {"n": 3, "every": 5}, [["next", 0], ["next", 1], ["next", 2], COMPLETE]),
    "late-completion": Cell("lateDone", 1, [["next", 1], ["next", 2], COMPLETE], core=True),
    "undefined-in-the-middle": Cell("undefMid", 1, None),
    "error-in-the-middle": Cell("obsErr", 1, error(message("mid"), 1, 2), core=True),
    "late-error": Cell("lateErr", 1, error(message("late"), 1, 0)),
}

ERRORS = {
    "rpc-exception-string": Cell("boom", "msg", error(message("msg")), core=True),
    "rpc-exception-object": Cell(
        "boom", {"code": 42, "message": "no"}, error({"code": 42, "message": "no"}), core=True
    ),
    "rpc-exception-array": Cell("boom", [1, {"a": 2}], error([1, {"a": 2}])),
    "rpc-exception-empty-object": Cell("boom", {}, error({})),
    "rpc-exception-number": Cell("boom", 7, error(message(7))),
    "rpc-exception-null": Cell("boomWith", {"reason": None}, error(message(None))),
    "rpc-exception-empty-string": Cell("boom", "", error(message(""))),
    "rpc-exception-multibyte": Cell("boom", "größer als \U0001f600", error(message("größer als \U0001f600"))),
    "rpc-exception-async": Cell("boomLater", "later", error(message("later"))),
    "plain-error": Cell("crash", 1, INTERNAL, core=True),
    "thrown-text": Cell("crashText", 1, INTERNAL),
}

CELLS = {
    f"{group}-{name}": cell
    for group, cells in {"pattern": PATTERNS, "value": VALUES, "stream": STREAMS, "error": ERRORS}.items()
    for name, cell in cells.items()
}
CORE = {name: cell for name, cell in CELLS.items() if cell.core}
