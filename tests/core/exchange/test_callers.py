"""Callers that break the protocol, stall, do not read, or leave: they get what they are owed, others notice nothing."""

from __future__ import annotations

import pytest

from core.exchange.stage import Stage, encoded, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import MILLISECOND, SECOND, Limits

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (b"-1#{}", "length -1"),
        (b"abc#{}", "got b'abc'"),
        (encoded("{bad}"), "not JSON"),
        (bytes(range(256)), "length"),
    ],
    ids=["http", "tls", "length", "nan", "json", "soup"],
)
def test_who_breaks_the_protocol_gets_its_replies_and_the_close(garbage: bytes, reason: str) -> None:
    stage = Stage(service(1))
    bad, good = stage.client(), stage.client()
    good.ask("g")
    earlier = encoded({"pattern": "sum", "data": 1, "id": "1"})
    bad.send_bytes(earlier + garbage + encoded({"pattern": "sum", "data": 1, "id": "never"}))
    bad.send({"pattern": "sum", "data": 1, "id": "never"})
    (notice,) = stage.notices
    assert notice.key == "downstream_malformed"
    assert notice.conn == bad.conn
    assert reason in notice.text
    assert f"at byte {len(earlier)}" in notice.text
    replica = stage.upstream()
    assert replica.ids == ["g", "1"]
    assert bad.is_open()
    replica.reply("1")
    assert not bad.is_open()
    assert not bad.aborted
    replica.reply("g")
    assert [packet["id"] for packet in bad.packets] == ["1"]
    assert [packet["id"] for packet in good.packets] == ["g"]


def test_who_breaks_the_protocol_waits_for_its_replies_within_a_grace() -> None:
    stage = Stage(service(1), bounds=Bounds(closing_grace=SECOND))
    client = stage.client()
    client.ask("1")
    client.send_bytes(b"garbage#")
    client.half_close()
    stage.pass_time(2 * SECOND)
    assert not client.is_open()
    assert stage.codes() == ["cancelled"]


@pytest.mark.parametrize("owed", [True, False])
def test_who_half_closes_gets_its_replies(owed: bool) -> None:
    stage = Stage(service(1))
    client = stage.client()
    if owed:
        client.ask("1")
        client.half_close()
        assert client.is_open()
        stage.upstream().reply("1")
        assert [packet["id"] for packet in client.packets] == ["1"]
    else:
        client.half_close()
    assert not client.is_open()
    assert not client.aborted


def test_an_oversized_message_is_answered_and_the_next_one_served() -> None:
    stage = Stage(service(1, limits=Limits(max_frame_size=1000)))
    client = stage.client()
    client.send_bytes(
        encoded({"pattern": "a", "data": "x" * 2000, "id": "big"})
        + encoded({"pattern": "a", "data": "x" * 2000})
        + encoded({"pattern": "a", "data": 1, "id": "small"})
    )
    stage.upstream().reply("small")
    assert client.codes() == {"big": "frame_too_large"}
    assert [packet["id"] for packet in client.packets] == ["big", "small"]
    assert stage.reported() == ["frame_too_large", "frame_too_large"]
    assert stage.exchange.counts() == {"oversized_frames": 2}


def test_who_stops_in_the_middle_of_a_message_is_closed() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=SECOND))
    client, idle = stage.client(), stage.client()
    client.send_bytes(b'40#{"pattern"')
    stage.pass_time(900_000_000)
    assert client.is_open()
    client.send_bytes(b":")
    stage.pass_time(200_000_000)
    assert not client.is_open(), "however slowly its bytes come, a frame has to come to its end"
    assert stage.reported() == ["downstream_stalled"]
    assert idle.is_open()


@pytest.mark.parametrize(
    "text",
    [f'{{"pattern":"a","data":{DEEP},"id":"9"}}', '{"pattern":' + DEEP[99_700:100_300] + ',"data":1,"id":"9"}'],
    ids=["data", "pattern"],
)
def test_a_message_nested_too_deeply_is_refused_alone(text: str) -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.ask("1")
    client.send_bytes(encoded(text))
    client.ask("2")
    for id_ in ("1", "2"):
        stage.upstream().reply(id_)
    assert client.codes() == {"9": "frame_too_large"}
    assert stage.codes() == ["ok", "ok"]
    assert stage.reported() == ["frame_too_large"]


