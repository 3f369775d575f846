"""What one connection does never costs another its messages or its timers."""

from __future__ import annotations

from core.exchange.stage import Stage, encoded, service
from tcpservice.exchange import Bounds
from tcpservice.snapshot import SECOND, Limits, Timeouts

ODD_NUMBER = '{"pattern":1e999,"data":5,"\\u0069d":"10"}'


def test_an_odd_message_ends_at_most_its_own_connection() -> None:
    stage = Stage(service(1, limits=Limits(max_requests_per_replica=1)))
    neighbour, odd = stage.client(), stage.client()
    neighbour.ask("1")
    odd.ask("2")
    odd.send_bytes(encoded(ODD_NUMBER))
    stage.upstream().reply("1")
    stage.upstream().reply("2")
    if "10" in stage.upstream().ids:
        stage.upstream().reply("10")
    neighbour.ask("3")
    assert stage.upstream().open
    assert [packet["id"] for packet in neighbour.packets] == ["1"]
    stage.upstream().reply("3")
    assert [packet["id"] for packet in neighbour.packets] == ["1", "3"]


def test_a_closed_connection_with_half_a_frame_leaves_the_timers_running() -> None:
    stage = Stage(service(1, timeouts=Timeouts(request=6 * SECOND)), bounds=Bounds(stall=5 * SECOND))
    neighbour, odd = stage.client(), stage.client(inbound=True)
    neighbour.ask("1")
    odd.send_bytes(b"3#{x}5#ab")
    stage.pass_time(10 * SECOND)
    assert neighbour.codes() == {"1": "timeout"}


def test_a_frame_in_two_reads_does_not_close_its_connection_later() -> None:
    stage = Stage(service(1), bounds=Bounds(stall=3 * SECOND))
    client = stage.client()
    whole = encoded({"pattern": "sum", "data": 1, "id": "1"})
    client.send_bytes(whole[:9])
    client.send_bytes(whole[9:])
    stage.upstream().reply("1")
    stage.pass_time(60 * SECOND)
    assert client.open


def test_streams_that_nobody_reads_to_their_end_do_not_block_a_service() -> None:
    stage = Stage(service(1))
    client = stage.client()
    for number in range(1_100):
        client.ask(f"s{number}")
        stage.upstream().part(f"s{number}", 1)
    client.ask("echo")
    assert stage.upstream().ids[-1] == "echo"
