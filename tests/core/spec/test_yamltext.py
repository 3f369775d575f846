from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tcpservice.spec import yamltext
from tcpservice.spec.tree import MAX_NESTING, Unreadable
from tcpservice.spec.yamltext import parse

TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=100)
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)

MERGED = """
base: &base {a: 1, b: 1}
more: &more {b: 2, c: 2}
one: {<<: *base, a: 3}
both:
  <<: [*base, *more]
  d: 4
text: {"<<": *base}
"""


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with the compiled parser and with the one that always works."""
    monkeypatch.setattr(yamltext, "_LOADER", getattr(yaml, request.param))


def values(text: str) -> list[object]:
    return [parsed.tree.value for parsed in parse(text)]


@given(JSON)
def test_json_is_yaml(value: object) -> None:
    assert values(json.dumps(value)) == [value]


@given(st.text(alphabet=st.sampled_from("ab:-#&*!|>'\"%@`{}[],? \n\t\\0.~<")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        json.dumps(values(text))
    except Unreadable as error:
        refused = error.line
    else:
        refused = 1
    assert 1 <= refused <= text.count("\n") + 2


@pytest.mark.usefixtures("loader")
def test_the_lines_of_members() -> None:
    text = "# first\nspec:\n  a: 1\n  routes:\n  - name: x\n\n  - name: y\n    match:\n      type: Exact\n"
    (parsed,) = parse(text)
    assert parsed.tree.line_of(()) == 2
    assert parsed.tree.line_of(("spec",)) == 2
    assert parsed.tree.line_of(("spec", "routes")) == 4
    assert parsed.tree.line_of(("spec", "routes", 1)) == 7
    assert parsed.tree.line_of(("spec", "routes", 1, "match", "type")) == 9
    assert parsed.tree.line_of(("spec", "routes", 1, "timeouts", "request")) == 7
    assert parsed.tree.line_of(("spec", "routes", 7)) == 4


@pytest.mark.usefixtures("loader")
def test_merges_and_aliases() -> None:
    (parsed,) = parse(MERGED)
    assert parsed.tree.value == {
        "base": {"a": 1, "b": 1},
        "more": {"b": 2, "c": 2},
        "one": {"a": 3, "b": 1},
        "both": {"a": 1, "b": 1, "c": 2, "d": 4},
        "text": {"<<": {"a": 1, "b": 1}},
    }
    assert parsed.repeats == ()
    assert parsed.tree.line_of(("one", "b")) == 2
    assert parsed.tree.line_of(("one", "a")) == 4


def test_an_anchor_holds_within_its_document() -> None:
    with pytest.raises(Unreadable, match="line 3: not YAML: nothing before the alias "):
        values("a: &x 1\n---\na: *x\n")


def test_a_later_anchor_of_the_same_name_wins() -> None:
    assert values("[&x 1, *x, &x 2, *x]") == [[1, 1, 2, 2]]


@pytest.mark.usefixtures("loader")
def test_repeated_keys() -> None:
    (parsed,) = parse("a: 1\nb:\n- {c: 1, c: 2}\na: 3\n'a': 4\n")
    assert parsed.tree.value == {"a": 4, "b": [{"c": 2}]}
    assert [repeat.text for repeat in parsed.repeats] == [
        "b[0].c: the key is given twice, on lines 3 and 3",
        "a: the key is given twice, on lines 1 and 4",
        "a: the key is given twice, on lines 4 and 5",
    ]


@pytest.mark.parametrize("depth", [MAX_NESTING, MAX_NESTING + 1, 100_000])
def test_nesting_is_bounded(depth: int) -> None:
    text = "[" * depth + "]" * depth
    if depth <= MAX_NESTING:
        assert len(values(text)) == 1
        return
    with pytest.raises(Unreadable, match="line 1: expected at most 64 levels of nesting"):
        values(text)


def test_nesting_by_aliases_is_bounded() -> None:
    lines = ["a0: &a0 []", *(f"a{number}: &a{number} [*a{number - 1}]" for number in range(1, 1000))]
    with pytest.raises(Unreadable, match="line 65: expected at most 64 levels of nesting"):
        values("\n".join(lines))


def test_what_aliases_stand_for_is_bounded() -> None:
    lines = ["a0: &a0 [1, 2]", *(f"a{number}: &a{number} [*a{number - 1}, *a{number - 1}]" for number in range(1, 50))]
    with pytest.raises(Unreadable, match="line 19: expected at most 1000000 values, with aliases counted"):
        values("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: x: y\n", 2, "not YAML: mapping values are not allowed in this context (column 5)"),
        ("a: 'x\n", 2, "not YAML: found unexpected end of stream (column 1)"),
        ("a: 1\n\tb: 2\n", 2, "not YAML: found a tab character that violates indentation (column 1)"),
        ("a:\n  é\x07\n", 2, r'not YAML: the character "\u0007" (column 4)'),
        ("a: \ud800", 1, r'not YAML: the character "\ud800" (column 4)'),
        ("a: &a [*a]", 1, "not YAML: nothing before the alias *a has that name"),
        ("port: {{ .Values.port }}", 1, 'expected text as a key, got {".Values.port":null}'),
        ("x: 1\n<<: 5", 2, "expected a mapping to merge, got 5"),
        ("x: 1\n<<: [{}, 5]", 2, "expected a mapping to merge, got 5"),
        ("a:\n- !!int 5", 2, 'expected no tags, got "tag:yaml.org,2002:int"'),
        ("a:\n- !!set {b}", 2, 'expected no tags, got "tag:yaml.org,2002:set"'),
        (
            "!!python/object/apply:os.system [ls]",
            1,
            'expected no tags, got "tag:yaml.org,2002:python/object/apply:os.system"',
        ),
    ],
)
def test_text_that_cannot_be_read(text: str, line: int, message: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        values(text)
    assert (refusal.value.line, refusal.value.message) == (line, message)


def test_documents_before_a_mistake_are_given() -> None:
    documents = parse("a: 1\n---\nb: [\n")
    assert next(documents).tree.value == {"a": 1}
    with pytest.raises(Unreadable):
        next(documents)
