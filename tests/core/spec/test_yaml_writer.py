"""What is written as YAML is read as it was, by the rules of every reader."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.spec.yaml_writer import write_all, write_yaml
from tcpservice.spec.yamltext import parse

AMBIGUOUS = [
    "25921e05",
    "1e3",
    "08",
    "0o7",
    "0x1F",
    "y",
    "N",
    "On",
    "yes",
    "null",
    "~",
    ".inf",
    "1:30",
    "+1",
    "1_000",
    "2001-01-01",
    "",
]
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufeff\u2028\u2029\x85"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | PRINTABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PRINTABLE, inner, max_size=3),
    max_leaves=8,
)


def read(text: str) -> list[Any]:
    return [parsed.tree.value for parsed in parse(text)]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_text_that_some_reader_takes_for_something_else_is_quoted(text: str) -> None:
    assert write_yaml({"a": text}) == f"a: '{text}'\n"
    assert write_yaml({text: 1}).startswith((f"'{text}': 1", "? ''"))


@pytest.mark.parametrize(
    "text",
    ["orders", "nestjs-app", "shop/orders", "a.b_c", "two words", "_x", "64Mi", "/readyz", "shop:1", ".spec.port"],
)
def test_a_word_stays_as_it_is(text: str) -> None:
    assert write_yaml([text]) == f"- {text}\n"


@given(st.dictionaries(PRINTABLE, VALUES))
def test_what_is_written_is_read(document: dict[str, Any]) -> None:
    text = write_yaml(document)
    assert list(yaml.safe_load_all(text)) == [document]
    assert read(text) == [document]


def test_a_value_that_occurs_twice_is_written_twice() -> None:
    labels = {"app": "orders"}
    assert "&" not in write_all([{"one": labels, "other": labels}])


def test_documents_are_separated() -> None:
    assert write_yaml({"a": 1}, {"b": 2}) == "a: 1\n---\nb: 2\n"
