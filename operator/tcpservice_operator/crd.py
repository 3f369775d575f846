"""The CustomResourceDefinition of TcpService, generated from the structs that the sidecar reads manifests with.

    python -m tcpservice_operator.crd > crds/tcpservices.yaml

The file is committed, so that people can read and apply it; a test fails when it is not what this makes.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import yaml

from tcpservice.spec.schema import GROUP, TcpService
from tcpservice_operator.rules import RULES
from tcpservice_operator.schema import schema_of

PLURAL: Final = "tcpservices"
VERSION: Final = "v1alpha1"
NAME: Final = f"{PLURAL}.{GROUP}"

_READY: Final = '.status.conditions[?(@.type=="Ready")].status'
_COLUMNS: Final = (
    ("Port", "integer", ".spec.port", "What callers dial."),
    ("Replicas", "integer", ".status.replicas.total", "How many replicas there are."),
    ("Injected", "integer", ".status.replicas.injected", "How many of them have the sidecar."),
    ("Ready", "string", _READY, "Whether messages are served."),
    ("Age", "date", ".metadata.creationTimestamp", "How long it has been there."),
)
_BANNER: Final = "# Generated from the structs of tcpservice.spec.schema by `make crds`; do not edit.\n"


def definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition as plain data."""
    schema = schema_of(TcpService, RULES)
    # Kubernetes checks these itself, and a schema may say nothing of metadata but bounds on its name.
    schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    schema["properties"]["metadata"] = {"type": "object"}
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
                "categories": ["all"],
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
    """Return the CustomResourceDefinition as it stands in crds/."""
    return _BANNER + yaml.safe_dump(definition(), sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(text())
