"""Quantities mean what Kubernetes' own client takes them for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from kubernetes.utils.quantity import parse_quantity as parse_by_kubernetes

from tcpservice_operator.api.quantities import format_quantity, parse_quantity


@pytest.mark.parametrize("text", ["1", "0.5", ".5", "50m", "64Mi", "1Gi", "128M", "2k", "1E", "3Ei", "7n", "9u", "-1"])
def test_a_quantity_is_read_as_by_kubernetes(text: str) -> None:
    assert parse_quantity(text) == parse_by_kubernetes(text)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("text", "amount"), [("1e3", 1000), ("1E3", 1000), ("25e-1", Decimal("2.5"))])
def test_exponents(text: str, amount: Decimal) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize("text", ["", "lots", "1Mb", "1 Gi", "1e", "--1", "1.2.3", "K"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity"):
        parse_quantity(text)


def test_amounts_are_rounded_up() -> None:
    assert (format_quantity("cpu", Decimal("0.0101")), format_quantity("memory", Decimal("1.5"))) == ("11m", "2")
