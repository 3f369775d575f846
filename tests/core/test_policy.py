"""Which rules hold for a message."""

from __future__ import annotations

import pytest

from tcpservice.pattern import PatternTooDeep
from tcpservice.policy import LONGEST_KNOWN, MAX_KNOWN, Policies
from tcpservice.snapshot import MatchType, Retry, Route, Service, Timeouts


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
    assert found.find(b'"orders.list"').timeouts.request == 7
    assert found.find(b'"else"').timeouts.request == 5
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
