"""All conditions of a TcpService, with all their reasons: the one table of what the status can say.

Used by `condition_checks`, which sets the conditions. docs/conditions.md is written from this table, with a section for
each reason of a problem. The message of such a condition ends with the address of that section. A check names its
reason only: the status of the condition follows from the reason, by this table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from tcpservice_operator.api.names import DOCS

Truth = Literal["True", "False", "Unknown"]


class Reason(Struct, frozen=True):
    """A reason of a condition: the status that it implies, and what it means. A problem has a cause and a fix, too."""

    status: Truth
    meaning: str
    cause: str = ""
    fix: str = ""


def _shell(*commands: str) -> str:
    """Return a block of shell commands, as a paragraph of its own."""
    return "\n\n```sh\n" + "\n".join(commands) + "\n```"


_NOT_ACCEPTED: Final = Reason(
    "False",
    "The operator did not check this condition, because `Accepted` is False.",
    "The operator checks the other conditions only for a manifest that it accepts. Sidecars keep the last valid "
    "manifest.",
    "Read the reason and the message of `Accepted`, and fix that problem. The operator then checks this condition, too:"
    + _shell(
        "kubectl get tcpservice -n NAMESPACE NAME -o jsonpath='{.status.conditions[?(@.type==\"Accepted\")].message}'"
    ),
)
_HOST_NETWORK: Final = Reason(
    "False",
    "Some pods use the host network, so they cannot have the sidecar.",
    "The pod template has `hostNetwork: true`. The sidecars of several such pods would need the same ports of their "
    "node. The pods still serve: callers' sidecars send messages directly to their apps.",
    "Remove `hostNetwork: true` from the pod template, for example:"
    + _shell(
        'kubectl patch -n NAMESPACE deployment/NAME -p \'{"spec": {"template": {"spec": {"hostNetwork": null}}}}\''
    ),
)
_LABEL_CALLERS: Final = _shell(
    "kubectl label namespace CALLER-NAMESPACE tcpservice.dev/inject=enabled",
    "kubectl rollout restart -n CALLER-NAMESPACE deployment/CALLER",
)
_INJECT_CALLERS: Final = (
    "Add the sidecar to the callers, which then balance each message themselves. If they are in another namespace, "
    "first allow it (`spec.allowedCallers`), and name the TcpService in the annotation `tcpservice.dev/calls` of their "
    "pods. Label their namespace, and recreate the calling pods:" + _LABEL_CALLERS
)
_OR_INJECT_CALLERS: Final = f"\n\nOr {_INJECT_CALLERS[0].lower()}{_INJECT_CALLERS[1:]}"
_MEANWHILE: Final = "While this problem lasts, sidecars use the endpoints of the Service of the TcpService's name."

CONDITION_TYPES: Final[dict[str, dict[str, Reason]]] = {
    "Accepted": {
        "Accepted": Reason("True", "The manifest is valid."),
        "Invalid": Reason(
            "False",
            "The manifest has an error that the API server did not detect.",
            "The schema of the CRD cannot check everything. For example, it cannot detect that NestJS treats the "
            "patterns of two routes as equal. Sidecars keep the last valid manifest. If the TcpService never had a "
            "valid manifest, the operator creates no Services.",
            "Correct the fields that the message names:" + _shell("kubectl edit tcpservice -n NAMESPACE NAME"),
        ),
        "NoSelector": Reason(
            "False",
            "The operator cannot find the pods of the TcpService.",
            "`spec.selector` is missing, and the operator cannot use a Service instead: the namespace has no Service "
            "of the TcpService's name, or that Service has the type ExternalName.",
            "Set `spec.selector` to labels that all pods of the TcpService have:"
            + _shell(
                "kubectl get pods -n NAMESPACE --show-labels",
                "kubectl patch tcpservice -n NAMESPACE NAME --type=merge "
                '-p \'{"spec": {"selector": {"app": "NAME"}}}\'',
            )
            + "\n\nOr create a Service of the TcpService's name, with a selector or with your own EndpointSlices.",
        ),
    },
    "Programmed": {
        "Programmed": Reason("True", "The Services of the TcpService exist."),
        "Pending": Reason(
            "Unknown",
            "The operator is creating the Services.",
            "The TcpService is new. The operator waits two seconds before it creates the Service of the TcpService's "
            "name, because one `kubectl apply` can create the TcpService before its Service.",
            "Wait a few seconds. If the reason remains, read the log of the operator:"
            + _shell("kubectl logs -n tcpservice-system -l app.kubernetes.io/name=tcpservice-operator --tail=100"),
        ),
        "ServiceTaken": Reason(
            "False",
            "The operator cannot use the Service `<name>-replicas`, because another client created or changed it.",
            "The operator needs this headless Service: its EndpointSlices list the pods of the TcpService. The "
            f"operator does not overwrite a Service of another owner. {_MEANWHILE}",
            "Find out which client manages the Service. If nothing else uses it, delete it; the operator then creates "
            "its own:"
            + _shell(
                "kubectl get service -n NAMESPACE NAME-replicas -o yaml --show-managed-fields",
                "kubectl delete service -n NAMESPACE NAME-replicas",
            )
            + "\n\nIf another application uses the Service, give the TcpService another name.",
        ),
        "ServiceRefused": Reason(
            "False",
            "The operator cannot create or update a Service of the TcpService. The message has the error.",
            "The API server rejected the Service, for example because of a ResourceQuota or an admission policy. Or "
            f"another client repeatedly reverts the operator's changes of the Service. {_MEANWHILE}",
            "A TcpService needs the Service of its name and the Service `<name>-replicas`. If the error names a quota, "
            "raise the number of Services that it allows:"
            + _shell("kubectl describe resourcequota -n NAMESPACE")
            + "\n\nIf the error names a policy, allow the ServiceAccount `tcpservice-operator` to write Services. If "
            "another client changes the Service, find out which one, and stop it:"
            + _shell("kubectl get service -n NAMESPACE NAME -o yaml --show-managed-fields")
            + "\n\nThe operator tries again at least every 30 seconds.",
        ),
        "NotAccepted": _NOT_ACCEPTED,
    },
    "InboundReady": {
        "InboundReady": Reason("True", "Sidecars balance each message of callers without a sidecar."),
        "HeadlessService": Reason(
            "False",
            "The Service is headless, so callers without a sidecar choose a pod themselves.",
            "A headless Service has no cluster IP: its DNS name resolves to the addresses of the pods. NestJS connects "
            "to one of them and sends all messages there.",
            _INJECT_CALLERS
            + "\n\nOr remove `clusterIP: None` from the manifest of the Service, and replace the Service. Kubernetes "
            "cannot change this field of an existing Service, so callers cannot connect for a moment:"
            + _shell("kubectl replace --force -f service.yaml"),
        ),
        "ManualEndpoints": Reason(
            "False",
            "The Service has no selector, so the addresses of its EndpointSlices receive connections directly.",
            "You or another controller manage the EndpointSlices of this Service. The operator cannot place sidecars "
            "in front of these addresses. Kubernetes balances callers without a sidecar per connection.",
            "If the endpoints are pods with common labels, give the Service a selector:"
            + _shell('kubectl patch service -n NAMESPACE NAME -p \'{"spec": {"selector": {"app": "NAME"}}}\'')
            + _OR_INJECT_CALLERS,
        ),
        "PortMissing": Reason(
            "False",
            "The Service does not have the port of the TcpService, so callers without a sidecar cannot connect.",
            "`spec.port` of the TcpService is not among the ports of the Service of its name.",
            "Add the port to the Service. The message has the command for your Service:"
            + _shell(
                "kubectl patch service -n NAMESPACE NAME --type=json -p "
                '\'[{"op": "add", "path": "/spec/ports/-", '
                '"value": {"name": "nestjs", "port": 3001, "targetPort": "nestjs"}}]\''
            ),
        ),
        "NumericTargetPort": Reason(
            "False",
            "The Service targets the app's port by number, so connections of callers without a sidecar bypass the "
            "pods' sidecars. Kubernetes balances these callers per connection.",
            "For these callers, the webhook moves the *name* of the app's port to the sidecar: a Service that targets "
            "the name then leads to the sidecar. A port number cannot be moved, because the app listens on it. If the "
            "operator created the Service, a number is no problem: such a Service targets the sidecars' port as soon "
            "as all ready pods have a sidecar.",
            "Use a port name in all three objects. The message has the commands for your objects, in this order:\n\n"
            "1. Name the port in the pod template, for example `{name: nestjs, containerPort: 3001}`.\n"
            "2. Set `spec.targetPort` of the TcpService to that name.\n"
            "3. Set `targetPort` of the Service to that name:"
            + _shell(
                "kubectl patch service -n NAMESPACE NAME --type=json -p "
                '\'[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": "nestjs"}]\''
            ),
        ),
        "OtherTargetPort": Reason(
            "False",
            "The Service and the TcpService target different ports, so connections of callers without a sidecar bypass "
            "the pods' sidecars. Kubernetes balances these callers per connection.",
            "The webhook moves one port name to the sidecar: that in `spec.targetPort` of the TcpService. The Service "
            "targets another name, or the TcpService targets a number.",
            "Let both target the same port name. The message has the commands for your objects, for example:"
            + _shell(
                'kubectl patch tcpservice -n NAMESPACE NAME --type=merge -p \'{"spec": {"targetPort": "nestjs"}}\''
            ),
        ),
        "SharedPort": Reason(
            "False",
            "Services or TcpServices with different selectors target the same port of the same pods, so the port stays "
            "with the app. Kubernetes balances callers without a sidecar per connection.",
            "An example is a stable Service and a canary Service with the same target port. A sidecar cannot detect "
            "which Service a connection used. If it balanced over the pods of all of them, it would send messages of "
            "the canary to stable pods.",
            "If all of them should select the same pods, give them the same selector. If the message lists sidecars "
            "that still listen on the port, recreate their pods:"
            + _shell("kubectl rollout restart -n NAMESPACE deployment/NAME")
            + _OR_INJECT_CALLERS,
        ),
        "HostNetwork": _HOST_NETWORK,
        "NoSidecar": Reason(
            "False",
            "Connections of callers without a sidecar do not go through the pods' sidecars. Kubernetes balances these "
            "callers per connection.",
            "No ready pod has a sidecar for the target port: the pods are older than the operator, the TcpService or "
            "its target port. There is a second cause if the target port is a number and the operator created "
            "the Service: one ready pod without a sidecar is enough, because the Service targets the sidecars' port "
            "only when all ready pods have a sidecar.",
            "Recreate the pods. A pod gets the sidecar only when it is created:"
            + _shell("kubectl rollout restart -n NAMESPACE deployment/NAME"),
        ),
        "InboundPortClosed": Reason(
            "False",
            "NetworkPolicies block the port on which the pods' sidecars accept callers without a sidecar, so these "
            "callers cannot connect.",
            "NetworkPolicies select the pods, and none of their rules allows this port: 15820 for the first target "
            "port of the pod, 15821 for the second, and so on. The Service targets the sidecar's port, not the app's.",
            "Allow the port in the rule that allows the app's port. The message has the command for your NetworkPolicy:"
            + _shell(
                "kubectl patch networkpolicy -n NAMESPACE POLICY --type=json -p "
                '\'[{"op": "add", "path": "/spec/ingress/0/ports/-", "value": {"port": 15820}}]\''
            ),
        ),
        "NotAccepted": _NOT_ACCEPTED,
    },
    "Injected": {
        "AllInjected": Reason("True", "All pods have the sidecar."),
        "PodsLackSidecar": Reason(
            "False",
            "Some pods have no sidecar for this TcpService. They still serve: callers' sidecars send messages directly "
            "to their apps. These pods record no spans and do not finish messages in flight when they are deleted.",
            "A pod gets the sidecar only when it is created. The pods are older than the operator or the TcpService, "
            "the webhook did not respond when they were created, or the webhook refused the sidecar. In the last case, "
            "the message and the annotation `tcpservice.dev/not-injected` of the pod have the reason.",
            "Recreate the pods:"
            + _shell("kubectl rollout restart -n NAMESPACE deployment/NAME")
            + "\n\nOr let the operator evict them one at a time, within their disruption budgets:"
            + _shell(
                "kubectl patch tcpservice -n NAMESPACE NAME --type=merge "
                '-p \'{"spec": {"injection": {"restart": "Evict"}}}\''
            )
            + "\n\nIf a new pod has no sidecar either, these commands show why:"
            + _shell(
                "kubectl get pod -n NAMESPACE POD -o jsonpath='{.metadata.annotations.tcpservice\\.dev/not-injected}'",
                "tcpservice check",
            ),
        ),
        "HostNetwork": _HOST_NETWORK,
        "NoPods": Reason(
            "Unknown",
            "The TcpService selects no pods, or its endpoints come from your own EndpointSlices.",
            "The workload has no pods yet, the selector is wrong, or you wrote the EndpointSlices yourself.",
            "Compare `spec.selector` with the labels of the pods:"
            + _shell(
                "kubectl get tcpservice -n NAMESPACE NAME -o jsonpath='{.spec.selector}'",
                "kubectl get pods -n NAMESPACE --show-labels",
            ),
        ),
        "NotAccepted": _NOT_ACCEPTED,
    },
    "Ready": {
        "Serving": Reason("True", "At least one pod serves messages."),
        "NoReplicas": Reason(
            "False",
            "No pod is ready. While sidecars can reach no pod, requests fail with the code `no_endpoints`. When this "
            "has lasted 5 seconds, sidecars also refuse connections of callers.",
            "The pods are starting or fail their readiness probe, the workload cannot create pods, or the selector "
            "selects no pod. If a workload cannot create pods, the message has the error of the API server.",
            "Find out why the pods are not ready:"
            + _shell(
                "kubectl get pods -n NAMESPACE -l app=NAME",
                "kubectl describe pods -n NAMESPACE -l app=NAME",
            ),
        ),
        "TargetPortMissing": Reason(
            "False",
            "No container of the pods has a port of the targeted name, so the Services have no endpoints.",
            "The TcpService (or its Service) targets a port name that the pod template does not declare.",
            "Name the port in the pod template. The message has the command for your workload:"
            + _shell(
                'kubectl patch -n NAMESPACE deployment/NAME -p \'{"spec": {"template": {"spec": {"containers": '
                '[{"name": "app", "ports": [{"name": "nestjs", "containerPort": 3001}]}]}}}}\''
            ),
        ),
        "MeshPortClosed": Reason(
            "False",
            "NetworkPolicies block port 15801 of the pods, the port on which a pod's sidecar accepts the sidecars of "
            "callers.",
            "NetworkPolicies select the pods, and none of their rules allows port 15801. Callers' sidecars send "
            "messages directly to the apps if the policies allow the app's port; the pods then record no spans and do "
            "not finish messages in flight when they are deleted. If the policies block the app's port, too, no "
            "message is served.",
            "Allow port 15801 in the rule that allows the app's port. The message has the command for your "
            "NetworkPolicy:"
            + _shell(
                "kubectl patch networkpolicy -n NAMESPACE POLICY --type=json -p "
                '\'[{"op": "add", "path": "/spec/ingress/0/ports/-", "value": {"port": 15801}}]\''
            ),
        ),
    },
}
"""By condition type, then by reason.

