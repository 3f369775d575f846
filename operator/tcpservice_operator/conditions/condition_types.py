"""All conditions of a TcpService, with all their reasons: the one table of what the status can say.

Used by `condition_checks`, which sets the conditions. docs/conditions.md is written from this table, with a section for
each reason, to which the messages of conditions lead. A check names its reason only: the status of the condition
follows from the reason, by this table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from tcpservice_operator.api.names import DOCS

Truth = Literal["True", "False", "Unknown"]


class Reason(Struct, frozen=True):
    """A reason of a condition: the status that it implies, what it means, and how to fix it, if it is a problem."""

    status: Truth
    meaning: str
    fix: str = ""


_INJECT_CALLERS: Final = "Or inject the callers: the label `tcpservice.dev/inject: enabled` on their namespace or pods."

CONDITION_TYPES: Final[dict[str, dict[str, Reason]]] = {
    "Accepted": {
        "Accepted": Reason("True", "the manifest is valid"),
        "Invalid": Reason(
            "False",
            "the manifest has an error that only the operator finds, such as two equal patterns of routes",
            "Correct the field that the message names. Until then, sidecars keep the last valid manifest.",
        ),
        "NoSelector": Reason(
            "False",
            "neither the TcpService nor a Service of its name has a selector, or EndpointSlices",
            "Set `spec.selector` to the labels of the pods, or create the Service.",
        ),
    },
    "Programmed": {
        "Programmed": Reason("True", "the Services of the TcpService exist"),
        "Pending": Reason(
            "Unknown",
            "the operator is creating the Services",
            "This takes a second. If it stays, the log of the operator's leader has the reason.",
        ),
        "ServiceTaken": Reason(
            "False",
            "a Service `<name>-replicas` exists that the operator did not create",
            "Delete that Service, if nothing else needs it, or give the TcpService another name. Messages are served "
            "meanwhile: the endpoints are those of the Service of the TcpService's name.",
        ),
        "ServiceRefused": Reason(
            "False",
            "the API server refused a Service, for example because of a quota or a policy; the message quotes it",
            "Allow one more Service in the namespace. Messages are served meanwhile: the endpoints are those of the "
            "Service of the TcpService's name.",
        ),
        "NotAccepted": Reason("False", "see Accepted; sidecars keep the last valid manifest", "See `Accepted`."),
    },
    "InboundReady": {
        "InboundReady": Reason("True", "messages of callers without a sidecar are balanced one by one"),
        "HeadlessService": Reason(
            "False",
            "the Service is headless, so callers choose a pod themselves",
            f"Give the Service a cluster IP. {_INJECT_CALLERS}",
        ),
        "ManualEndpoints": Reason(
            "False",
            "the Service has no selector: its EndpointSlices were made by hand, so callers without a sidecar are "
            "balanced per connection",
            f"Give the Service a selector, if its pods have common labels. {_INJECT_CALLERS}",
        ),
        "PortMissing": Reason(
            "False", "the Service does not have the port of the TcpService", "Add the port `spec.port` to the Service."
        ),
        "NumericTargetPort": Reason(
            "False",
            "the Service targets a port number, so callers without a sidecar are balanced per connection",
            "Name the port of the container, and let the Service and the TcpService target this name. The webhook "
            "moves a name to the sidecar, which it cannot do with a number.",
        ),
        "OtherTargetPort": Reason(
            "False",
            "the Service and the TcpService target different ports, with the effect of NumericTargetPort",
            "Let both target the same name of a port.",
        ),
        "SharedPort": Reason(
            "False",
            "other Services or TcpServices lead to the same port and select different pods, such as a canary, so "
            "callers without a sidecar are balanced per connection",
            "Give all of them the same selector, if they mean the same pods. Where they mean different pods, a sidecar "
            f"that balanced over all of them would send messages to the wrong ones. {_INJECT_CALLERS}",
        ),
        "HostNetwork": Reason(
            "False",
            "pods on the host network get no sidecar",
            "Remove `hostNetwork: true`: sidecars of several pods would need the same ports of one node.",
        ),
        "NoSidecar": Reason(
            "False",
            "no ready pod has a sidecar, or, with a target number, not every ready pod has one",
            "Restart the workload: a pod gets the sidecar when it is created.",
        ),
        "InboundPortClosed": Reason(
            "False",
            "NetworkPolicies close the inbound listeners of the pods to callers without a sidecar",
            "Open the port in a NetworkPolicy. The message has the command.",
        ),
        "NotAccepted": Reason("False", "see Accepted", "See `Accepted`."),
    },
    "Injected": {
        "AllInjected": Reason("True", "all pods have the sidecar"),
        "PodsLackSidecar": Reason(
            "False",
            "some pods lack the sidecar; a pod gets it when it is created",
            "Restart the workload, or set `spec.injection.restart: Evict`. If the message says that a pod gets no "
            "sidecar, it has the reason. The pods serve meanwhile.",
        ),
        "HostNetwork": Reason(
            "False",
            "pods on the host network get no sidecar",
            "Remove `hostNetwork: true`: sidecars of several pods would need the same ports of one node.",
        ),
        "NoPods": Reason(
            "Unknown",
            "no pod has the labels of the selector",
            "Compare `spec.selector` with the labels of the pods: `kubectl get pods --show-labels`.",
        ),
        "NotAccepted": Reason("False", "see Accepted", "See `Accepted`."),
    },
    "Ready": {
        "Serving": Reason("True", "messages are served"),
        "NoReplicas": Reason(
            "False",
            "no pod is ready",
            "Look at the pods. If a workload cannot create pods, the message quotes the API server.",
        ),
        "TargetPortMissing": Reason(
            "False",
            "no container has a port with the name that is targeted",
            "Name the port in the pod template.",
        ),
        "MeshPortClosed": Reason(
            "False",
            "NetworkPolicies close the sidecars of the pods to the sidecars of callers",
            "Open port 15801 in a NetworkPolicy. The message has the command.",
        ),
    },
}
"""By condition type, then by reason.

Ready also takes the reason of Accepted or Programmed if that condition is not True; Ready is False then.
"""

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
    yield "`Ready` tells whether messages are served; the other conditions say why not. `Ready` also takes the reason"
    yield "of `Accepted` or `Programmed` if that condition is not True."
    yield ""
    yield "| condition | reason | status | means |"
    yield "|---|---|---|---|"
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
            yield f"`{'` and `'.join(kinds)}`: {reason.meaning}."
            yield from ("", reason.fix)


if __name__ == "__main__":
    sys.stdout.write(page())
