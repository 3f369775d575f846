"""The RBAC rules of the operator: the least rights that its work needs.

Used by the chart's roles and by `tcpservice check`. A test runs the operator with these rules only, and fails if the
API server forbids a request.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from tcpservice.spec.schema import GROUP
from tcpservice.spec.yaml_writer import write_yaml
from tcpservice_operator.api.names import CA_LEASE_NAME, CA_NAME, LEASE_NAME, WEBHOOK_NAME

Rule = dict[str, list[str]]
_BANNER: Final = "# Generated from tcpservice_operator.api.rbac by `make crds`; do not edit.\n"


def _rule(group: str, resource: str, *verbs: str, name: str = "") -> Rule:
    rule = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": [name]} if name else {})


NAMESPACES: Final[Rule] = _rule("", "namespaces", "list", "watch")
"""On namespaces themselves. An operator that watches named namespaces has this right on these only."""

CLUSTER_WIDE: Final[tuple[Rule, ...]] = (
    _rule("authentication.k8s.io", "tokenreviews", "create"),
    _rule("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "get", "patch", name=WEBHOOK_NAME),
)
"""On kinds that belong to no namespace."""

IN_NAMESPACES: Final[tuple[Rule, ...]] = (
    _rule(GROUP, "tcpservices", "list", "watch"),
    _rule(GROUP, "tcpservices/status", "patch"),
    _rule("", "services", "create", "list", "patch", "watch"),
    _rule("", "pods", "list", "watch"),
    _rule("", "pods/eviction", "create"),
    _rule("apps", "daemonsets", "get"),
    _rule("apps", "replicasets", "get"),
    _rule("apps", "statefulsets", "get"),
    _rule("batch", "jobs", "get"),
    _rule("", "limitranges", "list"),
    _rule("", "resourcequotas", "list"),
    _rule("", "events", "create", "list", "watch"),
    _rule("", "configmaps", "create", "list", "patch", name=CA_NAME),
    _rule("discovery.k8s.io", "endpointslices", "list", "watch"),
    _rule("networking.k8s.io", "networkpolicies", "list", "watch"),
)
"""In all namespaces, or in the named ones that the operator watches.

Server-side apply needs `create` for Services and ConfigMaps that do not exist yet.
"""

AT_HOME: Final[tuple[Rule, ...]] = (
    _rule("coordination.k8s.io", "leases", "create"),
    _rule("coordination.k8s.io", "leases", "get", "update", name=LEASE_NAME),
    _rule("coordination.k8s.io", "leases", "get", "update", name=CA_LEASE_NAME),
    _rule("", "secrets", "create"),
    _rule("", "secrets", "get", "update", name=CA_NAME),
)
"""In the operator's own namespace. RBAC cannot restrict `create` to a name."""


def cluster_wide(watched: Sequence[str] = ()) -> tuple[Rule, ...]:
    """Return the rules for the whole cluster, of an operator that watches these namespaces; none: all."""
    return NAMESPACES | ({"resourceNames": list(watched)} if watched else {}), *CLUSTER_WIDE


def roles(name: str, home: str, subject: dict[str, str], watched: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the roles, bound to a subject such as `{"kind": "ServiceAccount", ...}`."""
    everywhere = cluster_wide(watched) if watched else (*cluster_wide(), *IN_NAMESPACES)
    narrow = (_bound("Role", {"name": name, "namespace": each}, IN_NAMESPACES, subject) for each in watched)
    return [
        *_bound("ClusterRole", {"name": name}, everywhere, subject),
        *chain.from_iterable(narrow),
        *_bound("Role", {"name": f"{name}-home", "namespace": home}, AT_HOME, subject),
    ]


def text() -> str:
    """Return the rules in the form of the chart's file."""
    rules = {
        "namespaces": [NAMESPACES],
        "clusterWide": list(CLUSTER_WIDE),
        "inNamespaces": list(IN_NAMESPACES),
        "atHome": list(AT_HOME),
    }
    return _BANNER + write_yaml(rules)


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
