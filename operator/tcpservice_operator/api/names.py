"""Names that the operator, the sidecar and the API server agree on: labels, annotations, objects and flags.

Used by every folder of the operator. Each name is written here once, because a difference between two folders would
show only in a cluster.
"""

from __future__ import annotations

from typing import Final

from tcpservice.spec.schema import GROUP

PLURAL: Final = "tcpservices"
VERSION: Final = "v1alpha1"
"""The resource of TcpServices and the version of their API group."""

SIDECAR_CONTAINER: Final = "tcpservice-sidecar"
"""The name of the sidecar's container. A pod with this container counts as injected."""

APP_FLAG: Final = "--app="
LISTEN_FLAG: Final = "--listen="
HOOK_KEY_FLAG: Final = "--hook-key="
"""Flags of an injected sidecar.

The app of a TcpService that the pod serves, the address where the sidecar listens for a TcpService that the pod calls,
and the key that the kubelet sends to the hooks.
"""

FIELD_MANAGER: Final = "tcpservice-operator"
"""The field manager of all writes of the operator, and the value of `app.kubernetes.io/managed-by`."""

DOCS: Final = "https://github.com/tcpservice/tcpservice/blob/main/docs"
"""Where the documentation is."""

LEASE_NAME: Final = "tcpservice-operator"
CA_LEASE_NAME: Final = "tcpservice-operator-ca"
"""The names of the Leases that elect the replica of the operator that leads.

Replicas that keep the CA and do not reconcile have a Lease of their own.
"""

CA_NAME: Final = "tcpservice-ca"
"""The name of the Secret with the certificate authority, and of the ConfigMaps with its bundle."""

WEBHOOK_NAME: Final = "tcpservice"
"""The name of the MutatingWebhookConfiguration, which the chart creates."""

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MADE_FOR_LABEL: Final = f"{GROUP}/made-for"
"""The label of a Service `<name>-replicas` with the uid of its TcpService (see `reconcile.service_documents`)."""

INJECT_LABEL: Final = f"{GROUP}/inject"
"""The label of namespaces and pods that call TcpServices: `enabled` or `disabled`."""

INJECTION_NOTES: Final = f"{GROUP}/injection-notes"
"""The annotation that lists what the injection left out, with the reasons."""

NO_ALIAS_NOTE: Final = ": calls bypass the sidecar (no alias), because "
NOT_INJECTED: Final = f"{GROUP}/not-injected"
"""The annotation with the reason why a pod that serves or calls has no sidecar."""

SIDECAR_ANNOTATION: Final = f"{GROUP}/sidecar-"
"""The prefix of the annotations that change the sidecar of one pod: `cpu`, `cpu-limit`, `memory` and others."""

APP_PORTS_ANNOTATION: Final = f"{GROUP}/app-ports"
"""The annotation that lists the ports on which a pod's apps listen. It replaces the ports that the pod declares."""

SERVES_ANNOTATION: Final = f"{GROUP}/serves"
"""The annotation that lists TcpServices of the namespace that a pod will serve, though none selects it yet: `orders`.

A blue/green rollout makes the pods of the new revision before the selector of the Service is changed to them.
"""

CALLS_ANNOTATION: Final = f"{GROUP}/calls"
"""The annotation that lists the TcpServices that a pod calls: `orders, billing.payments`."""
