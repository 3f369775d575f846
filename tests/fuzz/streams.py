"""Streams of frames that are sound, almost sound, or nothing like frames; used by all fuzzers.

Most streams hold enough that is sound to reach what lies behind the reader.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random

from core.wire import texts
from tcpservice.wire.frames import encode_frame
from tcpservice.wire.scan import Frame
from tcpservice.wire.utf16 import units

IDS = [
    '"a"',
    '"b"',
    '"1"',
    "1",
    "1.0",
    "-0",
    "1e999",
    "null",
    "{}",
    '"\\ud800"',
    '"\\u0061"',
    '"é"',
    "[1]",
    '""',
    "true",
]
NO_HANDLER = "There is no matching message handler defined in the remote service."
PATTERNS = [
    '"sum"', '{"cmd":"sum"}', '"{\\"cmd\\":\\"sum\\"}"', "1e999", "-1e999", "9" * 400, "null", "true", '"1e999"',
    '{"cmd":"a\\",\\"b\\":\\"c"}', '"\\ud83d"', "[" * 100 + "]" * 100, '"' + "[" * 300 + '"', '"' + "x" * 2000 + '"',
    '{"a":' * 250 + "1" + "}" * 250, json.dumps({f"k{n}": n for n in range(25)}),
]  # fmt: skip
DATA = ["1", "null", "1e999", '"\\ud800"', "[1,2,3]", '"' + "x" * 300 + '"', "[" * 200 + "]" * 200, '"漢字😀"', "{}"]
WORDS = [
    b"goaway", b"back", b"refused", b"lost", b"keep", b"cancel", b"ping", b"pong", b"hello", b"", b" ", b"cancel  ",
    b"refused 1 2", b"\xff\xfe",
]  # fmt: skip
NOISE = [
    b"#", b"0#", b"-5#{}", b"abc#", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", b"1#\xf0\x9f\x98\x80", b"3#{x}",
    b"5#ab", b"!1#x", b"!0#", b"!99999#", b"999999999999999999999#", b"\xef\xbb\xbf2#{}", b"\r\n", b" 2#{}", b"02#[]",
    b"1#1", b"2#{}", b"4#null", b"3#\xed\xa0\xbd", b"2", b"!", b"TCPS/1 shop/orders -\n",
]  # fmt: skip


def framed(body: bytes) -> bytes:
    """Put the right length before a body."""
    return encode_frame(body, units(body)) if body else b"1#1"


def request(random: Random) -> bytes:
    """Make a request or event, with odd values and keys in any order."""
    members = [("pattern", random.choice(PATTERNS)), ("data", random.choice(DATA)), ("id", random.choice(IDS))]
    members = random.sample(members, random.choice([1, 2, 3, 3, 3, 3]))
    if random.random() < 0.2:
        members.insert(
            random.randrange(len(members) + 1), random.choice([("x", "1"), ("metadata", "{}"), ("id", '"z"')])
        )
    keys = [random.choice([name, name, name, name, f"\\u{ord(name[0]):04x}{name[1:]}"]) for name, _ in members]
    text = ",".join(f'"{key}":{value}' for key, (_, value) in zip(keys, members, strict=True))
    return framed(("{" + text + "}").encode())


def reply(random: Random) -> bytes:
    """Make what a replica could answer, or almost."""
    members = [
        ("response", random.choice(DATA)),
        ("err", random.choice(['"no"', "0", "1e999", "{}", f'"{NO_HANDLER}"'])),
        ("isDisposed", random.choice(["true", "false", "1e-400"])),
        ("id", random.choice(IDS)),
    ]  # fmt: skip
    chosen = random.sample(members, random.randrange(1, 5))
    return framed(("{" + ",".join(f'"{key}":{value}' for key, value in chosen) + "}").encode())


def control(random: Random) -> bytes:
    """Make a frame of the mesh hop, or almost."""
    body = random.choice(WORDS)
    if random.random() < 0.7:
        body += b" " + random.choice(IDS).encode()
    if random.random() < 0.05:
        body += b"x" * random.choice([500, 1024, 2000])
    length = units(body) + random.choice([0, 0, 0, 0, 0, 0, 1, -1])
    return b"!%d#%b" % (length, body)


def large(random: Random) -> bytes:
    """Make a frame above the limits that fuzzers set."""
    size = random.choice([300, 3000, 9000, 70_000])
    tail = random.choice(['"id":"big"', f'"id":{random.choice(IDS)}', '"x":1'])
    return framed(('{"pattern":"sum","data":"' + "x" * size + '",' + tail + "}").encode())


def deep(random: Random) -> bytes:
    """Make a frame nested about as deeply as a frame may be, or much deeper."""
    depth = random.choice([250, 255, 256, 257, 5000])
    return framed(('{"pattern":"sum","data":' + "[" * depth + "]" * depth + ',"id":"deep"}').encode())


def text(random: Random) -> bytes:
    """Make a frame of any text, with a length that is wrong at times."""
    body = texts.text(random) or b"1"
    return b"%d#%b" % (units(body) + random.choice([0, 0, 0, 0, 1, -1]), body)


def noise(random: Random) -> bytes:
    """Make what is no frame."""
    return random.choice([random.choice(NOISE), random.randbytes(random.randrange(1, 30))])


def spoiled(random: Random) -> bytes:
    """Make a request with a byte or two changed."""
    data = bytearray(request(random))
    for _ in range(random.randrange(1, 3)):
        data[random.randrange(len(data))] = random.choice(b'{}[]",:#\\\x00\xff0 9')
    return bytes(data)


def small(random: Random) -> bytes:
    """Make one of the smallest frames, of which a read holds many."""
    return random.choice([b"2#{}", b'3#"a"', b"!4#ping", b"1#1", b'4#"\xf0\x9f\x98\x80"', b"4#null"])


PIECES: list[Callable[[Random], bytes]] = [
    *[request] * 8, *[reply] * 6, *[control] * 3, *[text] * 3, large, deep, spoiled, noise,
]  # fmt: skip
"""What streams are made of; some kinds stand several times, which makes them frequent."""


def stream(random: Random, pieces: list[Callable[[Random], bytes]] | None = None) -> bytes:
    """Make a stream of some pieces; it may end anywhere."""
    count = random.choice([1, 2, 5, 10, 30])
    made = b"".join(random.choice(pieces or PIECES)(random) for _ in range(count))
    return made[: random.randrange(len(made) + 1)] if random.random() < 0.2 else made


def chunks(random: Random, data: bytes) -> list[bytes]:
    """Cut bytes into reads: at once, a byte at a time, or anyhow."""
    kind = random.randrange(4)
    if kind == 0 or len(data) < 2:
        return [data]
    if kind == 1 and len(data) < 3000:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(random.sample(range(1, len(data)), min(len(data) - 1, random.randrange(1, 9))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def packet(pattern: object, data: object, id_: object) -> bytes:
    """Make a request as NestJS writes it."""
    return framed(json.dumps({"pattern": pattern, "data": data, "id": id_}, separators=(",", ":")).encode())


def echo(frame: Frame) -> bytes:
    """Answer a request with its data, as NestJS would; numbers beyond all bounds become null."""
    packet: dict[str, object] = json.loads(
        frame.body.decode("utf-8", "replace"), parse_int=_number, parse_float=_number
    )
    reply = {"response": packet.get("data"), "isDisposed": True, "id": packet["id"]}
    return framed(json.dumps(reply, allow_nan=False).encode())


def _number(text: str) -> float | None:
    number = float(text)
    if math.isinf(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
