"""Which messages leave spans, whose they are, and how the spans of two sidecars make one tree."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from core.exchange.stage import Client, Stage, Upstream, encoded, endpoints, service
from tcpservice.exchange import Bounds, Span
from tcpservice.exchange.sampling import Allowance, Sampler
from tcpservice.exchange.tracing import LONGEST_ORIGINAL, MOST_SERVED, REMEMBERED, REMEMBERED_FOR
from tcpservice.rng import Rng
from tcpservice.snapshot import MILLISECOND, SECOND, Limits, MatchType, Route, Timeouts, Tracing

ALL = Tracing(sampled_per_billion=10**9, slow_threshold=SECOND)
NONE = Tracing(sampled_per_billion=0, slow_threshold=SECOND)
OWN_ID = "9324775c755321e3d233c"
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-%s"
GIVEN_TRACE, GIVEN_SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
LISTED = (Route(name="sum", match=MatchType.EXACT, pattern="sum"),)


class Hop:
    """A caller's sidecar and a replica's, with the wire between them; the test plays the two apps."""

    def __init__(self, tracing: Tracing = ALL, *, inbound: bool = False, **values: Any) -> None:
        values.setdefault("routes", LISTED)
        self.callers = Stage(service(1, mesh=True, tracing=tracing, **values), seed=1, tracing=True)
        self.endpoints = Stage(service(0, tracing=tracing, routes=LISTED), seed=2, tracing=True)
        self.endpoints.exchange.add_app(self.endpoints.services[0], endpoints(1)[0], self.endpoints.now)
        self.callers.silent = {"r0"}
        self.client = self.callers.client(inbound=inbound)
        self._peer: Client | None = None
        self._sent = self._returned = 0

    def carry(self) -> None:
        """Carry the bytes between the sidecars until none are left."""
        link = self.callers.upstream()
        peer = self._peer = self._peer or self.endpoints.sidecar(None)
        while len(link.raw) > self._sent or len(peer.raw) > self._returned:
            data, self._sent = link.raw[self._sent :], len(link.raw)
            peer.send_bytes(data)
            data, self._returned = peer.raw[self._returned :], len(peer.raw)
            link.send_bytes(data)

    def send(self, packet: dict[str, Any]) -> dict[str, Any]:
        """Let the caller's app send a packet; return what the replica's app got."""
        self.client.send(packet)
        self.carry()
        got: dict[str, Any] = self.app.packets[-1]
        return got

    def answer(self, packet: dict[str, Any]) -> None:
        """Let the replica's app answer."""
        self.app.send(packet)
        self.carry()

    @property
    def app(self) -> Upstream:
        return self.endpoints.upstream()

    @property
    def spans(self) -> list[Span]:
        return self.callers.spans + self.endpoints.spans


def request(id_: object = OWN_ID, **more: Any) -> dict[str, Any]:
    return {"pattern": "sum", "data": 1, **more, "id": id_}


def ok(id_: object = OWN_ID) -> dict[str, Any]:
    return {"response": 2, "isDisposed": True, "id": id_}


def parent_of(packet: dict[str, Any]) -> tuple[int, int, str]:
    _, trace, span, flags = packet["metadata"]["traceparent"].split("-")
    return int(trace, 16), int(span, 16), flags


# One tree through two sidecars


def test_a_sampled_request_is_one_tree_that_the_app_can_go_on_with() -> None:
    hop = Hop()
    got = hop.send(request())
    hop.answer(ok())
    client, server = hop.spans
    assert (client.kind, client.parent, client.method, client.code, client.kept) == ("client", 0, "sum", "ok", None)
    assert (server.kind, server.parent, server.method, server.trace) == ("server", client.span, "sum", client.trace)
    assert parent_of(got) == (server.trace, server.span, "01")
    assert {key: got[key] for key in ("pattern", "data", "id")} == request()
    assert hop.client.packets == [ok()]


def test_a_sampled_event_is_one_tree() -> None:
    hop = Hop()
    hop.send({"pattern": "sum", "data": 1})
    client, server = hop.spans
    assert (client.message, server.message) == ("event", "event")
    assert server.parent == client.span


def test_a_stream_counts_its_responses() -> None:
    hop = Hop()
    hop.send(request())
    for value in range(3):
        hop.answer({"response": value, "id": OWN_ID})
    hop.answer({"isDisposed": True, "id": OWN_ID})
    assert [span.responses for span in hop.spans] == [4, 4]


