"""The scan calls JSON what Node's own JSON.parse takes, over a large corpus."""

from __future__ import annotations

import subprocess
from random import Random

from core.wire import texts
from interop.node import node
from tcpservice.wire.nesting import MAX_NESTING, nesting
from tcpservice.wire.scan import Frame
from tcpservice.wire.shape import DEEP, INVALID

COUNT = 60_000

JUDGE = """
const input = require('fs').readFileSync(0);
const verdicts = [];
for (let at = 0; at < input.length;) {
  const size = input.readUInt32BE(at);
  const text = input.toString('utf8', at + 4, at + 4 + size);
  at += 4 + size;
  try { JSON.parse(text); verdicts.push('1'); } catch { verdicts.push('0'); }
}
process.stdout.write(verdicts.join(''));
"""


def judged(corpus: list[bytes]) -> list[bool]:
    """Ask Node of each text whether it is JSON."""
    data = b"".join(len(text).to_bytes(4) + text for text in corpus)
    done = subprocess.run([node(), "-e", JUDGE], input=data, capture_output=True, timeout=120, check=True)
    return [verdict == ord("1") for verdict in done.stdout]


def test_json_is_what_node_takes() -> None:
    random = Random(7)
    corpus = [texts.text(random) for _ in range(COUNT)]
    verdicts = judged(corpus)
    kinds = [Frame(b"#" + text, 1, 1, 0).kind for text in corpus]
    for text, taken, kind in zip(corpus, verdicts, kinds, strict=True):
        if kind == DEEP:
            assert nesting(text) > MAX_NESTING
        else:
            assert (kind != INVALID) == taken, text
    assert COUNT / 10 < sum(verdicts) < COUNT * 9 / 10
