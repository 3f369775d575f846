"""The JSON schema of a TcpService, for editors and for CI, generated from the CustomResourceDefinition.

Used by `make crds`, which writes it to docs/tcpservice.schema.json. Editors check a manifest against it as it is
written, and offer the fields with their descriptions. A structural schema is nearly JSON Schema: Kubernetes' own
keywords are dropped, and unknown fields are refused. Rules that only the API server can evaluate are left out;
`tcpservice validate` checks all.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from tcpservice.spec.schema import GROUP
from tcpservice_operator.api.crd import definition
from tcpservice_operator.api.names import VERSION

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_KUBERNETES_OWN: Final = ("x-kubernetes-validations", "x-kubernetes-int-or-string", "x-kubernetes-list-type",
                          "x-kubernetes-list-map-keys", "format")  # fmt: skip


def json_schema() -> dict[str, Any]:
    """Return the schema of a TcpService's manifest as plain data."""
    version = definition()["spec"]["versions"][0]
    schema = _converted(version["schema"]["openAPIV3Schema"])
    properties = schema["properties"]
    properties["apiVersion"] = {"const": f"{GROUP}/{VERSION}"}
    properties["kind"] = {"const": "TcpService"}
    # Kubernetes' own: name, namespace, labels and annotations, and what a cluster adds.
    properties["metadata"] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    properties["status"] = {"type": "object", "description": "Written by the operator."}
    return {
        "$schema": DRAFT,
        "title": "TcpService",
        **schema,
        "required": ["apiVersion", "kind", "metadata", "spec"],
    }


def _converted(schema: Any) -> Any:
    """Return a structural schema, or a part of it, as JSON Schema."""
    if isinstance(schema, list):
        return [_converted(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _converted(value) for key, value in schema.items() if key not in _KUBERNETES_OWN}
    # Below `properties` a key is a field of the manifest, whose value has a type of its own.
    if schema.get("type") == "object" and "properties" in schema:
        kept["additionalProperties"] = False
    return kept


def text() -> str:
    """Return the schema in the form of the file in crds/."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