def test_an_error_has_its_code_on_both_spans() -> None:
    hop = Hop()
    hop.send(request())
    hop.answer({"err": "no", "isDisposed": True, "id": OWN_ID})
    assert [span.code for span in hop.spans] == ["rpc_exception", "rpc_exception"]


def test_a_rewritten_id_is_still_one_tree() -> None:
    hop = Hop()
    hop.send(request("same"))
    hop.send(request("same"))
    for id_ in hop.app.ids:
        hop.answer(ok(id_))
    spans = hop.spans
    assert len(spans) == 4
    for server in spans[2:]:
        assert [server.trace] == [client.trace for client in spans[:2] if client.span == server.parent]
    assert hop.client.packets == [ok("same"), ok("same")]


def test_the_apps_own_parent_is_continued() -> None:
    hop = Hop(NONE)
    got = hop.send(request(metadata={"tenant": 7, "traceparent": GIVEN % "01"}))
    hop.answer(ok())
    client, server = hop.spans
    assert (client.trace, client.parent) == (GIVEN_TRACE, GIVEN_SPAN)
    assert (server.trace, server.parent) == (GIVEN_TRACE, client.span)
    assert got["metadata"]["tenant"] == 7
    assert parent_of(got) == (GIVEN_TRACE, server.span, "01")


def test_an_unsampled_parent_rules_and_its_message_is_not_touched() -> None:
    hop = Hop(ALL)
    sent = request(metadata={"traceparent": GIVEN % "00"})
    assert hop.send(sent) == sent
    hop.answer(ok())
    assert hop.spans == []


def test_an_unsampled_parents_message_that_failed_is_kept_in_its_trace() -> None:
    hop = Hop(ALL)
    hop.send(request(metadata={"traceparent": GIVEN % "00"}))
    hop.answer({"err": "no", "isDisposed": True, "id": OWN_ID})
    client, server = hop.spans
    assert (client.trace, client.parent) == (GIVEN_TRACE, GIVEN_SPAN)
    assert (server.trace, server.parent) == (GIVEN_TRACE, client.span)


def test_a_front_listener_makes_a_server_span_with_a_client_span_below() -> None:
    hop = Hop(inbound=True)
    hop.send(request())
    hop.answer(ok())
    front, client, server = hop.spans
    assert [span.kind for span in (front, client, server)] == ["server", "client", "server"]
    assert [span.inbound for span in (front, client, server)] == [True, True, False]
    assert (front.parent, client.parent, server.parent) == (0, front.span, client.span)
    assert len({span.trace for span in hop.spans}) == 1
    assert (front.endpoint, client.endpoint is None) == (None, False)


def test_without_a_mesh_the_callers_sidecar_makes_its_span_alone() -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True)
    stage.client().ask("1")
    (got,) = stage.upstream().packets
    stage.upstream().reply("1")
    (span,) = stage.spans
    assert parent_of(got) == (span.trace, span.span, "01")


# Kept though not sampled


@pytest.mark.parametrize(
    ("answer", "wait", "why", "code"),
    [
        ({"err": "no", "isDisposed": True, "id": OWN_ID}, 0, "error", "rpc_exception"),
        (ok(), 1100 * MILLISECOND, "slow", "ok"),
    ],
)
def test_what_went_wrong_is_kept_on_both_sides_as_one_tree(
    answer: dict[str, Any], wait: int, why: str, code: str
) -> None:
    hop = Hop(NONE)
    sent = request()
    assert hop.send(sent) == sent
    hop.callers.pass_time(wait)
    hop.endpoints.pass_time(wait)
    hop.answer(answer)
    client, server = hop.spans
    assert (client.kept, client.code, server.kept, server.code) == (why, code, why, code)
    assert (server.trace, server.parent) == (client.trace, client.span)


def test_what_only_the_callers_side_found_wrong_is_kept_on_both() -> None:
    hop = Hop(NONE, timeouts=Timeouts(request=SECOND), routes=())
    hop.send(request())
    hop.callers.pass_time(1100 * MILLISECOND)
    hop.carry()
    client, server = hop.spans
    assert (client.code, client.kept) == ("timeout", "error")
    assert (server.code, server.kept) == ("cancelled", "caller")
    assert (server.trace, server.parent) == (client.trace, client.span)


def test_an_id_that_is_not_nestjs_own_is_kept_unjoined() -> None:
    hop = Hop(NONE)
    hop.send(request("mine"))
    hop.answer({"err": "no", "isDisposed": True, "id": "mine"})
    client, server = hop.spans
    assert client.trace != server.trace
    assert server.parent == 0


