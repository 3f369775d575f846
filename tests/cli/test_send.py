"""`tcpservice send`, as people type it, to a server and through a sidecar."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from interop.sidecar import Sidecar
from tcpservice_transport import Context, RpcError, Server
from transport.loop import Loop

COMMAND = str(Path(sys.executable).with_name("tcpservice"))


def server_of(events: list[object]) -> Server:
    server = Server(port=0)

    @server.message_pattern({"cmd": "sum"})
    async def add(data: object, _: Context) -> object:
        assert isinstance(data, list)
        return sum(data)

    @server.message_pattern("count")
    async def count(data: object, _: Context) -> AsyncIterator[object]:
        assert isinstance(data, int)
        for number in range(data):
            yield {"number": number, "text": "é"}

    @server.message_pattern("fail")
    async def fail(_: object, __: Context) -> object:
        raise RpcError({"message": "no", "code": "own"})

    @server.message_pattern("hang")
    async def hang(_: object, __: Context) -> object:
        await asyncio.sleep(60)
        return None

    @server.message_pattern("meta")
    async def meta(_: object, context: Context) -> object:
        return context.metadata

    @server.event_pattern("created")
    async def hear(data: object, _: Context) -> None:
        events.append(data)

    return server


@pytest.fixture(scope="module")
def events() -> list[object]:
    return []


@pytest.fixture(scope="module")
def port(events: list[object]) -> Iterator[int]:
    loop, server = Loop(), server_of(events)
    loop.run(server.start())
    yield server.port
    loop.run(server.close(grace=0))
    loop.close()


def send(*arguments: str, text: str = "", **variables: str) -> tuple[int, list[str], list[str]]:
    done = subprocess.run(
        [COMMAND, "send", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env=variables,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.mark.parametrize("pattern", ['{"cmd":"sum"}', '{ "cmd": "sum" }'])
def test_a_response_is_a_line(port: int, pattern: str) -> None:
    assert send(f"127.0.0.1:{port}", pattern, "[1, 2, 3]") == (0, ["6"], [])


def test_through_a_sidecar(port: int) -> None:
    with Sidecar("--upstream", f"orders=127.0.0.1:{port}", "--listen", "orders=127.0.0.1:0") as sidecar:
        assert send(f"localhost:{sidecar.ports['orders']}", '{"cmd":"sum"}', "[4]") == (0, ["4"], [])


def test_a_stream_is_a_line_for_each_response(port: int) -> None:
    status, lines, _ = send(f"127.0.0.1:{port}", "count", "3")
    assert status == 0
    assert lines == [f'{{"number": {number}, "text": "é"}}' for number in range(3)]


def test_a_request_without_a_value_says_so(port: int) -> None:
    status, lines, (note,) = send(f"127.0.0.1:{port}", "count", "0")
    assert (status, lines) == (0, [])
    assert note.startswith("no value: the stream is empty, or only an event handler has this pattern")


def test_data_comes_from_stdin_and_files(port: int, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text("[5, 6]")
    assert send(f"127.0.0.1:{port}", '{"cmd":"sum"}', "-", text="[5, 5]") == (0, ["10"], [])
    assert send(f"127.0.0.1:{port}", '{"cmd":"sum"}', f"@{path}") == (0, ["11"], [])


def test_an_error_goes_to_stderr(port: int) -> None:
    status, lines, errors = send(f"127.0.0.1:{port}", "fail")
    assert (status, lines) == (1, [])
    assert [json.loads(line) for line in errors] == [{"message": "no", "code": "own"}]


def test_no_handler(port: int) -> None:
    status, _, errors = send(f"127.0.0.1:{port}", "nobody")
    assert status == 1
    assert "no matching message handler" in errors[0]


def test_an_event_is_not_answered(port: int, events: list[object]) -> None:
    events.clear()
    assert send(f"127.0.0.1:{port}", "created", '{"id": 7}', "--event") == (0, [], [])
    assert send(f"127.0.0.1:{port}", '{"cmd":"sum"}', "[]")[0] == 0
    assert events == [{"id": 7}]


def test_metadata(port: int) -> None:
    status, lines, _ = send(f"127.0.0.1:{port}", "meta", "--metadata", "a=b", "--metadata", "c=d=e")
    assert (status, json.loads(lines[0])) == (0, {"a": "b", "c": "d=e"})


@pytest.mark.parametrize("variables", [{}, {"TCPSERVICE_TIMEOUT": "200ms"}])
def test_a_response_that_does_not_come(port: int, variables: dict[str, str]) -> None:
    flags = [] if variables else ["--timeout", "200ms"]
    status, _, errors = send(f"127.0.0.1:{port}", "hang", *flags, **variables)
    assert status == 1
    assert json.loads(errors[0]) == {"message": "no response within 0.2 s (--timeout)", "code": "timeout"}


def test_repeating_says_how_long_it_took(port: int) -> None:
    status, lines, errors = send(f"127.0.0.1:{port}", '{"cmd":"sum"}', "[1]", "--repeat", "200", "--concurrency", "10")
    assert (status, errors) == (0, [])
    assert re.fullmatch(r"200 messages in \d+\.\d\d s, \d+ a second", lines[0])
    assert re.fullmatch(r"p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms, slowest [\d.]+ ms", lines[1])
    assert lines[2] == "failed: 0"


def test_repeating_counts_failures_by_code(port: int) -> None:
    status, lines, _ = send(f"127.0.0.1:{port}", "fail", "--repeat", "20", "--concurrency", "40")
    assert (status, lines[2]) == (1, "failed: 20 own")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["3001", "a"], 'expected HOST:PORT such as 127.0.0.1:3001, or the name of a service, got "3001"'),
        (["h:0", "a"], "HOST:PORT|NAME: expected HOST:PORT"),
        (
            ["h:1", "a", "text"],
            "DATA: not JSON: Expecting value: line 1 column 1 (char 0); for the text text, write '\"text\"'",
        ),
        (["h:1", "a", "NaN"], "DATA: not JSON: there is no NaN in it"),
        (["h:1", '{"cmd":"sum"'], "PATTERN: begins as JSON, but is not JSON: "),
        (["h:1", "a", "@/none.json"], 'DATA: there is no file "/none.json"'),
        (["h:1", "a", "1", "--timeout", "5"], '--timeout: expected a duration such as 5s or 250ms, got "5"'),
        (["h:1", "a", "1", "--timeout", "0s"], "--timeout: expected a time above 0s"),
        (["h:1", "a", "1", "--metadata", "a"], '--metadata: expected KEY=VALUE, got "a"'),
        (["h:1", "a", "1", "--repeat", "0"], '--repeat: expected a whole number above 0, got "0"'),
        (["h:1"], "tcpservice send: give PATTERN (see tcpservice send --help)"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], words: str) -> None:
    status, lines, errors = send(*arguments)
    assert (status, lines, len(errors)) == (2, [], 1)
    assert words in errors[0]


def test_a_name_that_nothing_has() -> None:
    status, lines, (error,) = send("no-such/service", "a")
    assert (status, lines) == (1, [])
    assert json.loads(error)["message"].startswith('no service "no-such/service" in a running `tcpservice up` (')


def test_nobody_there() -> None:
    status, _, errors = send("127.0.0.1:1", "a")
    assert status == 1
    assert json.loads(errors[0])["message"] == "cannot connect to 127.0.0.1:1 (Connection refused)"
