"""Fits the sidecar's requests and limits to the rules of its namespace and pod, so that the API server accepts the pod.

Used by `pod_patch`; `webhook` reads the rules. The API server checks LimitRanges, ResourceQuotas and `spec.resources`
after the webhook has answered, and refuses the whole pod if the sidecar breaks them. This module applies the same rules
first. It changes the sidecar's requests and limits as little as possible. If that is not enough, the pod gets no
sidecar.

Rules (Kubernetes' plugins LimitRanger and ResourceQuota, and the validation of `spec.resources`):

| rule | the sidecar must have |
|---|---|
| LimitRange, Container: min | a request of at least that |
| LimitRange, Container: max | a limit, and a request, of at most that |
| LimitRange, Container: maxLimitRequestRatio | a request and a limit, the limit at most so many times the request |
| LimitRange, Pod: min, max, maxLimitRequestRatio | the same of all containers together |
| ResourceQuota: requests.cpu, cpu, requests.memory, memory | a request, and room for it |
| ResourceQuota: limits.cpu, limits.memory | a limit, and room for it |
| `spec.resources` of the pod | all requests together at most its request, each limit at most its limit |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from tcpservice_operator.api.quantities import format_quantity, parse_quantity

Document = Mapping[str, Any]

RESOURCES: Final = ("cpu", "memory")
SMALLEST: Final = {"cpu": Decimal("0.01"), "memory": Decimal(48 << 20)}
"""The lowest limits with which a sidecar works. With less memory it is killed."""

_SMALLEST_TEXTS: Final = {"cpu": "10m", "memory": "48Mi"}

CPU_LIMIT: Final = Decimal("0.5")
"""The limit of CPU where a quota or a LimitRange demands one, and the installation sets none."""

Amount = Decimal | None


class NamespaceRules(Struct, frozen=True):
    """The LimitRanges and ResourceQuotas of a namespace, as the API returns them."""

    limit_ranges: tuple[Document, ...] = ()
    quotas: tuple[Document, ...] = ()


NO_RULES: Final = NamespaceRules()


class Fit(Struct, frozen=True, kw_only=True):
    """What the sidecar's container gets; `reason` is why the pod can have no sidecar, empty where it can."""

    requests: dict[str, str]
    limits: dict[str, str]
    reason: str = ""


class _Demand(Struct, kw_only=True):
    """One resource of the sidecar while it is fitted."""

    name: str
    request: Amount
    limit: Amount


def fit(pod: Document, requests: Mapping[str, str], limits: Mapping[str, str], rules: NamespaceRules) -> Fit:
    """Fit the sidecar's requests and limits (empty: none) to a pod, given by its spec, and to the rules around it."""
    fitted: list[_Demand] = []
    for name in RESOURCES:
        demand = _Demand(name=name, request=_amount(requests, name), limit=_amount(limits, name))
        ranges = list(_items(rules.limit_ranges, "Container"))
        reason = (
            _fit_container(demand, ranges)
            or _fit_pod_level(demand, pod)
            or _fit_pod(demand, pod, list(_items(rules.limit_ranges, "Pod")))
            or _fit_quotas(demand, pod, rules.quotas)
            or _why_not_container(demand, ranges)
        )
        if reason:
            return Fit(requests={}, limits={}, reason=reason)
        fitted.append(demand)
    return Fit(
        requests=_written(requests, {each.name: each.request for each in fitted}),
        limits=_written(limits, {each.name: each.limit for each in fitted}),
    )


# A LimitRange of containers


def _fit_container(demand: _Demand, ranges: Sequence[Document]) -> str:
    """Fit the sidecar to LimitRanges of containers; return why that is not possible."""
    lowest = max((each for each in _values(ranges, "min", demand.name)), default=None)
    highest = min((each for each in _values(ranges, "max", demand.name)), default=None)
    default = next(iter(_values(ranges, "default", demand.name)), None)
    if lowest is not None:
        demand.request = max(demand.request or Decimal(0), lowest)
    if demand.limit is None:
        demand.limit = default if default is not None else highest
    if highest is not None and demand.limit is not None:
        demand.limit = min(demand.limit, highest)
    if highest is not None and demand.request is not None:
        demand.request = min(demand.request, highest)
    if demand.limit is not None and demand.request is not None:
        demand.limit = max(demand.limit, demand.request)
    for ratio in _values(ranges, "maxLimitRequestRatio", demand.name):
        _fit_ratio(demand, ratio, Decimal(0), Decimal(0))
    return _why_not_container(demand, ranges)


