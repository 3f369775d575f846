"""Whether NetworkPolicies let anybody reach the sidecars of pods.

Used by `conditions`. Who is let in by a rule is not looked at: a port that no rule opens is closed to all, and that is
what can be said for sure.
"""

from __future__ import annotations

from collections.abc import Iterable

from tcpservice_operator.objects import Labels, Pod, Policy


def closing(policies: Iterable[Policy], pod: Pod, port: tuple[int, str]) -> Policy | None:
    """Return the first policy that closes a port of a pod, known by number and name; None where it is open."""
    selecting = [policy for policy in policies if selects(policy, pod.labels)]
    if not selecting or any(policy.ports is None or set(policy.ports) & set(port) for policy in selecting):
        return None
    return selecting[0]


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
