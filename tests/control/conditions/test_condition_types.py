"""The table of conditions: the documentation shows the same one, and the status follows from the reason."""

from __future__ import annotations

from pathlib import Path

from tcpservice_operator.conditions.condition_types import CONDITION_TYPES, SEVERE, page, page_of, status_of

PAGE = Path(__file__).parents[3] / "docs" / "conditions.md"


def test_the_documentation_is_that_of_the_table() -> None:
    assert PAGE.read_text() == page(), "make crds"


def test_each_problem_has_a_section_to_which_its_message_leads() -> None:
    sections = {f"#{line[3:].lower()}" for line in PAGE.read_text().splitlines() if line.startswith("## ")}
    reasons = [(name, reason) for reasons in CONDITION_TYPES.values() for name, reason in reasons.items()]
    for name, reason in reasons:
        assert (reason.status != "True") == bool(reason.fix), name
        assert (reason.status == "True") or f"#{page_of(name).partition('#')[2]}" in sections


def test_each_condition_is_true_for_one_reason() -> None:
    for kind, reasons in CONDITION_TYPES.items():
        assert [status_of(kind, name) for name in reasons].count("True") == 1, kind
    assert set(SEVERE) < CONDITION_TYPES.keys()


def test_a_reason_of_another_condition_makes_ready_false() -> None:
    assert status_of("Programmed", "Pending") == "Unknown"
    assert status_of("Ready", "Pending") == "False"
