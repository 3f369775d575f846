"""Fixtures of the tests against NestJS: the shared bench."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """The replicas, clients and sidecars that the whole session shares."""
    with Bench() as bench:
        yield bench
