"""`tcpservice send`: sends a message to a NestJS microservice or a sidecar, as grpcurl does to gRPC servers.

Each response is a line of JSON on stdout, an error a line of JSON on stderr.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tcpservice.spec.units import parse_duration
from tcpservice_cli.repeating import Outcome, Repeating
from tcpservice_flags import argument
from tcpservice_local import registry
from tcpservice_transport import Client, RequestTimeout, RpcError, Timeouts, TransportError, Unreachable

_NAME: Final = re.compile(r"([a-z0-9-]+/)?[a-z]([a-z0-9-]*[a-z0-9])?")

_NO_VALUE: Final = "no value: the stream is empty, or only an event handler has this pattern (send it with --event)"

_WORDS: Final = re.compile(r"[\w .-]{1,40}")

_EXAMPLES: Final = """\
examples:
  tcpservice send 127.0.0.1:3001 '{"cmd":"sum"}' '[1, 2, 3]'
  tcpservice send orders '{"cmd":"sum"}' '[1, 2, 3]'                a service of a running `tcpservice up`
  tcpservice send 127.0.0.1:3001 report.daily @query.json           streams: a line for each response
  tcpservice send 127.0.0.1:3001 order.created '{"id": 7}' --event
  tcpservice send 127.0.0.1:3001 echo '"hi"' --repeat 10000 --concurrency 50
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the subcommand and its flags."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "send",
        help="send a message and print the responses",
        description="Send a message to a NestJS microservice or a sidecar, and print each response as a line of JSON.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("address", metavar="HOST:PORT|NAME", type=argument(_address),
        help="where to connect; NAME is a service of a running `tcpservice up`")  # fmt: skip
    add(
        "pattern",
        metavar="PATTERN",
        type=argument(_pattern),
        help='a text such as order.find, or JSON such as {"cmd":"sum"}',
    )
    add("data", metavar="DATA", nargs="?", default="null", type=argument(_data),
        help="JSON; - reads it from stdin, @FILE from a file (default null)")  # fmt: skip
    add("--event", action="store_true", help="send an event, which has no response")
    add("--timeout", metavar="TIME", type=argument(_seconds), default="5s",
        help="how long to wait for each response (default 5s)")  # fmt: skip
    add("--metadata", metavar="KEY=VALUE", type=argument(_pair), action="append", default=[],
        help="metadata of the message, for handlers of NestJS 12; may be repeated")  # fmt: skip
    add("--repeat", metavar="N", type=argument(_count), default=1,
        help="send the message N times, and print durations instead of responses")  # fmt: skip
    add("--concurrency", metavar="C", type=argument(_count), default=1, help="messages in flight (with --repeat)")
    parser.set_defaults(run=run)
    return parser


async def run(given: argparse.Namespace) -> int:
    """Send; return the exit status."""
    try:
        host, port = _found(given.address)
    except LookupError as error:
        return _fail(str(error.args[0]))
    async with Client(host, port, timeouts=Timeouts(connect=0, request=given.timeout)) as client:
        try:
            await client.connect()
        except Unreachable as error:
            return _fail(str(error))
        if given.repeat > 1:
            return await _repeat(client, given)
        return await _once(client, given)


async def _once(client: Client, given: argparse.Namespace) -> int:
    shown = 0

    def show(value: object) -> None:
        nonlocal shown
        shown += 1
        print(json.dumps(value, ensure_ascii=False), flush=True)

    outcome = await _send(client, given, show)
    if outcome.error is None:
        if not shown and not given.event:
            sys.stderr.write(f"{_NO_VALUE}\n")
        return 0
    sys.stderr.write(json.dumps(outcome.error, ensure_ascii=False) + "\n")
    return 1


async def _repeat(client: Client, given: argparse.Namespace) -> int:
    repeating = Repeating(lambda: _send(client, given, lambda _: None))
    await repeating.run(given.repeat, given.concurrency)
    print(repeating.summary())
    return 0 if repeating.failed == 0 else 1


async def _send(client: Client, given: argparse.Namespace, show: Callable[[object], None]) -> Outcome:
    """Send one message and show its responses."""
    metadata = dict(given.metadata) or None
    try:
        if given.event:
            await client.emit(given.pattern, given.data, metadata=metadata)
            return Outcome(None)
        async for value in client.stream(given.pattern, given.data, metadata=metadata):
            show(value)
    except RpcError as error:
        return Outcome(error.payload)
    except RequestTimeout as error:
        return Outcome({"message": f"no response within {given.timeout:g} s (--timeout)", "code": error.code})
    except TransportError as error:
        return Outcome({"message": str(error), "code": error.code})
    return Outcome(None)


def _fail(message: str) -> int:
    sys.stderr.write(json.dumps({"message": message, "code": Unreachable.code}) + "\n")
    return 1


def _address(text: str) -> tuple[str, int] | str:
    """Read where to connect: an address, or the name of a service, which is looked up later."""
    if _NAME.fullmatch(text):
        return text
    scheme, slashes, rest = text.partition("://")
    if slashes:
        raise ValueError(f'expected HOST:PORT without {scheme}://, such as {rest.partition("/")[0]}, got "{text}"')
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f'expected HOST:PORT such as 127.0.0.1:3001, or the name of a service, got "{text}"')
    return host.strip("[]"), int(port)


def _found(place: tuple[str, int] | str) -> tuple[str, int]:
    """Find a service by its name in what `tcpservice up` runs. Raises LookupError, with words for people."""
    if not isinstance(place, str):
        return place
    running = registry.runs()
    found = registry.find(place, running)
    if not found:
        known = sorted({key.partition("/")[2] for run in running for key in run.ports})
        there = f"it runs {', '.join(known)}" if known else "none is running, start one with: tcpservice up -f FOLDER"
        raise LookupError(f'no service "{place}" in a running `tcpservice up` ({there}); or give HOST:PORT')
    if len(found) > 1:
        places = ", ".join(f"{key} at 127.0.0.1:{run.ports[key]} (process {run.pid})" for run, key in found)
        raise LookupError(f'there are several services "{place}", so give one of these addresses: {places}')
    run, key = found[0]
    return "127.0.0.1", run.ports[key]


def _pattern(text: str) -> object:
    """Take JSON for what it is, and any other text as a text."""
    try:
        return json.loads(text)
    except ValueError as error:
        if text.startswith(("{", "[")):
            hint = """in a shell, write JSON in single quotes, such as '{"cmd":"sum"}'"""
            raise ValueError(f"begins as JSON, but is not JSON: {error}; {hint}") from None
        return text


def _data(text: str) -> object:
    source = ""
    if text == "-":
        source, text = "stdin", sys.stdin.read()
    elif text.startswith("@"):
        source, text = text[1:], _content(Path(text[1:]))
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        quoted = f"; for the text {text}, write '\"{text}\"'" if _WORDS.fullmatch(text) else ""
        raise ValueError(f"{source and f'{source} is '}not JSON: {error}{quoted}") from None


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ValueError(f'there is no file "{path}"') from None


def _no_constant(name: str) -> object:
    raise ValueError(f"there is no {name} in it")


def _seconds(text: str) -> float:
    try:
        nanoseconds = parse_duration(text)
    except ValueError:
        raise ValueError(f'expected a duration such as 5s or 250ms, got "{text}"') from None
    if nanoseconds == 0:
        raise ValueError("expected a time above 0s")
    return nanoseconds / 1e9


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f'expected KEY=VALUE, got "{text}"')
    return key, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f'expected a whole number above 0, got "{text}"')
    return int(text)
