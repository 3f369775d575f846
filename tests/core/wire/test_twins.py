"""The compiled scan and its reference say the same of any bytes."""

from __future__ import annotations

from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.wire.twins import difference, shape
from tcpservice.implementation import COMPILED, running
from tcpservice.wire import reference, scan
from tcpservice.wire.shape import DEEP, INVALID


@pytest.fixture(scope="module")
def compiled() -> ModuleType:
    if running() != COMPILED:
        pytest.skip("the compiled form is not built, or plain Python was asked for: nothing to compare")
    return scan


@settings(max_examples=2000)
@given(st.randoms(use_true_random=False))
def test_the_twins_agree(compiled: ModuleType, random: Random) -> None:
    assert difference(compiled, random) is None


@settings(max_examples=1000)
@given(st.binary(max_size=80))
def test_the_twins_agree_on_any_bytes(compiled: ModuleType, body: bytes) -> None:
    assert shape(compiled, body) == shape(reference, body)
    assert compiled.units(body) == reference.units(body)


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[" * 257 + b"]" * 257, DEEP), (b'[1,{"a":[]},"\\"[",' * 300, DEEP), (b"[1,]" * 300, INVALID)]
)
def test_kinds_of_the_compiled(compiled: ModuleType, body: bytes, kind: int) -> None:
    assert shape(compiled, body)[0] == kind
