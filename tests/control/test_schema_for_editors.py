"""The JSON schema for editors: valid itself, fresh, and of one mind with the sidecar's own reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tcpservice_operator.api import fields, json_schema

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "apiVersion": "tcpservice.dev/v1alpha1",
    "kind": "TcpService",
    "metadata": {"name": "orders", "labels": {"team": "shop"}},
    "spec": {"selector": {"app": "orders"}, "port": 3001, "targetPort": "nestjs", "timeouts": {"request": "5s"}},
}


def errors(manifest: dict[str, Any]) -> list[str]:
    return [error.json_path for error in Draft7Validator(json_schema.json_schema()).iter_errors(manifest)]


def test_the_files_are_fresh() -> None:
    assert (ROOT / "docs" / "tcpservice.schema.json").read_text() == json_schema.text(), "run: make crds"
    assert (ROOT / "docs" / "fields.md").read_text() == fields.text(), "run: make crds"


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(json_schema.json_schema())


def test_the_examples_are_valid() -> None:
    found = [
        document
        for path in (ROOT / "examples").rglob("*.yaml")
        if "node_modules" not in path.parts
        for document in yaml.safe_load_all(path.read_text())
        if document and document.get("kind") == "TcpService"
    ]
    assert len(found) > 2
    assert [errors(document) for document in found] == [[]] * len(found)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"spec": {**GOOD["spec"], "prot": 1}}, "$.spec"),
        ({"spec": {**GOOD["spec"], "port": 0}}, "$.spec.port"),
        ({"spec": {**GOOD["spec"], "timeouts": {"request": 5}}}, "$.spec.timeouts.request"),
        ({"spec": {**GOOD["spec"], "protocol": "HTTP"}}, "$.spec.protocol"),
        ({"apiVersion": "tcpservice.dev/v1"}, "$.apiVersion"),
        ({"metadata": {}}, "$.metadata"),
    ],
)
def test_mistakes_are_found_where_they_are(change: dict[str, Any], place: str) -> None:
    assert errors(GOOD) == []
    assert errors({**GOOD, **change}) == [place]
