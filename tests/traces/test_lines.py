"""Traces as people see them: columns that line up, words for what went wrong, nothing too wide, nothing obeyed."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tcpservice_traces import Span, plain, render, styled, summary_of
from tcpservice_traces.lines import COLOURS
from tcpservice_traces.screen import STYLES
from traces.made import CREATE, PRICE, RESERVE, TRACE, lost, span, to, trace, tried_again, usual

if TYPE_CHECKING:
    from tcpservice_traces import Line, Trace


def text(shown: Trace, width: int) -> str:
    return "\n".join(plain(line) for line in render(shown, width))


USUAL_100 = """\
trace 4bf92f35  web → orders  12.4 ms  1 error  4 services  7 spans
web-1              {"cmd":"create"}   ███████████████████████████████████████  12.4 ms
└─ orders-2        {"cmd":"create"}     ██████████████████████████████████▉    11.0 ms
   ├─ stock-1      {"cmd":"reserve"}     ━███████████▊╸                        3.70 ms
   │  └─ prices-1  {"cmd":"price"}           ╺████╸                            1.20 ms  wire 0.30 ms
   └─ → prices-2   {"cmd":"price"}                      ▕██▊                   0.90 ms  timeout"""

USUAL_60 = """\
trace 4bf92f35  web → orders  12.4 ms  1 error  4 services
web-1          …create"} ██████████████ 12.4 ms
└ orders-2     …create"} ▕████████████▎ 11.0 ms
  ├ stock-1    …eserve"}  ▐███▊         3.70 ms
  │ └ prices-1 …"price"}   ▕█▍          1.20 ms wire 0.30 ms
  └ → prices-2 …"price"}       ▕▉       0.90 ms timeout"""

USUAL_40 = """\
trace 4bf92f35  web → orders  12.4 ms  …
web-1 {"cmd"… █████████ 12.4 ms
└ orders-2 {… ▐███████▌ 11.0 ms
  ├ stock-1 … ▕██▊      3.70 ms
  │ └ prices…  ▕▉       1.20 ms
  └ → prices…     █▏    0.90 ms timeout"""

TRIED_AGAIN = """\
trace 4bf92f35  orders → stock  30.0 ms  2 errors  2 services  4 spans
orders-1         {"cmd":"create"}   █████████████████████████  30.0 ms
└─ → stock       {"cmd":"reserve"}      ███████████████████▍   23.0 ms  2 failed attempts
   ├─ stock-2    {"cmd":"reserve"}      ██▊                    2.80 ms  connection_closed
   ├─ ✗ stock-3                            ✗                            connection refused
   └─ stock-1    {"cmd":"reserve"}           ██████████████    16.6 ms"""


@pytest.mark.parametrize(("width", "expected"), [(100, USUAL_100), (60, USUAL_60), (40, USUAL_40)])
def test_a_usual_trace(width: int, expected: str) -> None:
    assert text(usual(), width) == expected


def test_a_message_that_was_tried_again() -> None:
    assert text(tried_again(), 90) == TRIED_AGAIN


def last(shown: Trace) -> str:
    return plain(render(shown, 120)[-1])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ""),
        ({"error": "timeout"}, "timeout"),
        ({"failed": (lost("a", 1), lost("b", 2)), "error": "no_endpoints"}, "no_endpoints, 2 failed attempts"),
        ({"attributes": {"tcpservice.kept": "slow"}}, "slow"),
        ({"attributes": {"tcpservice.kept": "error"}}, ""),
        ({"attributes": {"tcpservice.message": "event"}}, "event"),
        ({"attributes": {"tcpservice.responses": 4}}, "4 responses"),
        ({"attributes": {"tcpservice.responses": 1}}, ""),
    ],
)
def test_what_is_unusual_is_noted(more: dict[str, object], expected: str) -> None:
    line = plain(render(trace(span("web-1", "client", CREATE, (0, 5), **more)), 120)[1])
    assert line.partition("5.00 ms")[2].strip() == expected


def test_what_a_call_has_noted_is_not_repeated_by_its_replica() -> None:
    event = {"tcpservice.message": "event"}
    client = span("web-1", "client", "created", (0, 1), attributes={**to("mail-1"), **event})
    shown = trace(client, span("mail-1", "server", "created", (1, 5), above=client, attributes=event))
    assert text(shown, 120).count("event") == 1


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (span("web-1", "client", CREATE, (0, 1)), "web-1 →"),
        (span("web-1", "client", CREATE, (0, 1), attributes=to("orders-1")), "web-1 → orders-1"),
        (
            span("web-1", "client", CREATE, (0, 1), attributes={"tcpservice.service": "shop/orders"}),
            "web-1 → orders",
        ),
        (span("web-1", "client", "GET", (0, 1), attributes={"server.address": "db"}), "web-1 → db"),
        (span("web-1", "client", "GET", (0, 1), attributes={"peer.service": "db"}), "web-1 → db"),
        (span("", "server", CREATE, (0, 1), service="orders"), "orders"),
        (span("ddf03c5e-bdce-4837-8439-c041b8e86735", "server", "x", (0, 1), service="web"), "web ddf03c5e"),
    ],
)
def test_who(one: Span, expected: str) -> None:
    assert plain(render(trace(one), 120)[1]).partition(f"  {one.name}")[0] == expected


def test_work_inside_a_replica_does_not_repeat_its_name() -> None:
    top = span("orders-1", "server", CREATE, (0, 5))
    assert last(trace(top, span("orders-1", "internal", "save", (1, 2), above=top))).startswith("└─ ·      save  ")


def test_the_first_line_says_what_had_no_room() -> None:
    shown = trace(span("web-1", "client", CREATE, (0, 5), error="timeout"), dropped=3)
    assert (
        plain(render(shown, 120)[0]) == "trace 4bf92f35  web  5.00 ms  timeout  1 service  1 span  3 more had no room"
    )


def test_a_span_without_length_still_has_a_bar() -> None:
    assert "▏" in text(trace(span("web-1", "client", CREATE, (0, 0))), 80)


def test_the_deepest_rows_keep_their_names() -> None:
    chain = [span("a-1", "server", "x", (0, 1))]
    for number in range(40):
        chain.append(span(f"{'ab'[number % 2]}-{number}", "server", "x", (0, 1), above=chain[-1]))
    assert "⋯" in last(trace(*chain))
    assert "b-39" in last(trace(*chain))


def test_services_have_colours_in_the_order_of_the_tree_and_failures_are_red() -> None:
    lines = render(usual(), 100)
    assert [_styles(line, "█") for line in lines[1:]] == ["service.0", "service.1", "service.2", "service.3", "error"]
    assert {segment.style for line in lines for segment in line} <= {"", *STYLES}
    assert {f"service.{number}" for number in range(COLOURS)} <= STYLES.keys()


def _styles(line: Line, sign: str) -> str:
    return next(segment.style for segment in line if sign in segment.text)


def test_rich_shows_what_plain_text_does() -> None:
    lines = render(usual(), 100)
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        for line in lines:
            console.print(styled(line))
    assert captured.get() == "".join(f"{plain(line)}\n" for line in lines)


def test_a_summary_has_the_figures_of_a_list() -> None:
    summary = summary_of(usual())
    assert (summary.journey, summary.route, summary.error, summary.errors) == ("web → orders", CREATE, "", 1)
    assert (summary.services, summary.spans, summary.duration_ns) == (4, 7, 12_400_000)


def test_a_summary_names_the_called_service_where_it_told_nothing() -> None:
    one = span("web-1", "client", CREATE, (0, 1), attributes={"tcpservice.service": "shop/orders"})
    assert summary_of(trace(one)).journey == "web → orders"
    assert summary_of(trace(span("web-1", "internal", "x", (0, 1)))).journey == "web"


wild = st.text(max_size=30)
spans = st.builds(
    Span,
    trace_id=st.just(TRACE),
    span_id=st.integers(0, 12).map("{:016x}".format),
    parent_id=st.integers(0, 15).map("{:016x}".format),
    name=wild | st.sampled_from([CREATE, RESERVE, PRICE]),
    kind=st.sampled_from(["client", "server", "internal"]),
    service=wild,
    replica=wild,
    start_ns=st.integers(0, 2**64 - 1),
    end_ns=st.just(2**64 - 1),
    error=st.just("") | wild,
    attributes=st.dictionaries(
        st.sampled_from(["tcpservice.endpoint", "tcpservice.service", "server.address", "rpc.method_original"]), wild
    ),
    failed=st.lists(st.builds(lost, wild, st.integers(0, 9), wild), max_size=2).map(tuple),
)
traces = st.lists(spans, min_size=1, max_size=13, unique_by=lambda each: each.span_id).map(lambda all_: trace(*all_))


@given(traces, st.integers(1, 160))
def test_no_line_is_wider_than_the_terminal_and_none_holds_what_it_obeys(shown: Trace, width: int) -> None:
    for line in render(shown, width):
        assert cell_len(plain(line)) <= width
        assert not [each for each in plain(line) if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@given(traces, st.integers(56, 160))
def test_times_stand_in_one_column_whatever_the_names_are(shown: Trace, width: int) -> None:
    ends = set()
    for line in render(shown, width)[1:]:
        styles = [segment.style for segment in line]
        if "duration" in styles:
            ends.add(cell_len(plain(line[: styles.index("duration") + 1])))
    assert len(ends) == 1
