"""The compiled scan and its reference say the same of any bytes."""

from __future__ import annotations

import importlib
from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.wire.twins import difference, shape
from tcpservice.wire import reference
from tcpservice.wire.shape import DEEP, INVALID


@pytest.fixture(scope="module")
def compiled() -> ModuleType:
    try:
        return importlib.import_module("tcpservice.wire._scan")
    except ImportError:
        pytest.skip("the compiled scan is not built, or the reference was asked for: no twin to compare")


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