def test_what_ended_well_and_quickly_leaves_nothing() -> None:
    hop = Hop(NONE)
    hop.send(request())
    hop.answer(ok())
    hop.send({"pattern": "sum", "data": 1})
    assert hop.spans == []


def test_a_message_that_was_tried_again_says_where() -> None:
    stage = Stage(service(2, tracing=NONE), tracing=True)
    stage.refusing = {"r0"}
    client = stage.client()
    for number in range(8):
        client.ask(str(number))
        stage.upstream("r1").reply(str(number))
    kept = stage.spans
    assert {span.kept for span in kept} == {"retry"}
    assert [(a.endpoint, a.reason) for a in kept[0].failed] == [("r0", "refused")]
    assert kept[0].endpoint == endpoints(2)[1]


def test_every_sidecar_that_was_tried_keeps_what_the_callers_side_keeps() -> None:
    stage = Stage(service(2, mesh=True, tracing=NONE), tracing=True)
    stage.client().ask(OWN_ID)
    first = stage.holder(OWN_ID)
    first.say(b"refused", b'"%b"' % OWN_ID.encode())
    second = stage.holder(OWN_ID)
    assert second is not first
    second.reply(OWN_ID)
    assert [span.kept for span in stage.spans] == ["retry"]
    keep = b'keep "%b"' % OWN_ID.encode()
    assert keep in first.words
    assert keep in second.words


def test_a_slow_stream_is_slow_by_its_first_response() -> None:
    stage = Stage(service(1, tracing=NONE), tracing=True)
    client = stage.client()
    client.ask("quick")
    stage.upstream().part("quick", 0)
    client.ask("slow")
    stage.pass_time(2 * SECOND)
    stage.upstream().reply("quick")
    stage.upstream().reply("slow")
    assert [(span.kept, span.responses) for span in stage.spans] == [("slow", 1)]


def test_an_outage_is_kept_within_the_limit_and_the_rest_is_counted() -> None:
    stage = Stage(service(0, tracing=NONE), tracing=True, bounds=Bounds(kept_traces=5))
    client = stage.client()
    for number in range(20):
        client.ask(str(number))
    assert len(stage.spans) == 5
    assert stage.exchange.counts() == {"spans_over_limit": 15}
    stage.pass_time(SECOND)
    client.ask("later")
    assert len(stage.spans) == 6


def test_an_event_that_nobody_took_is_kept() -> None:
    stage = Stage(service(0, tracing=NONE), tracing=True)
    stage.client().emit()
    assert [(span.message, span.code, span.kept) for span in stage.spans] == [("event", "no_endpoints", "error")]


# At the replica's sidecar


def at_the_app(**values: Any) -> tuple[Stage, Client]:
    stage = Stage(service(0, tracing=NONE, **values), tracing=True)
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    return stage, stage.sidecar()


def test_keep_finds_what_has_just_ended_and_what_is_still_on_its_way() -> None:
    stage, other = at_the_app()
    other.ask("ended")
    other.ask("going")
    stage.upstream().reply("ended")
    other.say(b"keep", b'"ended"')
    other.say(b"keep", b'"ended"')
    other.say(b"keep", b'"going"')
    other.say(b"keep", b'"unknown"')
    assert len(stage.spans) == 1
    stage.upstream().reply("going")
    assert [(span.kept, span.code) for span in stage.spans] == [("caller", "ok")] * 2


def test_keep_comes_too_late_after_a_while() -> None:
    stage, other = at_the_app()
    other.ask("1")
    stage.upstream().reply("1")
    stage.pass_time(REMEMBERED_FOR + SECOND)
    other.say(b"keep", b'"1"')
    assert stage.spans == []


def test_what_is_remembered_is_bounded() -> None:
    stage, other = at_the_app()
    for number in range(REMEMBERED + 2):
        other.ask(str(number))
        stage.upstream().reply(str(number))
    other.say(b"keep", b'"1"')
    other.say(b"keep", b'"2"')
    assert len(stage.spans) == 1


def test_an_id_that_only_the_apps_side_has_to_rewrite_is_joined_all_the_same() -> None:
    stage, one = at_the_app()
    other = stage.sidecar()
    one.ask(OWN_ID)
    other.ask(OWN_ID)
    for id_ in stage.upstream().ids:
        stage.upstream().send({"err": "no", "isDisposed": True, "id": id_})
    first, second = stage.spans
    assert len(set(stage.upstream().ids)) == 2
    assert (first.trace, first.parent) == (second.trace, second.parent)