def _fit_ratio(demand: _Demand, ratio: Decimal, requested: Decimal, limited: Decimal) -> None:
    """Keep the limit, with those of other containers, within so many times the request: lower it, or request more."""
    if demand.limit is None:
        demand.limit = max(demand.request or Decimal(0), SMALLEST[demand.name])
    request = demand.request or Decimal(0)
    most = ratio * (requested + request) - limited
    if demand.limit <= most:
        return
    demand.limit = max(most, SMALLEST[demand.name], request)
    demand.request = max(request, (limited + demand.limit) / ratio - requested)


def _why_not_container(demand: _Demand, ranges: Sequence[Document]) -> str:
    """Return which LimitRange of containers the sidecar breaks, or what is too little for it."""
    name, request, limit = demand.name, demand.request, demand.limit
    low, high = (limit if request is None else request), (request if limit is None else limit)
    broken = (
        any(low is None or low < each for each in _values(ranges, "min", name))
        or any(high is None or high > each for each in _values(ranges, "max", name))
        or any(not low or high is None or high > each * low for each in _values(ranges, "maxLimitRequestRatio", name))
    )
    if broken:
        return f"no {name} request and limit of the sidecar can satisfy the LimitRange of the namespace"
    if limit is not None and limit < SMALLEST[name]:
        return f"{_needs(name)}, and the namespace or the pod allows less"
    return ""


# The resources of the pod itself


def _fit_pod_level(demand: _Demand, pod: Document) -> str:
    """Fit the sidecar to `spec.resources`, of which the containers have their part; return why that is not possible."""
    own = pod["spec"].get("resources") or {}
    request, limit = _amount(own.get("requests"), demand.name), _amount(own.get("limits"), demand.name)
    if request is None and limit is None:
        return ""
    if limit is not None and demand.limit is not None:
        demand.limit = min(demand.limit, limit)
    room = (request if request is not None else limit or Decimal(0)) - _total(pod, "requests", demand.name)
    demand.request = max(Decimal(0), min(demand.request or Decimal(0), room))
    return _too_little(demand)


# A LimitRange of pods


def _fit_pod(demand: _Demand, pod: Document, ranges: Sequence[Document]) -> str:
    """Fit the sidecar to LimitRanges of pods; return why that is not possible."""
    if _has_pod_level(pod, demand.name):
        return ""
    requested, limited = _total(pod, "requests", demand.name), _total(pod, "limits", demand.name)
    for most in _values(ranges, "max", demand.name):
        if demand.limit is not None:
            demand.limit = min(demand.limit, most - limited)
        if demand.request is not None:
            demand.request = max(Decimal(0), min(demand.request, most - requested, demand.limit or most))
    for ratio in _values(ranges, "maxLimitRequestRatio", demand.name):
        _fit_ratio(demand, ratio, requested, limited)
    return _too_little(demand)


# Quotas


def _fit_quotas(demand: _Demand, pod: Document, quotas: Sequence[Document]) -> str:
    """Fit the sidecar to what is left of quotas; return why that is not possible."""
    for quota in quotas:
        if not _covers(quota, pod):
            continue
        for key in (f"requests.{demand.name}", demand.name):
            room = _room(quota, key, pod, "requests", demand.name)
            if room is not None:
                demand.request = max(Decimal(0), min(demand.request or Decimal(0), room))
        room = _room(quota, f"limits.{demand.name}", pod, "limits", demand.name)
        if room is not None:
            default = max(CPU_LIMIT, demand.request or Decimal(0))
            demand.limit = limit = min(default if demand.limit is None else demand.limit, room)
            if demand.request is not None:
                demand.request = max(Decimal(0), min(demand.request, limit))
        reason = _too_little(demand)
        if reason:
            return f"the ResourceQuota {quota['metadata']['name']} leaves too little for the sidecar: {reason}"
    return ""


