"""Requests, replies, ids and members: the quick proof and the slow path say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.errors import Code, ProtocolError
from tcpservice.wire import mesh
from tcpservice.wire.frames import FrameReader, Oversized, encode_frame
from tcpservice.wire.ids import is_stable, with_id
from tcpservice.wire.members import first_members
from tcpservice.wire.replies import Reply, read_reply
from tcpservice.wire.requests import Refused, Request, TooDeep, oversized_id, read_request
from tcpservice.wire.scan import Frame
from tcpservice.wire.utf16 import units

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "vectors.json").read_text())

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8).filter(str.isprintable),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3).filter(str.isprintable), inner, max_size=3)
    ),
    max_leaves=6,
)


def frame(body: bytes | str) -> Frame:
    raw = body.encode() if isinstance(body, str) else body
    (found,) = FrameReader(1 << 24).feed(encode_frame(raw, units(raw)))
    assert isinstance(found, Frame)
    return found


def request(body: bytes | str) -> Request:
    return read_request(frame(body))


def reply(body: bytes | str) -> Reply:
    return read_reply(frame(body))


@given(json_values, json_values, json_values, st.booleans(), st.booleans())
def test_a_frame_as_nestjs_writes_it(pattern: Any, data: Any, id_: Any, metadata: bool, event: bool) -> None:
    packet = {"pattern": pattern, "data": data}
    packet |= {"metadata": {"a": data}} if metadata else {}
    packet |= {} if event else {"id": id_}
    text = json.dumps(packet, ensure_ascii=False, separators=(",", ":"))
    found = request(text)
    assert json.loads(found.pattern) == pattern
    assert found.id is None if event else json.loads(found.id or b"") == id_
    if not event:
        raw = frame(text).raw
        assert raw[found.id_at : found.id_end] == found.id


@given(st.permutations(["pattern", "data", "metadata", "id", "x"]), st.booleans(), json_values)
def test_any_order_and_space_says_the_same(keys: list[str], spaced: bool, data: Any) -> None:
    packet = {key: {"pattern": "p", "id": "i"}.get(key, data) for key in keys}
    text = json.dumps(packet, ensure_ascii=False, separators=None if spaced else (",", ":"))
    found = request(text)
    assert (json.loads(found.pattern), found.id) == ("p", b'"i"')


@pytest.mark.parametrize(
    ("text", "pattern", "id_"),
    [
        ('{"pattern":"a","data":1,"pattern":"b","id":"1"}', "b", b'"1"'),
        ('{"pattern":"a","data":1,"id":"1","id":"2"}', "a", b'"2"'),
        ('{"pattern":"a","d\\u0061ta":1,"\\u0069d":"2"}', "a", b'"2"'),
        ('{"pattern":"a","data":{"a":1,"id":"x"}}', "a", None),
        ('{"pattern":"a","data":"\\ud83d","id":"1"}', "a", b'"1"'),
        ('{"pattern":"a","data":1e999,"id":"1"}', "a", b'"1"'),
        ('{"pattern":{"a":1,"data":2},"data":1,"id":"1"}', {"a": 1, "data": 2}, b'"1"'),
        ('{"pattern":"a","data":1,"id":1.0}', "a", b"1.0"),
        ('{"pattern":"a","data":1,"id": "1"}', "a", b'"1"'),
        (' {"pattern":"a","id":"1"} ', "a", b'"1"'),
        ('{"pattern":"a","pattern":"b"}', "b", None),
        ('{"pattern":"a","pattern":"b","id":"\\u0061"}', "b", b'"\\u0061"'),
        ('{"pattern":"a"}', "a", None),
    ],
)
def test_odd_requests(text: str, pattern: object, id_: bytes | None) -> None:
    found = request(text)
    assert json.loads(found.pattern) == pattern
    assert found.id == id_


def test_bytes_that_are_not_utf8_are_read_as_nestjs_reads_them() -> None:
    body = b'{"pattern":"a","data":"\xff","id":"\xfe"}'
    found = read_request(Frame(b"%d#" % 38 + body, 3, 38, 0))
    assert found.id == b'"\xef\xbf\xbd"'


@pytest.mark.parametrize("text", ["null", "0", "[]", "{}", '{"id":"r"}', '{"id":"r","id":"s"}', '"a"'])
def test_what_nestjs_never_answers_is_an_event(text: str) -> None:
    assert request(text).id is None
    assert request(text).pattern == b""


def test_data_without_a_pattern_is_a_request() -> None:
    assert request('{"data":1,"id":"r"}').id == b'"r"'


@pytest.mark.parametrize(
    "text",
    [
        "{bad}",
        "{",
        '{"a":1}x',
        '{"a" 1}',
        '{"a":1 "b":2}',
        "{1:2}",
        '{"a":NaN}',
        '{"a":1,}',
        "nul",
        '{"pattern":"a","data":01}',
    ],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        request(text)
    with pytest.raises(Refused):
        reply(text)


@pytest.mark.parametrize("read", [request, reply])
def test_what_is_nested_too_deeply_is_refused(read: Any) -> None:
    with pytest.raises(TooDeep):
        read('{"data":' + "[" * 256 + "]" * 256 + "}")


@pytest.mark.parametrize("read", [request, reply])
@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ('{"pattern":"a","data":%s,"id":"7"}', b'"7"'),
        ('{"id":7,"data":%s,"x":1}', b"7"),
        ('{"pattern":"a","data":%s}', None),
        ('{"pattern":"a","data":%s,"id":{}}', None),
    ],
)
def test_the_id_of_what_is_nested_too_deeply_is_known_where_it_stands_at_an_end(
    read: Any, text: str, id_: bytes | None
) -> None:
    with pytest.raises(TooDeep) as refused:
        read(text % ("[" * 5000 + "]" * 5000))
    assert refused.value.id_text == id_


@pytest.mark.parametrize(
    ("head", "members"),
    [
        (b" [1] ", {}),
        (b"{}", {}),
        (b'{"a":1}', {"a": "1"}),
        (b'{"a":1', {}),
        (b'{"a":1,"b":{"a":2} , "c":3', {"a": "1", "b": '{"a":2}'}),
        (b'{"a":1,"\\u0061":2,"b":"x,', {"a": "2"}),
        (b'{"a":1;"b":2,', {}),
        (b'{"a":1,7:2,', {"a": "1"}),
        (b'{"a":1,"b"=2,', {"a": "1"}),
        (b'{"a":' + b"[" * 100_000, {}),
        (b'{"a":1e999,"b":"\xff",', {"a": "1e999", "b": '"\ufffd"'}),
    ],
)
def test_members_that_are_whole(head: bytes, members: dict[str, str]) -> None:
    assert first_members(head) == members


@pytest.mark.parametrize(
    ("text", "passable", "foreign"),
    [
        ('{"pattern":"a","data":1,"id":"r"}', True, None),
        ('{"pattern":"a","x":1}', True, None),
        ('{"data":1,"id":"r"}', True, None),
        ('{"data":1,"id":"r","type":"x"}', True, "type"),
        ("{}", False, None),
        ('{"id":"r"}', False, None),
        ('{"v":1,"body":{"pattern":"sum","data":1,"id":"a1"}}', False, '"v"'),
        ('{"%s":1}' % ("x" * 500), False, '"%s"' % ("x" * 40)),
        ("1", False, "no JSON object"),
        ("null", False, "no JSON object"),
        ('["pattern"]', False, "no JSON object"),
        ('"pattern"', False, "no JSON object"),
    ],
)
def test_frames_that_no_nestjs_app_can_answer(text: str, passable: bool, foreign: str | None) -> None:
    found = request(text)
    assert found.passable is passable
    assert found.foreign is None if foreign is None else foreign in str(found.foreign)


def test_what_is_wrong_with_a_large_text_is_not_looked_for() -> None:
    with pytest.raises(Refused, match="begins with b'\\[1,1"):
        request("[" + "1," * 5000 + "]")


@pytest.mark.parametrize(
    ("text", "stable"),
    [('"a"', True), ("0", True), ("-7", True), ("null", True), ("true", True), ('"é"', True), ("1.0", False),
     ("-0", False), ('"\\u0061"', False), ("12345678901234567890", False), ("{}", False), (" 1", False)],
)  # fmt: skip
def test_which_ids_come_back_as_they_were_sent(text: str, stable: bool) -> None:
    assert is_stable(text.encode()) is stable


@pytest.mark.parametrize(
    "text",
    [
        '{"pattern":"é","data":1,"id":"x"}',
        ' {"id":"x","pattern":"é"} \n',
        '{"pattern":"é","id":1.0}',
        '{"id":1,"id":2,"data":"é"} ',
        '{"id":1,"\\u0069\\u0064":2,"data":"é"} ',
        '{"id":"é","id":{"a":["é"]},"pattern":"é"}',
    ],
)
def test_another_id_in_a_requests_place(text: str) -> None:
    item = frame(text)
    found = read_request(item)
    (again,) = FrameReader(1 << 20).feed(with_id(item, found.id_at, found.id_end, '"né😀w"'.encode()))
    assert isinstance(again, Frame)
    assert json.loads(again.body)["id"] == "né😀w"
    assert again.units == units(again.body)


@pytest.mark.parametrize(
    ("text", "id_", "final", "code"),
    [
        ('{"response":1,"isDisposed":true,"id":"1"}', b'"1"', True, Code.OK),
        ('{"response":{"id":1},"id":"1"}', b'"1"', False, Code.OK),
        ('{"isDisposed":true,"id":"1"}', b'"1"', True, Code.OK),
        ('{"err":{},"isDisposed":true,"id":"1"}', b'"1"', True, Code.RPC_EXCEPTION),
        ('{"err":"","isDisposed":true,"id":"1"}', b'"1"', True, Code.OK),
        ('{"err":0,"id":"1"}', b'"1"', False, Code.OK),
        ('{"err":"\\ud83d","id":"1"}', b'"1"', True, Code.RPC_EXCEPTION),
        ('{"response":1e999,"id":"1"}', b'"1"', False, Code.OK),
        ('{"id":"1","status":"error","err":"There is no matching message handler defined in the remote service."}',
         b'"1"', True, Code.NO_HANDLER),
        ('{"status":"error","id":7,"err":"There is no matching message handler defined in the remote service."}',
         b"7", True, Code.NO_HANDLER),
        ('{"id":1.0,"status":"error","err":"There is no matching message handler defined in the remote service."}',
         b"1.0", True, Code.NO_HANDLER),
        ('{"id":"1"}', b'"1"', False, Code.OK),
        ('{"response":1,"isDisposed":1,"id":"1","x":1}', b'"1"', True, Code.OK),
        ('{"response":1,"id":1.0}', b"1.0", False, Code.OK),
        ('{"other":1,"id":"1"}', b'"1"', False, Code.OK),
        ("[]", None, False, Code.OK),
        ('{"err":1e-400,"id":"1"}', b'"1"', False, Code.OK),
        ('{"err":-1.5,"isDisposed":0.0,"id":"1"}', b'"1"', True, Code.RPC_EXCEPTION),
        ('{"response":1,"isDisposed":false,"isDisposed":true,"id":"1"}', b'"1"', True, Code.OK),
        ('{"err":0,"err":"There is no matching message handler defined in the remote service.","id":"1"}',
         b'"1"', True, Code.NO_HANDLER),
        ('{"err":0,"err":{}}', None, True, Code.RPC_EXCEPTION),
    ],
)  # fmt: skip
def test_replies(text: str, id_: bytes | None, final: bool, code: Code) -> None:
    found = reply(text)
    assert (found.id, found.final, found.code) == (id_, final, code)
    if found.id_at >= 0:
        assert frame(text).raw[found.id_at : found.id_end] == found.id


def test_an_id_that_is_not_utf8_is_matched_as_callers_decode_it() -> None:
    """A replica that decoded such an id has it with U+FFFD, and so may another that gives the bytes back."""
    for text in (b'"\xff"', b'"\xef\xbf\xbd"'):
        body = b'{"response":1,"isDisposed":true,"id":' + text + b"}"
        (item,) = FrameReader(1 << 20).feed(b"%d#%b" % (len(body.decode("utf-8", "replace")), body))
        assert isinstance(item, Frame)
        assert read_reply(item).id == b'"\xef\xbf\xbd"'


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["direction"] == "server->client"], ids=lambda v: v["name"])
def test_replies_of_the_vectors(vector: dict[str, str]) -> None:
    for item in FrameReader(1 << 20).feed(bytes.fromhex(vector["bytes_hex"])):
        assert isinstance(item, Frame)
        packet = json.loads(item.body)
        found = read_reply(item)
        assert json.loads(found.id or b"") == packet["id"]
        assert found.final == (bool(packet.get("isDisposed")) or bool(packet.get("err")))


@pytest.mark.parametrize(
    ("head", "tail", "id_"),
    [
        (b'{"pattern":"a","data":"xx', b'xx","id":"7"}', b'"7"'),
        (b'{"pattern":"a","data":"xx', b'xx"}', None),
        (b'{"pattern":"a","data":{"x', b'"id":"7"}}', None),
        (b'{"pattern":"a","data":[{"x', b'x","id":"1"},{"x":1,"id":"2"}],"id":"7"}', b'"7"'),
        (b'{"id":"7","data":"x,', b'xx"}', b'"7"'),
        (b'{"pattern":"a","id":7,"data":[1,2,', b"3]}", b"7"),
        (b'{"pattern":"a","data":"xx', b'xx","id":{}}', None),
        (b"xxx,", b"xxx", None),
    ],
)
def test_the_id_of_a_frame_of_which_only_the_ends_are_known(head: bytes, tail: bytes, id_: bytes | None) -> None:
    assert oversized_id(Oversized(head, tail, 0)) == id_


def test_prefaces() -> None:
    preface = mesh.Preface("shop/orders", frozenset({"opaque", "x"}))
    line = mesh.encode_preface(preface)
    assert line == b"TCPS/1 shop/orders opaque,x\n"
    assert mesh.read_preface(line + b"2#{}") == (preface, b"2#{}")
    assert mesh.read_preface(mesh.encode_preface(mesh.Preface("a/b"))) == (mesh.Preface("a/b"), b"")
    assert all(mesh.read_preface(line[:size]) is None for size in range(len(line)))


@pytest.mark.parametrize("data", [b"GET", b"TCPS/2 a -\n", b"TCPS/1 a\n", b"TCPS/1 " + b"x" * 600, b"\n"])
def test_what_is_no_preface(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        mesh.read_preface(data)


def test_control_frames() -> None:
    assert mesh.encode_control(mesh.GOAWAY) == b"!6#goaway"
    assert mesh.encode_control(mesh.CANCEL, '"é"'.encode()) == '!10#cancel "é"'.encode()
    assert mesh.read_control(b'cancel "a b"') == (b"cancel", b'"a b"')
