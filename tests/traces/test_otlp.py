"""Decoding a trace request: the same spans from both encodings, and a sentence for what is none."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tcpservice_traces import FailedAttempt, Span
from tcpservice_traces.body import Refused
from tcpservice_traces.otlp import (
    ATTEMPT_FAILED,
    JSON,
    LIMIT,
    LONGEST_TEXT,
    MOST_ATTEMPTS,
    MOST_ATTRIBUTES,
    PROTOBUF,
    accepted,
    decode,
    explained,
)
from traces.bodies import PARENT, SPAN, TRACE, USUAL, document, in_json, in_protobuf, values

if TYPE_CHECKING:
    from collections.abc import Callable


def both(written: dict[str, Any]) -> list[Span]:
    """Decode a document in both encodings; return what both say."""
    found = decode(in_json(written), JSON)
    assert decode(in_protobuf(written), PROTOBUF) == found
    assert found.left_out == 0
    return found.spans


def one(resource: dict[str, Any] | None = None, **fields: Any) -> Span:
    (found,) = both(document({**USUAL, **fields}, **(resource or {"service__name": "web"})))
    return found


def test_a_usual_span() -> None:
    assert one() == Span(
        trace_id=TRACE,
        span_id=SPAN,
        parent_id=PARENT,
        name="sum",
        kind="client",
        service="web",
        replica="",
        start_ns=1_700_000_000_000_000_001,
        end_ns=1_700_000_000_000_000_005,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": 0}, {"kind": "internal"}),
        ({"kind": 1}, {"kind": "internal"}),
        ({"kind": 2}, {"kind": "server"}),
        ({"kind": 4}, {"kind": "producer"}),
        ({"kind": 5}, {"kind": "consumer"}),
        ({"kind": 77}, {"kind": "internal"}),
        ({"traceId": TRACE.upper()}, {"trace_id": TRACE}),
        ({"parentSpanId": ""}, {"parent_id": ""}),
        ({"parentSpanId": "0" * 16}, {"parent_id": ""}),
        ({"parentSpanId": "ab"}, {"parent_id": ""}),
        ({"startTimeUnixNano": "0"}, {"start_ns": 1_700_000_000_000_000_005}),
        ({"endTimeUnixNano": "0"}, {"end_ns": 1_700_000_000_000_000_001}),
        ({"endTimeUnixNano": "7"}, {"end_ns": 1_700_000_000_000_000_001}),
        ({"startTimeUnixNano": 5, "endTimeUnixNano": 2**64 - 1}, {"start_ns": 5, "end_ns": 2**64 - 1}),
        ({"name": "注" * 1000}, {"name": "注" * (LONGEST_TEXT - 1) + "…"}),
        ({"status": {"code": 1}}, {"error": ""}),
        ({"status": {"code": 2}}, {"error": "error"}),
        ({"status": {"code": 2, "message": "no room"}}, {"error": "no room"}),
        ({"status": {"code": 2, "message": "no"}, "attributes": values(error__type="timeout")}, {"error": "timeout"}),
        ({"attributes": values(error__type="cancelled")}, {"error": "cancelled"}),
    ],
)
def test_a_field(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = one(**fields)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("resource", "service", "replica"),
    [
        ({}, "unknown_service", ""),
        ({"service__name": "web", "service__instance__id": "7"}, "web", "7"),
        ({"service__name": "web", "service__instance__id": "7", "k8s__pod__name": "web-1"}, "web", "web-1"),
        ({"service__name": 5, "k8s__pod__name": True}, "5", "True"),
    ],
)
def test_who_made_a_span(resource: dict[str, Any], service: str, replica: str) -> None:
    (found,) = both(document(USUAL, **resource))
    assert (found.service, found.replica) == (service, replica)


def test_plain_attributes_are_kept_and_others_are_not() -> None:
    attributes = values(
        text="a", number=-5, ratio=0.5, flag=False,
        many={"arrayValue": {"values": [{"stringValue": "a"}]}},
        nested={"kvlistValue": {"values": values(a=1)}},
        raw={"bytesValue": "AAAA"},
        nothing={},
    )  # fmt: skip
    assert one(attributes=attributes).attributes == {"text": "a", "number": -5, "ratio": 0.5, "flag": False}


def test_attributes_are_bounded() -> None:
    attributes = values(**{f"key{number}": "x" * 1000 for number in range(1000)})
    found = one(attributes=attributes).attributes
    assert len(found) == MOST_ATTRIBUTES
    assert {len(str(value)) for value in found.values()} == {LONGEST_TEXT}


def test_attempts_that_failed_are_taken_from_the_events() -> None:
    attempt = {
        "name": ATTEMPT_FAILED,
        "timeUnixNano": "7",
        "attributes": values(tcpservice__endpoint="orders-1", reason="Connection closed"),
    }
    events = [attempt, {"name": "exception", "timeUnixNano": "8"}, {**attempt, "attributes": []}]
    expected = (FailedAttempt("orders-1", "Connection closed", 7), FailedAttempt("", "", 7))
    assert one(events=events).failed == expected
    assert len(one(events=[attempt] * 100).failed) == MOST_ATTEMPTS


def test_spans_of_many_resources() -> None:
    first, second = document(USUAL, {**USUAL, "spanId": PARENT}, service__name="a"), document(USUAL, service__name="b")
    found = both({"resourceSpans": first["resourceSpans"] + second["resourceSpans"]})
    assert [span.service for span in found] == ["a", "a", "b"]


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": ""},
        {"traceId": "0" * 32},
        {"traceId": TRACE[:-2]},
        {"spanId": ""},
        {"spanId": "0" * 16},
        {"spanId": TRACE},
    ],
)
def test_a_span_whose_ids_are_none_is_left_out_and_the_others_are_taken(fields: dict[str, Any]) -> None:
    written = document({**USUAL, **fields}, USUAL)
    for found in (decode(in_json(written), JSON), decode(in_protobuf(written), PROTOBUF)):
        assert ([span.span_id for span in found.spans], found.left_out) == ([SPAN], 1)


@pytest.mark.parametrize("identity", [7, None, "no hexadecimal text", "4bf92f3", ["a"]])
def test_json_whose_id_is_no_hexadecimal_text_counts_as_none(identity: object) -> None:
    assert decode(in_json(document({**USUAL, "traceId": identity})), JSON) == ([], 1)


def test_json_may_have_what_later_versions_add_and_links() -> None:
    written = document({**USUAL, "later": 1, "links": [{"traceId": TRACE, "spanId": SPAN}]}, service__name="web")
    assert len(decode(in_json({**written, "later": {}}), JSON).spans) == 1


@pytest.mark.parametrize(("encoding", "pack"), [("", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_request_may_be_compressed(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert len(decode(pack(in_protobuf(document(USUAL))), PROTOBUF, encoding).spans) == 1


NOT_JSON = "the body is not an ExportTraceServiceRequest in JSON ("


@pytest.mark.parametrize(
    ("data", "content_type", "status", "message"),
    [
        (b"", "text/plain", 415, "Content-Type is to be application/x-protobuf or application/json, not 'text/plain'"),
        (b"\xff\xff", PROTOBUF, 400, "the body is not an ExportTraceServiceRequest in protobuf"),
        (b'{"resourceSpans":[]}', PROTOBUF, 400, "the body is not an ExportTraceServiceRequest in protobuf"),
        (in_protobuf(document(USUAL))[:-1], PROTOBUF, 400, "the body is not an ExportTraceServiceRequest in protobuf"),
        (b"", JSON, 400, "the body is not JSON ("),
        (b'{"resourceSpans":[', JSON, 400, "the body is not JSON ("),
        (b'"\xff"', JSON, 400, "the body is not JSON ("),
        (b"[" * 5000, JSON, 400, "the body is not JSON ("),
        (b"[]", JSON, 400, NOT_JSON + "it is no object)"),
        (b'{"resourceSpans":5}', JSON, 400, NOT_JSON),
        (b'{"resourceSpans":[5]}', JSON, 400, NOT_JSON),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":{}}]}]}', JSON, 400, NOT_JSON),
        (in_json(document({**USUAL, "startTimeUnixNano": "soon"})), JSON, 400, NOT_JSON),
        (in_json(document({**USUAL, "startTimeUnixNano": "-1"})), JSON, 400, NOT_JSON),
        (in_json(document({**USUAL, "name": 5})), JSON, 400, NOT_JSON),
        (bytes(LIMIT + 1), PROTOBUF, 413, "the body is larger than 4,194,304 bytes; export in smaller batches"),
    ],
)
def test_what_is_no_request_is_said(data: bytes, content_type: str, status: int, message: str) -> None:
    with pytest.raises(Refused) as raised:
        decode(data, content_type)
    assert (raised.value.status, str(raised.value)[: len(message)]) == (status, message)
    assert len(str(raised.value)) < 400


def test_values_that_are_nested_too_deep_are_refused() -> None:
    value: dict[str, Any] = {"stringValue": "a"}
    for _ in range(150):
        value = {"arrayValue": {"values": [value]}}
    with pytest.raises(Refused, match="not an ExportTraceServiceRequest"):
        decode(in_json(document({**USUAL, "attributes": values(deep=value)})), JSON)


def test_the_answer_to_what_was_taken() -> None:
    assert accepted(PROTOBUF) == b""
    assert accepted(JSON) == b"{}"


def test_the_answer_says_what_was_left_out() -> None:
    reason = "2 spans have no trace id of 16 bytes or no span id of 8"
    assert json.loads(accepted(JSON, 2)) == {"partialSuccess": {"rejectedSpans": "2", "errorMessage": reason}}
    partial = ExportTraceServiceResponse.FromString(accepted(PROTOBUF, 2)).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, reason)


def test_the_answer_to_what_was_refused() -> None:
    assert json.loads(explained(JSON, "no")) == {"code": 3, "message": "no"}
    assert Status.FromString(explained(PROTOBUF, "no")) == Status(code=3, message="no")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
attributes = st.dictionaries(texts, texts | st.integers(-(2**63), 2**63 - 1) | st.booleans(), max_size=4)
spans = st.fixed_dictionaries(
    {
        "traceId": st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex),
        "spanId": st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex),
    },
    optional={
        "parentSpanId": st.binary(min_size=8, max_size=8).map(bytes.hex),
        "name": texts,
        "kind": st.integers(0, 5),
        "startTimeUnixNano": st.integers(0, 2**64 - 1).map(str),
        "endTimeUnixNano": st.integers(0, 2**64 - 1).map(str),
        "attributes": attributes.map(lambda each: values(**each)),
        "status": st.fixed_dictionaries({"code": st.integers(0, 2), "message": texts}),
    },
)


@given(st.lists(spans, max_size=4), attributes)
def test_both_encodings_say_the_same(written: list[dict[str, Any]], resource: dict[str, Any]) -> None:
    found = both(document(*written, **resource))
    assert [(span.trace_id, span.span_id) for span in found] == [(s["traceId"], s["spanId"]) for s in written]
    assert all(span.start_ns <= span.end_ns for span in found)


BODIES = [in_protobuf(document(USUAL, service__name="web")), in_json(document(USUAL, service__name="web"))]


@given(
    st.binary(max_size=50) | st.sampled_from([*BODIES, *map(gzip.compress, BODIES)]),
    st.integers(0, 200),
    st.binary(max_size=3),
    st.sampled_from([PROTOBUF, JSON, "", "text/html"]),
    st.sampled_from(["", "gzip", "deflate", "br"]),
)
def test_bytes_are_decoded_or_refused(data: bytes, place: int, noise: bytes, content_type: str, encoding: str) -> None:
    try:
        found = decode(data[:place] + noise + data[place + 1 :], content_type, encoding)
    except Refused as refused:
        status, count = refused.status, 0
    else:
        status, count = 200, len(found.spans) + found.left_out
    assert status in (200, 400, 413, 415)
    assert count <= 1
