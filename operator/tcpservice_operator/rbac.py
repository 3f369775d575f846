"""What the operator may do, verb by verb: the least that its work takes, and the one list of it.

Used for the chart's roles; a test runs the operator with just these, and fails on any answer that forbids something.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import yaml

from tcpservice.spec.schema import GROUP
from tcpservice_operator.objects import LEASE, TRUST, WEBHOOK

Rule = dict[str, list[str]]
_BANNER: Final = "# Generated from tcpservice_operator.rbac by `make crds`; do not edit.\n"


def _rule(group: str, resource: str, *verbs: str, name: str = "") -> Rule:
    rule = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": [name]} if name else {})


EVERYWHERE: Final[tuple[Rule, ...]] = (
    _rule(GROUP, "tcpservices", "list", "watch"),
    _rule(GROUP, "tcpservices/status", "patch"),
    _rule("", "services", "create", "list", "patch", "watch"),
    _rule("", "pods", "list", "watch"),
    _rule("", "pods/eviction", "create"),
    _rule("apps", "replicasets/scale", "get"),
    _rule("apps", "statefulsets/scale", "get"),
    _rule("apps", "daemonsets/status", "get"),
    _rule("", "namespaces", "list", "watch"),
    _rule("", "events", "create"),
    _rule("", "configmaps", "create", "list", "patch", name=TRUST),
    _rule("discovery.k8s.io", "endpointslices", "list", "watch"),
    _rule("networking.k8s.io", "networkpolicies", "list", "watch"),
    _rule("authentication.k8s.io", "tokenreviews", "create"),
    _rule("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "get", "patch", name=WEBHOOK),
)
"""In all namespaces. `create` of Services and ConfigMaps is what server-side apply asks for where there is none yet."""

AT_HOME: Final[tuple[Rule, ...]] = (
    _rule("coordination.k8s.io", "leases", "create"),
    _rule("coordination.k8s.io", "leases", "get", "update", name=LEASE),
    _rule("", "secrets", "create"),
    _rule("", "secrets", "get", "update", name=TRUST),
)
"""In the operator's own namespace. `create` cannot be granted for one name: whoever grants does not see it yet."""


def roles(name: str, namespace: str, subject: dict[str, str]) -> list[dict[str, Any]]:
    """Return the roles, bound to a subject such as `{"kind": "ServiceAccount", ...}`."""
    return [
        *_bound("ClusterRole", {"name": name}, EVERYWHERE, subject),
        *_bound("Role", {"name": name, "namespace": namespace}, AT_HOME, subject),
    ]


def text() -> str:
    """Return the rules as the chart keeps them."""
    rules = {"everywhere": list(EVERYWHERE), "atHome": list(AT_HOME)}
    return _BANNER + yaml.safe_dump(rules, sort_keys=False, width=120)


def _bound(
    kind: str, metadata: dict[str, str], rules: tuple[Rule, ...], subject: dict[str, str]
) -> list[dict[str, Any]]:
    group, version = "rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1"
    reference = {"apiGroup": group, "kind": kind, "name": metadata["name"]}
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": list(rules)},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [subject],
        },
    ]


if __name__ == "__main__":
    sys.stdout.write(text())