def test_a_message_with_a_large_pattern_is_not_remembered() -> None:
    stage, other = at_the_app()
    other.ask("1", "x" * 2000)
    stage.upstream().reply("1")
    other.say(b"keep", b'"1"')
    assert stage.spans == []


def test_without_tracing_nothing_is_written_kept_or_reported() -> None:
    stage = Stage(service(0, tracing=ALL))
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    other = stage.sidecar()
    other.ask("1")
    stage.upstream().send({"err": "no", "isDisposed": True, "id": "1"})
    other.say(b"keep", b'"1"')
    assert "metadata" not in stage.upstream().packets[0]
    assert stage.spans == []


# What is written into a message, and what is not


@pytest.mark.parametrize("metadata", [None, "text", 5, [], {}, {"a": 1}, {"traceparent": "nonsense"}])
def test_the_apps_metadata_is_kept(metadata: object) -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True)
    stage.client().send(request(metadata=metadata))
    (got,) = stage.upstream().packets
    if isinstance(metadata, dict):
        assert parent_of(got)[2] == "01"
        assert {key: got["metadata"][key] for key in metadata if key != "traceparent"} == {
            key: value for key, value in metadata.items() if key != "traceparent"
        }
    else:
        assert got["metadata"] == metadata
    stage.upstream().reply(OWN_ID)
    assert len(stage.spans) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"pattern":"sum","data":"é😀","id":"1"}',
        '{"pattern":"sum","data":1,"metadata": { } ,"id":"1"}',
        '{"pattern":"sum","data":1,"metadata": {"a":"é"} ,"id":"1"}',
        '{"pattern":"sum","data":1,"id":1.5}',
    ],
)
def test_a_frame_of_any_form_takes_the_context(text: str) -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True)
    client = stage.client()
    client.send_bytes(encoded(text))
    (got,) = stage.upstream().packets
    assert parent_of(got)[2] == "01"
    stage.upstream().reply(got["id"])
    assert client.packets[0]["id"] in ("1", 1.5)


@pytest.mark.parametrize("text", ['{"pattern":"a","pattern":"sum","id":"1"}', '{"p\\u0061ttern":"sum","id":"1"}'])
def test_an_odd_frame_is_traced_as_any_other(text: str) -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True)
    stage.client().send_bytes(encoded(text))
    packet = stage.upstream().packets[0]
    assert packet["pattern"] == "sum"
    assert list(packet["metadata"]) == ["traceparent"]
    stage.upstream().reply("1")
    assert [span.method for span in stage.spans] == ["sum"]


def test_a_message_at_its_limit_is_not_made_larger() -> None:
    stage = Stage(service(1, tracing=ALL, limits=Limits(max_frame_size=200)), tracing=True)
    client = stage.client()
    client.ask("1", data="x" * 130)
    client.ask("2", data="x")
    assert ["metadata" in packet for packet in stage.upstream().packets] == [False, True]


# Names


def test_a_name_is_listed_or_was_served() -> None:
    stage = Stage(service(1, tracing=ALL, routes=LISTED), tracing=True)
    client = stage.client()
    patterns: list[object] = ["sum", "served", "refused", "served", "refused", {"cmd": "x"}, True]
    for number, pattern in enumerate(patterns):
        client.ask(number, pattern)
        if pattern == "refused":
            stage.upstream().no_handler(number)
        else:
            stage.upstream().reply(number)
    assert [span.method for span in stage.spans] == ["sum", "served", None, "served", None, '{"cmd":"x"}', None]
    assert [span.original for span in stage.spans][2:] == ["refused", "served", "refused", '{"cmd":"x"}', "true"]


def test_an_event_is_named_at_the_apps_side_too_where_it_is_listed() -> None:
    stage = Stage(service(0, tracing=ALL, routes=LISTED), tracing=True)
    stage.exchange.add_app(stage.services[0], endpoints(1)[0], stage.now)
    other = stage.sidecar()
    context = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    other.send({"pattern": "sum", "data": 1, "metadata": context})
    assert [span.method for span in stage.spans] == ["sum"]
    assert [row.route for row in stage.rows] == ["sum"]


def test_names_that_callers_make_up_are_bounded() -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True)
    client = stage.client()
    for number in range(MOST_SERVED + 5):
        client.ask(number, f"p{number}")
        stage.upstream().reply(number)
    for pattern in ("x" * 1000, "y" * 5000):
        client.ask(pattern[:30], pattern)
        stage.upstream().reply(pattern[:30])
    assert Counter(span.method is None for span in stage.spans) == {False: MOST_SERVED, True: 7}
    assert all(len(span.original) <= LONGEST_ORIGINAL for span in stage.spans)