Ready also takes the reason of Accepted or Programmed if that condition is not True; Ready is False then.
"""

_NEVER: Final = "never"
_STATUSES: Final[dict[str, tuple[str, str, str]]] = {
    "Accepted": (
        "The manifest is valid, and the operator can find the endpoints.",
        "The operator cannot use the manifest. It creates no Services. Sidecars keep the last valid manifest.",
        _NEVER,
    ),
    "Programmed": (
        "The Services of the TcpService exist.",
        "A Service is missing, or the operator cannot use or update it. Messages are still served if the Service of "
        "the TcpService's name has endpoints.",
        "The operator is creating the Services.",
    ),
    "InboundReady": (
        "Sidecars balance each message of callers without a sidecar.",
        "Callers without a sidecar are balanced per connection: all messages of a connection go to one pod. With "
        "`PortMissing` and `InboundPortClosed`, they cannot connect. Callers with a sidecar are not affected.",
        _NEVER,
    ),
    "Injected": (
        "All pods have the sidecar. The message may list callers whose messages do not go through their own sidecar, "
        "or not through the sidecars of the pods. It has a command that fixes this or shows the cause.",
        "Some pods have no sidecar. They still serve messages.",
        "There are no pods.",
    ),
    "Ready": (
        "At least one pod serves messages.",
        "Sidecars have no pod to which they can send messages. There are two exceptions. If `Accepted` is False, "
        "sidecars keep the last valid manifest. With `MeshPortClosed`, callers' sidecars send messages directly to the "
        "apps if NetworkPolicies allow the apps' port.",
        _NEVER,
    ),
}
"""By condition type: what True, False and Unknown mean."""

SEVERE: Final = ("Accepted", "Programmed", "Ready")
"""The types that `tcpservice check` reports as failed; without the others, messages are still served."""


def status_of(kind: str, reason: str) -> Truth:
    """Return the status of a condition type that has a reason."""
    known = CONDITION_TYPES[kind]
    return known[reason].status if kind != "Ready" or reason in known else "False"


def page_of(reason: str) -> str:
    """Return the address of the section that explains a reason."""
    return f"{DOCS}/conditions.md#{reason.lower()}"


def page() -> str:
    """Return docs/conditions.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "<!-- Written by `make crds` from tcpservice_operator.conditions.condition_types; do not edit. -->"
    yield "# Conditions of a TcpService"
    yield ""
    yield "The operator reports the state of each TcpService as conditions. This command shows them:"
    yield from ("", "```sh", "kubectl describe tcpservice -n NAMESPACE NAME", "```", "")
    yield "The message of a condition that is not True says what is wrong and how to fix it, usually with the command"
    yield "for your objects. Below it is the address of the section on this page that explains the reason. In the"
    yield "commands on this page, replace the words in capitals: `NAME` is the name of the TcpService."
    yield from ("", "| condition | True | False | Unknown |", "|---|---|---|---|")
    for kind, meanings in _STATUSES.items():
        yield f"| {kind} | {' | '.join(meanings)} |"
    yield from (
        "",
        "If `Accepted` or `Programmed` is not True, `Ready` is False with the same reason. The exceptions are",
    )
    yield "`ServiceTaken` and `ServiceRefused`: with these, `Ready` is False only if sidecars have no endpoints."
    yield "If `Accepted` is False, the operator does not check `Programmed`, `InboundReady` and `Injected`. They are"
    yield "False, too, with the reason `NotAccepted`, and what the column *False* says does not apply to them."
    yield from ("", "## Reasons", "", "| condition | reason | status | meaning |", "|---|---|---|---|")
    for kind, reasons in CONDITION_TYPES.items():
        for number, (name, reason) in enumerate(reasons.items()):
            link = f"[{name}](#{name.lower()})" if reason.fix else name
            first = f"{kind} " if not number else ""
            yield f"| {first}| {link} | {reason.status} | {reason.meaning} |"
    for name in dict.fromkeys(name for reasons in CONDITION_TYPES.values() for name in reasons):
        kinds = {kind: reasons[name] for kind, reasons in CONDITION_TYPES.items() if name in reasons}
        reason = next(iter(kinds.values()))
        if reason.fix:
            yield from ("", f"## {name}", "")
            *others, last = kinds
            names = "`, `".join(others) + "` and `" * bool(others) + last
            yield f"`{names}` {'is' if len(kinds) == 1 else 'are'} {reason.status}. {reason.meaning}"
            yield from ("", f"**Cause:** {reason.cause}", "", f"**Fix:** {reason.fix}")


if __name__ == "__main__":
    sys.stdout.write(page())
