"""Texts that are JSON, almost JSON, or nothing like it, for comparing what reads them; a seed gives the same again."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

TOKENS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"pattern"', b'"id"', b'"data"', b'"err"', b'"metadata"', b'"isDisposed"',
    b'"p\\u0061ttern"', b'"\\u0069\\u0064"', b'"\\u006Ad"', b'"i\\u00e9"', b'"\\u0064ata\\n"',
    b'"x"', b"1", b"-0", b"01", b"1e5", b"1.5E-3", b"1e999", b"-", b".5", b"1.", b"+1", b"0x1",
    b"true", b"false", b"null", b"nul", b"NaN", b"Infinity", b" ", b"\n", b"\t\r", b"\x0b", b"\xa0", b"\xc2\xa0",
    b"\xef\xbb\xbf", b'"\xff"', b'"\\q"', b'"a\x01"', b'"', b"\\", b'"\\ud800"', b'"\\u12"', b'"\\u12G4"', b'"\\/"',
    b'"\xf0\x9f\x98\x80"', b'"\xed\xa0\xbd"', b'"\xf0\x9f"', b"/**/", b"#",
]  # fmt: skip
NOISE = b'{}[]",:\\ 01\xff\x00e-.u#\xc2\xf0\x9f\t\n/'
KEYS = ["pattern", "data", "id", "metadata", "err", "isDisposed", "response", "x", "é", "", "a b"]


def value(random: Random, depth: int = 3) -> object:
    """Make a value."""
    kind = random.randrange(8 if depth else 5)
    if kind == 0:
        return random.choice([None, True, False])
    if kind == 1:
        return random.choice([0, -1, 7, 1.5, 1e300, 2**70, -0.0, 1e-7])
    if kind < 5:
        return "".join(random.choices('ab"\\/é漢😀\u2028\x7f{}[],: ', k=random.randrange(12)))
    if kind < 7:
        return {random.choice(KEYS): value(random, depth - 1) for _ in range(random.randrange(5))}
    return [value(random, depth - 1) for _ in range(random.randrange(5))]


def packet(random: Random) -> bytes:
    """Make the text of a message."""
    members = {key: value(random) for key in random.sample(KEYS, random.randrange(1, 6))}
    separators = random.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")])
    return json.dumps(members, ensure_ascii=random.random() < 0.3, separators=separators).encode()


def spoiled(random: Random) -> bytes:
    """Make the text of a message with some bytes changed, cut off or doubled."""
    text = bytearray(packet(random))
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(text) + 1)
        if random.random() < 0.5:
            text[at : at + random.randrange(3)] = bytes(random.choices(NOISE, k=random.randrange(3)))
        else:
            text[at:at] = text[at : at + random.randrange(9)]
    return bytes(text)


def soup(random: Random) -> bytes:
    """Make a text of tokens in any order."""
    return b"".join(random.choices(TOKENS, k=random.randrange(14)))


def deep(random: Random) -> bytes:
    """Make a text about as deep as a text may be."""
    depth = random.randrange(250, 262)
    opened = random.choice([b"[", b'{"a":', b'[{"id":'])
    closed = random.choice([b"]", b"}", b"}]", b""])
    return opened * (depth // opened.count(b"{") if opened == b'[{"id":' else depth) + soup(random) + closed * depth


def noise(random: Random) -> bytes:
    """Make a text of any bytes."""
    return random.randbytes(random.randrange(40))


KINDS: list[Callable[[Random], bytes]] = [packet, spoiled, spoiled, soup, soup, deep, noise]


def text(random: Random) -> bytes:
    """Make a text of any kind."""
    return random.choice(KINDS)(random)