def test_a_message_without_a_pattern_has_no_name() -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True)
    stage.client().send({"data": 1, "id": "1"})
    stage.upstream().no_handler("1")
    assert [(span.method, span.original) for span in stage.spans] == [(None, "")]


# Sampling


@pytest.mark.parametrize(("per_billion", "least", "most"), [(10**7, 800, 1200), (5 * 10**8, 49_000, 51_000)])
def test_a_share_is_sampled(per_billion: int, least: int, most: int) -> None:
    sampler, chance = Sampler(per_billion), Rng(7)
    assert least <= sum(sampler.take(chance) for _ in range(100_000)) <= most


@pytest.mark.parametrize(("per_billion", "taken"), [(0, False), (10**9, True)])
def test_none_and_all_are_exact(per_billion: int, taken: bool) -> None:
    sampler, chance = Sampler(per_billion), Rng(7)
    assert all(sampler.take(chance) is taken for _ in range(1000))


def test_a_changed_share_holds_for_the_next_message() -> None:
    stage = Stage(service(1, tracing=NONE), tracing=True)
    client = stage.client()
    client.ask("1")
    stage.swap(service(1, tracing=ALL))
    client.ask("2")
    assert ["metadata" in packet for packet in stage.upstream().packets] == [False, True]


def test_an_allowance_is_for_each_second() -> None:
    allowance = Allowance(2)
    taken = [allowance.take(now) for now in (0, 1, 2, SECOND, SECOND + 1, SECOND + 2)]
    assert taken == [True, True, False] * 2


# Payloads


def payloads_of(stage: Stage) -> list[tuple[bytes, bytes]]:
    return [(span.request, span.response) for span in stage.spans]


def test_spans_have_no_payload_unless_that_is_asked_for() -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True)
    stage.client().send(request())
    stage.upstream().send(ok())
    assert payloads_of(stage) == [(b"", b"")]


def test_a_span_has_the_beginning_of_the_request_and_of_the_response() -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True, bounds=Bounds(traced_payload=24))
    stage.client().send(request())
    stage.upstream().send(ok())
    assert payloads_of(stage) == [(b'{"pattern":"sum","data":', b'{"response":2,"isDispose')]


def test_of_a_stream_the_last_value_stays() -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True, bounds=Bounds(traced_payload=1000))
    stage.client().send(request())
    for packet in ({"response": 1, "id": OWN_ID}, {"response": 2, "id": OWN_ID}, {"isDisposed": True, "id": OWN_ID}):
        stage.upstream().send(packet)
    (payloads,) = payloads_of(stage)
    assert payloads[1].startswith(b'{"response":2,')


def test_an_error_is_the_response_whoever_makes_it() -> None:
    stage = Stage(
        service(1, tracing=ALL, timeouts=Timeouts(request=SECOND)), tracing=True, bounds=Bounds(traced_payload=1000)
    )
    stage.client().send(request())
    stage.upstream().send({"err": "no", "isDisposed": True, "id": OWN_ID})
    stage.client().send(request("b"))
    stage.pass_time(2 * SECOND)
    first, second = (response for _, response in payloads_of(stage))
    assert first.startswith(b'{"err":"no"')
    assert b'"code": "timeout"' in second


def test_a_message_that_is_not_sampled_has_no_payload() -> None:
    stage = Stage(service(1, tracing=NONE), tracing=True, bounds=Bounds(traced_payload=1000))
    stage.client().send(request())
    stage.upstream().send({"err": "no", "isDisposed": True, "id": OWN_ID})
    stage.client().send({**request("b"), "metadata": {"traceparent": GIVEN % "00"}})
    stage.upstream().send({"err": "no", "isDisposed": True, "id": "b"})
    stage.client().send({**request("c"), "metadata": {"traceparent": GIVEN % "00"}})
    stage.upstream().drop()
    assert payloads_of(stage) == [(b"", b"")] * 3


def test_a_caller_without_a_sidecar_has_the_payload_on_its_own_span_only() -> None:
    stage = Stage(service(1, tracing=ALL), tracing=True, bounds=Bounds(traced_payload=1000))
    stage.client(inbound=True).send(request())
    stage.upstream().send(ok())
    assert [(span.kind, bool(span.request), bool(span.response)) for span in stage.spans] == [
        ("server", True, True),
        ("client", False, False),
    ]
