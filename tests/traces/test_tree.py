"""The rows of a trace: who hangs from whom, what is folded, and that nothing is lost or shown twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tcpservice_traces import Span
from tcpservice_traces.labels import who
from tcpservice_traces.tree import route_of, rows_of
from traces.made import CREATE, PRICE, RESERVE, TRACE, lost, span, to, tried_again, usual

if TYPE_CHECKING:
    from collections.abc import Iterable


def shown(spans: Iterable[Span]) -> list[tuple[int, str]]:
    return [(row.depth, who(row)) for row in rows_of(spans)]


def test_a_hop_is_one_row_below_the_row_of_its_caller() -> None:
    assert shown(usual().spans) == [(0, "web-1"), (1, "orders-2"), (2, "stock-1"), (3, "prices-1"), (2, "→ prices-2")]


def test_attempts_are_siblings_below_their_call_in_the_order_of_time() -> None:
    assert shown(tried_again().spans) == [
        (0, "orders-1"),
        (1, "→ stock"),
        (2, "stock-2"),
        (2, "✗ stock-3"),
        (2, "stock-1"),
    ]


def test_a_front_is_above_the_replica_that_it_chose() -> None:
    front = span("front", "server", CREATE, (0, 9))
    client = span("front", "client", CREATE, (0, 9), above=front, attributes=to("orders-1"))
    server = span("orders-1", "server", CREATE, (1, 8), above=client)
    assert shown([server, client, front]) == [(0, "front"), (1, "orders-1")]


def hop(client: dict[str, Any], server: dict[str, Any]) -> list[Span]:
    """Return a replica, its call, and the span of the replica that it called, with what is not as usual."""
    top = span("orders-1", "server", CREATE, (0, 10))
    calls = span("orders-1", "client", RESERVE, (1, 9), above=top, attributes=to("stock-1"))
    served = span("stock-1", "server", RESERVE, (2, 8), above=calls)
    return [top, replace(calls, **client), replace(served, **server)]


FOLDED = [(0, "orders-1"), (1, "stock-1")]
APART = [(0, "orders-1"), (1, "→ stock"), (2, "stock-1")]


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ({}, {}, FOLDED),
        ({"error": "timeout"}, {"error": "timeout"}, FOLDED),
        ({"error": "timeout"}, {}, APART),
        ({}, {"name": PRICE}, APART),
        ({}, {"kind": "consumer"}, APART),
        ({"kind": "producer"}, {}, APART),
        ({"failed": (lost("stock-1", 5),), "error": "no"}, {"error": "no"}, FOLDED),
        ({"failed": (lost("stock-1", 1.5),)}, {}, [*APART[:2], (2, "✗ stock-1"), (2, "stock-1")]),
        ({"error": "no"}, {"failed": (lost("app at 127.0.0.1:3001", 8),), "error": "no"}, FOLDED),
        ({"failed": (lost("stock-2", 1.5),)}, {}, [*APART[:2], (2, "✗ stock-2"), (2, "stock-1")]),
    ],
    ids=[
        "the same story", "the same error", "an error that the replica does not know", "another route",
        "a server that is none", "a client that is none", "an attempt that the replica tells of",
        "an attempt that is over before the replica's began", "an attempt at the app beside", "an attempt elsewhere",
    ],
)  # fmt: skip
def test_a_call_is_folded_where_its_replica_tells_the_same(
    client: dict[str, Any], server: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    assert shown(hop(client, server)) == expected


def test_a_replica_under_a_name_that_its_caller_does_not_know_tells_of_any_attempt() -> None:
    spans = hop({"failed": (lost("10.0.0.7:3001", 5),), "error": "no"}, {"error": "no", "replica": ""})
    assert shown(spans) == [(0, "orders-1"), (1, "stock")]


def test_a_route_that_may_not_be_a_name_counts_as_the_route() -> None:
    unnamed = {"name": "nestjs", "attributes": {"rpc.method": "_OTHER", "rpc.method_original": "created"}}
    named = {"name": "created"}
    assert shown(hop(unnamed, named)) == FOLDED
    assert [row.span.name for row in rows_of(hop(unnamed, unnamed))] == [CREATE, "nestjs"]
    assert route_of(hop(unnamed, unnamed)[1]) == "created"


def test_spans_of_unknown_parents_are_roots_in_the_order_of_time() -> None:
    late = span("b-1", "server", "late", (5, 6), parent_id="f" * 16)
    early = span("a-1", "server", "early", (1, 2), parent_id="e" * 16)
    assert shown([late, early]) == [(0, "a-1"), (0, "b-1")]


def circle(*parents: int) -> list[Span]:
    return [
        span("a-1", "internal", str(number), (number, 9), span_id=f"{number:016x}", parent_id=f"{parent:016x}")
        for number, parent in enumerate(parents)
    ]


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ((0,), [("0", 0)]),
        ((1, 0), [("0", 0), ("1", 1)]),
        ((2, 0, 1), [("0", 0), ("1", 1), ("2", 2)]),
        ((9, 2, 1), [("0", 0), ("1", 0), ("2", 1)]),
        ((1, 0, 1, 3), [("0", 0), ("1", 1), ("2", 2), ("3", 0)]),
    ],
)
def test_circles_are_cut_where_they_begin(parents: tuple[int, ...], expected: list[tuple[str, int]]) -> None:
    assert [(row.span.name, row.depth) for row in rows_of(circle(*parents))] == expected


def test_a_chain_may_be_deeper_than_the_stack() -> None:
    chain = [span("a-1", "internal", "", (0, 1))]
    for _ in range(5000):
        chain.append(span("a-1", "internal", "", (0, 1), above=chain[-1]))
    assert [row.depth for row in rows_of(reversed(chain))] == list(range(5001))


spans = st.builds(
    Span,
    trace_id=st.just(TRACE),
    span_id=st.integers(0, 12).map("{:016x}".format),
    parent_id=st.integers(0, 15).map("{:016x}".format),
    name=st.sampled_from(["a", "b"]),
    kind=st.sampled_from(["client", "server", "internal"]),
    service=st.sampled_from(["web", "orders"]),
    replica=st.sampled_from(["", "one", "two"]),
    start_ns=st.integers(0, 9),
    end_ns=st.integers(9, 20),
    error=st.sampled_from(["", "timeout"]),
    failed=st.lists(st.builds(lost, st.sampled_from(["one", "two"]), st.integers(0, 1)), max_size=2).map(tuple),
)


@given(st.lists(spans, max_size=13, unique_by=lambda each: each.span_id))
def test_every_span_is_in_exactly_one_row_and_every_row_hangs_from_the_one_above(given_spans: list[Span]) -> None:
    rows = rows_of(given_spans)
    told = [each.span_id for row in rows if row.lost is None for each in (row.span, row.caller) if each is not None]
    assert sorted(told) == sorted(each.span_id for each in given_spans)
    for before, row in zip([None, *rows], rows, strict=False):
        assert row.depth <= (before.depth + 1 if before is not None else 0)
        assert (row.above is None) == (row.depth == 0)
    path: list[Span] = []
    for row in rows:
        assert row.above is (path[row.depth - 1] if row.depth else None)
        path[row.depth :] = [row.span]
