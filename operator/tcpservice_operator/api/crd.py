"""The CustomResourceDefinition of TcpService, generated from the structs with which the sidecar reads manifests.

Used by `make crds`, which writes it to crds/tcpservices.yaml, and by `check`, which compares it with the cluster's. The
file is committed, so that people can read and apply it. A test fails if the file differs from the generated text.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from tcpservice.spec.schema import GROUP, TcpService
from tcpservice.spec.yaml_writer import write_yaml
from tcpservice_operator.api.cel_rules import RULES
from tcpservice_operator.api.names import PLURAL, VERSION
from tcpservice_operator.api.structural_schema import schema_of

NAME: Final = f"{PLURAL}.{GROUP}"

_READY: Final = '.status.conditions[?(@.type=="Ready")]'
_COLUMNS: Final = (
    ("Ready", "string", f"{_READY}.status", "Whether at least one replica can serve messages."),
    ("Replicas", "integer", ".status.replicas.total", "The number of replicas."),
    ("Injected", "integer", ".status.replicas.injected", "The number of replicas that have the sidecar."),
    ("Port", "integer", ".spec.port", "The port that callers connect to."),
    ("Reason", "string", f"{_READY}.reason", "The reason of the condition Ready."),
    ("Age", "date", ".metadata.creationTimestamp", "The time since the creation of the TcpService."),
)
_BANNER: Final = "# Generated from the structs of tcpservice.spec.schema by `make crds`; do not edit.\n"


def definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition as plain data."""
    schema = schema_of(TcpService, RULES)
    # Kubernetes validates these fields itself. A schema may restrict only the name in metadata.
    schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    schema["properties"]["metadata"] = {"type": "object", "properties": {"name": {"type": "string"}}}
    schema["required"] = ["spec"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": "TcpService",
                "listKind": "TcpServiceList",
                "plural": PLURAL,
                "singular": "tcpservice",
                "shortNames": ["tcps"],
                "categories": ["tcpservice"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "description": description}
                        for name, kind, path, description in _COLUMNS
                    ],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def text() -> str:
    """Return the CustomResourceDefinition in the form of the file in crds/."""
    return _BANNER + write_yaml(definition())


if __name__ == "__main__":
    sys.stdout.write(text())
