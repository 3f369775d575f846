"""Whether NetworkPolicies let anybody reach the sidecars of pods, and what opens them.

Used by `conditions` and `fronts`. Who is let in by a rule is not looked at: a port that no rule opens is closed to all,
and that is what can be said for sure.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable

from tcpservice_operator.objects import Labels, Pod, Policy


def closing(policies: Iterable[Policy], pod: Pod, port: tuple[int, str]) -> Policy | None:
    """Return the first policy that closes a port of a pod, known by number and name; None where it is open."""
    selecting = [policy for policy in policies if selects(policy, pod.labels)]
    rules = [rule for policy in selecting for rule in policy.rules]
    if not selecting or any(rule is None or set(rule) & set(port) for rule in rules):
        return None
    return selecting[0]


def opening(policy: Policy, number: int, beside: Collection[int | str]) -> str:
    """Return the command that opens a port: to whom a rule opens one of those `beside` it, else to everybody."""
    rules = enumerate(policy.rules)
    index = next((index for index, rule in rules if rule is not None and not set(rule).isdisjoint(beside)), None)
    value: object = {"ports": [{"port": number}]}
    if index is not None:
        path, value = f"/spec/ingress/{index}/ports/-", {"port": number}
    else:
        path, value = ("/spec/ingress/-", value) if policy.rules else ("/spec/ingress", [value])
    patch = json.dumps([{"op": "add", "path": path, "value": value}])
    namespace, name = policy.key
    return f"kubectl patch networkpolicy -n {namespace} {name} --type=json -p {shlex.quote(patch)}"


def selects(policy: Policy, labels: Labels) -> bool:
    """Whether a policy is about pods with these labels."""
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