def _room(quota: Document, key: str, pod: Document, kind: str, name: str) -> Amount:
    """Return what a quota leaves for the sidecar beside the pod's containers; None if it does not count this amount."""
    hard = _amount(quota["spec"].get("hard"), key)
    if hard is None:
        return None
    if _has_pod_level(pod, name):
        return hard  # the quota counts what the pod itself asks for
    used = _amount((quota.get("status") or {}).get("used"), key) or Decimal(0)
    return hard - used - _total(pod, kind, name)


def _covers(quota: Document, pod: Document) -> bool:
    """Whether a quota counts a pod with a sidecar, which is never of the class BestEffort."""
    spec, pod_spec = quota["spec"], pod["spec"]
    holds = {
        "Terminating": pod_spec.get("activeDeadlineSeconds") is not None,
        "NotTerminating": pod_spec.get("activeDeadlineSeconds") is None,
        "BestEffort": False,
        "NotBestEffort": True,
        "PriorityClass": bool(pod_spec.get("priorityClassName")),
    }
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(holds.get(scope, True) for scope in spec.get("scopes") or []) and all(
        _matches(each, pod_spec.get("priorityClassName") or "", holds) for each in expressions
    )


def _matches(expression: Document, priority: str, holds: Mapping[str, bool]) -> bool:
    scope, operator, values = expression["scopeName"], expression["operator"], expression.get("values") or []
    if operator in ("In", "NotIn"):
        return bool((priority in values) == (operator == "In"))
    return bool(holds.get(scope, True) == (operator == "Exists"))


# Amounts


def _needs(name: str) -> str:
    return f"the sidecar needs a {name} limit of at least {_SMALLEST_TEXTS[name]}"


def _too_little(demand: _Demand) -> str:
    """Return why the remaining amount is too little; empty if it is enough."""
    least = SMALLEST[demand.name]
    if demand.limit is not None and demand.limit < least:
        return _needs(demand.name)
    if demand.limit is not None and demand.request is not None:
        demand.request = min(demand.request, demand.limit)
    return ""


def _items(limit_ranges: Iterable[Document], kind: str) -> Iterator[Document]:
    for each in limit_ranges:
        yield from (item for item in each["spec"].get("limits") or [] if item.get("type") == kind)


def _values(items: Iterable[Document], field: str, name: str) -> list[Decimal]:
    found = (_amount(item.get(field), name) for item in items)
    return [value for value in found if value is not None]


def _amount(amounts: Document | None, name: str) -> Amount:
    text = (amounts or {}).get(name)
    return None if text in (None, "") else parse_quantity(text)


def _has_pod_level(pod: Document, name: str) -> bool:
    own = pod["spec"].get("resources") or {}
    return any(name in (own.get(kind) or {}) for kind in ("requests", "limits"))


def _total(pod: Document, kind: str, name: str) -> Decimal:
    """Return what a pod's containers ask for: those that run at the same time, at the time when that is most.

    The sidecar, which starts first and runs to the end, adds to that whenever it is.
    """
    spec = pod["spec"]
    running = initial = Decimal(0)
    for container in spec.get("initContainers") or []:
        amount = _of_container(container, kind, name)
        if container.get("restartPolicy") == "Always":
            running += amount
            initial = max(initial, running)
        else:
            initial = max(initial, running + amount)
    return max(initial, running + sum((_of_container(each, kind, name) for each in spec["containers"]), Decimal(0)))


def _of_container(container: Document, kind: str, name: str) -> Decimal:
    """Return an amount of a container, whose request is its limit where it has none."""
    resources = container.get("resources") or {}
    amount = _amount(resources.get(kind), name)
    if amount is None and kind == "requests":
        amount = _amount(resources.get("limits"), name)
    return amount or Decimal(0)


def _written(given: Mapping[str, str], fitted: Mapping[str, Amount]) -> dict[str, str]:
    """Write amounts as they were given, and others that were changed in Kubernetes' notation."""
    written = {}
    for name, amount in fitted.items():
        if amount is not None:
            same = bool(given.get(name)) and parse_quantity(given[name]) == amount
            written[name] = given[name] if same else format_quantity(name, amount)
    return written
