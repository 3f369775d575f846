"""Which form of the core runs."""

from __future__ import annotations

import sys

from tcpservice import implementation


def test_nothing_changes_unless_plain_python_is_asked_for() -> None:
    finders = list(sys.meta_path)
    implementation.choose("auto")
    implementation.choose("")
    assert sys.meta_path == finders


def test_the_form_that_runs_is_known() -> None:
    assert implementation.running() in (implementation.COMPILED, implementation.PYTHON)