def test_who_goes_on_after_a_pause_is_served() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=SECOND))
    client = stage.client()
    whole = encoded({"pattern": "sum", "data": 1, "id": "1"})
    client.send_bytes(whole[:10])
    stage.pass_time(SECOND // 2)
    client.send_bytes(whole[10:])
    stage.pass_time(10 * SECOND)
    stage.upstream().reply("1")
    assert len(client.packets) == 1
    assert client.is_open()


def test_each_message_has_all_its_time_to_arrive_where_it_begins_behind_the_end_of_another() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=SECOND))
    client = stage.client()
    frames = [encoded({"pattern": "sum", "data": n, "id": f"n{n}"}) for n in range(4)]
    rest = b""
    for frame in frames:
        client.send_bytes(rest + frame[:10])
        rest = frame[10:]
        stage.pass_time(SECOND * 9 // 10)
        assert client.is_open()
    client.send_bytes(rest)
    assert stage.upstream().ids == ["n0", "n1", "n2", "n3"]


def test_a_caller_that_reads_nothing_is_closed_in_time() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=SECOND))
    deaf, slow = stage.client(), stage.client()
    deaf.ask("1")
    for backlog in (100, 100, 200):
        deaf.hold(backlog)
        slow.hold(300 - backlog)
        stage.pass_time(SECOND // 3)
    stage.pass_time(SECOND)
    slow.hold(50)
    deaf.hold(200)
    assert not deaf.is_open()
    assert deaf.aborted
    assert slow.is_open()
    assert stage.reported() == ["downstream_unread"]
    assert stage.codes() == ["cancelled"]


def test_a_caller_that_was_long_idle_has_all_its_time_to_read() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=SECOND))
    client = stage.client()
    stage.pass_time(100 * SECOND)
    client.hold(100)
    stage.pass_time(SECOND // 2)
    client.hold(100)
    assert client.is_open()
    client.hold(0)
    stage.pass_time(100 * SECOND)
    client.hold(100)
    assert client.is_open()


def test_a_slow_reader_is_served_at_the_pace_of_its_reading() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow = stage.client()
    slow.ask("1")
    slow.ask("2")
    slow.hold(2000)
    replica = stage.upstream()
    replica.part("1", "x")
    assert replica.is_paused(), "the connection that brings it replies is not read"
    stage.pass_time(SECOND)
    slow.hold(1900)
    stage.pass_time(SECOND)
    slow.hold(900)
    assert not replica.is_paused()
    assert slow.is_open()


def test_a_slow_reader_that_disconnects_holds_up_nobody() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow, other = stage.client(), stage.client()
    slow.ask("1")
    other.ask("2")
    slow.hold(2000)
    replica = stage.upstream()
    replica.part("1", "x")
    assert replica.is_paused()
    slow.drop()
    assert not replica.is_paused()
    replica.reply("2")
    assert [packet["id"] for packet in other.packets] == ["2"]


def test_a_replica_may_go_while_it_waits_for_a_slow_reader() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000))
    slow = stage.client()
    slow.ask("1")
    slow.hold(2000)
    replica = stage.upstream()
    replica.part("1", "x")
    assert replica.is_paused()
    replica.drop()
    slow.hold(0)
    assert slow.codes() == {"1": "connection_closed"}
    slow.ask("2")
    stage.pass_time(SECOND)
    assert stage.upstream().ids == ["2"]


def test_replies_that_come_for_a_caller_that_reads_nothing_are_no_sign_of_life() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=SECOND))
    deaf = stage.client()
    deaf.ask("1")
    for size in range(100, 600, 100):
        deaf.hold(size)
        stage.pass_time(SECOND // 4 + MILLISECOND)
    assert not deaf.is_open()


def test_under_memory_pressure_a_caller_that_reads_nothing_is_closed_soon_and_others_go_on() -> None:
    stage = Stage(service(1), bounds=Bounds(unsent_bytes=1000, pressure_stall=2 * SECOND))
    stuck, reading = stage.client(), stage.client()
    stuck.ask("1")
    stuck.hold(2000)
    reading.ask("2")
    replica = stage.upstream()
    replica.part("1", "x")
    for size in (500, 300, 100):
        stage.pass_time(SECOND)
        reading.hold(size)
        if stuck.is_open():
            stuck.hold(2000)
    assert stuck.aborted
    assert reading.is_open()
    assert not replica.is_paused()
    replica.reply("2")
    assert stage.codes() == ["cancelled", "ok"]


def test_what_a_closed_caller_was_to_be_written_is_dropped() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=0))
    client = stage.client()
    client.ask("1")
    stage.exchange.receive(stage.upstream().conn, encoded({"response": 1, "isDisposed": True, "id": "1"}), stage.now)
    stage.exchange.backlog(client.conn, 2000, stage.now)
    stage.carry()
    assert client.raw == b""
    assert stage.codes() == ["ok"]


def test_a_prefix_may_announce_any_length() -> None:
    stage = Stage(service(1))
    client = stage.client()
    client.send_bytes(b"9" * 21 + b"#{")
    assert client.is_open()
    stage.pass_time(10 * 24 * 3600 * SECOND)
    assert not client.is_open()
    assert stage.reported()[-1] == "downstream_stalled"
