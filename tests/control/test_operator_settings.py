"""The operator's flags: read with units, from the line or the environment, and refused in one line."""

from __future__ import annotations

import pytest

from tcpservice_flags import Address, SettingsError
from tcpservice_operator.operator_settings import Role, read_settings


def test_defaults_are_those_of_a_cluster() -> None:
    settings = read_settings(["--identity", "me"], {})
    assert (settings.namespace, settings.identity, settings.audience) == ("tcpservice-system", "me", "tcpservice.dev")
    assert settings.roles == set(Role)
    assert read_settings(["--roles", "ca, webhook"], {}).roles == {Role.CA, Role.WEBHOOK}
    assert settings.listen == Address("*", 15810)
    assert settings.health == Address("*", 15811)
    assert settings.serving_names == (
        "tcpservice-operator.tcpservice-system.svc", "tcpservice-operator.tcpservice-system.svc.cluster.local",
    )  # fmt: skip
    limits = settings.stream_limits
    assert (limits.coalesce, limits.heartbeat, limits.age) == (
        0.1,
        10.0,
        3600.0,
    )


def test_the_environment_gives_and_the_line_wins() -> None:
    variables = {"TCPSERVICE_STREAM_AGE": "30m", "TCPSERVICE_HEARTBEAT": "1s", "TCPSERVICE_SERVING_NAME": "a b"}
    settings = read_settings(["--heartbeat", "500ms", "--serving-name", "c", "--namespace", "ops"], variables)
    assert (settings.stream_limits.age, settings.stream_limits.heartbeat) == (1800.0, 0.5)
    assert settings.serving_names == (
        "tcpservice-operator.ops.svc", "tcpservice-operator.ops.svc.cluster.local", "a", "b", "c",
    )  # fmt: skip


def test_all_namespaces_are_watched_unless_some_are_named() -> None:
    assert read_settings([], {}).watched == ()
    assert read_settings(["--watch-namespaces", "shop, bank,shop"], {}).watched == ("shop", "bank")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--heartbeat", "10"], "--heartbeat: expected a duration such as 250ms, got '10'"),
        (["--heartbeat", "0s"], '--heartbeat: expected a duration above 0s, got "0s"'),
        (["--listen", "15810"], '--listen: expected HOST:PORT such as 127.0.0.1:3001, got "15810"'),
        (["--health", "[::]:70000"], "--health: expected a port from 0 to 65535, got 70000"),
        (["--streams", "0"], '--streams: expected a whole number above 0, got "0"'),
        (
            ["--roles", "ca,all"],
            '--roles: expected a comma-separated list of reconcile, webhook, discovery, ca, got "all"',
        ),
        (
            ["--watch-namespaces", "shop, Bank"],
            '--watch-namespaces: expected a comma-separated list of namespaces, got "Bank"',
        ),
        (["--stream"], "unrecognized arguments: --stream"),
        (["more"], "unrecognized arguments: more"),
    ],
)
def test_a_wrong_flag_is_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(arguments, {})
    assert str(refused.value) == words


def test_the_help_says_units_and_defaults(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # argparse breaks lines at hyphens too
    with pytest.raises(SystemExit):
        read_settings(["--help"], {})
    text = capsys.readouterr().out
    for words in ("(default tcpservice-system)", "--heartbeat TIME", "(default 10s)", "(default *:15810)"):
        assert words in text
