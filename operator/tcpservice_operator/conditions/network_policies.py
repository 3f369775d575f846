"""Whether NetworkPolicies close a port of a pod, and the command that opens the port.

Used by `condition_checks`, `inbound` and `callers`. The check ignores which peers a rule names, because it does not
know all callers. It reports a port that no rule opens: that port is closed to all peers.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Literal

from tcpservice_operator.api.plain_objects import Labels
from tcpservice_operator.cache.objects import NetworkPolicy, Opened, Pod

Direction = Literal["ingress", "egress"]
Port = tuple[int, str]
"""Number and name."""

_ANY_POD: Final[list[dict[str, Any]]] = [{"namespaceSelector": {}}]
_PEERS: Final = {"ingress": "from", "egress": "to"}


def is_closed(policies: Iterable[NetworkPolicy], pod: Pod, port: Port, direction: Direction = "ingress") -> bool:
    """Whether policies select a pod, and none of them opens a port."""
    opened = [ports for policy in _selecting(policies, pod, direction) for ports in _opened(policy, direction)]
    is_selected = bool(_selecting(policies, pod, direction))
    return is_selected and not any(ports is None or set(ports) & set(port) for ports in opened)


def open_command(
    policies: Iterable[NetworkPolicy], pod: Pod, ports: Sequence[Port], beside: Collection[int | str],
    direction: Direction = "ingress",
) -> str:  # fmt: skip
    """Return the command that opens those of the ports of a pod that are closed, of which there must be one.

    It adds them to the rule that opens one of the ports `beside`, which names the right peers; where there is none, it
    adds a rule for the pods of the cluster. One command opens all, as a second one could replace what the first added.
    """
    selecting = _selecting(policies, pod, direction)
    closed = [{"port": number} for number, name in ports if is_closed(selecting, pod, (number, name), direction)]
    rules = ((policy, index, opened) for policy in selecting for index, opened in enumerate(_opened(policy, direction)))
    found = ((policy, index) for policy, index, opened in rules if opened and not set(opened).isdisjoint(beside))
    policy, index = next(found, (selecting[0], None))
    operations: list[dict[str, Any]]
    if index is not None:
        operations = [{"op": "add", "path": f"/spec/{direction}/{index}/ports/-", "value": port} for port in closed]
    else:
        rule = {_PEERS[direction]: _ANY_POD, "ports": closed}
        has_rules = bool(_opened(policy, direction))
        path, value = (f"/spec/{direction}/-", rule) if has_rules else (f"/spec/{direction}", [rule])
        operations = [{"op": "add", "path": path, "value": value}]
    namespace, name = policy.key
    patch = shlex.quote(json.dumps(operations))
    return f"kubectl patch networkpolicy -n {namespace} {name} --type=json -p {patch}"


def _selecting(policies: Iterable[NetworkPolicy], pod: Pod, direction: Direction) -> list[NetworkPolicy]:
    return [policy for policy in policies if getattr(policy, direction) is not None and _selects(policy, pod.labels)]


def _opened(policy: NetworkPolicy, direction: Direction) -> tuple[Opened, ...]:
    rules: tuple[Opened, ...] | None = getattr(policy, direction)
    return rules or ()


def _selects(policy: NetworkPolicy, labels: Labels) -> bool:
    return policy.labels.items() <= labels.items() and all(
        _holds(operator, values, labels.get(name)) for name, operator, values in policy.expressions
    )


def _holds(operator: str, values: tuple[str, ...], value: str | None) -> bool:
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
