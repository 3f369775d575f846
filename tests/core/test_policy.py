"""Which rules hold for a message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tcpservice.pattern import LONGEST_READ, Dialect, PatternTooDeep, exact_route
from tcpservice.policy import LONGEST_KNOWN, MAX_KNOWN, Policies
from tcpservice.snapshot import MatchType, Retry, Route, Service, Timeouts

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "pattern_vectors.json").read_text())


def policies() -> Policies:
    routes = (
        Route(name="short", match=MatchType.PREFIX, pattern="order"),
        Route(name="long", match=MatchType.PREFIX, pattern="orders."),
        Route(name="sum", match=MatchType.EXACT, pattern='{"cmd":"sum"}', idempotent=True, retry=Retry(attempts=9)),
        Route(name="exact", match=MatchType.EXACT, pattern="orders.list", timeouts=Timeouts(request=7)),
    )
    return Policies(Service(namespace="shop", name="orders", port=3000, routes=routes, timeouts=Timeouts(request=5)))


@pytest.mark.parametrize(
    ("pattern", "route"),
    [
        (b'"orders.list"', "exact"),
        (b'"orders.find"', "long"),
        (b'"ordered"', "short"),
        (b'{"cmd":"sum"}', "sum"),
        (b'{ "cmd" : "sum" }', "sum"),
        (b'"{\\"cmd\\":\\"sum\\"}"', "sum"),
        (b'"other"', None),
        (b"true", None),
        (b"", None),
    ],
)
def test_the_most_specific_route_wins(pattern: bytes, route: str | None) -> None:
    assert policies().find(pattern).route == route


def test_a_route_brings_its_own_values_and_others_have_the_services() -> None:
    found = policies()
    assert found.find(b'{"cmd":"sum"}').retry.attempts == 9
    assert found.find(b'{"cmd":"sum"}').idempotent
    assert found.find(b'"orders.list"').request_timeout == 7
    assert found.find(b'"else"').request_timeout == 5
    assert not found.find(b'"else"').idempotent


def test_what_is_remembered_is_bounded() -> None:
    found = policies()
    for number in range(MAX_KNOWN + 10):
        found.find(b'"p%d"' % number)
        found.find(b'"p%d"' % number)
    assert len(found.known) == 10
    found.find(b'"' + b"x" * LONGEST_KNOWN + b'"')
    found.find(b"")
    assert len(found.known) == 10


def test_a_pattern_nested_too_deeply_is_refused_and_not_remembered() -> None:
    found = policies()
    with pytest.raises(PatternTooDeep):
        found.find(b'"' + b"[" * 300 + b"]" * 300 + b'"')
    assert not found.known


def policies_of(*patterns: str) -> Policies:
    """Make the rules of exact patterns as a manifest has them; each is the name of its route."""
    routes = tuple(
        Route(name=pattern, match=MatchType.EXACT, pattern=exact_route(pattern) or "") for pattern in patterns
    )
    return Policies(Service(namespace="shop", name="orders", port=3000, routes=routes))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: json.dumps(vector["pattern"])[:40])
@pytest.mark.parametrize("dialect", Dialect)
def test_a_listed_pattern_is_found_in_the_dialect_of_the_app(vector: dict[str, Any], dialect: Dialect) -> None:
    pattern = vector["pattern"]
    text = pattern if isinstance(pattern, str) else json.dumps(pattern)
    looked_up = vector[f"lookup_v{dialect.value}"]
    listed = isinstance(looked_up, str)
    if dialect is Dialect.V10 and vector["lookup_v12"] != looked_up and "[" in vector["lookup_v12"]:
        listed = False  # what the newer dialect cuts short cannot be listed for the older
    found = policies_of(text).find(json.dumps(pattern).encode(), dialect)
    assert found.route == (text if listed else None)


def test_a_pattern_is_another_handlers_where_nothing_is_escaped() -> None:
    found = policies_of('{"cmd":"delete","role":"admin"}')
    smuggled = rb'{"cmd":"delete\",\"role\":\"admin"}'
    assert found.find(smuggled, Dialect.V10).route is not None
    assert found.find(smuggled).route is None
    assert found.find(smuggled, Dialect.V12).route is None


def test_a_pattern_that_is_too_long_to_be_read_has_the_services_own_rules() -> None:
    assert policies().find(b'"orders.%b"' % (b"x" * LONGEST_READ)).route is None


def test_what_is_remembered_of_each_dialect_is_bounded() -> None:
    found = policies()
    for number in range(MAX_KNOWN + 10):
        found.find(b'"p%d"' % number, Dialect.V10)
    assert len(found.known_v10) == 10
    assert not found.known
