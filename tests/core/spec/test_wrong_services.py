from __future__ import annotations

from collections.abc import Mapping

import pytest

from core.spec.wrong import FIELDS, HEADS, LATER, ROUTE, ROUTES, SERVICE
from tcpservice.spec import read


def table(prefix: str, cases: Mapping[str, tuple[str, ...]]) -> list[object]:
    return [pytest.param(prefix + text, lines, id=name) for name, (text, *lines) in cases.items()]


def lines_of(text: str) -> list[str]:
    reading = read([("orders.yaml", text)])
    assert reading.snapshot is None
    return [str(problem) for problem in reading.problems]


@pytest.mark.parametrize(
    ("text", "lines"),
    [*table(SERVICE, FIELDS), *table(SERVICE + ROUTE, ROUTES), *table(SERVICE, LATER)],
)
def test_one_service(text: str, lines: list[str]) -> None:
    expected = [f"orders.yaml:{line.replace(': ', ': TcpService shop/orders: ', 1)}" for line in lines]
    assert sorted(lines_of(text)) == sorted(expected)


@pytest.mark.parametrize(("text", "lines"), table("", HEADS))
def test_what_a_document_is(text: str, lines: list[str]) -> None:
    assert lines_of(text) == [f"orders.yaml:{line}" for line in lines]


def test_a_pattern_too_deep_for_a_message() -> None:
    deep = "[" * 300 + "]" * 300
    (line,) = lines_of(f"{SERVICE}{ROUTE}  - {{name: deep, match: {{type: Exact, pattern: '{deep}'}}}}")
    assert line.startswith(
        "orders.yaml:9: TcpService shop/orders: spec.routes[1].match.pattern: "
        'expected a pattern that a message handler can have, got "[[['
    )
    assert line.endswith("[...")


def test_a_long_value_is_shown_cut() -> None:
    (line,) = lines_of(SERVICE + "  timeouts: [" + "long, " * 100 + "]")
    shown = '["long"' + ',"long"' * 10
    assert line == f"orders.yaml:6: TcpService shop/orders: spec.timeouts: expected a mapping, got {shown}..."
