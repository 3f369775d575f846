"""Flags and their environment: what is taken, and one clear line for what is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from interop.processes import Child
from interop.sidecar import Sidecar
from shell.running import logged
from tcpservice import implementation
from tcpservice.exchange import Bounds
from tcpservice_flags import Address, SettingsError, parse_address
from tcpservice_sidecar.addresses import Named, Upstream
from tcpservice_sidecar.settings import read_settings

COMMAND = str(Path(sys.executable).with_name("tcpservice-sidecar"))
UPSTREAM = ["--upstream", "orders=127.0.0.1:3001"]
LISTEN = ["--listen", "orders=127.0.0.1:0"]


def test_flags_and_environment_say_the_same() -> None:
    arguments = ["--upstream", "a=h:1,[::1]:2", "--upstream", "shop/b=h:3", "--listen", "a=127.0.0.1:0"]
    arguments += ["--front", "a=0.0.0.0:3301"]
    arguments += ["--mesh", "0.0.0.0:3101", "--app", "a=localhost:3001", "--admin", "[::]:9901", "--log-format", "json"]
    arguments += ["--probe-after", "1m30s", "--request-bytes", "64Mi", "--downstream-requests", "7"]
    environment = {
        "TCPSERVICE_UPSTREAM": "a=h:1,[::1]:2 shop/b=h:3",
        "TCPSERVICE_LISTEN": "a=127.0.0.1:0",
        "TCPSERVICE_FRONT": "a=0.0.0.0:3301",
        "TCPSERVICE_MESH": "0.0.0.0:3101",
        "TCPSERVICE_APP": "a=localhost:3001",
        "TCPSERVICE_ADMIN": "[::]:9901",
        "TCPSERVICE_LOG_FORMAT": "json",
        "TCPSERVICE_PROBE_AFTER": "1m30s",
        "TCPSERVICE_REQUEST_BYTES": "64Mi",
        "TCPSERVICE_DOWNSTREAM_REQUESTS": "7",
        "OTHER": "--bad",
    }
    settings = read_settings(arguments, {})
    assert settings == read_settings([], environment)
    assert settings.upstreams[0] == Upstream("a", (Address("h", 1), Address("::1", 2)))
    assert settings.apps == (Named("a", Address("localhost", 3001)),)
    given = {"probe_after": 90 * 10**9, "request_bytes": 64 << 20, "downstream_requests": 7}
    assert settings.bounds == replace(Bounds.for_memory(settings.memory), **given)


def test_a_flag_wins_over_the_environment() -> None:
    settings = read_settings([*UPSTREAM, *LISTEN, "--stall", "2s"], {"TCPSERVICE_STALL": "1s"})
    assert settings.bounds.stall == 2 * 10**9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either --file PATH (manifests) or --upstream"),
        ([*UPSTREAM, "--file", "a.yaml", *LISTEN], "give either --file PATH (manifests) or --upstream"),
        (UPSTREAM, "nothing to do: give --listen"),
        ([*UPSTREAM, "--mesh", "0.0.0.0:1"], "--mesh HOST:PORT and --app NAME=HOST:PORT need each other"),
        ([*UPSTREAM, *LISTEN, "--app", "a=h:1"], "--mesh HOST:PORT and --app NAME=HOST:PORT need each other"),
        ([*UPSTREAM, *UPSTREAM, *LISTEN], "--upstream: the name orders is given twice"),
        (["--upstream", "a=h:1,h:1", *LISTEN], "--upstream: the address h:1 is given twice"),
        ([*UPSTREAM, "--listen", "a=h:5", "--admin", "h:5"], "--admin: the address h:5 is already given to --listen"),
        ([*UPSTREAM, "--listen", "orders=3001"], '--listen: expected HOST:PORT such as 127.0.0.1:3001, got "3001"'),
        ([*UPSTREAM, "--listen", "127.0.0.1:1"], "--listen: expected NAME=HOST:PORT such as orders=127.0.0.1:3001"),
        ([*UPSTREAM, "--listen", "Or ders=h:1"], "--listen: expected NAME=HOST:PORT such as orders=127.0.0.1:3001"),
        (["--upstream", "orders=h:0", *LISTEN], "--upstream: expected a port from 1 to 65535, got 0"),
        ([*UPSTREAM, *LISTEN, "--admin", "h:65536"], "--admin: expected a port from 0 to 65535, got 65536"),
        ([*UPSTREAM, *LISTEN, "--stall", "5"], "--stall: expected a duration such as 250ms, got '5'"),
        ([*UPSTREAM, *LISTEN, "--request-bytes", "much"], "--request-bytes: expected a"),
        (
            [*UPSTREAM, *LISTEN, "--downstream-requests", "0"],
            '--downstream-requests: expected a whole number above 0, got "0"',
        ),
        ([*UPSTREAM, *LISTEN, "--pending", "9" * 20], "--pending: expected at most 1000000000, got 9999"),
        ([*UPSTREAM, *LISTEN, "--pending", "\u00b2"], '--pending: expected a whole number above 0, got "\u00b2"'),
        ([*UPSTREAM, *LISTEN, "--log-format", "xml"], "--log-format: expected auto, human or json, got 'xml'"),
        (["--upstream", "a=b..c:1", *LISTEN], '--upstream: "b..c" is not a host name'),
        (["--upstream", f"a={'b' * 64}:1", *LISTEN], "is not a host name: between dots, 1 to 63 characters"),
        ([*UPSTREAM, *LISTEN, "--colour"], "unrecognized arguments: --colour"),
        ([*UPSTREAM, *LISTEN, "--admin"], "--admin: expected one argument"),
    ],
)
def test_what_is_wrong_names_the_flag_and_what_is_expected(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(arguments, {})
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


IN_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--stall", "5"], {}, "--stall: expected a duration such as 250ms, got '5'; the default holds"),
        ([], {"TCPSERVICE_REQUEST_BYTES": "much"}, "--request-bytes: expected a size such as 4Mi, got 'much'"),
        (["--log-format=xml"], {}, "--log-format: expected auto, human or json, got 'xml'"),
        (["--memory=none"], {}, "--memory: expected a size"),
        (["--grace=long"], {}, "--grace: expected a duration"),
        (["--resolve-every=often"], {}, "--resolve-every: expected a duration"),
        (["--of-a-newer-version=x"], {}, "--of-a-newer-version=x: this version of the sidecar does not know it"),
        ([], {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL: expected grpc or http/protob"),
        ([], {"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "OTEL_EXPORTER_OTLP_TIMEOUT: expected a number of seconds, got '1"),
    ],
)
def test_in_a_pod_what_is_not_essential_has_its_default(
    arguments: list[str], variables: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError):
        read_settings([*UPSTREAM, *LISTEN, *arguments], variables)
    settings = read_settings([*UPSTREAM, *LISTEN, *arguments], variables | IN_POD)
    (ignored,) = settings.ignored
    assert ignored.startswith(words)
    wrong = tuple(name for name in variables if name.startswith("OTEL_"))
    plain = read_settings([*UPSTREAM, *LISTEN], IN_POD)
    assert settings == replace(plain, ignored=(ignored,), telemetry=replace(plain.telemetry, ignored=wrong))


@pytest.mark.parametrize("arguments", [["--listen", "a"], ["--admin", "h:65536"], ["--listen", "a=b..c:1"]])
def test_in_a_pod_what_is_essential_is_refused_all_the_same(arguments: list[str]) -> None:
    with pytest.raises(SettingsError):
        read_settings([*UPSTREAM, *arguments], IN_POD)


def test_a_pod_may_have_any_time_to_end() -> None:
    assert read_settings([*UPSTREAM, *LISTEN, "--grace=604800s"], {}).grace == 604_800 * 10**9
    assert read_settings([*UPSTREAM, *LISTEN, "--grace=9223372036s"], {}).grace == 9_223_372_036 * 10**9


def test_a_sidecar_in_a_pod_starts_and_says_what_it_ignored() -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}
    with Sidecar(*UPSTREAM, *LISTEN, "--stall=5", env=variables | IN_POD) as sidecar:
        told = [event["message"] for event in logged(sidecar, "setting_ignored", 2)]
        assert [line.partition(":")[0] for line in told] == ["--stall", "OTEL_EXPORTER_OTLP_TIMEOUT"]


@pytest.mark.parametrize("text", ["h:1", "10.0.0.1:80", "[::1]:80", "a-b.c_d.svc:1"])
def test_addresses_are_written_as_they_are_typed(text: str) -> None:
    assert str(parse_address(text)) == text


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        read_settings([flag], {})
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith(
        "usage: tcpservice-sidecar" if flag == "--help" else "tcpservice-sidecar "
    )


@pytest.mark.parametrize(
    ("choice", "words"), [("fast", "expected auto, compiled or python, got 'fast'"), ("compiled", "was not built")]
)
def test_an_implementation_that_cannot_be_had(choice: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "running", lambda: "python")
    with pytest.raises(SettingsError, match=f"TCPSERVICE_IMPL: .*{words}"):
        read_settings([*UPSTREAM, *LISTEN], {"TCPSERVICE_IMPL": choice})


@pytest.mark.parametrize("choice", ["python", implementation.running()])
def test_the_version_says_which_implementation_runs(choice: str) -> None:
    child = Child([COMMAND, "--version"], env={"TCPSERVICE_IMPL": choice}).start()
    line = child.line()
    assert child.wait() == 0
    child.stop()
    assert line.endswith(f"({choice})")


def test_each_bound_is_explained_with_its_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        read_settings(["--help"], {})
    words = capsys.readouterr().out
    for default in ("10000", "by --memory", "10s", "30s", "1Mi", "5s"):
        assert f"(default {default})" in words


def test_the_command_says_it_in_one_line_and_exits_with_2() -> None:
    child = Child([COMMAND, "--listen", "a"]).start()
    assert child.wait() == 2
    child.stop()
    assert child.stderr.splitlines() == [
        'tcpservice-sidecar: --listen: expected NAME=HOST:PORT such as orders=127.0.0.1:3001, got "a" '
        "(see tcpservice-sidecar --help)"
    ]
