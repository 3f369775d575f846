"""Chaos for 20 seconds (CHAOS_SECONDS=600: for as long as that), with one sidecar and with two; see chaos.py."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from acceptance import chaos
from acceptance.topology import WAYS, Way

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.mark.parametrize("way", WAYS)
def test_no_fault_breaks_a_promise(tmp_path: Path, way: Way) -> None:
    result = chaos.run(way, tmp_path, seconds=SECONDS, seed=SEED)
    print(json.dumps(chaos.summary(result), indent=1))
    assert result.faults["kill"] > 0
    assert result.broken() == {}
