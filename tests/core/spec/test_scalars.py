from __future__ import annotations

import pytest

from tcpservice.spec.scalars import UnknownTag, scalar_value

BOTTOMLESS = "9" * 5000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("Yes", True),
        ("OFF", False),
        ("y", "y"),
        ("0", 0),
        ("3001", 3001),
        ("-3", -3),
        ("+3", 3),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0644", 420),
        ("-0644", -420),
        ("0o644", 420),
        ("0b101", 5),
        ("08", "08"),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1.5E-1", 0.15),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("orders", "orders"),
        (BOTTOMLESS, BOTTOMLESS),
    ],
)
def test_a_plain_word(text: str, value: object) -> None:
    read = scalar_value(text, None, plain=True)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["", "true", "3001", "orders"])
@pytest.mark.parametrize(("tag", "plain"), [(None, False), ("!", True), ("tag:yaml.org,2002:str", True)])
def test_a_word_that_is_text(text: str, tag: str | None, plain: bool) -> None:
    assert scalar_value(text, tag, plain=plain) == text


@pytest.mark.parametrize("tag", ["tag:yaml.org,2002:int", "tag:yaml.org,2002:python/name:os.system", "!env"])
def test_a_tag(tag: str) -> None:
    with pytest.raises(UnknownTag):
        scalar_value("1", tag, plain=False)
